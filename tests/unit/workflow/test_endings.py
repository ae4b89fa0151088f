"""How programs begin and end: caches, the library that is loaded, and messages for errors."""

import errno
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from projects import ROOT

from unitscope.errors import UserError
from unitscope.workflow import endings
from unitscope.workflow.endings import (
    caches,
    fault,
    is_out_of_memory,
    option_of,
    prepare,
    refuse_other_library,
    reported,
    with_names,
)


class Failed(Exception):
    """Raised in place of the end of the process."""


def fail(message):
    raise Failed(message)


def ending(error, **arguments):
    """Return the message with which an error ends a program."""
    with pytest.raises(Failed) as ended, reported(arguments, fail):
        raise error
    return str(ended.value)


# --- errors ----------------------------------------------------------------------------------------------------------


def test_without_an_error_nothing_is_reported():
    with reported({}, fail):
        pass


def test_error_message_names_the_entries_of_the_config():
    error = UserError("datasets.NAME.path: empty. networks.NAME.model: unknown.")
    arguments = {"dataset": Path("data/datasets/trees.h5"), "network_entry": "vgg"}
    assert ending(error, **arguments) == "datasets.trees.path: empty. networks.vgg.model: unknown."


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_an_error_of_the_disk_names_the_file_and_what_to_do(number):
    text = ending(OSError(number, os.strerror(number), "results/a.h5"))
    assert f": results/a.h5 ({os.strerror(number)})." in text and "Traceback" not in text
    assert text.count("again") == 1 and "fault" not in text
    # As HDF5 reports it, without a file.
    assert ending(OSError(number, os.strerror(number))).endswith(f" ({os.strerror(number)}).")


def test_an_error_about_a_path_of_the_command_line_names_its_option():
    text = ending(FileNotFoundError(errno.ENOENT, "No such file", "in/a.csv"), input=[Path("x"), Path("in/a.csv")])
    assert text == "input: in/a.csv: No such file. Correct the path, and run again."


def test_an_error_about_another_path_is_a_fault():
    text = ending(FileNotFoundError(errno.ENOENT, "No such file", "other"), input=Path("in"))
    assert text == fault(FileNotFoundError(errno.ENOENT, "No such file", "other"))
    assert text.startswith("This is a fault of unitscope, not of your input: FileNotFoundError: [Errno 2]")


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "x"), RuntimeError("CUDA out of memory.")])
def test_memory_that_ran_out_is_no_fault(error):
    assert ending(error).startswith("There was not enough memory. Lower how many images are computed at once (batch)")


def test_other_errors_are_formatted_by_the_program():
    assert ending(ZeroDivisionError("1/0")) == fault(ZeroDivisionError("1/0"))
    with pytest.raises(Failed, match=r"^mine: 3$"), reported({}, fail, lambda error: f"mine: {error}"):
        raise ValueError(3)


def test_an_interrupted_program_ends_with_130(capsys):
    with pytest.raises(SystemExit) as ended, reported({}, fail):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted. What was finished is kept; the same command goes on from there.\n"


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (torch.cuda.OutOfMemoryError("x"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("std::bad_alloc"), True),
        (ValueError("out of memory"), False),
        (RuntimeError("shapes differ"), False),
        (OSError(errno.ENOSPC, "out of memory"), False),
    ],
)
def test_out_of_memory_errors_are_distinguished_from_others(error, out):
    assert is_out_of_memory(error) is out


# --- names -----------------------------------------------------------------------------------------------------------


def test_placeholders_without_a_unique_name_are_kept():
    text = "datasets.NAME and networks.NAME"
    assert with_names(text, {"output": Path("results/a.csv")}) == text
    two = [Path("data/datasets/a.h5"), Path("/p/data/datasets/b.h5")]
    assert with_names(text, {"datasets": two}) == text
    assert with_names(text, {"datasets": two[1:]}) == "datasets.b and networks.NAME"
    assert with_names("no name", {"dataset": two[0], "network_entry": "x"}) == "no name"


@pytest.mark.parametrize(
    ("number", "name", "option"),
    [
        (errno.ENOENT, "a/b", "first"),
        (errno.ENOTDIR, "a", "first"),
        (errno.EISDIR, b"x", "second"),
        (errno.ENOENT, "a/b/c", ""),
        (errno.ENOENT, None, ""),
        (errno.EIO, "a/b", ""),
    ],
)
def test_the_option_is_the_one_whose_path_is_there_or_above(number, name, option):
    arguments = {"count": 3, "first": Path("a/b"), "second": [Path("y"), Path("x"), "a/b"]}
    assert option_of(OSError(number, "x", name), arguments) == option


# --- beginnings ------------------------------------------------------------------------------------------------------


def test_caches_stay_where_the_home_folder_can_be_written(tmp_path):
    assert caches({"HOME": str(tmp_path)}) == {} and (tmp_path / ".cache").is_dir()
    assert caches({"HOME": "/nowhere", "XDG_CACHE_HOME": str(tmp_path / "x/y")}) == {}


def test_caches_move_to_the_project_where_home_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    cache = tmp_path / ".snakemake/cache"
    moved = {"XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": str(cache / "matplotlib")}
    assert caches({"HOME": str(tmp_path / "file")}) == moved
    assert caches({"XDG_CACHE_HOME": str(tmp_path / "file")}) == moved


def test_a_program_finds_the_environments_programs_and_ends_in_order(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("PATH", "/bin")
    try:
        prepare()
        assert os.environ["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/bin"
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
        assert ended.value.code == 143
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_program_of_another_clone_is_refused(tmp_path):
    (tmp_path / "unitscope").mkdir()
    (tmp_path / "unitscope/__init__.py").touch()
    for program in ("scripts/units.py", "scripts/tables/units.py", "unitscope"):
        with pytest.raises(UserError) as refused:
            refuse_other_library(tmp_path / program)
        assert f"belongs to {tmp_path}, but Python loads unitscope from {ROOT}. " in str(refused.value)
        assert f"PYTHONPATH={tmp_path}," in str(refused.value)


def test_a_program_of_this_clone_or_of_none_runs(tmp_path):
    refuse_other_library(ROOT / "scripts/tables/units.py")
    refuse_other_library(Path(endings.__file__))
    refuse_other_library(tmp_path / "mine.py")
    (tmp_path / "linked").symlink_to(ROOT)
    refuse_other_library(tmp_path / "linked/scripts/tables/units.py")
