"""What `import unitscope` offers: each function is there under its name, and its example is true."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import unitscope

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_function_is_there_whichever_module_was_loaded_first():
    # Each order in a copy of a process that has loaded PyTorch, which takes seconds.
    code = ["import os, torch, h5py, scipy.stats", "def hold(lines):", "    if not (child := os.fork()):"]
    code += ["        exec(lines)", "        os._exit(0)", "    assert os.waitpid(child, 0)[1] == 0, lines"]
    for name in unitscope.__all__:
        module = f"unitscope.{unitscope._HOME[name]}"
        for first in (f"import unitscope; import {module}", f"import {module}; import unitscope", "import unitscope"):
            code.append(f"hold({f'{first}; assert callable(unitscope.{name})'!r})")
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and len(code) == 6 + 3 * len(unitscope.__all__), done.stderr


WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "unitscope").rglob("*.py")
    if ">>>" in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed


def test_what_is_offered_has_an_example():
    for name in (
        "ablation",
        "maximize",
        "activations",
        "class_selectivity",
        "representative_substitution",
    ):
        assert ">>>" in getattr(unitscope, name).__doc__


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="class_selectivity"):
        unitscope.selectivity_of_classes  # noqa: B018
