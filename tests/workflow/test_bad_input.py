"""Bad input ends in a paragraph, not a traceback: exit code 1, file and key named, what was finished still there.

The mistakes of a config are in test_config.py; here the real Snakemake and the real scripts meet real damage.
"""

import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from projects import SMALL, Project, write_two_classes

from unitscope.storage.records import sha256_of

BY_TIME = ("--rerun-triggers", "mtime")
"""By its bytes a damaged artifact would be brought back or computed again; by time stamps it is read."""


def fails(project: Project, *targets: str, words: list[str], log: str | None = None, same: bool = True) -> str:
    """Run Snakemake, which has to fail with one paragraph that holds these words; return what it said.

    Args:
        project: Where.
        targets: What to make.
        words: What the paragraph has to hold.
        log: Log of the failing job, which has to hold the traceback; None where no job gets that far.
        same: Whether all that was finished has to be there as before.
    """
    before = project.hashes()
    done = project.try_to_run("snakemake", "--cores", "2", *targets)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout
    # Nor places in rules, where no job has failed.
    assert log is not None or '  File "' not in done.stdout, done.stdout
    for word in words:
        assert word in re.sub(r"\s+", " ", done.stdout), done.stdout
    if log is not None:
        assert "Traceback (most recent call last)" in (project.folder / "logs" / log).read_text()
    if same:
        assert project.hashes() == before
    assert not list(project.folder.rglob(".*.part"))
    return done.stdout


# --- the config ------------------------------------------------------------------------------------------------------


def test_unknown_key(project):
    project.change("experiments.small.lyers", ["hidden1"])
    fails(project, words=["config.yaml", "experiments.small", "'lyers'", "Did you mean 'layers'?"])


def test_unknown_network_and_data_set(project):
    project.change("experiments.small.network", "smal")
    fails(project, words=["experiments.small.network is 'smal'", "Did you mean 'small'?"])
    project.change("experiments.small.network", "small")
    project.change("networks.small.dataset", "cifar")
    fails(project, words=["networks.small.dataset is 'cifar'", "There are: digits"])


def test_unknown_layers_are_refused_before_anything_runs(project):
    sentence = (
        "config.yaml: experiments.small.layers names 'hidden9', which the network mlp does not have. Did you mean "
        "'hidden2'? Its layers are: hidden1, hidden2, logits."
    )
    # Nothing is remembered of an architecture that is new.
    project.change("networks.small.options.widths", [12, 11])
    project.change("experiments.small.layers", ["hidden1", "hidden9"])
    before = project.hashes()
    unitscope = ["python", "-m", "unitscope"]
    for words in (
        *(["snakemake", "-n"], ["snakemake", "--cores", "1"], ["dvc", "repro"]),
        *([*unitscope, "check"], [*unitscope, "plan"]),
    ):
        done = project.try_to_run(*words)
        assert done.returncode and sentence in re.sub(r"\s+", " ", done.stdout), done.stdout
        assert project.hashes() == before and "rule" not in done.stdout
    listed = project.try_to_run("python", "-m", "unitscope", "layers", "config.yaml", "small")
    assert "* hidden1" in listed.stdout and "names 'hidden9'" in listed.stdout


def test_unknown_layer_is_refused_before_training_when_images_must_be_read_first(project):
    folder = project.folder / "two"
    write_two_classes(folder)
    project.change("datasets.two", {"source": "image_folder", "path": "two", "test_fraction": 0.25})
    project.change("networks.small.dataset", "two")
    project.change("experiments.small.layers", ["hidden9"])
    # On one processor, what is first is alone.
    done = project.try_to_run("snakemake", "--cores", "1")
    message = re.sub(r"\s+", " ", done.stdout)
    assert done.returncode == 1 and "experiments.small.layers names 'hidden9', which the network mlp" in message
    assert (
        "rule checkpoint" not in done.stdout and "1 job failed, " in message and "What was finished is kept." in message
    )
    # Now they are.
    done = project.try_to_run("snakemake", "-n")
    assert done.returncode == 1 and "names 'hidden9'" in done.stdout and "rule" not in done.stdout


