"""Every command in the README and the documentation works: run, planned, or read by the program that it is for.

A command that takes minutes, or a service, is read by the parser of its program, which refuses what it does not know.
No command is passed over: one of a form that is not in `CHECKS` fails.
"""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import yaml
from projects import ROOT, Project
from test_workflow import PLANNED

from unitscope.cli.command import app

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
NOT_INSTALLED = r"--executor (kubernetes|aws-batch)|--aws-batch-\S+ \S+"
"""Options of executors that are no dependency."""


def commands(text: str) -> list[str]:
    """Return the commands in a page: the lines of its blocks of commands, and those within its text."""
    block_commands: list[str] = []

    def of_block(block: re.Match) -> str:
        if block[1] in ("", "sh", "bash", "console"):
            lines = [re.sub(r"\s+#.*", "", line).strip() for line in block[2].replace("\\\n", " ").splitlines()]
            lines = [line.removeprefix("$ ") for line in lines if line]
            programs = [line.split()[0] in CHECKS for line in lines]
            # A block holds commands, or none: such as the list of folders.
            assert all(programs) or not any(programs), block[0]
            block_commands.extend(line for line in lines if programs[0])
        return ""

    prose = re.sub(r"^```(\w*)\n(.*?)^```$", of_block, text, flags=re.MULTILINE | re.DOTALL)
    spans = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    return block_commands + [code for code in spans if code.split()[0] in CHECKS and " " in code]


def read_by_snakemake(words: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    line = re.sub(NOT_INSTALLED, "", " ".join(words))
    options = get_argument_parser().parse_args(line.split()[1:])
    for config in map(str, options.configfile or []):
        assert config in (*PLANNED, "configs/mine.yaml"), config
    assert set(options.targets) <= {"networks"}
    # With several rules, Snakemake ends after the first, and says nothing.
    assert not options.until


def read_by_dvc(words: list[str]) -> None:
    from dvc.cli.parser import get_main_parser

    get_main_parser().parse_args(words[1:])


def read_by_a_script(words: list[str]) -> None:
    if words[1:] == ["-m", "unitscope"]:
        return
    path = Path(words[1])
    if path.parts[0] == "scripts":
        importlib.import_module(".".join(path.with_suffix("").parts)).parser().parse_args(words[2:])
    else:
        done = subprocess.run([sys.executable, path, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def read_by_unitscope(words: list[str]) -> None:
    verb = typer.main.get_command(app).commands[words[1]]
    # The verb alone is a name in a sentence.
    if words[2:]:
        verb.make_context(words[1], words[2:])


def read_by_make(words: list[str]) -> None:
    done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def read_by_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert words[1] == "install" and len(words) in (3, 4)
    extra = re.fullmatch(r"\.\[(\w+)\]", words[-1])
    assert extra[1] in extras if extra else words[-1] in ("timm", "jupyter")


def of_a_test(words: list[str]) -> None:
    """Held by a test of its own, with real repositories."""
    assert words[1] in ("add", "clone", "commit")
    assert "def test_restored_clone_has_nothing_to_run" in (ROOT / "tests/workflow/test_store.py").read_text()


def of_an_environment(words: list[str]) -> None:
    assert words == ["source", ".venv/bin/activate"] and "VENV := .venv\n" in (ROOT / "Makefile").read_text()


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "snakemake": read_by_snakemake,
    "dvc": read_by_dvc,
    "python": read_by_a_script,
    "unitscope": read_by_unitscope,
    "make": read_by_make,
    "pip": read_by_pip,
    "git": of_a_test,
    "source": of_an_environment,
}
"""How a command is tried, by its program."""


@pytest.mark.parametrize("page", PAGES)
def test_documented_commands_are_valid(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    page_commands = commands((ROOT / page).read_text())
    assert page_commands or page not in ("README.md", "docs/recomputation.md")
    for command in dict.fromkeys(part.strip() for line in page_commands for part in line.split("&&")):
        words = shlex.split(command)
        try:
            CHECKS[words[0]](words)
        except SystemExit as error:
            pytest.fail(f"{page}: {command}: exit code {error.code}")


@pytest.mark.parametrize(
    "command",
    [
        *("snakemake --until dataset checkpoint", "snakemake --configfile configs/nothing.yaml", "snakemake --what"),
        *(
            "dvc pul",
            "unitscope plan --what",
            "unitscope paln",
            "make nothing",
            "pip install -e '.[nothing]'",
            "git push",
        ),
        *("python scripts/nothing.py", "source nothing"),
    ],
)
def test_invalid_commands_are_refused(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    with pytest.raises((SystemExit, Exception)):
        CHECKS[words[0]](words)


def test_documented_commands_can_be_planned(tmp_path):
    """The configs of the other commands are planned in test_workflow.py, and a whole study is run in many a test."""
    project = Project.create(tmp_path / "project", yaml.safe_load((ROOT / "config.yaml").read_text()))
    shutil.copy(ROOT / "configs/own_network.yaml", project.folder / "configs/mine.yaml")
    assert "experiment=own-residual" in project.run(
        *["snakemake", "-n", "--cores", "8", "--configfile", "configs/mine.yaml"]
    )
    output = project.run(*["snakemake", "--cores", "8", "networks", "-n"])
    assert set(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE)) == {"dataset", "checkpoint", "networks"}
    listed = project.run(
        "python", "-m", "unitscope", "layers", "configs/mine.yaml", "own-residual", PYTHONPATH=str(project.folder)
    )
    assert "depth  kind" in listed
