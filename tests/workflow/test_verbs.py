"""The verbs of `unitscope` in a project that has been run. Others, such as push and clean, have files of their own."""

import subprocess
import sys

import pytest
from projects import Project

UNITSCOPE = ("python", "-m", "unitscope")


@pytest.mark.parametrize("words", ["check", "unlock", "summary", "verify", "record", "study --output elsewhere"])
def test_verbs_import_only_what_they_use(project, words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "unitscope", *words.split()],
        cwd=project.folder,
        env=project.environment(PYTHONPATH=str(project.folder)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "unitscope.workflow.endings" in imported
    assert not imported & {"torch", "matplotlib", "snakemake", "dvc", "pandas", "scipy.stats", "sklearn"}


def test_a_run_checks_the_config_calls_snakemake_and_ends_with_the_summary(project: Project):
    output = project.run(*UNITSCOPE, "run", "--cores", "2")
    assert output.index("Nothing to be done") < output.index("\nsmall\n") < output.index("results/small/atlas.html")
    before = project.locks()
    project.change("experiments.small.figures", {"dpi": 60})
    output = project.run(*UNITSCOPE, "run", "config.yaml")
    assert "rule figures:" in output and output.index("100%") < output.rindex("results/small/atlas.html")
    # DVC has recorded it, as after a plain Snakemake.
    assert project.locks() != before


def test_failed_run_returns_the_exit_code_of_snakemake_without_a_summary(project: Project):
    project.edit("scripts/tables/units.py", "def main(", "def main(arguments):\n    1 / 0\n\n\ndef other(")
    done = project.try_to_run(*UNITSCOPE, "run")
    assert done.returncode == 1 and "1 job failed" in done.stdout and "atlas.html" not in done.stdout
    project.change("experiments.small.lyers", ["hidden1"])
    done = project.try_to_run(*UNITSCOPE, "run")
    (line,) = done.stdout.splitlines()
    assert done.returncode == 1 and line.startswith("config.yaml") and "Did you mean 'layers'?" in line
