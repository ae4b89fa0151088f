"""Which config owns an artifact: recorded on this machine and in made.lock, and nobody's once the config is gone."""

import json
from pathlib import Path

import pytest
from projects import ROOT

from unitscope.errors import UserError
from unitscope.workflow.ledger import locked_rows, vouches, write_lock
from unitscope.workflow.owners import MISSING, Owner, Owners, conflict, differences, refuse_foreign_page

FIRST, SECOND = Owner("first.yaml", '{"steps":4}'), Owner("second.yaml", '{"steps":5}')
ELSEWHERE = Path("other/owners")
ROW = {"path": "a", "key": "k", "sha256": "1", "md5": "2", "versions": "torch 1"}


@pytest.fixture(autouse=True)
def configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for owner in (FIRST, SECOND):
        (tmp_path / owner.config).touch()
    return tmp_path


def test_the_latest_owner_counts_and_persists_across_processes():
    Owners().note(["a", "b"], FIRST)
    same_process = Owners()
    same_process.note(["b"], SECOND)
    for owners in (same_process, Owners()):
        assert (owners.of("a"), owners.of("b"), owners.of("c")) == (FIRST, SECOND, None)


def test_deleted_config_owns_nothing(configs):
    Owners().note(["a"], FIRST)
    (configs / "first.yaml").rename(configs / "renamed.yaml")
    assert Owners().of("a") is None


def test_clone_reads_owners_from_made_lock():
    Owners().note(["a"], FIRST)
    write_lock(Owners().with_owners([ROW, {**ROW, "path": "b"}]))
    in_clone = Owners(file=ELSEWHERE)
    assert (in_clone.of("a"), in_clone.of("b")) == (FIRST, None)
    # What was written on this machine since then counts more.
    in_clone.note(["a"], SECOND)
    assert Owners(file=ELSEWHERE).of("a") == SECOND
    assert vouches(locked_rows(), ROW) and not vouches(locked_rows(), {**ROW, "sha256": "3"})


def test_malformed_lines_are_skipped(configs):
    Owners().note(["a"], FIRST)
    with open(configs / ".snakemake/unitscope/owners", "a") as file:
        file.write('{"no": "list"}\n[1]\n["a", "b", "c"]\n[["a"], "first.yaml", "{}"')
    assert Owners().of("a") == FIRST


def test_a_conflict_names_both_configs_and_the_first_difference():
    text = conflict("results/x/units.csv", FIRST, SECOND)
    assert "results/x/units.csv belongs to first.yaml, and second.yaml would overwrite it" in text
    assert "steps is 4 in first.yaml and 5 in second.yaml" in text and "--config takeover=true" in text
    assert conflict("a", FIRST, Owner("second.yaml", FIRST.settings)) == ""
    assert conflict("a", FIRST, Owner("first.yaml", SECOND.settings)) == ""


def test_settings_added_by_an_upgrade_are_no_difference_if_equal():
    newer = Owner("second.yaml", '{"points":2,"steps":4}')
    assert conflict("a", FIRST, newer, lambda config: config == "first.yaml") == ""
    assert "points is not set in first.yaml and 2 in second.yaml" in conflict("a", FIRST, newer, lambda config: False)
    # Another value is one.
    other = Owner("second.yaml", '{"points":2,"steps":5}')
    assert "second.yaml would overwrite it" in conflict("a", FIRST, other, lambda config: True)


@pytest.mark.parametrize("settings", ["no json", "[1]", "[" * 100_000, "null"])
def test_damaged_settings_differ(settings):
    text = conflict("a", Owner("first.yaml", settings), SECOND)
    assert 'all is not set in first.yaml and {"steps":5} in second.yaml' in text
    assert conflict("a", Owner("first.yaml", settings), SECOND, lambda config: True) == ""


def test_equal_numbers_in_different_notation_are_no_difference():
    assert conflict("a", FIRST, Owner("second.yaml", '{"steps":4.0}')) == ""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 2, "d": 4}}, [("b.d", 3, 4)]),
        ({"a": 1}, {"a": 2, "b": "x"}, [("a", 1, 2), ("b", MISSING, "x")]),
        ({"layers": ["a"]}, {"layers": ["a", "b"]}, [("layers", ["a"], ["a", "b"])]),
        ({"a": {"b": 1}}, {"a": None}, [("a", {"b": 1}, None)]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_differences_are_listed_by_key(old, new, expected):
    assert list(differences(old, json.loads(json.dumps(new)))) == expected


def test_page_of_another_study_is_not_overwritten(tmp_path):
    page, configs = tmp_path / "README.md", ["paper/cpu.yaml", "paper/bfloat16.yaml"]
    refuse_foreign_page(page, configs)
    page.write_text("mine\n")
    with pytest.raises(UserError, match=r"README.md is there already, and is no page of a study. Choose"):
        refuse_foreign_page(page, configs)
    # As the template of the page has it.
    template = (ROOT / "paper/README.md.jinja").read_text()
    assert "    snakemake --configfile {{ config }} --cores" in template
    page.write_text(template.replace("{{ config }}", "paper/cpu.yaml paper/folders.yaml"))
    refuse_foreign_page(page, configs)
    page.write_text(template.replace("{{ config }}", "mine.yaml"))
    with pytest.raises(UserError, match=r"is the page of mine.yaml"):
        refuse_foreign_page(page, configs)
