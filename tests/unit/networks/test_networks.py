"""Networks: architectures, weights from elsewhere, checkpoints, and what is refused."""

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
from collections import OrderedDict
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from networks_by_hand import Residual, opened, quiet
from real_images import ROOT, go_offline, shared
from safetensors.torch import save
from torch import nn

from unitscope.errors import UserError
from unitscope.networks.building import (
    _with_outputs,
    accept_pixels,
    build,
    classifier,
    freeze,
    normalized,
    output_count,
    undone,
)
from unitscope.networks.checkpoints import check_rebuilt, save_checkpoint
from unitscope.networks.examples import example_images
from unitscope.networks.layouts import arrange
from unitscope.networks.normalization import network_of, outputs_of
from unitscope.networks.sources import torchvision_weights
from unitscope.networks.state_dicts import aligned, output_names
from unitscope.networks.weight_files import read_weights
from unitscope.networks.weights import load_weights
from unitscope.probing.opening import open_checkpoint
from unitscope.probing.probe import Probe
from unitscope.probing.tracing import trace
from unitscope.runtime.devices import pixels

SMALL = {"source": "built_in", "model": "shallow_convnet", "options": {"channels": [3, 4], "pool": [2], "hidden": 5}}
FEATURES = {"fit": "linear", "replaces": "classifier"}
GREY, COLOUR = (1, 28, 28), (3, 32, 32)


def settings(model, source="built_in", **options):
    return {"source": source, "model": model, "options": options, "head": None, "seed": 0}


def layers(module, shape):
    return [layer.name for layer in opened(module, shape)]


def described(network, shape, classes):
    """Return the description that a checkpoint carries."""
    chosen = {key: network.get(key) for key in ("source", "model", "options", "head")}
    names = [f"class {number}" for number in range(classes)]
    return {**chosen, "input": list(shape), "mean": [0.3] * shape[0], "std": [0.2] * shape[0], "classes": names}


def checkpoint(path, network=SMALL, shape=GREY, classes=4, change=lambda state: None):
    """Write a checkpoint, its state dict changed by a function; return the network."""
    module = build(network, shape, classes)
    with torch.no_grad():
        change(module.state_dict())
    save_checkpoint(path, module, described(network, shape, classes))
    return freeze(accept_pixels(module, [0.3] * shape[0], [0.2] * shape[0]))


# --- architectures ---------------------------------------------------------------------------------------------------


def test_the_perceptron_of_the_paper():
    module = build(settings("mlp"), COLOUR, 10)
    assert layers(module, COLOUR) == ["hidden1", "hidden2", "hidden3", "hidden4", "logits"]
    widths = [3072, 128, 512, 2048, 2048, 10]
    expected = sum((before + 1) * after for before, after in pairwise(widths))
    assert sum(parameter.numel() for parameter in module.parameters()) == expected


def test_the_shallow_convnet_of_the_paper():
    probe = opened(build(settings("shallow_convnet"), COLOUR, 10), COLOUR)
    assert [(layer.name, layer.kind, layer.units, layer.map) for layer in probe] == [
        ("conv1", "conv", 64, (32, 32)),
        ("conv2", "conv", 64, (32, 32)),
        ("conv3", "conv", 128, (16, 16)),
        ("conv4", "conv", 128, (16, 16)),
        ("hidden", "linear", 512, ()),
        ("logits", "linear", 10, ()),
    ]


def test_the_shallow_convnets_options():
    module = build(settings("shallow_convnet", channels=[4, 5, 6], pool=[1, 3], batch_norm=True, hidden=7), GREY, 3)
    probe = opened(module, GREY)
    assert [probe[f"conv{n}"].map for n in (1, 2, 3)] == [(28, 28), (14, 14), (14, 14)]
    assert module.hidden.in_features == 6 * 7 * 7 and isinstance(module.bn2, nn.BatchNorm2d)
    assert module(torch.zeros(2, *GREY)).shape == (2, 3)


