"""What a file means: words for people and places of modules are left out of it, and no more than these."""

import ast

import pytest

from unitscope.workflow.syntax import Import, imports, meaning, parse

PACKAGES = {"unitscope", "unitscope.data", "unitscope.probing"}
HEAD = """import warnings
import numpy as np
from unitscope.runtime import console
from unitscope.runtime.console import log, progress
from unitscope.errors import UserError
"""


def imported_name(binding: Import) -> str | None:
    if not binding.module.startswith("unitscope"):
        return None
    return binding.name if binding.module in PACKAGES else f"{binding.module.rpartition('.')[2]}.{binding.name}"


def meaning_of(text: str, head: str = HEAD, package: str = "") -> str:
    return meaning(parse(head + text, "x.py"), package, imported_name)


WORDS = [
    ('raise UserError(f"{path} has no labels")', 'raise UserError(f"There are no labels in {path!r}: {names}.")'),
    ('raise ValueError("a")', "raise ValueError(str(len(names)), names[0])"),
    ('raise KeyError("a") from error', 'raise KeyError("b") from error'),
    ('log.warning("a %d", count)', 'log.warning("%s of %s", count, sorted(names))'),
    ('console.log.info("a")', "console.log.info(', '.join(names))"),
    ('warnings.warn("a", stacklevel=2)', 'warnings.warn("b", UserWarning, stacklevel=3)'),
    ('progress(n, "a", "images")', 'progress(n, label=f"b {x}", unit="pictures")'),
    ('console.progress(n, "a", "images", done)', 'console.progress(n, f"b {x:.2f}", "units", done)'),
    ('parser.add_argument("--x", type=int, help="a")', 'parser.add_argument("--x", type=int, help=f"b {X}")'),
    ('def f():\n    """A."""\n    return 1', 'def f():\n    """B."""  # c\n    return (\n        1\n    )'),
]


@pytest.mark.parametrize(("one", "other"), WORDS)
def test_reworded_messages_keep_the_digest(one, other):
    assert meaning_of(one) == meaning_of(other)


MORE_THAN_WORDS = [
    # What looks like a log.
    ("y = np.log(x)", "y = np.log(x + 1)"),
    ("y = np.log.info(x)", "y = np.log.info(z)"),
    ("y = self.log.info(x)", "y = self.log.info(z)"),
    # What stands around words.
    ("raise UserError(a)", "raise ValueError(a)"),
    ("log.info(a)", "log.warning(a)"),
    ("progress(n, a, b)", "progress(m, a, b)"),
    ("progress(n, a, b, done)", "progress(n, a, b, 0)"),
    ("raise ValueError(a) from b", "raise ValueError(a) from c"),
    # An argument that is a value.
    ("raise StopIteration(1)", "raise StopIteration(2)"),
    ("raise SystemExit(1)", "raise SystemExit(2)"),
    ("raise Own(1)", "raise Own(2)"),
    ('f("a")', 'f("b")'),
    ('parser.add_argument("--x", default=1)', 'parser.add_argument("--x", default=2)'),
    # What words do.
    ("raise UserError(f'{next(numbers)}')", "raise UserError(f'{numbers}')"),
    ("log.info('%d', x := 1)", "log.info('%d', x := 2)"),
    ("log.info('%s', [draw(x) for x in y])", "log.info('%s', [draw(x) for x in z if draw(x)])"),
    ("log.info('%s', sorted(names, key=pop))", "log.info('%s', sorted(names))"),
    # All else.
    ("def f(a=1): pass", "def f(a=2): pass"),
    ("X = 5", "X = 6"),
    ("X = 'a'", "X = 'b'"),
    ("y = a + b", "y = a - b"),
    ("y = a < b", "y = a <= b"),
    ("f(a, b)", "f(b, a)"),
    ("f(a=b)", "f(b=a)"),
    ("f(a)\ng(a)", "g(a)\nf(a)"),
    ("assert x, 'a'", "assert x, 'b'"),
    ("import scipy", "import torch"),
    ("import torch\nimport scipy", "import scipy\nimport torch"),
]


@pytest.mark.parametrize(("one", "other"), MORE_THAN_WORDS)
def test_code_changes_change_the_digest(one, other):
    assert meaning_of(one) != meaning_of(other)


def test_user_functions_named_like_message_functions_count():
    """A name of the user's own may be called like one of the library."""
    for head in ("", "from mine.console import log, progress\nfrom mine.errors import UserError\n"):
        for line in ("log.info({})", "progress(n, {}, b)", "raise UserError({})"):
            assert meaning_of(line.format(1), head) != meaning_of(line.format(2), head)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from unitscope.probing.layers import taps", "from unitscope.probing.layers import taps"),
        ("from unitscope import layers", "from unitscope.probing import layers"),
        (
            "from unitscope.probing.layers import cut, taps",
            "from unitscope.probing.layers import taps\nfrom unitscope.probing.layers import cut",
        ),
        # Sorted anew where one of them has moved.
        (
            "from unitscope.folder import read\nfrom unitscope.probing.layers import taps",
            "from unitscope.probing.layers import taps\nfrom unitscope.zoo.folder import read",
        ),
        (
            "from unitscope import layers, targets",
            "from unitscope import targets\nfrom unitscope.probing import layers",
        ),
    ],
)
def test_module_location_does_not_matter(one, other):
    assert meaning_of(one) == meaning_of(other)
    inside = "def f():\n    {}\n    return 1"
    assert meaning_of(inside.format(one.replace("\n", "\n    "))) == meaning_of(
        inside.format(other.replace("\n", "\n    "))
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from unitscope.probing.layers import taps", "from unitscope.probing.hooks import taps"),
        ("from unitscope.probing.layers import taps", "from unitscope.probing.layers import cut as taps"),
        ("from unitscope.probing.layers import taps", "from mine.layers import taps"),
        ("from unitscope import layers", "from unitscope import hooks as layers"),
        ("from unitscope.probing.layers import taps\nX = 1", "X = 1\nfrom unitscope.probing.layers import taps"),
    ],
)
def test_changed_imports_change_the_digest(one, other):
    assert meaning_of(one) != meaning_of(other)


def test_imports_are_collected_at_any_depth():
    text = "import a.b as c\nfrom . import near\ndef f():\n    from ..up.there import x as y\n    import d\n"
    assert set(imports(ast.parse(text), "p.q")) == {
        Import("a.b", "", "c"),
        Import("p.q", "near", "near"),
        Import("p.up.there", "x", "y"),
        Import("d", "", "d"),
    }