@pytest.mark.parametrize(
    ("experiments", "words"),
    [
        # Layers and methods may contain dots.
        (
            {"small": {"layers": ["a", "a.b"], "methods": {"c": {"objective": "am"}, "b.c": {"objective": "iam"}}}},
            ["results/small/images/a.b.c.h5 would be written by both images", "layer 'a', method 'b.c'", "layer 'a.b'"],
        ),
        # Each path is of one experiment, but which layer and method it names cannot be told.
        (
            {
                "small": {"layers": ["a"], "methods": {"b.c": {"objective": "am"}}},
                "other": {"layers": ["a.b"], "methods": {"c": {"objective": "am"}}},
            },
            ["/images/a.b.c.h5 would be written by both", "layer 'a', method 'b.c'", "layer 'a.b', method 'c'"],
        ),
        ({"small": {}, "Small": {}}, ["one file on macOS and Windows", "'small'", "'Small'"]),
        (
            {"small": {}, "small.metrics.json": {}},
            ["results/small.metrics.json, the folder of", "Rename one of the two"],
        ),
    ],
)
def test_artifacts_with_the_same_path_are_refused(project, experiments, words):
    small = project.config()["experiments"]["small"]
    project.change("experiments", {name: {**small, **changes} for name, changes in experiments.items()})
    fails(project, "-n", words=["config.yaml: ", *words])


def test_unknown_unit(project):
    project.change("experiments.small.layers", {"hidden1": {"units": [3, 99]}})
    fails(project, words=["experiments.small.layers: unit 99 of hidden1 is asked for, which has the units 0 to 11."])


# --- weights ---------------------------------------------------------------------------------------------------------


def state_dict(project: Project) -> dict[str, torch.Tensor]:
    return torch.load(project.folder / "data/checkpoints/small.pt", weights_only=True)["state_dict"]


def give_weights(project: Project, state: object, sha256: str | None = None) -> None:
    """Save weights and name them in the config, under a second network."""
    path = project.folder / "weights.pt"
    torch.save(state, path)
    network = {
        "model": "mlp",
        "options": {"widths": [12, 10]},
        "dataset": "digits",
        "normalization": {"mean": [0.13], "std": [0.31]},
        "weights": {"file": "weights.pt", "sha256": sha256 or sha256_of(path)},
    }
    project.change("networks.given", network)


def test_weights_from_a_file_are_loaded(project):
    give_weights(project, state_dict(project))
    project.snakemake("data/checkpoints/given.pt")
    assert (project.folder / "data/checkpoints/given.json").is_file()


def test_wrong_checksum(project):
    give_weights(project, state_dict(project), "0" * 64)
    checksum = sha256_of(project.folder / "weights.pt")
    fails(
        project,
        "data/checkpoints/given.pt",
        words=["weights.pt", "weights.sha256", "0" * 64, checksum, "Nothing has been deleted"],
    )


def test_job_errors_name_the_network_of_the_config(project):
    give_weights(project, state_dict(project))
    project.change("networks.given.normalization", {"mean": [0.1, 0.1], "std": [0.3, 0.3]})
    fails(project, "data/checkpoints/given.pt", words=["networks.given.normalization: mean is [0.1, 0.1]"])


def test_checkpoint_of_another_architecture(project):
    state = state_dict(project)
    state["conv1.weight"] = torch.zeros(4, 1, 3, 3)
    state["hidden2.weight"] = torch.zeros(7, 12)
    give_weights(project, state)
    fails(
        project,
        "data/checkpoints/given.pt",
        words=["weights.pt", "another network", "conv1.weight", "hidden2.weight is (7, 12), not (10, 12)"],
        log="checkpoints/given.log",
    )


