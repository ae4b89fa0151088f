"""The ledger, made.lock and the looks at both, on files of a folder of their own."""

import json
from importlib import metadata
from pathlib import Path

import pytest

from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.workflow.ledger import (
    Ledger,
    Run,
    altered_leftovers,
    append_runs,
    is_below,
    locked_rows,
    locked_runs,
    not_here,
    other_versions,
    recorded,
    rows_of,
    runs_in,
    source_or_recorded,
    versions,
    vouches,
    write_lock,
)

RUN = Run("key", {"a": ("s1", "m1"), "b": ("s2", "m2")}, "raw", "python 3, torch 1", "code")
ROWS = rows_of(RUN)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path, text="content"):
    """Write a file as a job does, and return its run."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    run = Run(f"key of {path} {text}", {path: Contents(None).sha256_and_md5(path)}, versions="python 3")
    Ledger().note(run)
    return run


# --- runs ------------------------------------------------------------------------------------------------------------


def test_an_empty_ledger_knows_nothing():
    ledger = Ledger()
    assert not ledger and ledger.runs("key") == ledger.runs_of("a") == list(ledger.paths()) == []


def test_runs_come_back_from_their_file():
    append_runs(Path("runs"), [RUN, Run("other", {})])
    assert runs_in(Path("runs")) == [RUN, Run("other", {})]
    ledger = Ledger(Path("runs"))
    assert ledger and ledger.runs("key") == ledger.runs_of("b") == [RUN] and set(ledger.paths()) == {"a", "b"}


def test_runs_of_earlier_versions_have_no_code():
    Path("runs").write_text(json.dumps(["key", {"a": ["s", "m"]}, "", "torch 1"]) + "\n")
    assert runs_in(Path("runs")) == [Run("key", {"a": ("s", "m")}, "", "torch 1", "")]


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", "a\nb"])
def test_paths_outside_of_the_folder_belong_to_no_run(path):
    assert not is_below(path)
    append_runs(Path("runs"), [Run("key", {path: ("s", "m")}), RUN])
    assert runs_in(Path("runs")) == [RUN]


def test_paths_inside_may_have_any_printable_name():
    assert all(map(is_below, ["a", "results/x y/ü..csv", "..a", "a/./b", "<script>"]))
    assert not is_below(3) and not is_below(None)


# --- made.lock -------------------------------------------------------------------------------------------------------


def test_the_lock_vouches_for_whole_rows():
    write_lock(ROWS)
    assert locked_runs() == [RUN] and recorded([RUN])
    other = Run("key", {"a": ("s1", "m1"), "c": ("s3", "m3")}, "raw", RUN.versions, "code")
    assert not recorded([other]) and not recorded([RUN, other]) and recorded([])
    locked = locked_rows()
    assert vouches(locked, ROWS[0]) and not vouches(locked, {**ROWS[0], "md5": "other"})
    # The lock also names the owner.
    assert vouches({"a": {**ROWS[0], "config": "config.yaml"}}, ROWS[0])


def test_rows_are_sorted_by_path_one_per_line():
    write_lock(ROWS[::-1])
    lines = Path("made.lock").read_text().splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    assert list(json.loads(lines[0])) == ["path", "key", "sha256", "md5", "versions", "code", "source"]


def test_rows_of_other_paths_stay_on_request():
    write_lock(ROWS)
    new = rows_of(Run("new", {"b": ("s4", "m4")}))
    write_lock(new, keep=True)
    assert list(locked_rows()) == ["a", "b"] and locked_rows()["b"] == new[0] and locked_rows()["a"] == ROWS[0]
    write_lock(new)
    assert list(locked_rows()) == ["b"]


def test_an_equal_lock_is_not_written_again():
    write_lock(ROWS)
    inode = Path("made.lock").stat().st_ino
    write_lock(ROWS[::-1])
    assert Path("made.lock").stat().st_ino == inode
    write_lock([])
    assert Path("made.lock").stat().st_ino != inode and Path("made.lock").read_text() == ""


def test_marks_of_a_conflict_and_damaged_lines_are_skipped():
    write_lock(ROWS)
    text = Path("made.lock").read_text()
    outside = json.dumps({**ROWS[0], "path": "../a"})
    lacking = json.dumps({"path": "c", "key": "k"})
    Path("made.lock").write_text(f"<<<<<<< HEAD\n{text}=======\n{outside}\n{lacking}\n[1]\n3\n{'[' * 100_000}\n")
    assert list(locked_rows().values()) == ROWS
    assert locked_rows(Path("none")) == {}


def test_a_lock_that_cannot_be_read_is_named():
    Path("made.lock").mkdir()
    with pytest.raises(UserError, match=r"made\.lock cannot be read \(Is a directory\)\. Fix its permissions"):
        locked_rows()


# --- raw data --------------------------------------------------------------------------------------------------------


def test_raw_data_count_by_their_content(here):
    (here / "raw").mkdir()
    (here / "raw/a.png").write_text("one")
    (here / "raw/notes.txt").write_text("mine")

    def digest():
        return source_or_recorded(here / "raw", "data.h5", Contents(None), (".png",))

    first, is_here = digest()
    assert first and is_here
    (here / "raw/notes.txt").write_text("changed")
    assert digest() == (first, True)
    (here / "raw/a.png").write_text("two")
    assert digest()[0] != first


def test_raw_data_that_are_elsewhere_count_as_they_were_recorded(here):
    gone = (here / "nowhere", "data.h5", Contents(None))
    assert source_or_recorded(*gone) == ("", False)
    Path("data.h5").write_text("first")
    pair = Contents(None).sha256_and_md5("data.h5")
    Ledger().note(Run("one", {"data.h5": pair}, "raw of the first"))
    Ledger().note(Run("two", {"data.h5": ("other", "other")}, "raw of the second"))
    # Those that the artifact here was written from, though others came later.
    assert source_or_recorded(*gone) == ("raw of the first", False)
    Path("data.h5").write_text("changed")
    assert source_or_recorded(*gone) == ("raw of the second", False)


def test_a_data_set_without_its_raw_data_is_named():
    assert not_here("trees", "/mnt/trees") == (
        "datasets.trees.path: /mnt/trees is not here; the data set that was made from it is used."
    )


# --- looks -----------------------------------------------------------------------------------------------------------


def test_changed_files_of_earlier_settings_in_current_folders_are_listed():
    today = rows_of(written("results/run/units.csv"))
    old = ["results/run/figures/old.png", "results/run/old.csv"]
    for path in [*old, "results/other/old.csv"]:
        written(path)
    Path("results/run/mine.txt").write_text("mine")
    assert altered_leftovers(today) == []
    for path in [*old, "results/other/old.csv", "results/run/units.csv"]:
        Path(path).write_text("changed")
    assert altered_leftovers(today) == sorted(old)
    assert altered_leftovers([]) == []
    # A folder that was not written yet.
    assert altered_leftovers([{"path": "results/new/units.csv"}, {"path": "data/datasets/a.h5"}]) == []


# --- versions --------------------------------------------------------------------------------------------------------


def test_versions_name_python_and_the_packages_that_are_installed():
    assert versions().startswith("python 3.")
    assert (
        f", torch {metadata.version('torch')}, " in versions() and f", numpy {metadata.version('numpy')}" in versions()
    )


def test_files_of_other_versions_are_counted_per_set():
    now = {"versions": versions()}
    torch = metadata.version("torch")
    old = {"versions": versions().replace(f"torch {torch}", "torch 1.0")}
    gone = {"versions": f"{versions()}, oldlib 3"}
    assert other_versions([now, now]) == other_versions([]) == other_versions([{"versions": ""}]) == []
    assert other_versions([old, now, gone, old, gone, old]) == [
        "2 files were made with oldlib 3 (now absent)",
        f"3 files were made with torch 1.0 (now {torch})",
    ]
