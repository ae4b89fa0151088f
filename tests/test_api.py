"""What `import unitscope` offers: each function is there under its name, and its example is true."""

import doctest
import subprocess
import sys

import pytest

import unitscope


@pytest.mark.parametrize("name", unitscope.__all__)
def test_a_function_is_there_whichever_module_was_loaded_first(name):
    module = f"unitscope.{unitscope._HOME[name]}"
    for first in (f"import unitscope; import {module}", f"import {module}; import unitscope", "import unitscope"):
        done = subprocess.run([sys.executable, "-c", f"{first}; assert callable(unitscope.{name})"], check=False)
        assert done.returncode == 0, first


@pytest.mark.parametrize(
    "name",
    ["ablation", "activation_maximization", "activations", "class_selectivity", "representative_substitution"],
)
def test_examples(name):
    function = getattr(unitscope, name)
    module = sys.modules[function.__module__]
    examples = doctest.DocTestFinder(recurse=False).find(function, name, module=module, globs=vars(module))
    assert [test for test in examples if test.examples]
    for test in examples:
        assert doctest.DocTestRunner().run(test).failed == 0


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="class_selectivity"):
        unitscope.selectivity_of_classes  # noqa: B018
