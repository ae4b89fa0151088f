"""Training: what it promises of seeds and interruptions, linear heads, evaluation, and the script around them."""

import gc
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from networks_by_hand import quiet
from real_images import FOLDER, ROOT, collected, digits_file, shared, some_digits, write_images
from torch import nn

from unitscope.data.datasets import Dataset, open_dataset, write_dataset
from unitscope.errors import UserError
from unitscope.networks.architectures import Headed
from unitscope.networks.building import accept_pixels, build
from unitscope.networks.network_settings import NetworkJob
from unitscope.networks.outputs import Outputs
from unitscope.networks.training import augmented, chance, channel_statistics, evaluate, fit_linear_head, train
from unitscope.networks.weight_files import read_weights
from unitscope.networks.weights import load_weights
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime.devices import pixels
from unitscope.settings import adapter, as_mapping
from unitscope.storage.records import read_json, sha256_of
from unitscope.storage.scratch import Scratch

CPU = torch.device("cpu")
TRAINING = {
    "epochs": 4,
    "stop_after": None,
    "batch": 16,
    "learning_rate": 0.05,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "crop": 2,
    "flip": True,
    "precision": "auto",
}
NETWORK = {
    "source": "built_in",
    "model": "mlp",
    "options": {"widths": [8]},
    "input": None,
    "normalization": None,
    "weights": None,
    "head": None,
    "classes": None,
    "output": None,
    "outputs": None,
    "allow": [],
    "training": TRAINING,
    "seed": 0,
}


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory) -> Path:
    """Return a data set of three digits, 30 training and 10 test images of each."""
    return digits_file(tmp_path_factory.mktemp("digits") / "digits.h5")


def network(seed: int = 0) -> nn.Module:
    """Return a network with everything that has a state or draws random numbers: batch norm and dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(4 * 13 * 13, 3),
        )
    return accept_pixels(module, [0.13], [0.31])


def content(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    plain = torch.contiguous_format
    torch.save({key: value.clone(memory_format=plain) for key, value in module.state_dict().items()}, buffer)
    return buffer.getvalue()


def trained(path: Path, scratch: Scratch | None = None, seed: int = 0, **changes) -> tuple[bytes, list[dict]]:
    """Train the network of a seed; return its state and the history."""
    module = network(seed)
    with open_dataset(path) as dataset:
        history = train(module, dataset, {**TRAINING, **changes}, seed, scratch or Scratch(None, None), CPU)
    return content(module), history


class FrozenNorm(nn.Sequential):
    """A network whose batch norm is fixed."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(676, 3))

    def train(self, mode=True):
        super().train(mode)
        self[1].eval()
        return self


def test_a_batch_norm_that_the_network_keeps_in_eval_mode_is_not_trained(few_digits):
    module = accept_pixels(FrozenNorm(), [0.13], [0.31])
    weight = module.get_parameter("0.weight").detach().clone()
    with open_dataset(few_digits) as dataset:
        train(module, dataset, TRAINING, 0, Scratch(None, None), CPU)
    state = module.state_dict()
    assert state["1.num_batches_tracked"] == 0 and not state["1.running_mean"].any()
    assert not torch.equal(state["0.weight"], weight)


# --- seeds and interruptions -----------------------------------------------------------------------------------------


def test_weights_depend_on_the_seed(few_digits):
    first, history = trained(few_digits)
    assert trained(few_digits) == (first, history)
    assert trained(few_digits, seed=1)[0] != first
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert set(history[0]) == {"epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"}
    assert history[-1]["train_loss"] < history[0]["train_loss"] and history[-1]["test_accuracy"] > 0.8


class Cut(Scratch):
    """A scratch folder whose job is killed just after it has kept an epoch."""

    def __init__(self, folder: Path, key: object, after: int) -> None:
        super().__init__(folder, key)
        self.left = after

    def save(self, name: str, content: bytes) -> None:
        super().save(name, content)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Failing(Dataset):
    """A data set that cannot be read any more in the midst of an epoch."""

    def random_access(self, split: str) -> Callable[[np.ndarray], np.ndarray]:
        read, left = super().random_access(split), [9]

        def until_it_fails(rows: np.ndarray) -> np.ndarray:
            left[0] -= 1
            if not left[0]:
                raise ConnectionError("the disk is gone")
            return read(rows)

        return until_it_fails


@pytest.mark.parametrize("after", [1, 3])
def test_training_interrupted_after_an_epoch_resumes_identically(tmp_path, few_digits, after):
    with pytest.raises(KeyboardInterrupt):
        trained(few_digits, Cut(tmp_path / "kept", "key", after))
    kept = Scratch(tmp_path / "kept", "key")
    assert kept.load(f"epoch{after}.pt") is not None
    assert trained(few_digits, kept) == trained(few_digits)


