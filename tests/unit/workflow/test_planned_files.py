"""What Snakemake plans, as programs of the project read it: by a flow of two jobs, called as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ROOT

from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.workflow.costs import to_be_done
from unitscope.workflow.ledger import Ledger, Run, gate
from unitscope.workflow.leftovers import clean, planned
from unitscope.workflow.store.push import push

# Each test calls Snakemake, which takes a second to start.
pytestmark = pytest.mark.slow

SNAKEFILE = """
from unitscope.workflow.snakemake_internals.flow_hooks import Hooks
from unitscope.workflow.snakemake_internals.installation import install

install(Hooks())

configfile: "config.yaml"

rule all:
    input: [f"results/{name}/units.csv" for name in config["experiments"]]

rule raw:
    output: "data/datasets/raw.h5"
    shell: "echo raw > {output}"

rule units:
    input: "data/datasets/raw.h5"
    output: "results/{name}/units.csv"
    shell: "cp {input} {output}"
"""
FILES = ["data/datasets/raw.h5", "results/a/units.csv", "results/b/units.csv"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("Snakefile").write_text(SNAKEFILE)
    configure("a", "b")
    return tmp_path


def configure(*names):
    Path("config.yaml").write_text(f"experiments: {{{', '.join(f'{name}: {{}}' for name in names)}}}\n")


def written(path, text="raw\n"):
    """Write a file as a job of earlier settings did."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    Ledger().note(Run(f"key of {path}", {path: Contents(None).sha256_and_md5(path)}))


def test_all_files_of_a_study_are_planned_and_their_jobs_are_counted():
    assert planned() == set(FILES)
    written(FILES[0])
    jobs, pending = to_be_done([Path("config.yaml")])
    # Of other settings: the ledger knows its bytes under another key.
    assert jobs == {"raw": 1, "units": 2} and pending == set(FILES)


def test_planning_error_is_one_sentence():
    Path("Snakefile").write_text(SNAKEFILE.replace('output: "data/', 'output: "other/'))
    text = r"^Missing input files for rule units: .*affected files: data/datasets/raw\.h5"
    with pytest.raises(UserError, match=text):
        planned()
    (reason,) = gate().reasons
    assert reason.startswith("Snakemake cannot plan the study: Missing input files for rule units: ")


def test_files_that_a_study_no_longer_requests_are_listed_and_removed():
    configure("a")
    for path in FILES:
        written(path)
    written("results/c/units.csv")
    Path("results/c/units.csv").write_text("mine")
    config = [Path("config.yaml")]
    lines = list(clean(config, yes=False))
    assert lines == [
        "kept: results/c/units.csv has changed since a job wrote it",
        "     0.000 MB  results/b/units.csv",
        "1 files, 0.000 MB, belong to earlier settings. Remove them with --yes (`make clean CLEAN=yes`).",
    ]
    assert Path("results/b/units.csv").exists()
    assert list(clean(config, yes=True))[-1] == "1 files, 0.000 MB, belong to earlier settings: removed."
    assert not Path("results/b").exists() and Path("results/a/units.csv").exists() and Path("results/c").exists()
    assert list(clean(config, yes=False))[1:] == [
        "Nothing to remove: all artifacts are those that config.yaml or another config asks for."
    ]


def test_the_gate_is_open_while_every_file_is_fresh():
    assert gate("--", FILES[0]).reasons == ["there is nothing to look at"]
    subprocess.run(["snakemake", "--cores", "1", "--quiet", "all"], check=True, capture_output=True)
    looked = gate()
    assert looked.reasons == [] and sorted(row["path"] for row in looked.rows) == FILES
    written("results/a/old.csv")
    for path in ("results/a/old.csv", "results/b/units.csv"):
        Path(path).write_text("mine")
    looked = gate()
    edited, old = looked.reasons
    assert edited.startswith("results/b/units.csv holds bytes that no job has written here")
    assert old.startswith("results/a/old.csv belongs to earlier settings, and has changed since a job wrote it")
    assert sorted(row["path"] for row in looked.rows) == FILES[:2]


def test_push_is_refused_if_files_of_earlier_settings_exist():
    configure("a")
    written("results/a/old.csv")
    written("results/b/units.csv")
    with pytest.raises(UserError, match=r"^Nothing is sent: results/a/old\.csv and 0 other files belong to earlier"):
        list(push())


def test_nothing_is_sent_that_is_not_fresh():
    with pytest.raises(UserError, match=r"^Nothing is sent: .*Run `make run` first, and commit dvc\.lock and made"):
        list(push())
