"""A run that nobody watches: what can be done is done, and the last lines say what failed, why, and what to lower."""

import copy
import shutil
from pathlib import Path

import pytest
import yaml
from projects import KILL_AT, SMALL, Project, write_two_classes

from unitscope.workflow.failures import KILLED, Failure, failure_report, reason

WIDE = """from torch import nn


def network(shape, classes):
    conv = nn.Conv2d(shape[0], 16, 3, padding=1)
    return nn.Sequential(
        nn.Upsample(scale_factor=28), conv, nn.ReLU(), nn.AvgPool2d(56), nn.Flatten(), nn.Linear(16 * 16, classes)
    )
"""
"""Small images, large activations."""


@pytest.fixture
def wide(tmp_path) -> Project:
    """Return a study of two layers, whose images take 3 MiB for each feature map and image."""
    write_two_classes(tmp_path / "images")
    config = copy.deepcopy(SMALL)
    config["datasets"] = {
        "digits": {"source": "image_folder", "path": str(tmp_path / "images"), "test_fraction": 0.25, "mode": "L"}
    }
    config["networks"]["small"] |= {"source": "python", "model": "wide:network", "options": {}}
    am = {"am": config["experiments"]["small"]["methods"]["am"]}
    config["experiments"]["small"] |= {"layers": ["1", "5"], "images": {"batch": 16}, "methods": am}
    project = Project.create(tmp_path / "project", config)
    (project.folder / "wide.py").write_text(WIDE)
    return project


def last_lines(output: str) -> str:
    """Return what stands behind all that Snakemake prints while it works."""
    return " ".join(output.rpartition("1 job failed")[2].partition("WorkflowError")[0].split())


@pytest.mark.parametrize("fault", ["memory", pytest.param("killed", marks=pytest.mark.verify)])
def test_out_of_memory_in_one_layer_stops_only_dependent_jobs(wide, fault, tmp_path):
    environment = {"PYTHONPATH": KILL_AT}
    if fault == "memory":
        environment["LIMIT_AT"] = "images --layer 1|maximize|30"
    else:
        environment["KILL_AT"] = "images --layer 1|maximize|1|"
    done = wide.try_to_run("snakemake", "--cores", "8", "--resources", "gpu=1", **environment)
    assert done.returncode == 1
    end = last_lines(done.stdout)
    assert end.startswith(", "), done.stdout
    assert "images experiment=small layer=1 method=am: " in end
    assert "The log is logs/small/images/1.am.log." in end
    assert ("There was not enough memory." if fault == "memory" else KILLED) in end
    assert 'Lower experiments.small.images.batch (16 now), for this layer alone by {"*":16,"1":8}.' in end
    assert "Give the same command again" not in end and "Then give the same command again" in end
    # Everything else is there.
    results = wide.folder / "results/small"
    files = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    assert {"images/5.am.h5", "substitution/5.am.csv"} <= files and "images/1.am.h5" not in files
    assert {"ablation/1.csv", "ablation/5.csv", "activations.h5", "selectivity.csv"} <= files
    assert "units.csv" not in files
    # What the line says is enough, and only what is left is done.
    batch = yaml.safe_load(end.partition("alone by ")[2].partition("}")[0] + "}")
    wide.change("experiments.small.images", {"batch": batch | {"1": 1 if fault == "memory" else batch["1"]}})
    before = wide.logs()
    environment.pop("KILL_AT", None)
    wide.run("snakemake", "--cores", "8", "--resources", "gpu=1", **environment)
    executed = {log for log, written in wide.logs().items() if before.get(log) != written}
    remaining_jobs = {f"small/{rule}/1.am" for rule in ("images", "substitution", "sheets")}
    tables = {f"small/{name}" for name in ("units", "layers", "metrics", "figures", "atlas")}
    assert executed == remaining_jobs | {"small/sheets/5.am"} | tables


def test_failure_reason_is_read_from_the_log(tmp_path):
    log = tmp_path / "job.log"
    log.write_text("12:00:00 epoch 1\nError: The training\ndiverged. Lower it.\n\nTraceback\nValueError: x\n")
    assert reason(log) == "The training diverged. Lower it."
    log.write_text("12:00:00 epoch 1\n")
    assert reason(log) == reason(None) == reason(tmp_path / "none.log") == KILLED


