"""Left-overs of earlier settings: listed and removed by `unitscope clean`, never pushed; no other file is touched."""

import json

from projects import flip

from unitscope.storage.contents import append_lines
from unitscope.storage.records import sha256_of

IMAGES, RS = "results/small/images/hidden1.iam.h5", "results/small/substitution/hidden1.iam.csv"
SHEET = "results/small/figures/hidden1.iam.sheet.png"


def clean(project, *words):
    return project.run("python", "-m", "unitscope", "clean", *words)


def test_unreferenced_artifacts_are_listed_and_removed(project):
    assert "Nothing to remove" in clean(project)
    (project.folder / "results/small/notes.txt").write_text("mine")
    # A made.lock that comes from elsewhere.
    row = {"path": "results/../notes.txt", "key": "k", "md5": "", "versions": ""}
    (project.folder / "notes.txt").write_text("mine")
    with open(project.folder / "made.lock", "a") as file:
        file.write(json.dumps({**row, "sha256": sha256_of(project.folder / "notes.txt")}) + "\n")
    methods = project.config()["experiments"]["small"]["methods"]
    project.change("experiments.small.methods", {"am": methods["am"]})
    before = project.hashes()
    listed = clean(project)
    assert all(f"MB  {path}\n" in listed for path in (IMAGES, RS, SHEET)) and "--yes" in listed
    assert "hidden1.am." not in listed and "notes.txt" not in listed and "units.csv" not in listed
    assert project.hashes() == before
    # DVC would send them with the folder of the experiment.
    done = project.try_to_run("python", "-m", "unitscope", "push")
    message = " ".join(done.stdout.split())
    assert (
        done.returncode == 1
        and "belong to earlier settings of config.yaml" in message
        and "make clean CLEAN=yes" in message
    )

    # What another config owns, and what has changed since, is kept.
    (project.folder / "configs/other.yaml").write_text("{}")
    append_lines(project.folder / ".snakemake/unitscope/owners", [[[IMAGES], "configs/other.yaml", "{}"]])
    flip(project.folder / RS, place=-3)
    removed = clean(project, "--yes")
    assert f"kept: {RS} has changed" in removed and f"  {SHEET}\n" in removed and IMAGES not in removed
    deleted = before.keys() - project.hashes().keys()
    assert SHEET in deleted and all("hidden1.iam" in path for path in deleted)
    assert (project.folder / IMAGES).is_file() and (project.folder / RS).is_file()
    assert "Nothing to remove" in clean(project, "--yes") and (project.folder / "notes.txt").is_file()


def test_removed_experiment_is_deleted_with_its_folder(project):
    small = project.config()["experiments"]["small"]
    project.change("experiments", {"other": small})
    # Another config may share what bears a name of its own.
    (project.folder / "configs/other.yaml").write_text("experiments: {small: {}}")
    assert "Nothing to remove" in clean(project)
    (project.folder / "configs/other.yaml").unlink()
    assert "results/small/units.csv" in clean(project, "--yes")
    assert not (project.folder / "results/small").exists()
    assert not (project.folder / "results/small.metrics.json").exists()
    assert (project.folder / "data/checkpoints/small.pt").is_file()
