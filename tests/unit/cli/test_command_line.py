"""The command `unitscope`: how it begins and ends, and what it loads. What its verbs do is in tests/workflow."""

import copy
import importlib
import os
import re
import signal
import subprocess
import sys
import tomllib

import pytest
import typer
import yaml
from configs_by_hand import STUDY
from projects import ROOT

from unitscope.cli.command import app
from unitscope.workflow.provenance import code_files

VERBS = {command.name or command.callback.__name__ for command in app.registered_commands}


def call(*words, cwd=ROOT, flags=()):
    return subprocess.run(
        [sys.executable, *flags, "-m", "unitscope", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["chek"]])
def test_help_imports_no_heavy_package(words):
    done = call(*words, flags=["-X", "importtime"])
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "unitscope.cli.command" in imported
    heavy = ("torch", "numpy", "matplotlib", "snakemake", "dvc", "yaml", "unitscope.workflow")
    assert [name for name in imported if name.startswith(heavy)] == []


def test_every_verb_has_help():
    assert len(VERBS) == 14
    for verb, command in typer.main.get_command(app).commands.items():
        assert verb in VERBS and command.help and len(command.help.splitlines()[0]) < 60
        assert all(parameter.help for parameter in command.params)


def test_the_installed_command_is_this_one():
    module, _, name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["unitscope"].partition(
        ":"
    )
    assert callable(getattr(importlib.import_module(module), name))
    assert (
        module == "unitscope.cli.command" and (ROOT / "unitscope/__main__.py").read_text().count(f"from {module} ") == 1
    )


def test_scripts_do_not_depend_on_the_command_line():
    for script in (ROOT / "scripts").rglob("*.py"):
        assert not [path for path in code_files(script, ROOT) if "cli" in path.parts]


def test_docs_list_every_verb():
    page = (ROOT / "docs/commands.md").read_text()
    assert set(re.findall(r"^\| `unitscope (\w+)", page, re.MULTILINE)) == VERBS


# --- check -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder, in which the layers of a network are remembered."""
    return tmp_path_factory.mktemp("check")


def checked(folder, change=lambda config: None):
    """Return how the check of a config ends."""
    config = copy.deepcopy(STUDY)
    change(config)
    (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return call("check", "study.yaml", cwd=folder)


def test_valid_config_is_summarized_in_one_line(folder):
    done = checked(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"study\.yaml: \d data sets?, \d networks?, \d experiment \(first: 2 layers, .*\)\.\n", done.stdout
    )


MISTAKES = {
    "a typo": (lambda c: c["experiments"]["first"].update(lyers=["x"]), "'lyers'.*Did you mean 'layers'"),
    "a layer": (lambda c: c["experiments"]["first"].update(layers=["hidden9"]), "names 'hidden9'.*Its layers are"),
    "a unit": (
        lambda c: c["experiments"]["first"].update(layers={"hidden1": {"units": [0, 999]}}),
        r"experiments\.first\.layers: unit 999 of hidden1.*0 to \d+",
    ),
    "a path": (
        lambda c: c["datasets"].update(other={"source": "arrays", "path": "no/such.npz"}),
        r"datasets\.other\.path: no such file or folder: no/such\.npz",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_config_errors_are_one_sentence(folder, mistake):
    change, pattern = MISTAKES[mistake]
    done = checked(folder, change)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(rf"study\.yaml\b.*{pattern}.*\n", done.stderr), done.stderr


# --- endings ---------------------------------------------------------------------------------------------------------


def test_a_verb_that_needs_a_project_is_refused_elsewhere(tmp_path):
    for verb in ("plan", "run", "push"):
        done = call(verb, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr == (
            f"There is no Snakefile in {tmp_path}. Change to the folder of the project, and run again.\n"
        )


def ended(tmp_path, body):
    """Return how a verb ends whose body is a line of code."""
    (tmp_path / "it.py").write_text(
        "import os\nfrom unitscope.cli.verbs import verb\nfrom unitscope.errors import UserError\n\n"
        f"@verb\ndef it():\n    {body}\n\nit()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "it.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("pass", 0, ""),
        ("return 3", 3, ""),
        ("raise UserError('conv9 is not there.')", 1, "conv9 is not there.\n"),
        ("raise OSError(28, 'No space left on device', 'a.h5')", 1, "There is no space left on the disk. Free some"),
        ("raise KeyboardInterrupt", 130, "Interrupted. What was finished is kept"),
        ("os.kill(os.getpid(), 15)", 143, ""),
    ],
)
def test_a_verb_ends_in_a_message_without_a_traceback(tmp_path, body, code, message):
    done = ended(tmp_path, body)
    assert done.returncode == code and done.stderr.startswith(message) and "Traceback" not in done.stderr
    assert bool(done.stderr) == bool(message)


def test_internal_errors_show_a_traceback(tmp_path):
    done = ended(tmp_path, "1 / 0")
    assert done.returncode == 1 and "This is a fault of unitscope, not of your input: ZeroDivisionError" in done.stderr
    assert "Traceback (most recent call last)" in done.stderr


CALLING = """
import sys
from unitscope.workflow.flow import call
child = "import signal, sys, time; signal.signal(signal.{signal}, lambda *_: sys.exit(7)); "
code = call([sys.executable, "-c", child + "print('up', flush=True); time.sleep(60)"])
print("code", code)
"""


@pytest.mark.parametrize(("name", "group"), [("SIGINT", True), ("SIGTERM", False)])
def test_signals_are_handled_by_the_called_program_first(name, group):
    process = subprocess.Popen(
        [sys.executable, "-c", CALLING.format(signal=name)],
        **{"cwd": ROOT, "stdout": subprocess.PIPE, "text": True, "start_new_session": True},
    )
    assert process.stdout.readline() == "up\n"
    (os.killpg if group else os.kill)(process.pid, getattr(signal, name))
    assert process.communicate()[0] == "code 7\n" and process.returncode == 0
