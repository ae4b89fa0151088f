"""What people see of a program: bars on a terminal, lines in a log, and a paragraph when something is wrong."""

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from projects import ROOT

from unitscope.workflow.endings import caches, with_names

PROGRAM = """
import sys, time
from unitscope.runtime import console
from unitscope.workflow import program
from unitscope.errors import UserError
console.SECONDS_BETWEEN_LINES = 0.05

def main(arguments):
    with console.progress(10, "layer conv1", "images", done=2) as advance:
        for _ in range(8):
            time.sleep(0.02)
            advance(1)
    {ending}

program.run(program.parser("A test."), main)
"""


HELD = """
from unitscope.workflow import program

def main(arguments):
    print("working", flush=True)
    input()

program.run(program.parser("x"), main)
"""


def command(tmp_path, ending="pass"):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(ending=ending))
    return [sys.executable, str(program), "--log", str(tmp_path / "a.log")]


def run(tmp_path, ending="pass"):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command(tmp_path, ending), env=environment, capture_output=True, text=True, check=False)


def test_a_terminal_shows_a_bar_with_units_rate_and_time_left(tmp_path):
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 100))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = subprocess.Popen(command(tmp_path), env=environment, stderr=follower, stdout=follower)
    os.close(follower)
    output = b""
    try:
        while piece := os.read(leader, 65536):
            output += piece
    except OSError:
        pass  # The terminal's end.
    assert program.wait() == 0
    assert b"layer conv1" in output
    assert b"images/s" in output
    assert re.search(rb"\d+/10 \[\d\d:\d\d<\d\d:\d\d", output)


def test_a_log_gets_plain_lines_at_intervals(tmp_path):
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert 2 <= len(lines) <= 5
    assert "layer conv1: 10 of 10 images" in lines[-2]
    assert "a second" in lines[0]
    assert "s left" in lines[0]


def test_a_log_ends_with_the_peak_of_memory(tmp_path):
    peaks = []
    for ending in ("pass", "kept = b'x' * 200 * 2**20", "kept = b'x' * 200 * 2**20; del kept"):
        assert run(tmp_path, ending).returncode == 0
        (mebibytes,) = re.findall(r"peak memory: (\d+) MiB$", (tmp_path / "a.log").read_text())
        peaks.append(int(mebibytes))
    assert 5 < peaks[0] < 200
    # What was given back counts as well.
    assert all(190 < peak - peaks[0] < 220 for peak in peaks[1:])


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("raise UserError('conv9 is not there.')", "Error: conv9 is not there."),
        ("open('/nowhere/x')", "fault of unitscope"),
        (
            "raise OSError(28, 'No space left on device', 'a.h5')",
            "no space left on the disk. Free some, then run again: a.h5",
        ),
        ("raise OSError(30, 'Read-only file system', 'a.h5')", "read-only. Choose a folder"),
    ],
)
def test_error_is_one_paragraph_and_the_log_has_the_traceback(tmp_path, ending, words):
    done = run(tmp_path, ending)
    assert done.returncode == 1
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert "Traceback (most recent call last)" in (tmp_path / "a.log").read_text()


