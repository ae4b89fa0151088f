"""Layers: which are found, and that a network cut at one of them computes what the whole one does."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from networks_by_hand import (
    Discarding,
    InPlace,
    Residual,
    Shared,
    Tokens,
    Varied,
    Views,
    Windows,
    followed_by_hooks,
    opened,
    quiet,
)
from torch import nn
from torchvision import models

from unitscope.errors import UserError
from unitscope.interventions.ablation import ablation_scores
from unitscope.networks.normalization import network_of
from unitscope.probing.hooked import Hooked
from unitscope.probing.layer import read_out, unit_axis
from unitscope.probing.probe import Probe
from unitscope.probing.traced import Traced
from unitscope.probing.tracing import trace

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
SMALL = IMAGES[:, :, :2, :2]
BYTES = (np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8), np.arange(5) % 4)


def hooked(module: nn.Module, path: str, call: int, images: torch.Tensor) -> torch.Tensor:
    """Return what a module puts out at its n-th call, the plain way: through a hook."""
    seen = []
    handle = module.get_submodule(path).register_forward_hook(lambda *arguments: seen.append(arguments[2].clone()))
    try:
        module(images)
    finally:
        handle.remove()
    return seen[call]


def test_taps_of_a_residual_network():
    layers = {layer.name: layer for layer in opened(quiet(Residual()))}
    assert list(layers) == ["stem", "conv1", "conv2", "fc"]
    assert [layers[name].depth for name in layers] == [1, 2, 3, 4]
    # An addition lies between conv2 and its ReLU; nothing follows fc.
    assert [layers[name].signed for name in layers] == [False, False, True, True]
    assert (layers["conv1"].kind, layers["conv1"].units, layers["conv1"].map) == ("conv", 6, (8, 8))
    assert (layers["fc"].kind, layers["fc"].units, layers["fc"].map) == ("linear", 4, ())


def test_a_subclass_of_torchs_batch_norm_belongs_to_the_tap():
    class Norm(nn.BatchNorm2d):
        """Like its parent."""

    network = nn.Sequential(nn.Conv2d(3, 4, 3), Norm(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    network(torch.rand(9, 3, 8, 8) * 3)
    images = torch.rand(5, 3, 8, 8)
    network.eval()
    normed = network[1](network[0](images))
    preactivations, activations = opened(network)["0"].prefix("mean")(images)
    torch.testing.assert_close(preactivations, normed.mean((2, 3)))
    torch.testing.assert_close(activations, normed.relu().mean((2, 3)))
    assert type(network[1]) is Norm


def test_taps_of_a_module_that_is_called_twice():
    layers = {layer.name: layer for layer in opened(quiet(Shared()), (3, 2, 2))}
    assert list(layers) == ["first", "shared", "shared-call2", "last"]
    # Dropout does nothing here and does not separate a layer from its ReLU; GELU can be negative.
    assert [layers[name].signed for name in layers] == [False, True, False, True]


def test_a_layer_whose_rows_are_not_images_has_no_activation_for_an_image():
    module = quiet(Windows())
    assert [layer.name for layer in opened(module)] == ["conv", "last"]
    for form in (Traced(trace(module)), Hooked(module)):
        assert [layer.name for layer in form.describe((3, 8, 8))] == ["conv", "last"]


# --- architectures of torchvision, small instances -------------------------------------------------------------------


def vision_transformer() -> nn.Module:
    return models.VisionTransformer(
        image_size=16, patch_size=8, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=12, num_classes=3
    )


def of(name: str) -> Callable[[], nn.Module]:
    return lambda: models.get_model(name, num_classes=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "size", "count", "layer", "kind", "units", "signed"),
    [
        # An in-place ReLU that a block calls twice; the addition before the second.
        (of("resnet18"), 32, 21, "layer1.0.conv1", "conv", 64, False),
        (of("resnet18"), 32, 21, "layer1.0.conv2", "conv", 64, True),
        # Depthwise behind ReLU6; the linear bottleneck behind it.
        (of("mobilenet_v2"), 32, 53, "features.2.conv.1.0", "conv", 96, False),
        (of("mobilenet_v2"), 32, 53, "features.2.conv.2", "conv", 24, True),
        # SiLU; squeeze-excitation: one convolution behind SiLU, one behind a sigmoid.
        (of("efficientnet_b0"), 32, 82, "features.1.0.block.0.0", "conv", 32, True),
        (of("efficientnet_b0"), 32, 82, "features.1.0.block.1.fc2", "conv", 32, False),
        # Neurons of the MLP, behind GELU, over tokens.
        (vision_transformer, 16, 6, "encoder.layers.encoder_layer_0.mlp.0", "linear", 12, True),
    ],
)
def test_layers_of_common_architectures(network, size, count, layer, kind, units, signed):
    torch.manual_seed(0)
    module = network().eval().requires_grad_(False)
    images = torch.rand(3, 3, size, size)
    probe = opened(module, images.shape[1:])
    probed_layer = probe[layer]
    assert (len(probe), probed_layer.kind, probed_layer.units, probed_layer.signed) == (count, kind, units, signed)
    assert probed_layer.prefix("mean")(images)[1].shape == (3, units)
    cut = probed_layer.cut()
    activation, *middle = cut.prefix(images)
    torch.testing.assert_close(cut.suffix(*middle), module(images))
    # A clamped unit changes the answer as it does in the whole network, followed by hooks.
    unit_values = activation.narrow(unit_axis(kind), 1, 1)
    clamped = activation.clone()
    clamped.narrow(unit_axis(kind), 1, 1).fill_(0.7)
    full_pass = probe.hooked.cut(layer)
    expected = full_pass.suffix(clamped, *full_pass.prefix(images)[2:])
    start, *live = middle
    changed = clamped if cut.change is None else start + cut.change(1, unit_values, torch.full_like(unit_values, 0.7))
    torch.testing.assert_close(cut.suffix(changed, *live), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "images", "layer", "tapped", "activation"),
    [
        (Residual, IMAGES, "stem", ("stem", 0), torch.relu),
        (Residual, IMAGES, "conv1", ("bn1", 0), torch.relu),
        (Residual, IMAGES, "conv2", ("bn2", 0), lambda x: x),
        (Shared, SMALL, "shared", ("shared", 0), nn.functional.gelu),
        (Shared, SMALL, "shared-call2", ("shared", 1), torch.relu),
        (Shared, SMALL, "last", ("last", 0), lambda x: x),
    ],
)
def test_prefix_equals_hook_activations(network, images, layer, tapped, activation):
    module = quiet(network())
    expected = hooked(module, *tapped, images)
    before, after = opened(module, images.shape[1:])[layer].prefix("mean")(images)
    kept = expected.flatten(2).mean(2) if expected.dim() > 2 else expected
    torch.testing.assert_close(before, kept)
    expected = activation(expected)
    torch.testing.assert_close(after, expected.flatten(2).mean(2) if expected.dim() > 2 else expected)


@pytest.mark.parametrize(
    ("network", "images"), [(Residual, IMAGES), (Shared, SMALL), (Varied, IMAGES), (Tokens, IMAGES)]
)
def test_split_network_equals_the_network(network, images):
    module = quiet(network())
    expected = module(images)
    for layer in opened(module, images.shape[1:]):
        cut = layer.cut()
        torch.testing.assert_close(cut.suffix(*cut.prefix(images)[1:]), expected)


class Bent(Residual):
    """A function follows its first layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.fc(self.function(self.stem(x)).mean((2, 3)))


