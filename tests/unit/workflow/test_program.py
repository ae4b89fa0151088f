"""What all programs share: options with settings, the log, and the wait for another process that does the same job."""

import argparse
import dataclasses
import fcntl
import gc
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from projects import ROOT

from unitscope.data.dataset_settings import DatasetSettings
from unitscope.figures.style import Style
from unitscope.runtime.console import log
from unitscope.workflow import program
from unitscope.workflow.provenance import code_digest


@pytest.fixture
def as_before(monkeypatch):
    """Put back what a program changes in its process."""
    handlers, filters, level = log.handlers[:], log.filters[:], log.level
    stop = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("PATH", "/bin")
    yield
    for handler in log.handlers[:]:
        if handler not in handlers:
            handler.close()
    log.handlers[:], log.filters[:] = handlers, filters
    log.setLevel(level)
    signal.signal(signal.SIGTERM, stop)
    gc.unfreeze()


def ran(monkeypatch, parser, main, *words):
    """Run a program in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", [str(ROOT / "scripts/tables/units.py"), *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        program.run(parser, main)
    return ended.value.code


# --- options ---------------------------------------------------------------------------------------------------------


def refused(capsys, parser, *words):
    """Return the last line with which a command line is refused."""
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_every_program_takes_a_log_and_a_digest_of_code(capsys):
    parser = program.parser("What it does.\n\nMore.")
    values = parser.parse_args([])
    assert (values.log, values.code) == (None, "")
    assert parser.parse_args(["--log", "a b.log", "--code", "x"]).log == Path("a b.log")
    assert "What it does.\n\nMore." in parser.format_help()
    # Options are written out, so that a new one changes no command.
    assert "--cod" in refused(capsys, parser, "--cod", "x")


def test_a_program_on_a_network_requires_its_checkpoint(capsys):
    parser = program.network_parser("")
    program.add_network_entry(parser)
    assert "--checkpoint" in refused(capsys, parser)
    values = parser.parse_args(["--checkpoint", "a.pt", "--python"])
    assert (values.checkpoint, values.python, values.network_entry) == (Path("a.pt"), "", "NAME")
    assert parser.parse_args(["--checkpoint", "a", "--python", "m:f", "--network-entry", "vgg"]).python == "m:f"


def test_a_program_that_draws_takes_a_style(capsys):
    parser = program.figure_parser("")
    assert "--output-dir" in refused(capsys, parser)
    values = parser.parse_args(["--output-dir", "figures", "--settings", '{"dpi": 300}'])
    assert values.settings == Style(dpi=300) and values.output_dir == Path("figures")
    assert parser.parse_args(["--output-dir", "figures"]).settings == Style()


def with_settings(section, name="settings"):
    parser = program.parser("")
    program.add_settings(parser, section, name)
    return parser


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"dpi": "many"}', "dpi: Input should be a valid"),
        ('{"dppi": 3}', "dppi: Unexpected keyword argument"),
        ('{"dpi": 3', "Invalid JSON"),
        ("[]", "Input should be"),
    ],
)
def test_settings_are_validated_as_in_a_config(capsys, text, words):
    line = refused(capsys, with_settings(Style, "style"), "--style", text)
    assert "argument --style: " in line and words in line


def test_settings_with_keys_that_have_no_default_are_required(capsys):
    assert "--data" in refused(capsys, with_settings(DatasetSettings, "data"))
    assert with_settings(Style).parse_args([]).settings == Style()


def test_help_names_the_keys_of_a_section_and_of_each_of_several():
    text = " ".join(with_settings(Style).format_help().split())
    assert f"JSON with the keys {', '.join(field.name for field in dataclasses.fields(Style))}" in text
    several = " ".join(with_settings(DatasetSettings).format_help().split())
    assert "; or source, path" in several


@pytest.mark.parametrize(
    ("values", "by_hand"),
    [({"output": 1, "code": ""}, True), ({"output": 1, "code": "x"}, False), ({"code": ""}, False)],
)
def test_a_step_without_a_digest_of_code_was_called_by_hand(values, by_hand):
    assert program.is_by_hand(argparse.Namespace(**values)) is by_hand


# --- the log ---------------------------------------------------------------------------------------------------------


def test_log_contains_the_output_of_a_program_and_its_peak_memory(tmp_path, monkeypatch, as_before):
    path = tmp_path / "logs/first/units.log"
    path.parent.mkdir(parents=True)
    path.write_text("Error: of an earlier run\n\n")
    parser = program.parser("")
    parser.add_argument("--dataset", type=Path)

    def main(arguments):
        log.info("%d units of datasets.NAME", 12)
        log.debug("nothing for people")

    words = ["--log", path, "--dataset", "data/datasets/trees.h5"]
    assert ran(monkeypatch, parser, main, *words) == 0
    first, last = path.read_text().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d 12 units of datasets\.trees", first)
    assert re.fullmatch(rf"\d\d:\d\d:\d\d {program.PEAK_MEMORY}: \d+ MiB", last)


def test_warnings_are_shown_as_well(tmp_path, monkeypatch, as_before, capsys):
    def main(arguments):
        log.info("a line")
        log.warning("%s is left out", "conv9")

    assert ran(monkeypatch, program.parser(""), main) == 0
    assert capsys.readouterr().err == "conv9 is left out\n"


def test_a_log_is_written_in_place_of_a_link(tmp_path, monkeypatch, as_before):
    other, path = tmp_path / "other", tmp_path / "units.log"
    other.write_text("mine")
    path.symlink_to(other)
    assert ran(monkeypatch, program.parser(""), lambda arguments: None, "--log", path) == 0
    assert other.read_text() == "mine" and not path.is_symlink() and program.PEAK_MEMORY in path.read_text()


def test_a_program_waits_for_another_that_does_the_same_job(tmp_path, monkeypatch, as_before, capsys):
    path, done = tmp_path / "units.log", []
    with open(tmp_path / ".units.log.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def end():
            done.append("the other")
            fcntl.flock(lock, fcntl.LOCK_UN)

        timer = threading.Timer(0.1, end)
        timer.start()
        assert ran(monkeypatch, program.parser(""), lambda arguments: done.append("this"), "--log", path) == 0
        timer.join()
    assert done == ["the other", "this"]
    assert capsys.readouterr().err == f"Another process does the same job ({path}). Waiting for its end.\n"


def test_the_code_that_was_requested_runs(tmp_path, monkeypatch, as_before):
    digest, done = code_digest(ROOT / "scripts/tables/units.py", ROOT), []
    assert ran(monkeypatch, program.parser(""), lambda arguments: done.append(arguments.code), "--code", digest) == 0
    assert done == [digest]


# --- ends with an error ----------------------------------------------------------------------------------------------

PROGRAM = """
import argparse, logging
from pathlib import Path
from unitscope.errors import UserError
from unitscope.workflow import program
parser = program.parser("")
parser.add_argument("--output", type=Path)
def main(arguments):
    {body}
program.run(parser, main)
"""


def ended(tmp_path, body, *words):
    (tmp_path / "units.py").write_text(PROGRAM.format(body=body))
    return subprocess.run(
        [sys.executable, "units.py", *words],
        **{"cwd": tmp_path, "env": {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}},
        **{"capture_output": True, "text": True, "check": False},
    )


def test_a_mistake_is_a_paragraph_on_the_screen_and_in_the_log_with_its_traceback(tmp_path):
    words = "conv9 " * 40
    done = ended(tmp_path, f"raise UserError({words!r})", "--log", "logs/units.log")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    *paragraph, last = done.stderr.splitlines()
    assert " ".join(paragraph) == f"Error: {words.strip()}" and max(map(len, paragraph)) <= 100
    assert last == "The traceback is in logs/units.log."
    text = (tmp_path / "logs/units.log").read_text()
    assert text.startswith("\n".join(paragraph) + "\n\nTraceback (most recent call last)")


def test_a_step_that_is_called_by_hand_is_pointed_to_its_arguments(tmp_path):
    done = ended(tmp_path, "1 / 0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "units.py cannot work with these arguments: ZeroDivisionError: division by zero." in done.stderr