BY_HAND = """
import json, sys
from pathlib import Path
from unitscope.workflow import program

def main(arguments):
    arguments.settings["steps"]
    open(arguments.table)
    arguments.output.write_text("")

parser = program.parser("A step.")
parser.add_argument("--settings", type=json.loads, required=True)
parser.add_argument("--table", type=Path)
parser.add_argument("--output", type=Path, required=True)
program.run(parser, main)
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--settings", "{}", "--output", "a"], "step.py cannot work with these arguments: KeyError: 'steps'"),
        (["--settings", "[]", "--output", "a"], "cannot work with these arguments: TypeError"),
        (["--settings", '{"steps": 1}', "--table", "no.csv", "--output", "a"], "table: no.csv: No such file"),
        (["--settings", '{"steps": 1}', "--table", ".", "--output", "a"], "table: .: Is a directory"),
        (["--settings", '{"steps": 1}', "--table", "step.py", "--output", "no/a"], "output: no/a: No such file"),
        (["--settings", '{"steps": 1}', "--table", "step.py/x", "--output", "a"], "table: step.py/x: Not a directory"),
    ],
)
def test_arguments_of_a_step_by_hand_are_no_fault_of_unitscope(tmp_path, words, message):
    (tmp_path / "step.py").write_text(BY_HAND)
    done = subprocess.run(
        [sys.executable, "step.py", *words],
        **{"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and message in " ".join(done.stderr.split())
    assert "fault of unitscope" not in done.stderr and "Traceback" not in done.stderr


def test_caches_move_if_the_home_folder_is_read_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert caches({"HOME": str(tmp_path)}) == {} and caches({"XDG_CACHE_HOME": str(tmp_path / "new")}) == {}
    moved = caches({"HOME": "/proc/nowhere"})
    assert moved == caches({"HOME": str(tmp_path), "XDG_CACHE_HOME": "/proc/nowhere"})
    assert set(moved) == {"XDG_CACHE_HOME", "MPLCONFIGDIR"}
    assert all(Path(folder).is_relative_to(tmp_path) for folder in moved.values())


def test_sigterm_ends_a_program_cleanly(tmp_path):
    done = run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)")
    assert done.returncode == 143


def test_ctrl_c_reports_that_nothing_is_lost(tmp_path):
    done = run(tmp_path, "raise KeyboardInterrupt")
    assert done.returncode == 130
    assert "goes on from there" in done.stderr


def test_processes_of_one_job_run_one_at_a_time(tmp_path):
    path = tmp_path / "x.log"
    command = [sys.executable, "-c", HELD, "--log", str(path)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "working\n"
    # So does Snakemake before it starts a job.
    path.unlink()
    second = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "Another process does the same job" in second.stderr.readline()
    first.communicate("\n")
    assert second.communicate("\n")[0] == "working\n" and second.returncode == 0


SECTION = """
from unitscope.settings import Count, Units, section
from unitscope.workflow import program

@section
class Settings:
    \"\"\"Of a step.\"\"\"

    steps: Count
    units: Units = "all"

def main(arguments):
    print(arguments.settings)

parser = program.parser("A step.")
program.add_settings(parser, Settings)
program.run(parser, main)
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"steps": 3, "units": {"sample": 2}}', "Settings(steps=3, units=Sample(sample=2, seed=0))"),
        ('{"steps": 3, "unit": "all"}', "argument --settings: unit: Unexpected keyword argument"),
        ('{"steps": 0}', "argument --settings: steps: Input should be greater than or equal to 1"),
        ("{}", "argument --settings: steps"),
        ("steps", "argument --settings: Invalid JSON"),
    ],
)
def test_settings_of_a_step_are_checked_and_completed(tmp_path, text, message):
    step = tmp_path / "step.py"
    step.write_text(SECTION)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, str(step), "--settings", text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert message in done.stdout + done.stderr
    assert (
        "keys steps, units"
        in subprocess.run([*command[:2], "--help"], env=environment, capture_output=True, text=True, check=True).stdout
    )


def test_messages_name_the_data_set_of_the_job():
    text = "Set datasets.NAME.mode: RGB."
    arguments = {"output": Path("data/datasets/a.b.h5"), "inputs": [Path("x.csv")], "log": None}
    assert with_names(text, arguments) == "Set datasets.a.b.mode: RGB."
    several = {"datasets": [Path("data/datasets/a.h5"), Path("data/datasets/b.h5")]}
    assert with_names(text, several) == with_names(text, {"output": Path("a.h5")}) == text


def test_messages_name_the_network_of_the_job_as_in_the_config():
    text = "Set networks.NAME.outputs."
    assert with_names(text, {"network_entry": "small"}) == "Set networks.small.outputs."
    assert with_names(text, {}) == text