@pytest.mark.parametrize("function", [torch.special.expit, torch.ops.aten.relu, torch.ops.aten.sigmoid.default])
def test_nonlinearities_by_other_names(function):
    module = quiet(Bent(function))
    for form in (Traced(trace(module)), Hooked(module)):
        first, _ = form.describe((3, 8, 8))
        (read,) = form.readouts(["stem"], "mean")(IMAGES)
        assert not first.signed, form
        torch.testing.assert_close(read, function(module.stem(IMAGES)).mean((2, 3)))


class TwoHeads(Residual):
    """Gives features beside its logits, from a layer that the logits do not depend on."""

    def __init__(self):
        super().__init__()
        self.projection = nn.Linear(6, 9)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return {"logits": self.fc(x.mean((2, 3))), "features": torch.relu(self.projection(x.mean((2, 3))))}


@pytest.mark.parametrize("traced", [True, False])
def test_a_layer_that_the_logits_do_not_depend_on_changes_nothing_when_clamped(traced):
    probe = Probe(quiet(TwoHeads()), (3, 8, 8), mean=0.5, std=[0.5] * 3, output="logits")
    assert probe.traced
    if not traced:
        followed_by_hooks(probe)
    cut = probe["projection"].cut()
    activation, start, *live = cut.prefix(IMAGES)
    torch.testing.assert_close(cut.suffix(torch.zeros_like(start), *live), probe(IMAGES))
    features = network_of(probe.module)((IMAGES - 0.5) / 0.5)["features"]
    torch.testing.assert_close(activation, features)
    lost = ablation_scores(probe["projection"], [BYTES], {"": np.zeros(9)}, np.arange(5) % 2)[""]
    assert not lost.loss.any() and not lost.accuracy.any()
    lost = ablation_scores(probe["fc"], [BYTES], {"": np.zeros(4)}, np.arange(5) % 2)[""]
    assert lost.loss.any()


