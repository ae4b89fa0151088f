"""What DVC has recorded, and whether this folder, DVC's cache and the store still hold it: by a real DVC repository."""

import copy
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from projects import Project, flip

from unitscope.errors import UserError
from unitscope.workflow.ledger import write_lock
from unitscope.workflow.store import dvc_cache
from unitscope.workflow.store.dvc_cache import bring_back, cache_folder, cache_path, keep, stored
from unitscope.workflow.store.dvc_lock import Recorded, agrees, listing, locked_outs, stages, stdout_of
from unitscope.workflow.store.soundness import compare, is_sound, missing, unsound_in_cache, unsound_in_store
from unitscope.workflow.store.verify import verify_copies, verify_fetched, verify_here

FILES = {
    "data/checkpoints/small.pt": b"weights of the network",
    "results/first/units.csv": b"unit,rs\n0,0.5\n",
    "results/first/figures/a b.png": b"pixels",
}
STAGES = {
    "stages": {
        "checkpoint@small": {"cmd": "true", "outs": ["data/checkpoints/small.pt"]},
        "experiment@first": {"cmd": "true", "outs": ["results/first"]},
    }
}
CONFIG = (
    "[core]\n    no_scm = true\n    remote = store\n    analytics = false\n['remote \"store\"']\n    url = ../store\n"
)


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


