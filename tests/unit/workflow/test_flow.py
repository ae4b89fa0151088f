"""Calls of Snakemake for a study: their words, and how a called program's end becomes the caller's."""

import signal
import sys
from pathlib import Path

import pytest

from unitscope.workflow.flow import call, is_default, run_words, study_words


def test_the_default_study_needs_no_words():
    assert is_default(["config.yaml"]) and study_words([Path("config.yaml")]) == []
    assert is_default(["./config.yaml"])


@pytest.mark.parametrize("configs", [["other.yaml"], ["config.yaml", "a b.yaml"], ["configs/config.yaml"]])
def test_other_studies_are_named_in_their_order(configs):
    assert not is_default(configs)
    assert study_words(list(map(Path, configs))) == ["--configfile", *configs]


def test_a_run_names_processors_gpus_and_the_study():
    words = ["snakemake", "--cores", "all", "--resources", "gpu=1"]
    assert run_words([Path("config.yaml")], "all", 1) == words
    other = run_words(["a.yaml", "b.yaml"], "4", 0)
    assert other == ["snakemake", "--cores", "4", "--resources", "gpu=0", "--configfile", "a.yaml", "b.yaml"]


@pytest.mark.parametrize(
    ("code", "ending"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137)],
)
def test_the_code_of_a_called_program_is_that_of_a_shell(code, ending):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert call([sys.executable, "-c", code]) == ending
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_called_program_gets_sigterm_and_the_caller_waits_for_its_end(tmp_path):
    ready = tmp_path / "ready"
    code = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: exit(9))\n"
        f"os.kill(os.getppid(), signal.SIGTERM); pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    assert call([sys.executable, "-c", code]) == 9


def test_ctrl_c_is_left_to_the_called_program():
    code = "import os, signal; os.kill(os.getppid(), signal.SIGINT); raise SystemExit(5)"
    assert call([sys.executable, "-c", code]) == 5