def test_vgg16_counts_its_convolutions_as_the_paper_does():
    plain = layers(build(settings("vgg16", batch_norm=False), COLOUR, 10), COLOUR)
    convolutions = [layer for layer in plain if layer.startswith("features")]
    assert [convolutions[number - 1] for number in (3, 9, 11)] == ["features.5", "features.19", "features.24"]
    assert len(convolutions) == 13 and plain[13:] == ["classifier.0", "classifier.3", "classifier.6"]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg16_is_named_as_torchvisions(batch_norm):
    from torchvision import models

    state = build(settings("vgg16", batch_norm=batch_norm), COLOUR, 10).state_dict()
    with torch.device("meta"):
        torchvision_state = (models.vgg16_bn if batch_norm else models.vgg16)().state_dict()
    features = {key: value.shape for key, value in torchvision_state.items() if key.startswith("features")}
    assert features == {key: value.shape for key, value in state.items() if key.startswith("features")}
    assert state.keys() == torchvision_state.keys()


def test_a_network_of_torchvision():
    module = build(settings("resnet18", "torchvision"), (3, 64, 64), 7)
    assert layers(module, (3, 64, 64))[:2] == ["conv1", "layer1.0.conv1"] and module.fc.out_features == 7


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (settings("lenet"), "not built in.*mlp, shallow_convnet, vgg16"),
        (settings("mlp", width=3), "the options widths"),
        (settings("mlp", widths=["wide"]), "does not take"),
        (settings("shallow_convnet", pools=[1]), "channels, pool, batch_norm, hidden"),
        (settings("shallow_convnet", pool=[5]), "1 to 4"),
        (settings("shallow_convnet", pool=[0]), "1 to 4"),
        (settings("shallow_convnet", channels=[2] * 6, pool=[1, 2, 3, 4, 5, 6]), "28x28"),
        (settings("vgg16"), "^vgg16.*32x32 pixels or more; these are 28x28"),
        (settings("resnet19", "torchvision"), "no classification model.*resnet18"),
        (settings("resnet18", "torchvision"), "3 channels, not 1"),
    ],
)
def test_unknown_models_and_options(network, message):
    with pytest.raises(UserError, match=message):
        build(network, GREY, 10)


