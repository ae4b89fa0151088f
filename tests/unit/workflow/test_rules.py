"""Rules and their programs: the folders of scripts/ are the files of rules/."""

import re
from pathlib import Path

import pytest

from unitscope.errors import UserError
from unitscope.workflow.provenance import script_named

ROOT = Path(__file__).parents[3]
CALLS = {
    path.stem: re.findall(r"\bprogram\(\"(\w+)\"\)\s+\+ ", path.read_text())
    for path in sorted((ROOT / "rules").glob("*.smk"))
}
"""The programs that the rules of a file call."""


def test_scripts_are_in_the_folder_of_their_rules():
    folders = {path.stem: path.parent.name for path in (ROOT / "scripts").glob("*/*.py")}
    assert {program for programs in CALLS.values() for program in programs} == set(folders)
    for file, programs in CALLS.items():
        assert {folders[program] for program in programs} <= {file}


def test_rule_digest_equals_the_digest_of_its_script():
    for path in (ROOT / "rules").glob("*.smk"):
        digests = re.findall(r"\bcode(?:_and_network)?\(\"(\w+)\"\)", path.read_text())
        assert digests == CALLS[path.stem], path.name


def test_scripts_are_named_like_their_rules():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    called = re.findall(r"^rule (\w+):\n(?:(?!^rule ).*\n)*?.*\bprogram\(\"(\w+)\"\)", text, re.MULTILINE)
    assert len(called) > 30
    # All layers at once lose units by the same program as one.
    assert {pair for pair in called if pair[0] != pair[1]} == {("cumulative_together", "cumulative")}


def test_programs_are_looked_up_by_name(tmp_path):
    assert script_named("checkpoint", ROOT) == ROOT / "scripts/data/checkpoint.py"
    for folder in ("one", "two"):
        (tmp_path / "scripts" / folder).mkdir(parents=True)
        (tmp_path / "scripts" / folder / "same.py").touch()
    with pytest.raises(UserError, match=r"2 programs named same\.py"):
        script_named("same", tmp_path)
    with pytest.raises(UserError, match=r"0 programs named other\.py"):
        script_named("other", tmp_path)