def test_training_interrupted_within_an_epoch_resumes_identically(tmp_path, few_digits):
    module, kept = network(), Scratch(tmp_path / "kept", "key")
    with open_dataset(few_digits) as dataset:
        dataset.__class__ = Failing
        with pytest.raises(ConnectionError):
            train(module, dataset, TRAINING, 0, kept, CPU)
    assert len(torch.load(io.BytesIO(kept.load("epoch1.pt")), weights_only=True)["history"]) == 1
    assert trained(few_digits, kept) == trained(few_digits)


@pytest.mark.parametrize("damage", ["flip", "cut off", "empty"])
def test_damaged_epoch_falls_back_to_the_previous_one(tmp_path, few_digits, damage, caplog):
    with pytest.raises(KeyboardInterrupt):
        trained(few_digits, Cut(tmp_path / "kept", "key", 3))
    (path,) = (tmp_path / "kept").rglob("epoch3.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flip": content, "cut off": content[: len(content) // 2], "empty": b""}[damage])
    with caplog.at_level("INFO"):
        assert trained(few_digits, Scratch(tmp_path / "kept", "key")) == trained(few_digits)
    assert "epoch3.pt is damaged" in caplog.text and "goes on behind epoch 2" in caplog.text
    # The last two are kept, and no more.
    assert sorted(kept.name for kept in (tmp_path / "kept").rglob("*.pt")) == ["epoch3.pt", "epoch4.pt"]


def test_resume_files_of_another_key_are_ignored(tmp_path, few_digits):
    with pytest.raises(KeyboardInterrupt):
        trained(few_digits, Cut(tmp_path / "kept", "key", 2), learning_rate=0.01)
    assert trained(few_digits, Scratch(tmp_path / "kept", "other key")) == trained(few_digits)


def test_checkpoints_of_one_training_continue_from_each_other(tmp_path, few_digits):
    kept = Scratch(tmp_path / "kept", "key")
    whole = [trained(few_digits, stop_after=epoch) for epoch in (1, 3)]
    assert [trained(few_digits, kept, stop_after=epoch) for epoch in (1, 3)] == whole
    # What a later one has left is no beginning for an earlier one.
    assert len(torch.load(io.BytesIO(kept.load("epoch3.pt")), weights_only=True)["history"]) == 3
    assert trained(few_digits, kept, stop_after=1) == whole[0]


def test_early_stop_is_a_prefix_of_the_full_training(few_digits):
    _, whole = trained(few_digits)
    _, part = trained(few_digits, stop_after=2)
    _, short = trained(few_digits, epochs=2)
    assert part == whole[:2] and part != short


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"stop_after": 0}])
def test_no_epochs_leave_the_network_untrained(few_digits, changes):
    assert trained(few_digits, **changes) == (content(network()), [])


def test_images_decoded_on_the_fly_train_the_same_network(tmp_path):
    for number, name in enumerate("abc"):
        write_images(tmp_path / "tree" / name, number, 12)
    states = []
    for store in ("images", "index"):
        settings = {**FOLDER, "path": str(tmp_path / "tree"), "mode": "L", "store": store}
        write_dataset(tmp_path / f"{store}.h5", collected(settings))
        states.append(trained(tmp_path / f"{store}.h5"))
    assert states[0] == states[1]


@pytest.mark.slow
@pytest.mark.usefixtures("only_new_objects")
def test_no_training_step_leaks_a_tensor(few_digits):
    # Small ones between a step's large ones cost the training of a wide network 2 GiB an epoch.
    module, alive = network(), []

    def count(*_):
        # What other tests have left in cycles may go at any step.
        gc.collect()
        alive.append(sum(issubclass(type(held), torch.Tensor) for held in gc.get_objects()))

    module.register_forward_pre_hook(count)
    with open_dataset(few_digits) as dataset:
        train(module, dataset, {**TRAINING, "stop_after": 1, "batch": 10}, 0, Scratch(None, None), CPU)
    # Behind the training's 9 steps comes the evaluation's one. One tensor may be in the hands of the thread that reads
    # ahead; one left behind each step would be seven.
    assert len(alive) == 10 and max(alive[1:9]) - min(alive[1:9]) <= 1


def test_a_training_that_diverges_is_reported_with_a_fix(few_digits):
    with pytest.raises(UserError, match=r"diverged in epoch 1.*learning_rate"):
        trained(few_digits, learning_rate=1e30)


# --- augmentation ----------------------------------------------------------------------------------------------------