def test_unknown_torchvision_options():
    with pytest.raises(UserError, match=r"vgg16 does not take the options.*colour.*dropout"):
        build(settings("vgg16", "torchvision", colour=True), (3, 64, 64), 10)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (settings("mlp"), COLOUR),
        (settings("shallow_convnet"), COLOUR),
        (settings("vgg16", batch_norm=False, dropout=0.0), COLOUR),
    ],
)
def test_untrained_networks_preserve_the_signal_scale(network, shape):
    images = torch.randn(8, *shape, generator=torch.manual_seed(0))
    logits = build(network, shape, 10)(images)
    assert 1 / 4 < logits.square().mean().sqrt() / 2**0.5 < 4


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (build({**SMALL, "seed": seed}, GREY, 4).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


# --- pixels ----------------------------------------------------------------------------------------------------------


def test_pixels_are_in_0_to_1_and_channels_last():
    batch = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    tensor = pixels(batch, torch.device("cpu"))
    assert tensor.dtype == torch.float32 and tensor.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(tensor.permute(0, 2, 3, 1).numpy(), batch.astype(np.float32) / np.float32(255))


def test_a_network_that_accepts_pixels_normalizes_them_itself():
    plain = quiet(Residual())
    mean, std = [0.1, 0.2, 0.3], [0.5, 1.0, 2.0]
    on_pixels = accept_pixels(plain, mean, std)
    images = torch.rand(2, 3, 8, 8)
    normalized = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.equal(on_pixels(images), plain(normalized))
    assert torch.equal(trace(on_pixels)(images), on_pixels(images))
    assert on_pixels.state_dict().keys() == plain.state_dict().keys()
    assert [layer.name for layer in Probe.owning(on_pixels.eval(), images)] == layers(plain, (3, 8, 8))
    assert type(plain) is Residual


class CustomModes(nn.Module):
    """Trains its dropout always and its batch norm never, and moves a tensor that is no buffer."""

    def __init__(self):
        super().__init__()
        self.bn, self.drop, self.fc = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Linear(3, 2)
        self.scale, self.log = torch.ones(()), []

    def train(self, mode=True):
        super().train(mode)
        self.bn.eval()
        self.drop.train()
        return self

    def eval(self):
        self.log.append("eval")
        return super().eval()

    def to(self, *args, **kwargs):
        self.log.append("to")
        return super().to(*args, **kwargs)

    def _apply(self, fn):
        super()._apply(fn)
        self.scale = fn(self.scale)
        return self

    def forward(self, x):
        return self.fc(self.drop(self.bn(x)).mean((2, 3)) * self.scale)


def test_overridden_train_and_to_of_a_network_are_respected():
    network = CustomModes()
    module = accept_pixels(network, [0.5] * 3, [0.5] * 3)
    for mode in (True, False):
        assert module.train(mode) is module
        assert (module.training, network.training) == (mode, mode)
        assert (network.bn.training, network.drop.training, network.fc.training) == (False, True, mode)
    assert not module.train().eval().training and network.log == ["eval"]
    assert module.to(torch.float64) is module
    assert network.log == ["eval", "to"] and network.scale.dtype == network.fc.weight.dtype == torch.float64
    assert module(torch.rand(2, 3, 4, 4).double()).dtype == torch.float64
    module.float()
    assert network.scale.dtype == torch.float32 and module(torch.rand(2, 3, 4, 4)).dtype == torch.float32


def test_frozen_means_eval_mode_and_no_gradients():
    module = freeze(build(settings("vgg16"), COLOUR, 3))
    assert not any(child.training for child in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert module.features[0].weight.is_contiguous(memory_format=torch.channels_last)


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (SMALL, GREY),
        (settings("shallow_convnet", channels=[4], pool=[], batch_norm=True, hidden=3), COLOUR),
        (settings("mlp", widths=[6, 5]), GREY),
        (settings("vgg16"), COLOUR),
        ({**settings("vgg16", batch_norm=False), "head": FEATURES}, COLOUR),
        (settings("squeezenet1_1", "torchvision"), (3, 64, 64)),
    ],
)
def test_a_checkpoint_rebuilds_its_network(tmp_path, network, shape):
    saved = checkpoint(tmp_path / "x.pt", network, shape)
    probe, record = open_checkpoint(tmp_path / "x.pt")
    loaded, images = probe.module, torch.rand(2, *shape)
    assert torch.equal(loaded(images), saved(images)) and torch.equal(probe(images), saved(images))
    assert record == {"format_version": 1, **described(network, shape, 4)}
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_same_weights_are_the_same_bytes(tmp_path):
    checkpoint(tmp_path / "a.pt")
    checkpoint(tmp_path / "elsewhere/b.pt")
    probe, record = open_checkpoint(tmp_path / "a.pt")
    # Another layout in memory, and equal texts that are one object or several.
    save_checkpoint(tmp_path / "c.pt", probe.module, {**record, "classes": [str(name) for name in record["classes"]]})
    checkpoint(tmp_path / "d.pt", {**SMALL, "seed": 1})
    a, b, c, d = ((tmp_path / name).read_bytes() for name in ("a.pt", "elsewhere/b.pt", "c.pt", "d.pt"))
    assert a == b == c != d


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_checkpoint(tmp_path, share):
    checkpoint(tmp_path / "x.pt")
    content = (tmp_path / "x.pt").read_bytes()
    (tmp_path / "x.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"x\.pt cannot be read"):
        open_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_checkpoint_with_values_that_are_not_finite(tmp_path, value):
    checkpoint(tmp_path / "x.pt", change=lambda state: state["conv2.bias"][1:2].fill_(value))
    with pytest.raises(UserError, match=r"x\.pt: conv2\.bias holds values that are not finite"):
        open_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format_version 2"),
        ({"model": "mlp", "options": {"widths": [5]}}, r"another network than Sequential.*lacks hidden1\.weight"),
        ({"options": {"channels": [3, 4], "pool": [], "hidden": 5}}, r"hidden\.weight is \(5, 784\), not \(5, 3136\)"),
        ({"options": {"channels": [3, 4], "pool": [2], "hidden": 5, "batch_norm": True}}, r"lacks bn1\.weight"),
        ({"options": {"channels": [3], "pool": [], "hidden": 5}}, r"has conv2\.weight, conv2\.bias, which"),
        ({"classes": ["only one"]}, r"logits\.weight is \(4, 5\), not \(1, 5\)"),
        ({"model": "transformer"}, "not built in"),
        ({"state_dict": ...}, "no checkpoint of unitscope"),
    ],
)
def test_inconsistent_checkpoint(tmp_path, changes, message):
    checkpoint(tmp_path / "x.pt")
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    torch.save({key: value for key, value in (content | changes).items() if value is not ...}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=message):
        open_checkpoint(tmp_path / "x.pt")