def test_setting_to_lower_is_suggested_only_after_out_of_memory(tmp_path):
    diverged, full = tmp_path / "a.log", tmp_path / "b.log"
    diverged.write_text("Error: The training diverged.\n\n")
    full.write_text("Error: There was not enough memory.\n\n")
    failures = [Failure(job, log, "Lower it.") for job, log in (("a", diverged), ("b", full), ("c", None))]
    lines = failure_report(failures, 3).splitlines()
    assert lines[0] == "3 jobs failed, 3 that depend on that were not started. Everything else is done and kept."
    assert lines[1].startswith("- a: The training diverged. The log is")
    text = " ".join(" ".join(lines).split())
    assert text.count("Lower it.") == 2 and f"- c: {KILLED} Lower it." in text
    assert failure_report(failures[:1], 0).startswith("1 job failed. Everything else is done and kept.")
    assert failure_report(failures[:1], 9, went_on=False).startswith(
        "1 job failed, 9 were not started. What was finished is kept."
    )


def test_benchmarks_are_not_written_through_a_link(project, tmp_path):
    foreign, times = tmp_path / "foreign.txt", project.folder / "logs/small/units.tsv"
    foreign.write_text("mine")
    times.unlink(missing_ok=True)
    times.symlink_to(foreign)
    (project.folder / "results/small/units.csv").unlink()
    shutil.rmtree(project.folder / ".dvc/cache")
    project.snakemake()
    assert foreign.read_text() == "mine" and times.is_file() and not times.is_symlink()


# --- what DVC cannot do ----------------------------------------------------------------------------------------------


def test_lock_file_of_a_killed_dvc_does_not_block_the_next_run(project):
    lock = project.folder / ".dvc/tmp/rwlock"
    unitscope = ["python", "-m", "unitscope"]
    for command in (["snakemake", "--cores", "8"], [*unitscope, "unlock"], [*unitscope, "push"]):
        # DVC opens it, which empties it, and is killed before it has written.
        lock.write_text("")
        assert "rwlock" in project.try_to_run("dvc", "commit", "--force", "dvc.yaml").stdout
        output = project.try_to_run(*command).stdout
        assert "DVC was killed while it wrote .dvc/tmp/rwlock" in " ".join(output.split())
        assert not lock.exists() or lock.read_text()
        project.run("dvc", "commit", "--force", "dvc.yaml")


def test_lock_of_a_running_dvc_is_kept(project):
    """Nobody else writes the file while DVC's own lock beside it is held."""
    lock = project.folder / ".dvc/tmp/rwlock"
    lock.write_text("")
    program = (
        "from dvc.lock import make_lock\n"
        "import subprocess, sys\n"
        "with make_lock('.dvc/tmp/rwlock.lock', tmp_dir='.dvc/tmp'):\n"
        "    sys.exit(subprocess.run([sys.executable, '-m', 'unitscope', 'unlock']).returncode)\n"
    )
    output = project.run("python", "-c", program, PYTHONPATH=str(project.folder))
    assert lock.exists() and "DVC was killed" not in output


@pytest.mark.verify
@pytest.mark.parametrize("link", ["results", "data/checkpoints"])
def test_artifacts_on_another_disk(project, tmp_path, link):
    disk = tmp_path / "disk"
    place = project.folder / link
    shutil.move(place, disk / link)
    place.symlink_to(disk / link)
    assert "Nothing to be done" in project.run("snakemake", "-n")
    warning = f"{link} is a link to {disk / link}, outside of this folder"
    cache_folder = ""
    for dpi, times in ((60, 1), (70, 0)):
        project.change("experiments.small.figures", {"dpi": dpi})
        output = " ".join(project.snakemake().split())
        assert output.count(warning) == times and "has not recorded them" not in output
        cache_folder = cache_folder or output.partition("dvc cache dir --local ")[2].split()[0]
        assert place.is_symlink() and "Nothing to be done" in project.run("snakemake", "-n")
    rows = (project.folder / "made.lock").read_text()
    assert f'"path": "{link}/' not in rows and '"path": "data/datasets/digits.h5"' in rows
    done = project.try_to_run("python", "-m", "unitscope", "push")
    assert done.returncode == 1 and "Nothing is sent" in done.stdout
    # The way that the line names.
    place.unlink()
    shutil.move(disk / link, place)
    project.run("dvc", "cache", "dir", "--local", cache_folder)
    project.change("experiments.small.figures", {"dpi": 80})
    project.snakemake()
    assert f'"path": "{link}/' in (project.folder / "made.lock").read_text()
    project.run("python", "-m", "unitscope", "verify", "--cache")
    assert Path(cache_folder).is_relative_to(disk) and list(Path(cache_folder).glob("files/md5/*/*"))