def test_augmentation_shifts_and_flips_images():
    random = np.random.default_rng(0)
    batch = random.integers(1, 256, (64, 5, 4, 3), dtype=np.uint8)
    assert augmented(batch, 0, False, random) is batch
    images = augmented(batch, 1, True, random)
    assert images.shape == batch.shape and images.dtype == np.uint8
    padded = np.pad(batch, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = set()
    for number, image in enumerate(images):
        candidates = {
            (top, left, mirrored): padded[number, top : top + 5, left : left + 4][:, :: -1 if mirrored else 1]
            for top in range(3)
            for left in range(3)
            for mirrored in (False, True)
        }
        (which,) = [name for name, candidate in candidates.items() if np.array_equal(candidate, image)]
        seen.add(which)
    assert len(seen) > 12


# --- measuring -------------------------------------------------------------------------------------------------------


def test_channel_statistics_are_those_of_the_training_pixels(few_digits):
    with open_dataset(few_digits) as dataset:
        pixels = dataset.images("train").reshape(-1, 1) / 255
        mean, std = channel_statistics(dataset)
    np.testing.assert_allclose(mean, pixels.mean(0), atol=1e-6)
    np.testing.assert_allclose(std, pixels.std(0), atol=1e-6)


def test_an_all_zero_network_is_at_chance(few_digits):
    module = quiet(nn.Sequential(nn.Flatten(), nn.Linear(784, 3)))
    for parameter in module.parameters():
        parameter.data.zero_()
    with open_dataset(few_digits) as dataset:
        scores = evaluate(module, dataset, "test", CPU)
    assert scores["loss"] == pytest.approx(math.log(3))
    assert scores["accuracy"] == pytest.approx(1 / 3) and scores["class_accuracy"] == [1.0, 0.0, 0.0]


def test_large_images_are_evaluated_in_smaller_batches(tmp_path):
    images, labels = some_digits(3, 40)
    np.savez(tmp_path / "large.npz", images=images.repeat(10, 1).repeat(10, 2), labels=labels)
    settings = {"source": "arrays", "path": str(tmp_path / "large.npz"), "test_fraction": 0.25, "seed": 0}
    write_dataset(tmp_path / "large.h5", collected(settings))
    module, sizes = quiet(nn.Sequential(nn.AdaptiveAvgPool2d(14), nn.Flatten(), nn.Linear(196, 3))), []
    module.register_forward_hook(lambda _, arguments, __: sizes.append(arguments[0].shape))
    with open_dataset(tmp_path / "large.h5") as dataset:
        scores = evaluate(module, dataset, "test", CPU)
        total, read = 0, sizes.copy()
        for count, _, height, width in read:
            assert count * height * width <= 2**20
            total += count
        assert len(read) > 1 and total == dataset.count("test")
        with torch.no_grad():
            logits = module(pixels(dataset.images("test"), CPU)).double()
        target = torch.from_numpy(dataset.labels("test"))
    assert scores["loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, target)))
    assert scores["accuracy"] == float((logits.argmax(1) == target).double().mean())


# --- linear heads ----------------------------------------------------------------------------------------------------


def headed() -> Headed:
    """Return random features of grey images, none of them of the same scale, with a head."""
    module = quiet(Headed(nn.Sequential(nn.Conv2d(1, 12, 5, stride=3)), 12, 3))
    module.features[0].weight.mul_(torch.logspace(-2, 2, 12).view(-1, 1, 1, 1))
    return module


def test_a_fitted_head_is_the_optimum_of_its_penalized_loss(few_digits):
    module, other = headed(), headed()
    with open_dataset(few_digits) as dataset:
        fit_linear_head(module, "head", dataset, 1e-2, CPU)
        fit_linear_head(other, "head", dataset, 1e-2, CPU)
        images, labels = dataset.images("train"), torch.from_numpy(dataset.labels("train"))
    assert content(module) == content(other)
    features = module.features(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).mean((2, 3))
    scale = features.std(0)
    # Where the gradient of the mean cross-entropy is opposite to that of the penalty, on features of one scale.
    weight = (module.head.weight * scale).requires_grad_()
    bias = (module.head.bias + module.head.weight @ features.mean(0)).requires_grad_()
    logits = (features - features.mean(0)) / scale @ weight.T + bias
    (nn.functional.cross_entropy(logits, labels) + 1e-2 / 2 * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-3 and bias.grad.abs().max() < 1e-3
    assert (logits.argmax(1) == labels).float().mean() > 0.7


def test_networks_with_auxiliary_heads_train_the_main_one():
    from torchvision.models import GoogLeNetOutputs

    logits = torch.rand(2, 3)
    logits_of = Outputs()
    assert logits_of(GoogLeNetOutputs(logits, torch.zeros(2, 3), torch.zeros(2, 3))) is logits
    assert logits_of(logits) is logits
    with pytest.raises(UserError, match="returns tuple; it has to return logits"):
        logits_of((logits, logits))


def test_no_hook_is_left_on_a_head(few_digits):
    module = headed()
    with open_dataset(few_digits) as dataset:
        fit_linear_head(module, "head", dataset, 1e-2, CPU)
        assert not module.head._forward_pre_hooks
        module.features[0] = nn.Conv2d(3, 12, 5)
        with pytest.raises(RuntimeError):
            fit_linear_head(module, "head", dataset, 1e-2, CPU)
    assert not module.head._forward_pre_hooks


@pytest.mark.slow
def test_vgg16s_imagenet_features_classify_photographs(tmp_path):
    weights, archive = shared("vgg16_imagenet_features_fp16.safetensors"), shared("imagenet20.tar")
    classes, split_counts = ("n01440764", "n02979186", "n03417042", "n03888257"), {"train": 30, "val": 15}
    with tarfile.open(archive) as photographs:
        members = [member for member in photographs if member.isfile() and member.name.count("/") == 2]
        for split, count in split_counts.items():
            for name in classes:
                photograph_members = sorted(m.name for m in members if m.name.startswith(f"{split}/{name}/"))[:count]
                photographs.extractall(tmp_path / "tree", photograph_members, filter="data")
    settings = {**FOLDER, "path": str(tmp_path / "tree"), "resize": 128, "crop": 112, "store": "index"}
    write_dataset(tmp_path / "x.h5", collected(settings))
    network_settings = {
        "source": "torchvision",
        "model": "vgg16",
        "options": {},
        "head": {"fit": "linear", "replaces": "classifier"},
    }
    with open_dataset(tmp_path / "x.h5") as dataset:
        module = build(network_settings, dataset.shape, len(classes))
        load_weights(module, read_weights(weights, sha256_of(weights))[0], weights.name, missing="head.")
        module = accept_pixels(module, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        fit_linear_head(module, "head", dataset, 1e-3, CPU)
        assert evaluate(module, dataset, "test", CPU)["accuracy"] >= 0.9


# --- the script ------------------------------------------------------------------------------------------------------


def script(settings: dict, output: Path, dataset: Path | None, *arguments: str) -> subprocess.CompletedProcess:
    program = [sys.executable, "-W", "error", str(ROOT / "scripts/data/checkpoint.py"), "--device", "cpu"]
    places = ["--dataset", *map(str, filter(None, [dataset])), "--output", str(output)]
    record = ["--record", str(output.with_suffix(".json"))]
    return subprocess.run(
        [*program, "--settings", json.dumps(settings), *places, *record, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
def test_the_script_trains_and_records(tmp_path, few_digits):
    for name in ("a", "b"):
        done = script(NETWORK, tmp_path / name / "x.pt", few_digits, "--scratch", str(tmp_path / "kept"))
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "kept").exists()
    for name in ("x.pt", "x.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    record, (probe, description) = read_json(tmp_path / "a/x.json"), open_checkpoint(tmp_path / "a/x.pt")
    assert record["checkpoint_sha256"] == sha256_of(tmp_path / "a/x.pt")
    assert record["dataset_sha256"] == sha256_of(few_digits) and record["settings"] == as_mapping(
        NetworkJob, adapter(NetworkJob).validate_python(NETWORK)
    )
    assert len(record["history"]) == 4
    with open_dataset(few_digits) as dataset:
        assert evaluate(probe.module, dataset, "test", CPU) == record["test"]
        assert description["classes"] == dataset.classes and description["input"] == dataset.shape


@pytest.mark.slow
def test_script_resumes_only_with_unchanged_user_files(tmp_path, few_digits):
    file, log = tmp_path / "own.txt", tmp_path / "log"
    kept = ("--scratch", str(tmp_path / "kept"), "--keep", "--files", str(file), "--log", str(log))
    for content, goes_on in (("a", False), ("a", True), ("b", False)):
        file.write_text(content)
        done = script(NETWORK, tmp_path / "x.pt", few_digits, *kept)
        assert done.returncode == 0, done.stderr
        assert ("goes on behind epoch" in log.read_text()) == goes_on


@pytest.mark.slow
def test_the_script_stores_configured_weights_in_a_checkpoint(tmp_path, few_digits):
    state = build(NETWORK, (1, 28, 28), 3).state_dict()
    torch.save(state, tmp_path / "w.pt")
    weights = {"file": str(tmp_path / "w.pt"), "sha256": sha256_of(tmp_path / "w.pt"), "key": None}
    scale = {"mean": [0.1], "std": [0.3]}
    network_settings = {**NETWORK, "weights": weights, "normalization": scale, "training": None}
    for name, dataset, settings in (
        ("with", few_digits, network_settings),
        ("without", None, {**network_settings, "input": [1, 28, 28]}),
    ):
        done = script(settings, tmp_path / f"{name}.pt", dataset)
        assert done.returncode == 0, done.stderr
        probe, description = open_checkpoint(tmp_path / f"{name}.pt")
        assert torch.equal(probe.module.logits.weight, state["logits.weight"])
        assert (description["mean"], description["std"], description["classes"]) == ([0.1], [0.3], ["0", "1", "2"])
    assert "test" in read_json(tmp_path / "with.json") and "test" not in read_json(tmp_path / "without.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalization": {"mean": [0.1] * 3, "std": [0.3] * 3}}, "1 channels"),
        ({"options": {"width": [8]}}, "widths"),
        ({"training": {**TRAINING, "learning_rate": 1e30}}, "learning_rate"),
        ({"weights": {"file": "w.pt", "sha256": "0" * 64, "key": None}}, "w.pt"),
    ],
)
def test_script_reports_errors_in_one_paragraph(tmp_path, few_digits, changes, message):
    done = script({**NETWORK, **changes}, tmp_path / "x.pt", few_digits, "--log", str(tmp_path / "x.log"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" in (tmp_path / "x.log").read_text() and not (tmp_path / "x.pt").exists()


@pytest.mark.parametrize(("count", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (5, [5]), (1, [1]), (3, [3])])
def test_no_batch_has_one_image_alone(count, sizes):
    from unitscope.networks.training import _batches

    assert _batches(count, 4) == sizes


@pytest.mark.parametrize(("labels", "share"), [([0, 1] * 50, 0.5), ([0] * 90 + [1] * 10, 0.9)])
def test_chance_accuracy_is_the_share_of_the_most_common_class(labels, share):
    chance_accuracy, margin = chance(np.array(labels))
    assert chance_accuracy == share and margin == pytest.approx(2 * np.sqrt(share * (1 - share) / 100))


def test_accuracy_at_chance_raises_a_warning(tmp_path, few_digits):
    state = build(NETWORK, (1, 28, 28), 3).state_dict()
    torch.save(state, tmp_path / "w.pt")
    weights = {"file": str(tmp_path / "w.pt"), "sha256": sha256_of(tmp_path / "w.pt"), "key": None}
    network_settings = {**NETWORK, "weights": weights, "normalization": {"mean": [0.1], "std": [0.3]}, "training": None}
    done = script(network_settings, tmp_path / "x.pt", few_digits)
    accuracy = read_json(tmp_path / "x.json")["test"]["accuracy"]
    with open_dataset(few_digits) as dataset:
        assert accuracy <= sum(chance(dataset.labels("test")))
    assert "no better than chance" in done.stderr


class HeadFirst(nn.Module):
    """Its last weights are not those of its outputs."""

    def __init__(self, classes=3):
        super().__init__()
        self.logits, self.hidden = nn.Linear(8, classes), nn.Linear(784, 8)

    def forward(self, x):
        return self.logits(torch.relu(self.hidden(x.flatten(1))))


@pytest.mark.parametrize(
    ("network", "weights", "named", "classes", "count"),
    [
        ({}, 3, None, ["a", "b", "c"], 3),
        # One output for two classes, and more outputs than the data set has classes.
        ({}, 1, ["a", "b"], ["a", "b"], 1),
        ({}, 5, list("abcde"), ["a", "b"], 5),
        # No data set, or one of another number of classes, which is told by what follows.
        ({}, 4, None, [], 4),
        ({}, 4, None, ["a", "b"], 4),
        ({"source": "python", "model": "test_training:HeadFirst", "options": {}}, 3, None, ["a", "b", "c"], 3),
    ],
)
def test_a_network_is_built_for_the_outputs_that_its_weights_have(network, weights, named, classes, count):
    spec = importlib.util.spec_from_file_location("checkpoint", ROOT / "scripts/data/checkpoint.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    settings = {**NETWORK, **network, "classes": named, "weights": {}}
    state = build({**settings, "seed": 1}, (1, 28, 28), weights).state_dict()
    module, built_for = program.with_pretrained_head(settings, (1, 28, 28), state, "x.pt", [], classes)
    assert built_for == count and torch.equal(module.logits.weight, state["logits.weight"])