class Outside(nn.Module):
    """A network with a tensor that its state dict lacks: a buffer, and one that is random where it is asked for."""

    def __init__(self, shape, classes, random=False):
        super().__init__()
        self.fc = nn.Linear(shape[0], classes)
        self.register_buffer("mean", torch.zeros(classes), persistent=False)
        self.offset = torch.tensor(np.random.default_rng().normal(size=classes) if random else [0.0] * classes).float()

    def forward(self, x):
        logits = self.fc(x.mean((2, 3))) + self.offset
        if self.training:
            self.mean = self.mean + logits.detach().mean(0)
        return logits - self.mean


EXAMPLES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8))


def outside(**options):
    """Return a network of one's own that takes pixels, and its description."""
    network = settings(f"{__name__}:Outside", "python", **options)
    module = accept_pixels(build(network, (3, 8, 8), 4), [0.3] * 3, [0.2] * 3)
    outputs = {"outputs": outputs_of(module).described(), "examples": EXAMPLES}
    return module.eval(), {**described(network, (3, 8, 8), 4), **outputs}


def test_network_that_is_rebuilt_differently_is_refused(tmp_path):
    module, description = outside()
    python = description["model"]
    check_rebuilt(module, description)
    save_checkpoint(tmp_path / "same.pt", module, description)
    assert "logits" not in open_checkpoint(tmp_path / "same.pt", python=python)[1]
    module.train()(torch.rand(5, 3, 8, 8))
    save_checkpoint(tmp_path / "x.pt", module, description)
    with pytest.raises(UserError, match=r"x\.pt: the network .* is not the one that was saved.*persistent=False"):
        open_checkpoint(tmp_path / "x.pt", python=python)
    # A network that draws random numbers has no logits to compare, and earlier versions kept none.
    save_checkpoint(tmp_path / "x.pt", module, description, repeats=False)
    assert "logits" not in torch.load(tmp_path / "x.pt", weights_only=True)
    open_checkpoint(tmp_path / "x.pt", python=python)


def test_a_network_with_random_numbers_outside_its_state_is_refused_before_training(tmp_path):
    module, description = outside(random=True)
    with pytest.raises(UserError, match=r"Outside, built again.*is random.*register_buffer"):
        check_rebuilt(module, description)