def test_the_suffix_starts_after_the_layer_that_alone_reads_the_units():
    def starts_after_reader(network, layer):
        return opened(quiet(network()))[layer].cut().change is not None

    varied = ["strided", "dilated", "grouped", "depthwise", "reflected", "same", "hidden", "last"]
    # Grouped or reflecting readers, and what an average pooling separates from its ReLU, take the plain way.
    assert [starts_after_reader(Varied, layer) for layer in varied] == [
        True,
        False,
        False,
        False,
        True,
        True,
        True,
        False,
    ]
    # Two readers; a residual addition; tokens that are mixed.
    assert [starts_after_reader(Residual, layer) for layer in ("stem", "conv1", "conv2")] == [False, False, False]
    assert [starts_after_reader(Tokens, layer) for layer in ("patches", "up", "down", "mixed")] == [
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("network", "signed"),
    [(InPlace, [False, False, True, True]), (Discarding, [False, False, True, True]), (Views, [True, True])],
)
def test_in_place_operations_do_not_change_taps(network, signed):
    module = quiet(network())
    expected = module(IMAGES)
    probe = opened(module)
    assert [layer.signed for layer in probe] == signed
    for layer in probe:
        cut = layer.cut()
        middle = cut.prefix(IMAGES)
        before = [value.clone() for value in middle]
        torch.testing.assert_close(cut.suffix(*middle[1:]), expected)
        assert all(torch.equal(*pair) for pair in zip(middle, before, strict=True))


def test_a_tensor_that_is_changed_in_place_is_read_as_changed():
    # Traced, so that an ablation need not be a full pass; through a view that cannot be told.
    traced = trace(quiet(Discarding()))
    torch.testing.assert_close(traced(IMAGES), quiet(Discarding())(IMAGES))
    assert trace(quiet(Views())) is None


def test_tracing_does_not_modify_the_network():
    module = quiet(Residual())
    expected = module(IMAGES)
    opened(module)["conv1"].cut()
    assert module.relu.inplace
    torch.testing.assert_close(module(IMAGES), expected)


def test_several_layers_in_one_pass():
    probe = opened(quiet(Residual()))
    names = ["conv2", "stem", "fc"]
    for name, values in zip(names, probe.readouts(names, "max")(IMAGES), strict=True):
        torch.testing.assert_close(values, probe[name].prefix("max")(IMAGES)[1])


def test_readouts():
    maps = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    assert torch.equal(read_out(maps, 1, "mean"), maps.mean((2, 3)))
    assert torch.equal(read_out(maps, 1, "max"), maps.amax((2, 3)))
    assert torch.equal(read_out(maps, 1, "center"), maps[:, :, 2, 2])
    tokens = torch.arange(2 * 3 * 4.0).view(2, 3, 4)
    assert torch.equal(read_out(tokens, -1, "mean"), tokens.mean(1))
    assert torch.equal(read_out(tokens, -1, "center"), tokens[:, 1])


def test_unknown_layer_error_lists_the_layers():
    with pytest.raises(UserError, match="stem, conv1, conv2, fc"):
        opened(quiet(Residual()))["conv9"]


def test_images_of_another_shape_are_an_error():
    with pytest.raises(UserError, match=r"\(1, 8, 8\)"):
        opened(quiet(Residual()), (1, 8, 8))
    for form in (Traced(trace(quiet(Residual()))), Hooked(quiet(Residual()))):
        with pytest.raises(UserError, match=r"\(1, 8, 8\)"):
            form.describe((1, 8, 8))


# --- what is left out ------------------------------------------------------------------------------------------------


class Mixed(nn.Module):
    """Has modules of every kind that cannot be tapped."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)
        self.line, self.up = nn.Conv1d(4, 4, 1), nn.ConvTranspose2d(4, 4, 2)
        self.attention, self.memory = nn.MultiheadAttention(4, 2, batch_first=True), nn.LSTM(4, 4, batch_first=True)
        self.spare, self.last = nn.Linear(4, 4), nn.Linear(4, 3)
        self.mixing = nn.Parameter(torch.eye(4))

    def forward(self, x):
        x = self.up(torch.relu(self.norm(self.conv(x))))
        x = self.line(x.flatten(2)).transpose(1, 2)
        x = self.attention(x, x, x, need_weights=False)[0]
        x = self.memory(x)[0] @ self.mixing
        return self.last(x.mean(1))


def test_modules_left_out_are_reported_with_the_reason():
    probe = opened(quiet(Mixed()))
    assert [layer.name for layer in probe] == ["conv", "last"]
    reasons = probe.left_out
    assert set(reasons) == {"norm", "line", "up", "attention", "attention.out_proj", "memory", "spare"}
    for path, words in {"norm": "GroupNorm", "line": "Conv1d", "up": "ConvTranspose2d", "memory": "LSTM"}.items():
        assert words in reasons[path]
    assert "without calling it" in reasons["attention.out_proj"] and "not called" in reasons["spare"]
    with pytest.raises(UserError, match=r"no layer 'up' in this network: a ConvTranspose2d.*layers are: conv, last"):
        probe["up"]
    assert set(opened(quiet(Windows())).left_out) == {"inside"}
    assert opened(quiet(Residual())).left_out == {}
