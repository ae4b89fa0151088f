"""Where a study runs: another clone's environment, a home folder that cannot be written, a notebook, another folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ROOT, SMALL, Project

UNWRITABLE = "/proc/nowhere"


@pytest.fixture
def shared(tmp_path) -> Path:
    """Return an environment in which another clone's library is installed, and no pip that could change that."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (tmp_path / "other/unitscope").mkdir(parents=True)
    (tmp_path / "other/unitscope/__init__.py").touch()
    (packages,) = (tmp_path / "env/lib").glob("python*/site-packages")
    (packages / "editable.pth").write_text(str(tmp_path / "other"))
    return tmp_path / "env"


@pytest.mark.parametrize("stamp", ["run", "test"])
def test_environment_of_another_clone_is_not_modified(shared, tmp_path, stamp):
    before = sorted(shared.rglob("*"))
    done = subprocess.run(
        ["make", f"VENV={shared}", f"{shared}/{stamp}.installed"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"belongs to {tmp_path / 'other'}: nothing is installed into it" in done.stdout
    assert sorted(shared.rglob("*")) == before


def test_linked_environment_is_not_modified_in_a_path_with_spaces(shared, tmp_path):
    clone = tmp_path / "a clone"
    clone.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    (clone / ".venv").symlink_to(shared)
    before = sorted(shared.rglob("*"))
    done = subprocess.run(
        ["make", ".venv/run.installed"], cwd=clone, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert f"belongs to {tmp_path / 'other'}: nothing is installed into it" in done.stdout
    assert sorted(shared.rglob("*")) == before


def test_packages_are_installed_into_the_environment_of_this_clone(shared, tmp_path):
    """Where pip is called at all, it is not there in this environment."""
    (packages,) = (shared / "lib").glob("python*/site-packages")
    for library in ("", str(ROOT)):
        (packages / "editable.pth").write_text(library)
        done = subprocess.run(
            ["make", f"VENV={shared}", f"{shared}/run.installed"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0 and "No module named pip" in done.stderr


def test_scripts_refuse_the_library_of_another_clone(tmp_path):
    clone = tmp_path / "clone"
    (clone / "unitscope").mkdir(parents=True)
    (clone / "unitscope/__init__.py").touch()
    (clone / "scripts/tables").mkdir(parents=True)
    script = clone / "scripts/tables/metrics.py"
    script.write_text((ROOT / "scripts/tables/metrics.py").read_text())
    options = ["--layers", "a", "--record", "b", "--metrics", "c", "--plot", "d"]
    # The command as an environment that both share has it.
    command = (
        "import sys; sys.path.pop(0); sys.argv = ['unitscope', 'unlock']; import unitscope.cli.command as it; it.main()"
    )
    for words in ([script, *options], ["-c", command]):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=clone,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        message = " ".join(done.stderr.split())
        assert done.returncode == 1 and "Traceback" not in message
        assert f"but Python loads unitscope from {ROOT}." in message and f"Set PYTHONPATH={clone}" in message


def test_a_study_is_planned_from_another_folder_without_a_home(finished, tmp_path):
    cache = {"HOME": UNWRITABLE, "XDG_CACHE_HOME": UNWRITABLE}
    installed = Path(sys.prefix)
    command = ["make", f"VENV={installed}", "--old-file", str(installed / "run.installed"), "-C", str(finished.folder)]
    elsewhere = Project(tmp_path)
    assert "Nothing to be done for config.yaml" in elsewhere.run(*command, "plan", **cache)
    snakemake = ["snakemake", "-s", str(finished.folder / "Snakefile"), "-d", str(finished.folder), "-n"]
    assert "Nothing to be done" in elsewhere.run(*snakemake)
    # Its scripts and artifacts are looked for in the working directory.
    for config_options in ([], ["--configfile", str(finished.folder / "config.yaml")]):
        output = elsewhere.try_to_run(
            "snakemake", "-n", "-s", str(finished.folder / "Snakefile"), *config_options
        ).stdout
        assert f"Give the command there, or with --directory {finished.folder}" in output
    # Programs of the environment are found without activating it.
    plan = [sys.executable, "-m", "unitscope", "plan"]
    done = subprocess.run(
        plan,
        cwd=finished.folder,
        env={"PYTHONPATH": str(finished.folder), **cache},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Nothing to be done for config.yaml" in done.stdout, done.stderr


def test_missing_disk_is_reported(project):
    (project.folder / "results").rename(project.folder / "elsewhere")
    (project.folder / "results").symlink_to("/nowhere/results")
    output = project.try_to_run("snakemake", "-n").stdout
    assert "results is a link to /nowhere/results, which is not there. Mount the disk" in output


def test_path_with_spaces(finished, tmp_path):
    project = finished.copy(tmp_path / "my project")
    assert "Nothing to be done for config.yaml" in project.run(*project.command("make run")[:-1], "plan")


def test_artifacts_are_identical_when_run_from_another_folder_without_a_home(finished, tmp_path):
    project = Project.create(tmp_path / "project", SMALL)
    installed = Path(sys.prefix)
    command = ["make", f"VENV={installed}", "--old-file", str(installed / "run.installed"), "-C", str(project.folder)]
    (tmp_path / "elsewhere").mkdir()
    environment = {"HOME": UNWRITABLE, "XDG_CACHE_HOME": UNWRITABLE, "MPLBACKEND": "module://no_such.backend_inline"}
    Project(tmp_path / "elsewhere").run(*command, "run", **environment)
    assert project.hashes() == finished.hashes()
    assert not [path for path in project.folder.rglob(".*.part") if path.is_file()]
    assert not [path for path in (project.folder / ".resume").rglob("*") if path.is_file()]