class Following(Residual):
    """A network whose state follows the images, in every forward pass."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        logits = super().forward(x)
        self.seen.mul_(0.5).add_(logits.detach().mean(0))
        return logits - self.seen


def test_state_changed_by_a_forward_pass_is_reset_before_comparison(tmp_path):
    network = settings(f"{__name__}:Following", "python")
    module = accept_pixels(quiet(build(network, (3, 8, 8), 4)), [0.3] * 3, [0.2] * 3)
    described_so = {**described(network, (3, 8, 8), 4), "outputs": outputs_of(module).described(), "examples": EXAMPLES}
    check_rebuilt(module, described_so)
    save_checkpoint(tmp_path / "x.pt", module, described_so)
    # By the check of its forms, which comes after that of its logits.
    with pytest.raises(UserError, match="Its buffer 'seen' changes in eval mode"):
        open_checkpoint(tmp_path / "x.pt", python=network["model"])


def test_logits_of_examples_depend_on_weights_alone(tmp_path):
    for name, threads, layout in (("a", 1, torch.contiguous_format), ("b", 2, torch.channels_last)):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            network = accept_pixels(build(SMALL, GREY, 4), [0.3], [0.2]).train()
            examples = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8))
            save_checkpoint(
                tmp_path / f"{name}.pt", arrange(network, layout), {**described(SMALL, GREY, 4), "examples": examples}
            )
            open_checkpoint(tmp_path / f"{name}.pt")
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


class Lazy(nn.Module):
    """Layers that get their shapes from an image, and one that the first forward pass makes."""

    def __init__(self, classes, unused=False):
        super().__init__()
        self.a, self.bn, self.fc, self.classes = nn.LazyConv2d(5, 3), nn.LazyBatchNorm2d(), None, classes
        if unused:
            self.unused = nn.LazyLinear(3)

    def forward(self, x):
        x = torch.relu(self.bn(self.a(x))).mean((2, 3))
        if self.fc is None:
            self.fc = nn.Linear(x.shape[1], self.classes)
        return self.fc(x)


def test_layers_created_by_the_first_pass_depend_on_the_seed(tmp_path):
    network = settings(f"{__name__}:Lazy", "python")
    module, again = (build(network, (3, 8, 8), 4) for _ in range(2))
    state = module.state_dict()
    assert state["a.weight"].shape == (5, 3, 3, 3) and state["fc.weight"].shape == (4, 5) and module.training
    assert all(torch.equal(state[key], value) for key, value in again.state_dict().items())
    save_checkpoint(tmp_path / "x.pt", module, described(network, (3, 8, 8), 4))
    loaded = open_checkpoint(tmp_path / "x.pt", python=network["model"])[0].module
    assert torch.equal(loaded.fc.weight, state["fc.weight"])


def test_uninitialized_lazy_layers_are_named():
    with pytest.raises(UserError, match=r"Lazy: unused\.weight is lazy and gets no shape"):
        build(settings(f"{__name__}:Lazy", "python", unused=True), (3, 8, 8), 4)
    with pytest.raises(UserError, match="Lazy does not accept 1 images of 2x2"):
        build(settings(f"{__name__}:Lazy", "python"), (3, 2, 2), 4)


class ActNorm(nn.Module):
    """A layer that takes scale and offset from its first images, in eval mode as well."""

    def __init__(self, buffer):
        super().__init__()
        self.scale, self.offset = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))
        if buffer:
            self.register_buffer("done", torch.tensor(False))
        else:
            self.done = False

    def forward(self, x):
        if not self.done:
            with torch.no_grad():
                self.offset.copy_(-x.mean((0, 2, 3)))
                self.scale.copy_(1 / (x.std((0, 2, 3)) + 1e-6))
            self.done = torch.ones_like(self.done) if isinstance(self.done, torch.Tensor) else True
        return (x + self.offset[:, None, None]) * self.scale[:, None, None]


def act_norm(buffer=True):
    return nn.Sequential(nn.Conv2d(3, 4, 3), ActNorm(buffer), nn.Flatten(), nn.Linear(144, 4))


def test_network_is_initialized_from_the_first_images_of_the_data_set():
    network = settings(f"{__name__}:act_norm", "python")
    scales, images = ([0.5] * 3, [0.5] * 3), torch.rand(4, 3, 8, 8)
    module = normalized(build(network, (3, 8, 8), 4), (3, 8, 8), scales, network, list("abcd"))
    part = module.get_submodule("1")
    with undone(module):
        module(images)
        assert part.done and not torch.equal(part.scale, torch.ones(4))
    assert not part.done and torch.equal(part.scale, torch.ones(4)) and torch.equal(part.offset, torch.zeros(4))
    message = r"parameter 1\.scale of Sequential changes.*not the one of its weights"
    with pytest.raises(UserError, match=message), undone(module, trained=True):
        module(images)
    with undone(module, trained=True):
        module(images)
    with pytest.raises(UserError, match=r"1\.scale of Sequential is initialized.*1\.done.*register_buffer\('done'"):
        build({**network, "options": {"buffer": False}}, (3, 8, 8), 4)


def test_checkpoint_job_does_not_initialize_from_check_images():
    spec = importlib.util.spec_from_file_location("checkpoint", ROOT / "scripts/data/checkpoint.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    network = settings(f"{__name__}:act_norm", "python") | {"allow": [], "outputs": None, "weights": None}
    module = normalized(build(network, (3, 8, 8), 4), (3, 8, 8), ([0.3] * 3, [0.2] * 3), network, list("abcd"))
    description = {**described(network, (3, 8, 8), 4), "outputs": outputs_of(module).described()}
    script.hold_against_itself(module, description, None, network)
    assert not module.get_submodule("1").done
    with pytest.raises(UserError, match=r"1\.scale of Sequential changes"):
        script.hold_against_itself(module, description, None, {**network, "weights": {"file": "x.pt"}})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_unsupported_precision_is_reported(dtype):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 4)).to(dtype)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(UserError, match=rf"weights are {name}.*module\.float\(\).*x\.to\(torch\.{name}\)") as error:
        normalized(module, (3, 8, 8), ([0.5] * 3, [0.5] * 3), settings("x", "python"), list("abcd"))
    assert "data set" not in str(error.value)


class Logarithmic(nn.Module):
    """A module that takes the exponential of what files of its version 1, or of none, hold."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.2, 2, 4))

    def _load_from_state_dict(self, state, prefix, versions, *rest):
        if (versions.get("version") or 1) < 2:
            state[f"{prefix}scale"] = state[f"{prefix}scale"].exp()
        super()._load_from_state_dict(state, prefix, versions, *rest)

    def forward(self, x):
        return x * self.scale