MD5 = {path: md5(content) for path, content in FILES.items()}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Return a folder that DVC has recorded, what it has recorded, and what it says of its stages."""
    folder = tmp_path_factory.mktemp("dvc")
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    # Only a stage that stands for several has "@" in its name.
    each = {name.partition("@")[0]: name.partition("@")[2] for name in STAGES["stages"]}
    templates = {name: {"foreach": [item], "do": STAGES["stages"][f"{name}@{item}"]} for name, item in each.items()}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": templates}))
    command = {"cwd": folder, "env": Project.environment(), "check": True, "capture_output": True}
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], **command)
    (folder / ".dvc/config").write_text(CONFIG)
    subprocess.run(["dvc", "commit", "--force", "--quiet"], **command)
    shutil.copytree(folder / ".dvc/cache/files", folder / "store/files")
    before = Path.cwd()
    os.chdir(folder)
    try:
        return folder, Recorded(), stages()
    finally:
        os.chdir(before)


@pytest.fixture
def recorded(original, tmp_path, monkeypatch):
    """Work in a copy of that folder; return what DVC has recorded."""
    folder, original_records, _ = original
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    cache_folder.cache_clear()
    records = copy.copy(original_records)
    records.cache = Path(".dvc/cache")
    yield records
    cache_folder.cache_clear()


def list_of(folder="results/first"):
    """Return what dvc.lock records of a folder: its path, and the MD5 of its list of files."""
    (out,) = (out for outs in locked_outs().values() for out in outs if out["path"] == folder)
    return out


# --- dvc.lock --------------------------------------------------------------------------------------------------------


def test_files_are_recorded_one_by_one_also_in_folders(recorded):
    assert {str(path): md5 for path, md5 in recorded.files()} == MD5
    objects = {md5: str(path) for md5, path in recorded.objects().items()}
    assert objects == {**{md5: path for path, md5 in MD5.items()}, list_of()["md5"]: "results/first"}


def test_stages_are_named_with_a_path_of_what_they_write(original):
    assert original[2] == {
        "checkpoint@small": "data/checkpoints/x",
        "experiment@first": "results/first/x",
    }


@pytest.mark.slow
def test_stages_that_are_gone_record_nothing(recorded):
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"]["experiment@old"] = lock["stages"]["experiment@first"]
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    assert "experiment@old" in locked_outs()
    assert len(list(Recorded().files())) == 3


def test_without_a_lock_file_nothing_is_recorded(tmp_path):
    assert locked_outs(tmp_path / "none") == {}
    assert not agrees([], tmp_path / "none")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stages: [",
        "stages: [1]",
        "outs: {}",
        "stages: {a: {outs: [{path: x}]}}",
        "stages: {a: {outs: [{path: x, md5: 3}]}}",
        "stages: {a: 3}",
        "<<<<<<< HEAD\nstages: {}\n=======\n",
        "[" * 10_000,
    ],
)
def test_a_damaged_lock_file_is_refused(tmp_path, text):
    lock = tmp_path / "dvc.lock"
    lock.write_text(text)
    with pytest.raises(UserError, match=r"is no whole lock file of DVC's.*git checkout .*dvc\.lock\."):
        locked_outs(lock)
    assert not agrees([], lock)


def test_stages_without_outputs_are_whole(tmp_path):
    (tmp_path / "dvc.lock").write_text("stages: {a: {cmd: x}, b: {outs: []}}")
    assert locked_outs(tmp_path / "dvc.lock") == {"a": [], "b": []}


def test_the_list_of_a_folder_is_checked(recorded):
    out = list_of()
    assert listing(out, recorded.cache) == [
        {"md5": MD5["results/first/figures/a b.png"], "relpath": "figures/a b.png"},
        {"md5": MD5["results/first/units.csv"], "relpath": "units.csv"},
    ]
    path = cache_path(recorded.cache, out["md5"])
    flip(path, 3)
    with pytest.raises(UserError, match="The list of the files in results/first is damaged in DVC's cache"):
        listing(out, recorded.cache)
    path.unlink()
    with pytest.raises(UserError, match=r"The list of the files in results/first is not in DVC's cache.*dvc repro"):
        listing(out, recorded.cache)


def test_error_of_a_failed_command_contains_its_output():
    assert stdout_of(sys.executable, "-c", "print(3)") == "3\n"
    with pytest.raises(UserError, match=r"has failed: no such stage$"):
        stdout_of(sys.executable, "-c", "import sys; print('out'); sys.exit('no\\n  such stage')")
    with pytest.raises(UserError, match=r"has failed: only this$"):
        stdout_of(sys.executable, "-c", "print('only this'); raise SystemExit(1)")


# --- dvc.lock and made.lock ------------------------------------------------------------------------------------------


def rows(**changed):
    return [{"path": path, "md5": changed.get(path, md5)} for path, md5 in MD5.items()]


def test_both_lock_files_agree_on_what_both_record(recorded):
    assert agrees(rows())
    assert agrees([]) and agrees(rows()[:1])
    # DVC may record less.
    assert agrees([*rows(), {"path": "results/second/units.csv", "md5": "x"}])
    for path in MD5:
        assert not agrees(rows(**{path: "other"}))
    # It records a folder as a whole.
    assert not agrees([*rows(), {"path": "results/first/new.csv", "md5": "x"}])


def test_a_folder_whose_list_is_lost_agrees_with_nothing(recorded):
    cache_path(recorded.cache, list_of()["md5"]).unlink()
    assert not agrees(rows())


# --- the cache -------------------------------------------------------------------------------------------------------


def test_the_cache_is_the_usual_one_unless_a_setting_names_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "system"))
    # No program is called, since there is none.
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / ".dvc").mkdir()
    for config in ("[core]\n    remote = store\n", "[cache]\n    # dir = x\n"):
        cache_folder.cache_clear()
        (tmp_path / ".dvc/config").write_text(config)
        assert cache_folder() == Path(".dvc/cache") and not dvc_cache._names_a_cache()
    (tmp_path / "global").mkdir()
    (tmp_path / "global/config").write_text("[cache]\n    dir = /elsewhere\n")
    assert dvc_cache._names_a_cache()
    cache_folder.cache_clear()


def test_another_cache_is_the_one_that_dvc_names(recorded):
    Path(".dvc/config.local").write_text("[cache]\n    dir = ../other\n")
    assert cache_folder() == Path.cwd() / "other"


def test_cached_content_must_match_both_checksums(recorded):
    path, content = "results/first/units.csv", FILES["results/first/units.csv"]
    sha256 = hashlib.sha256(content).hexdigest()
    assert stored(MD5[path], sha256) == cache_path(Path(".dvc/cache"), MD5[path])
    assert stored(MD5[path], "0" * 64) is None and stored("0" * 32, sha256) is None
    flip(cache_path(recorded.cache, MD5[path]), 0)
    assert stored(MD5[path], sha256) is None


def test_contents_are_kept_and_brought_back(tmp_path):
    (tmp_path / "a").write_text("content")
    target = cache_path(tmp_path / "cache", "0123456789")
    assert target == tmp_path / "cache/files/md5/01/23456789"
    keep(tmp_path / "a", target)
    # DVC takes a file that can be written for one that may have changed.
    assert target.read_text() == "content" and target.stat().st_mode & 0o777 == 0o444
    bring_back(str(tmp_path / "new/folder/b"), target)
    assert (tmp_path / "new/folder/b").read_text() == "content" and os.access(tmp_path / "new/folder/b", os.W_OK)
    assert (tmp_path / "new/folder/b").stat().st_mode & 0o200
    assert [path.name for path in (tmp_path / "new/folder").iterdir()] == ["b"]


# --- soundness -------------------------------------------------------------------------------------------------------


def test_a_file_is_sound_if_it_has_the_content_of_its_md5(tmp_path):
    large = bytes(range(256)) * 5000
    for content in (b"", b"x", large):
        (tmp_path / "a").write_bytes(content)
        for name, sound in ((md5(content), True), (md5(content) + ".dir", True), (md5(b"other"), False)):
            with open(tmp_path / "a", "rb") as file:
                assert is_sound(file, name) is sound


def test_a_file_here_is_compared_with_what_was_recorded(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(UserError, match=r"a is recorded in dvc\.lock, but it is not there\. Run `dvc pull`\."):
        compare(path, md5(b"x"))
    path.write_bytes(b"x")
    compare(path, md5(b"x"))
    with pytest.raises(UserError, match=rf"is damaged: its MD5 is {md5(b'x')}, dvc\.lock says {md5(b'y')}\. Delete"):
        compare(path, md5(b"y"))


def damage_and_lose(folder):
    """Damage one content of a folder of DVC's and lose another; return what is wrong then, in words."""
    flip(cache_path(folder, MD5["data/checkpoints/small.pt"]), 0)
    cache_path(folder, MD5["results/first/units.csv"]).unlink()
    return ["data/checkpoints/small.pt is damaged", "results/first/units.csv is missing"]