def test_checkpoint_with_nan(project):
    state = state_dict(project)
    state["hidden1.weight"][0, 0] = float("nan")
    give_weights(project, state)
    fails(
        project,
        "data/checkpoints/given.pt",
        words=["weights.pt", "hidden1.weight", "not finite"],
        log="checkpoints/given.log",
    )


class Evil:
    """Something whose unpickling runs a command."""

    def __reduce__(self) -> tuple:
        return (Path("evil").mkdir, ())


def test_checkpoints_run_no_code(project):
    give_weights(project, {"hidden1.weight": Evil()})
    fails(project, "data/checkpoints/given.pt", words=["weights.pt", "nothing here runs code"])
    assert not (project.folder / "evil").exists()


# --- images ----------------------------------------------------------------------------------------------------------


def folder_of_images(project: Project) -> Path:
    """Write a folder with two classes and name it in the config."""
    noise = np.random.default_rng(0)
    root = project.folder / "images"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(3):
                pixels = noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    project.change("datasets.folder", {"source": "image_folder", "path": "images"})
    return root


def test_image_folder_is_read(project):
    root = folder_of_images(project)
    project.snakemake("data/datasets/folder.h5")
    # A file of labels counts as raw data.
    (root / "labels.csv").write_text("file,label\n")
    assert "rule dataset" in project.run("snakemake", "-n", "data/datasets/folder.h5")


def test_class_without_images(project):
    root = folder_of_images(project)
    for path in (root / "test/dog").iterdir():
        path.unlink()
    output = fails(project, "data/datasets/folder.h5", words=["dog"], log="datasets/folder.log")
    assert str(Path("images/test/dog")) in output or "class 'dog'" in output


def test_job_errors_name_the_data_set_of_the_config(project):
    folder_of_images(project)
    project.change("datasets.folder.classes", ["cat", "bird"])
    fails(project, "data/datasets/folder.h5", words=["datasets.folder.classes"], log="datasets/folder.log")


def test_corrupt_image(project):
    root = folder_of_images(project)
    path = root / "train/cat/1.png"
    path.write_bytes(path.read_bytes()[:60])
    fails(project, "data/datasets/folder.h5", words=["images/train/cat/1.png", "image"], log="datasets/folder.log")


# --- damage ----------------------------------------------------------------------------------------------------------


def test_truncated_hdf5_file(project):
    path = project.folder / "results/small/images/hidden1.am.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (project.folder / "results/small/substitution/hidden1.am.csv").unlink()
    fails(
        project,
        "results/small/substitution/hidden1.am.csv",
        *BY_TIME,
        words=["results/small/images/hidden1.am.h5", "cut off or damaged", "Delete it and run again"],
        log="small/substitution/hidden1.am.log",
    )
    # And what the message says to do helps.
    path.unlink()
    project.snakemake("results/small/substitution/hidden1.am.csv")


def test_truncated_table(project):
    path = project.folder / "results/small/substitution/hidden1.am.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1][: len(lines[-1]) // 2].rpartition(",")[0]]))
    (project.folder / "results/small/units.csv").unlink()
    words = ["hidden1.am.csv", "not a whole table"]
    fails(project, "results/small/units.csv", *BY_TIME, words=words, log="small/units.log")


def test_unsupported_format_version(project):
    path = project.folder / "data/datasets/digits.h5"
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    fails(
        project,
        "results/small/taps.json",
        "--forcerun",
        "taps",
        *BY_TIME,
        words=["data/datasets/digits.h5", "format_version 99"],
        same=False,
    )


@pytest.fixture
def full_project(project):
    """Return a project whose folder of data sets has 2 MB: less than the data set needs, so a write breaks off."""
    folder = project.folder / "data/datasets"
    shutil.rmtree(folder)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small file system needs root: {mounted.stderr.decode().strip()}")
    # What is finished already; also, Snakemake takes away folders that an error leaves empty, but cannot a mounted one.
    (folder / "finished.h5").write_bytes(b"finished")
    yield project
    subprocess.run(["umount", folder], check=True)


