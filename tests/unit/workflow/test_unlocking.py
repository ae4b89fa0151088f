"""Locks of a killed Snakemake: who still works in a folder, and when its lock is removed."""

import contextlib
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from unitscope.errors import UserError
from unitscope.workflow.unlocking import HOST, LOCKS, jobs_here, may_work_in, snakemakes_here, unlock


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def working(*words, cwd=None, seconds=60):
    """Let a Python program wait in a folder, as one that works there."""
    file = Path(cwd or ".") / words[0]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"import time\nprint('up', flush=True)\ntime.sleep({seconds})\n")
    process = subprocess.Popen([sys.executable, *words], cwd=cwd, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def locked():
    LOCKS.mkdir(parents=True)
    (LOCKS / "0.input.lock").touch()


def test_snakemake_is_detected_only_in_its_folder(tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with working("bin/snakemake", "--cores", "1") as process, working("snakemake", cwd=elsewhere):
        assert [each.pid for each in snakemakes_here()] == [process.pid]
        assert jobs_here() == []
    assert snakemakes_here() == []


def test_jobs_are_the_programs_of_the_flow(tmp_path_factory):
    with working("scripts/tables/units.py", "--log", "x") as process, working("mine.py"):
        assert [each.pid for each in jobs_here()] == [process.pid] and snakemakes_here() == []
        # What reads a program runs none.
        reader = subprocess.Popen(["tail", "-f", "scripts/tables/units.py"], stdout=subprocess.DEVNULL)
        try:
            assert [each.pid for each in jobs_here()] == [process.pid]
        finally:
            reader.kill()
            reader.wait()
    assert jobs_here() == []


def test_a_process_that_has_ended_works_nowhere(here):
    with working("mine.py") as process:
        handle = psutil.Process(process.pid)
        assert may_work_in(str(here), handle) and not may_work_in("/elsewhere", handle)
    assert not may_work_in(str(here), handle)


def test_a_folder_without_locks_is_left_alone(here):
    assert list(unlock()) == []
    LOCKS.mkdir(parents=True)
    HOST.write_text("another machine")
    assert list(unlock()) == []


def test_a_cut_off_list_of_dvc_is_removed_first(here):
    (here / ".dvc/tmp").mkdir(parents=True)
    (here / ".dvc/tmp/rwlock").touch()
    (line,) = unlock()
    assert line.startswith("DVC was killed while it wrote .dvc/tmp/rwlock") and not (here / ".dvc/tmp/rwlock").exists()


def test_the_lock_of_another_machine_is_kept():
    locked()
    HOST.write_text("another machine")
    with pytest.raises(UserError, match=r"^A Snakemake on another machine has locked this folder"):
        list(unlock())
    assert list(LOCKS.iterdir())


def test_the_lock_of_a_snakemake_that_lives_is_kept():
    locked()
    HOST.write_text(platform.node())
    with working("snakemake") as process, pytest.raises(UserError) as refused:
        list(unlock())
    assert str(refused.value).startswith(
        f"Another Snakemake (process {process.pid}) works in this folder. Wait for its"
    )
    assert list(LOCKS.iterdir())


@pytest.mark.slow
def test_a_lock_is_removed_after_the_jobs_that_are_left(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    Path("Snakefile").write_text("rule a:\n    output: 'a'\n    shell: 'touch a'\n")
    locked()
    with working("scripts/units.py", seconds=0.5) as process:
        lines = unlock()
        assert next(lines) == (
            f"Jobs of a Snakemake that was killed still run (processes {process.pid}). Waiting for their end."
        )
        assert list(LOCKS.iterdir())
        assert list(lines) == [] and process.poll() == 0
    assert not LOCKS.exists() or list(LOCKS.iterdir()) == []