def test_what_the_cache_lost_is_put_back_from_here(recorded):
    assert unsound_in_cache(recorded, repair=True).repaired == []
    problems = damage_and_lose(recorded.cache)
    seen = unsound_in_cache(recorded, repair=False)
    assert (seen.repaired, sorted(seen.unrepaired)) == ([], problems)
    repaired = unsound_in_cache(recorded, repair=True)
    assert (sorted(repaired.repaired), repaired.unrepaired) == (problems, [])
    whole = unsound_in_cache(recorded, repair=False)
    assert whole.repaired == whole.unrepaired == []


def test_what_changed_here_is_not_put_into_the_cache(recorded):
    damage_and_lose(recorded.cache)
    Path("data/checkpoints/small.pt").write_text("changed")
    unsound = unsound_in_cache(recorded, repair=True)
    assert unsound.unrepaired == ["data/checkpoints/small.pt is damaged"]
    assert unsound.repaired == ["results/first/units.csv is missing"]


def test_what_the_store_lost_is_put_back_from_the_cache(recorded):
    store = Path("store")
    problems = damage_and_lose(store)
    seen = unsound_in_store(recorded, repair=False)
    assert (seen.repaired, sorted(seen.unrepaired)) == ([], problems)
    # Without reading, damage is not seen.
    assert unsound_in_store(recorded, repair=False, read=False).unrepaired == problems[1:]
    cache_path(recorded.cache, MD5["results/first/units.csv"]).unlink()
    repaired = unsound_in_store(recorded, repair=True)
    assert (repaired.repaired, repaired.unrepaired) == (problems[:1], problems[1:])
    assert cache_path(store, MD5["data/checkpoints/small.pt"]).read_bytes() == FILES["data/checkpoints/small.pt"]


def test_files_that_a_cache_lacks_are_named(recorded):
    assert missing(recorded.files(), recorded.cache) == []
    cache_path(recorded.cache, MD5["results/first/units.csv"]).unlink()
    assert missing(recorded.files(), recorded.cache) == ["results/first/units.csv"]


# --- verification ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_artifacts_here_are_compared_one_by_one(recorded):
    rows = [{"path": path, "key": "k", "sha256": "s", "md5": md5, "versions": "torch 0.1"} for path, md5 in MD5.items()]
    write_lock(rows)
    (line,) = verify_here()
    assert line.startswith("3 files were made with torch 0.1 (now ") and line.endswith(").")
    Path("results/first/units.csv").write_text("changed")
    with pytest.raises(UserError, match=r"results/first/units\.csv is damaged"):
        list(verify_here())


@pytest.mark.slow
def test_copies_in_the_cache_are_put_back_on_request(recorded):
    damage_and_lose(recorded.cache)
    Path("results/first/units.csv").unlink()
    text = r"In DVC's cache .*small\.pt is damaged.*; --repair puts back what is here\."
    with pytest.raises(UserError, match=text):
        list(verify_copies("cache", repair=False))
    lines = verify_copies("cache", repair=True)
    assert next(lines) == "In DVC's cache data/checkpoints/small.pt is damaged: put back from this folder."
    with pytest.raises(UserError, match=r"units\.csv is missing; this folder does not hold it either\."):
        next(lines)


@pytest.mark.slow
def test_copies_in_the_store_are_read(recorded):
    flip(cache_path(Path("store"), MD5["results/first/units.csv"]), 0)
    with pytest.raises(UserError, match=r"In the store results/first/units\.csv is damaged; --repair puts back"):
        list(verify_copies("store", repair=False))


@pytest.mark.slow
def test_error_message_names_the_files_that_the_store_lacks(recorded):
    cache_path(recorded.cache, MD5["results/first/units.csv"]).unlink()
    with pytest.raises(UserError, match=r"The store lacks these files, or holds them damaged: results/first/units"):
        verify_fetched()