def test_no_space_left_on_the_disk(full_project):
    words = ["digits.h5 cannot be brought back", "No space left", "give the same command again"]
    fails(full_project, "data/datasets/digits.h5", words=words)
    shutil.rmtree(full_project.folder / ".dvc/cache")
    words = ["no space left on the disk", "run again", "data/datasets"]
    fails(full_project, "data/datasets/digits.h5", words=words, log="datasets/digits.log")
    assert [path.name for path in (full_project.folder / "data/datasets").iterdir()] == ["finished.h5"]


def test_config_must_be_yaml(project):
    (project.folder / "config.yaml").write_text("experiments:\n- [\n")
    done = project.try_to_run("snakemake", "-n")
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert "config.yaml, line 3: not valid YAML: " in done.stdout


def programs(project: Project, config: str) -> dict[str, list[str]]:
    """Return the commands by which users read a config."""
    make = project.command("make run")
    return {
        "make run": [*make, f"CONFIG={config}"],
        "make plan": [*make[:-1], "plan", f"CONFIG={config}"],
        "layers": ["python", "-m", "unitscope", "layers", config, "small"],
        "check": ["python", "-m", "unitscope", "check", config],
        "report": ["python", "-m", "unitscope", "report", config],
        "reproduce": ["python", "-m", "unitscope", "reproduce", "--config", config, "all"],
        "snakemake": ["snakemake", "-n"] if config == "config.yaml" else ["snakemake", "-n", "--configfile", config],
    }


def test_configs_run_no_code(project):
    text = (project.folder / "config.yaml").read_text()
    template = "__use_yte__: true\n__definitions__:\n- open('ran', 'w')\n" + text
    for config in ("config.yaml", "other.yaml"):
        (project.folder / config).write_text(template)
        for name, command in programs(project, config).items():
            # Another file Snakemake reads before the Snakefile, as SECURITY.md says.
            if (name in ("make run", "snakemake")) != (config == "config.yaml") and name != "make run":
                continue
            done = project.try_to_run(*command, PYTHONPATH=str(project.folder))
            message = re.sub(r"\s+", " ", done.stdout)
            assert done.returncode != 0 and "Traceback" not in message, (name, message)
            assert f"{config}, line 1: the key '__use_yte__' makes the config a template" in message, (name, message)
            assert not (project.folder / "ran").exists(), name


def test_duplicate_keys_are_refused_by_every_program(project):
    text = (project.folder / "config.yaml").read_text()
    (project.folder / "other.yaml").write_text(text + "device: cpu\n")
    line = len(text.splitlines()) + 1
    for name, command in programs(project, "other.yaml").items():
        done = project.try_to_run(*command, PYTHONPATH=str(project.folder))
        message = re.sub(r"\s+", " ", done.stdout)
        assert done.returncode != 0 and "Traceback" not in message, (name, message)
        assert f"other.yaml, line {line}: the key 'device' occurs twice (first in line 1)" in message, (name, message)


def test_snakemake_and_dvc_read_numbers_and_names_alike(project):
    text = (project.folder / "config.yaml").read_text()
    (project.folder / "config.yaml").write_text(
        text.replace("epochs: 1", "epochs: 1\n      learning_rate: 3e-2").replace(
            "experiments:\n  small:", "experiments:\n  '3e4':"
        )
    )
    output = project.run("snakemake", "-n", "-p")
    # What is the default is no other training, though Snakemake takes it for text.
    assert "rule checkpoint" not in output and "results/3e4/units.csv" in output
    assert "analysis@3e4" in project.run("dvc", "stage", "list", "--name-only").split()


def test_missing_required_section(project):
    project.write_config(
        {key: value for key, value in yaml.safe_load(yaml.safe_dump(SMALL)).items() if key != "networks"}
    )
    fails(project, words=["config.yaml", "lacks the key 'networks'"])