def logarithmic():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), Logarithmic())


def test_a_checkpoint_keeps_the_versions_of_modules(tmp_path):
    network = settings(f"{__name__}:logarithmic", "python")
    module = normalized(build(network, (3, 8, 8), 4), (3, 8, 8), ([0.3] * 3, [0.2] * 3), network, list("abcd")).eval()
    description = {**described(network, (3, 8, 8), 4), "outputs": outputs_of(module).described()}
    description["examples"] = torch.from_numpy(example_images(np.empty(0), (3, 8, 8)))
    check_rebuilt(module, description)
    for name in "ab":
        save_checkpoint(tmp_path / f"{name}.pt", module, description)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    loaded = open_checkpoint(tmp_path / "a.pt", python=network["model"])[0].module
    assert torch.equal(loaded.get_submodule("2").scale, torch.linspace(0.2, 2, 4))


class Counted(Residual):
    """A network with a state beside its tensors."""

    def __init__(self, state):
        super().__init__()
        self.extra = state

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = {"set": state}


def test_extra_state_is_kept(tmp_path):
    network = settings(f"{__name__}:Counted", "python", state=None)
    module = build(network, (3, 8, 8), 4)
    module.extra = {"version": 2, "names": ["a", "b"]}
    save_checkpoint(tmp_path / "x.pt", module, described(network, (3, 8, 8), 4))
    loaded = open_checkpoint(tmp_path / "x.pt", python=network["model"])[0].module
    assert network_of(loaded).extra == {"set": module.extra}
    save_checkpoint(tmp_path / "y.pt", module, described(network, (3, 8, 8), 4))
    assert (tmp_path / "x.pt").read_bytes() == (tmp_path / "y.pt").read_bytes()
    state = module.state_dict()
    load_weights(module, {key: value for key, value in state.items() if key != "_extra_state"}, "x.pt")
    assert module.extra == {"set": {"version": 2, "names": ["a", "b"]}}
    checksum = written(tmp_path / "w.pt", state)
    assert read_weights(tmp_path / "w.pt", checksum)[0]["_extra_state"] == state["_extra_state"]


@pytest.mark.parametrize("state", [{1: 2}, (1, 2), torch.float16, {"x": float("nan")}])
def test_extra_state_that_a_checkpoint_cannot_keep_is_refused_before_training(state):
    scale = [0.5] * 3, [0.5] * 3
    with pytest.raises(UserError, match=r"state dict of Counted holds _extra_state.*consists of texts"):
        normalized(Counted(state), (3, 8, 8), scale, {}, list("abcd"))
    normalized(Counted({"x": 1.5}), (3, 8, 8), scale, {}, list("abcd"))


class Rounding(Residual):
    """A network whose logits show the rounding of float32."""

    def forward(self, x):
        return torch.sin(1e4 * super().forward(x))


def test_logits_within_rounding_belong_to_the_same_network(tmp_path):
    network = settings(f"{__name__}:Rounding", "python")
    module = accept_pixels(quiet(build(network, (3, 8, 8), 3)), [0.3] * 3, [0.2] * 3)
    save_checkpoint(tmp_path / "x.pt", module, {**described(network, (3, 8, 8), 3), "examples": EXAMPLES})
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    for share, expected in ((1e-3, nullcontext()), (9.0, pytest.raises(UserError, match="not the one that was saved"))):
        torch.save(content | {"logits": content["logits"] * (1 + share)}, tmp_path / "x.pt")
        with expected:
            open_checkpoint(tmp_path / "x.pt", python=network["model"])


