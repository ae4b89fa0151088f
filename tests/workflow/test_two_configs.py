"""Two configs never overwrite each other's artifacts unnoticed: the real Snakemake, `make plan` and `dvc repro`."""

import copy
import re
import shutil

import yaml
from projects import Project

OTHER = "configs/other.yaml"


def write(project: Project, changes: dict, file: str = OTHER) -> None:
    """Write another config for the same experiment with other values at dotted paths."""
    config = copy.deepcopy(project.config())
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    (project.folder / file).write_text(yaml.safe_dump(config))


def refused(project: Project, *command: str, words: list[str]) -> None:
    """Run a command that has to be refused before any job, in one sentence with these words."""
    before, logs = project.hashes(), project.logs()
    done = project.try_to_run(*command, PYTHONPATH=str(project.folder))
    # DVC has exit codes of its own.
    assert done.returncode == (255 if command[0] == "dvc" else 1), done.stdout
    message = re.sub(r"\s+", " ", done.stdout)
    assert "Traceback" not in message and "fault of unitscope" not in message
    for word in words:
        assert word in message, done.stdout
    assert (project.hashes(), project.logs()) == (before, logs)


PLANS = ["snakemake", "-n"]
STEPS = "experiments.small.methods.am.steps"


def test_second_config_shares_equal_artifacts_and_may_not_overwrite_others(project):
    other = [*PLANS, "--configfile", OTHER]
    write(project, {})
    assert "Nothing to be done" in project.run(*other)
    # More analyses of the same experiment are no difference.
    write(project, {"experiments.small.analyses": ["natural"]})
    assert "rule natural:" in project.run(*other)
    write(project, {STEPS: 6})
    image = "results/small/images/hidden1.am.h5"
    words = [
        f"{image} belongs to config.yaml, and {OTHER} would overwrite it",
        "recipe.steps is 4 in config.yaml and 6 in",
    ]
    for command in (
        other,
        ["snakemake", "--cores", "2", "--configfile", OTHER],
        ["python", "-m", "unitscope", "plan", OTHER],
    ):
        refused(project, *command, words=words)
    # Neither what is laid over the first config nor an edit of the owner makes another study.
    (project.folder / "over.yaml").write_text(
        yaml.safe_dump({"experiments": {"small": {"methods": {"am": {"steps": 7}}}}})
    )
    assert "rule images:" in project.run(*PLANS, "--configfile", "config.yaml", "over.yaml")
    # A clone knows it by made.lock.
    shutil.rmtree(project.folder / ".snakemake")
    refused(project, *other, words=words)


def test_artifacts_of_every_kind_have_an_owning_config(project):
    for changes, words in (
        ({"networks.small.training.epochs": 2}, ["data/checkpoints/small.pt", "settings.training.epochs is 1 in"]),
        ({"datasets.digits.test_fraction": 0.2}, ["data/datasets/digits.h5", "settings.test_fraction is 0.1"]),
        ({"experiments.small.layers": ["hidden1", "hidden2"]}, ["results/small/taps.json", 'layers is ["hidden1"]']),
        ({"experiments.small.figures": {"dpi": 50}}, ["results/small/figures", "settings.dpi is"]),
    ):
        write(project, changes)
        refused(project, *PLANS, "--configfile", OTHER, words=words)


def test_takeover_transfers_ownership(project):
    image = "results/small/images/hidden1.am.h5"
    write(project, {STEPS: 6})
    project.run("snakemake", "--cores", "2", "--configfile", OTHER, "--config", "takeover=true", "--", image)
    refused(project, *PLANS, words=[f"{image} belongs to {OTHER}, and config.yaml would overwrite it", "is 6 in"])
    refused(project, "dvc", "repro", words=[f"{image} belongs to {OTHER}"])
    # A config that is gone owns nothing.
    (project.folder / OTHER).unlink()
    assert f"{image} held other bytes: would be brought back" in project.run(*PLANS)


def test_artifacts_of_a_renamed_config_pass_to_the_new_name(project):
    renamed = "configs/renamed.yaml"
    (project.folder / "config.yaml").rename(project.folder / renamed)
    (project.folder / "made.lock").unlink()
    project.run("snakemake", "--cores", "1", "--configfile", renamed)
    project.write_config(yaml.safe_load((project.folder / renamed).read_text()))
    project.change(STEPS, 6)
    refused(project, *PLANS, words=[f"belongs to {renamed}", "is 4 in", "6 in config.yaml"])
