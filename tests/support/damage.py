"""Damage for fuzz tests: bytes that are changed, values of other kinds, and names that would be code elsewhere."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

HOSTILE = (
    *("$(touch ran)", "`touch ran`", "; touch ran #", "| touch ran", "a\ntouch ran\n", "-rf", "'", '"', "\\"),
    *("<script>document.title = 1</script>", "</script><img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "{% raw %}"),
    *("../../etc/passwd", "/etc/passwd", "a/../../b", "~", "%2e%2e/", "\x00", "\u202e", "\ud7ff", "=1+1", "--config"),
)
"""Names that a shell, a page, a template or a file system could take for more than a name."""

names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))
numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 1e308, -1e-308, float("nan"), float("inf")]),
    st.integers(-100, 100),
    st.floats(),
)
plain = st.one_of(st.none(), st.booleans(), numbers, names)
values = st.recursive(
    plain, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)), max_leaves=5
)
"""Whatever YAML and JSON can say."""


@st.composite
def damaged(draw: Callable[[Any], Any], content: bytes) -> bytes:
    """Draw the content of a file with some of its bytes changed, left out, doubled, or cut off."""
    buffer = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(buffer)))
        length = draw(st.integers(1, 16))
        kind = draw(st.sampled_from(["change", "flip", "leave out", "insert", "double", "cut off"]))
        if kind == "change":
            buffer[first : first + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "flip" and first < len(buffer):
            buffer[first] ^= 1 << draw(st.integers(0, 7))
        elif kind == "leave out":
            del buffer[first : first + length]
        elif kind == "insert":
            buffer[first:first] = draw(st.binary(max_size=length))
        elif kind == "double":
            buffer[first:first] = buffer[first : first + length]
        elif kind == "cut off":
            del buffer[first:]
    return bytes(buffer)


@st.composite
def changed(draw: Callable[[Any], Any], tree: Any, keys: st.SearchStrategy[str] = names) -> Any:
    """Draw nested mappings and lists with one to three places replaced, left out, or added."""
    mutated = tree
    for _ in range(draw(st.integers(1, 3))):
        mutated = _changed(draw, mutated, keys)
    return mutated


def _changed(draw: Callable[[Any], Any], tree: Any, keys: st.SearchStrategy[str]) -> Any:
    positions = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    # Deep places are reached as often as those at the top.
    if not positions or draw(st.integers(0, 4)) == 0:
        return draw(values)
    position = draw(st.sampled_from(positions))
    mutated = dict(tree) if isinstance(tree, dict) else list(tree)
    change = draw(st.sampled_from(["inside", "inside", "inside", "leave out", "add"]))
    if change == "inside":
        mutated[position] = _changed(draw, mutated[position], keys)
    elif change == "leave out":
        del mutated[position]
    elif isinstance(mutated, dict):
        mutated[draw(keys)] = draw(values)
    else:
        mutated.append(draw(values))
    return mutated
