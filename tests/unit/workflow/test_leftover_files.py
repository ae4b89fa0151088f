"""Artifacts of earlier settings: which are removed, which are kept, and what is said of them."""

import sys
from pathlib import Path

import pytest

from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.workflow.ledger import Ledger, Run
from unitscope.workflow.leftovers import clean, is_named, leftovers, names_in, remove, stdout_of
from unitscope.workflow.owners import Owner, Owners


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path, text="content", config=None):
    """Write an artifact as a job does: with a line in the ledger, and with an owner."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    Ledger().note(Run(f"key of {path} {text}", {path: Contents(None).sha256_and_md5(path)}))
    if config:
        Path(config).touch()
        Owners().note([path], Owner(config, "{}"))
    return path


# --- which files -----------------------------------------------------------------------------------------------------


def test_files_that_the_config_no_longer_requests_are_leftovers_with_their_size():
    old, new = written("results/old/units.csv", "12345"), written("results/new/units.csv")
    unplanned = leftovers("config.yaml", [new])
    assert unplanned.files == {old: 5} and unplanned.changed == []
    assert leftovers("config.yaml", [old, new]).files == {}


def test_a_file_that_changed_since_is_kept_and_named():
    old = written("results/old/units.csv")
    Path(old).write_text("mine")
    unplanned = leftovers("config.yaml", [])
    assert unplanned.files == {} and unplanned.changed == [old]


def test_a_file_as_any_earlier_job_wrote_it_is_a_leftover():
    old = written("results/old/units.csv", "first")
    written(old, "second")
    Path(old).write_text("first")
    assert leftovers("config.yaml", []).files == {old: 5}


def test_files_that_no_job_wrote_and_files_that_are_gone_are_not_listed():
    Path("results/mine").mkdir(parents=True)
    Path("results/mine/notes.txt").touch()
    Path(written("results/old/units.csv")).unlink()
    unplanned = leftovers("config.yaml", [])
    assert unplanned.files == {} and unplanned.changed == []


def test_files_of_another_config_are_kept_while_it_exists():
    written("results/a/units.csv", config="a.yaml")
    unplanned_file = written("results/b/units.csv", config="config.yaml")
    assert list(leftovers("config.yaml", []).files) == [unplanned_file]
    Path("a.yaml").unlink()
    assert list(leftovers("config.yaml", []).files) == ["results/a/units.csv", unplanned_file]


def test_files_that_another_config_names_are_kept(here):
    (here / "configs").mkdir()
    (here / "configs/other.yaml").write_text("experiments: {shared: {}}\nnetworks: {net: {}}\n")
    kept = ["results/shared/units.csv", "data/checkpoints/net-seed1-epoch20.pt", "logs/x.log"]
    removed = ["results/shared2/units.csv", "data/checkpoints/net2.pt"]
    for path in [*kept, *removed]:
        written(path)
    assert list(leftovers("config.yaml", []).files) == sorted(removed)
    # The config that is cleaned up after names nothing: all that it requests is planned.
    assert set(leftovers("configs/other.yaml", []).files) == {*kept, *removed} - {"logs/x.log"}


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_are_those_of_all_configs_that_can_be_read(here):
    (here / "a.yaml").write_text("datasets: {one: {}}\nnetworks: {'2': {}, two: {}}\n")
    (here / "b.yaml").write_text("datasets: {three: {}}\nexperiments: [four]\n")
    (here / "c.yaml").write_text("datasets: {five: {}\n")
    (here / "d.yaml").write_text("just a text\n")
    names = names_in([here / f"{name}.yaml" for name in "abcd"])
    assert names == {"datasets": {"one", "three"}, "networks": {"2", "two"}, "experiments": set()}
    assert names_in([]) == {"datasets": set(), "networks": set(), "experiments": set()}


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("data/datasets/a.b.h5", True),
        ("data/datasets/axb.h5", False),
        ("data/checkpoints/net.pt", True),
        ("data/checkpoints/net.json", True),
        ("data/checkpoints/net-seed10-epoch2.pt", True),
        ("data/checkpoints/net-seed10-other.pt", False),
        ("data/checkpoints/network.pt", False),
        ("results/run/figures/x.png", True),
        ("results/run.training/claims.csv", True),
        ("results/runs/units.csv", False),
        ("results/a.b/units.csv", False),
        ("logs/anything.log", True),
        ("resultsx/runs", True),
    ],
)
def test_a_path_belongs_to_an_entry_or_to_one_of_its_trainings(path, named):
    names = {"datasets": ["a.b"], "networks": ["net"], "experiments": ["run"]}
    assert is_named(path, names) is named


def test_without_entries_no_path_of_an_artifact_is_named():
    nothing = {"datasets": [], "networks": [], "experiments": []}
    for path in ("data/datasets/.h5", "data/checkpoints/-seed1.pt", "results/x/units.csv"):
        assert not is_named(path, nothing)


# --- removal ---------------------------------------------------------------------------------------------------------


def test_removal_takes_folders_that_it_leaves_empty_but_not_the_top():
    files = [written(f"results/old/{name}") for name in ("figures/a.png", "figures/b.png", "units.csv")]
    other = written("results/other/units.csv")
    remove(files[:1])
    assert Path("results/old/figures").is_dir()
    remove(files[1:2])
    assert not Path("results/old/figures").exists() and Path(files[2]).exists()
    remove([files[2], other])
    assert list(Path("results").iterdir()) == []


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_config_is_read_before_anything_is_planned(here):
    (here / "config.yaml").write_text("datasets: {a: {}\n")
    with pytest.raises(UserError, match=r"config\.yaml"):
        list(clean([Path("config.yaml")], yes=True))


def test_what_a_call_prints_is_returned_and_its_error_is_the_message():
    assert stdout_of(sys.executable, "-c", "print('one'); print('two')") == "one\ntwo\n"
    code = "import sys; sys.exit('WorkflowError in file \"Snakefile\", line 3:\\n  no such layer')"
    with pytest.raises(UserError, match=r"^no such layer$"):
        stdout_of(sys.executable, "-c", code)
