"""Names of the code say what a value is: no identifier contains a word such as `found` or `own`."""

import ast
import re
from pathlib import Path

import pytest
from projects import ROOT

FOLDERS = ("unitscope", "scripts", "benchmarks", "tests")

WORDS = frozenset(
    (
        *("found", "own", "made", "given", "asked", "told", "known", "wanted", "answers", "tells", "says", "said"),
        *("beside", "nobody", "whom", "foretell", "anew"),
    )
)

DAMAGE_COLUMN = "a column of the tables of ablation and of units"
ALLOWED = {
    "own_class_damage": DAMAGE_COLUMN,
    "own_class_damage_mean": DAMAGE_COLUMN,
    "own_class_damage_resample": DAMAGE_COLUMN,
    "own_class_damage_optimal": DAMAGE_COLUMN,
    "given": "a column of partial.csv",
    "PackageNotFoundError": "an exception of importlib.metadata",
    "test_clone_reads_owners_from_made_lock": "about the file made.lock",
}
"""Identifiers that contain one of the words, and why."""


def identifiers(tree):
    """Yield the names that a module defines, assigns, passes or reads as attributes, each with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.arg() | ast.keyword(arg=str()):
                yield node.arg, node.lineno
            case ast.Attribute():
                yield node.attr, node.lineno
            case ast.alias(asname=str()) as alias:
                yield alias.asname, alias.lineno
            case ast.ExceptHandler(name=str()) | ast.MatchAs(name=str()) | ast.MatchStar(name=str()):
                yield node.name, node.lineno
            case ast.MatchMapping(rest=str()):
                yield node.rest, node.lineno


def words(name):
    """Return the words of a name in snake_case or CamelCase, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def barred(text, allowed=()):
    """Return "LINE: NAME" for each identifier of a module that contains one of the words."""
    names = sorted({(line, name) for name, line in identifiers(ast.parse(text)) if words(name) & WORDS})
    return [f"{line}: {name}" for line, name in names if name not in allowed]


@pytest.mark.parametrize("folder", FOLDERS)
def test_identifiers_say_what_a_value_is(folder):
    violations = []
    for path in sorted([*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.pyi")]):
        module = path.relative_to(ROOT).as_posix()
        violations += [f"{module}:{name}" for name in barred(path.read_text(encoding="utf-8"), ALLOWED)]
    assert violations == [], f"say what the value is, or explain the name in ALLOWED of {Path(__file__).name}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("found = 1", "found"),
        ("for known_layers in (): pass", "known_layers"),
        ("(first, [*own]) = ()", "own"),
        ("def answers(): pass", "answers"),
        ("async def _told(): pass", "_told"),
        ("class WantedLayers: pass", "WantedLayers"),
        ("def f(a, *, asked=None): pass", "asked"),
        ("lambda *given: 0", "given"),
        ("f(made=True)", "made"),
        ("f.said", "said"),
        ("import os as OWN", "OWN"),
        ("with a as found1: pass", "found1"),
        ("try: pass\nexcept OSError as found: pass", "found"),
        ("match a:\n    case [*found]: pass", "found"),
        ("match a:\n    case {**found}: pass", "found"),
        ("[0 for own in a if (b := own)]", "own"),
    ],
)
def test_words_are_recognized_in_every_kind_of_identifier(text, name):
    assert [violation.split(": ")[1] for violation in barred(text)] == [name]


def test_other_words_texts_and_allowed_names_are_no_violations():
    assert barred("owner = foundation = unknown = download = handmade = 'found'  # own\nprint(own)") == []
    assert barred("own_class_damage = 1\nown_class = 2", {"own_class_damage"}) == ["2: own_class"]