@pytest.mark.parametrize(
    "logits",
    [
        torch.zeros(2, 4),
        torch.zeros(3),
        torch.zeros(3, 4, dtype=torch.complex64),
        [1.0],
        torch.full((3, 4), float("nan")),
    ],
)
def test_logits_that_differ_from_the_examples_are_refused(tmp_path, logits):
    module, description = outside()
    save_checkpoint(tmp_path / "x.pt", module, description)
    torch.save(torch.load(tmp_path / "x.pt", weights_only=True) | {"logits": logits}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt.*(its logits is|its logits differ)"):
        open_checkpoint(tmp_path / "x.pt", python=description["model"])


def test_missing_checkpoint(tmp_path):
    for path in (tmp_path / "missing.pt", tmp_path):
        with pytest.raises(UserError, match="not a file"):
            open_checkpoint(path)


def test_loading_has_few_imports(tmp_path):
    checkpoint(tmp_path / "x.pt")
    code = (
        "import sys; from unitscope.probing.opening import open_checkpoint; open_checkpoint(sys.argv[1]); "
        "sys.exit(', '.join({'torchvision', 'torch._dynamo', 'pandas', 'safetensors'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "x.pt")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


# --- weights from elsewhere ------------------------------------------------------------------------------------------


def written(path: Path, state) -> str:
    """Write a state dict in the form that the file's name says; return its checksum."""
    content = io.BytesIO()
    if path.suffix == ".safetensors":
        content.write(save(dict(state)))
    else:
        torch.save(state, content)
    path.write_bytes(content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


@pytest.mark.parametrize("name", ["x.pt", "x.pth", "x.safetensors"])
def test_state_dicts_in_half_precision_with_a_prefix(tmp_path, name):
    state = build(SMALL, GREY, 4).state_dict()
    checksum = written(tmp_path / name, {f"module.{key}": value.half() for key, value in state.items()})
    aligned_state = aligned(read_weights(tmp_path / name, checksum)[0], list(state), name)
    assert aligned(read_weights(tmp_path / name, checksum)[0], [], name, "module.").keys() == aligned_state.keys()
    assert aligned_state.keys() == state.keys()
    for key, value in aligned_state.items():
        assert value.dtype == torch.float32 and torch.equal(value, state[key].half().float())
    module = build({**SMALL, "seed": 1}, GREY, 4)
    load_weights(module, aligned_state, name)
    assert all(torch.equal(value, aligned_state[key]) for key, value in module.state_dict().items())


def test_state_dicts_wrapped_and_without_counts_of_batches(tmp_path):
    network = settings("shallow_convnet", channels=[4], pool=[1], batch_norm=True, hidden=3)
    state = build(network, GREY, 4).state_dict()
    old = OrderedDict((key, value) for key, value in state.items() if "num_batches" not in key)
    checksum = written(tmp_path / "x.pt", {"epoch": 3, "state_dict": old})
    module = build({**network, "seed": 1}, GREY, 4)
    load_weights(module, read_weights(tmp_path / "x.pt", checksum)[0], "x.pt")
    assert torch.equal(module.conv1.weight, state["conv1.weight"])
    assert module.train()(torch.rand(2, *GREY)).shape == (2, 4)


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_wrong_checksum_and_truncated_file(tmp_path, name):
    path = tmp_path / name
    checksum = written(path, build(SMALL, GREY, 4).state_dict())
    with pytest.raises(UserError, match=rf"{name} is {'0' * 64}, but the file has {checksum}"):
        read_weights(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=name):
        read_weights(path, hashlib.sha256(path.read_bytes()).hexdigest())


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_weights_file_is_not_run(tmp_path):
    trace = tmp_path / "was_run"
    checksum = written(tmp_path / "x.pt", {"conv1.weight": Touch(trace)})
    with pytest.raises(UserError, match=r"x\.pt cannot be read.*runs code"):
        read_weights(tmp_path / "x.pt", checksum)
    with pytest.raises(UserError, match=r"x\.pt cannot be read"):
        open_checkpoint(tmp_path / "x.pt")
    assert not trace.exists()
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert trace.exists()


def test_files_that_are_not_state_dicts(tmp_path):
    checksum = written(tmp_path / "x.pt", {"conv1.weight": 3})
    with pytest.raises(UserError, match="not a state dict"):
        read_weights(tmp_path / "x.pt", checksum)


def test_output_count_does_not_depend_on_key_order():
    network = {**settings("vgg16", batch_norm=False), "seed": 1}
    state = build(network, COLOUR, 6).state_dict()
    assert output_names(build(network, COLOUR, 1), dict(sorted(state.items()))) == list("012345")


# --- features alone --------------------------------------------------------------------------------------------------


def test_head_classifies_averaged_features():
    network = {**settings("vgg16", batch_norm=False), "head": FEATURES}
    module = freeze(build(network, (3, 64, 64), 5))
    assert layers(module, (3, 64, 64))[-2:] == ["features.28", "head"]
    images = torch.rand(2, 3, 64, 64)
    expected = module.features(images).mean((2, 3)) @ module.head.weight.T + module.head.bias
    torch.testing.assert_close(module(images), expected)


def test_a_new_last_layer_replaces_that_of_the_network():
    head = {"fit": "linear", "replaces": "last_layer"}
    plain = build(settings("mlp", widths=[6]), GREY, 4)
    assert classifier(plain, GREY) == "logits" and output_count(plain, GREY, {}) == 4
    for network, shape, path in (
        (settings("vgg16", "torchvision"), (3, 64, 64), "classifier.6"),
        (settings("resnet18", "torchvision"), (3, 64, 64), "fc"),
        (settings("networks_by_hand:Residual", "python"), (3, 8, 8), "fc"),
    ):
        module = freeze(build({**network, "head": head}, shape, 7))
        assert classifier(module, shape) == path and module(torch.rand(2, *shape)).shape == (2, 7)


def test_a_last_layer_without_bias_gets_a_bias():
    # As many outputs as there are classes: it would be kept otherwise, and the fitted mean has to go somewhere.
    module = _with_outputs(nn.Sequential(nn.Flatten(), nn.Linear(784, 4, bias=False)), GREY, 4)
    assert module[1].bias is not None and module(torch.rand(2, *GREY)).shape == (2, 4)


def test_network_without_a_final_linear_layer_gets_no_new_head():
    with pytest.raises(UserError, match=r"SqueezeNet ends with none.*replaces: classifier"):
        build(
            {**settings("squeezenet1_1", "torchvision"), "head": {"fit": "linear", "replaces": "last_layer"}}, COLOUR, 7
        )


def test_head_requires_matching_features_and_images():
    with pytest.raises(UserError, match="shallow_convnet has none"):
        build({**SMALL, "head": FEATURES}, GREY, 4)
    with pytest.raises(UserError, match="16x16"):
        build({**settings("vgg16", "torchvision"), "head": FEATURES}, (3, 16, 16), 4)


@pytest.mark.slow
def test_vgg16_features_load_into_torchvision_and_built_in_models():
    path = shared("vgg16_imagenet_features_fp16.safetensors")
    state = read_weights(path, hashlib.sha256(path.read_bytes()).hexdigest())[0]
    for network in (settings("vgg16", "torchvision"), settings("vgg16", batch_norm=False)):
        module = build({**network, "head": FEATURES}, (3, 64, 64), 4)
        load_weights(module, state, path.name, missing="head.")
        assert torch.equal(module.features[28].weight, state["features.28.weight"])
        with pytest.raises(UserError, match=r"lacks classifier\.0\.weight"):
            load_weights(build(network, (3, 64, 64), 4), state, path.name)


def test_torchvision_weights_without_a_network(tmp_path, monkeypatch):
    go_offline(monkeypatch)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"https://.*resnet18.*\.pth at .*checkpoints/resnet18") as error:
        torchvision_weights("resnet18", "IMAGENET1K_V1")
    assert str(tmp_path) in str(error.value)
    with pytest.raises(UserError, match="no weights 'BEST' for resnet18; it has IMAGENET1K_V1"):
        torchvision_weights("resnet18", "BEST")
    with pytest.raises(UserError, match="resnet19"):
        torchvision_weights("resnet19", "IMAGENET1K_V1")
