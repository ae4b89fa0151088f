"""What `import unitscope` offers: each function is there under its name, and its example is true."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import unitscope

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", unitscope.__all__)
def test_a_function_is_there_whichever_module_was_loaded_first(name):
    module = f"unitscope.{unitscope._HOME[name]}"
    for first in (f"import unitscope; import {module}", f"import {module}; import unitscope", "import unitscope"):
        done = subprocess.run([sys.executable, "-c", f"{first}; assert callable(unitscope.{name})"], check=False)
        assert done.returncode == 0, first


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
        "activation_maximization",
        "activations",
        "class_selectivity",
        "representative_substitution",
    ):
        assert ">>>" in getattr(unitscope, name).__doc__


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="class_selectivity"):
        unitscope.selectivity_of_classes  # noqa: B018
