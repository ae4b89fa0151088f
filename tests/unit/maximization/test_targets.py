"""The short ways to a target's value and to a layer's means, against the plain one: values and gradients."""

import pytest
import torch
from networks_by_hand import InPlace, Residual, Shared, Tokens, Varied, opened, quiet
from torch import nn

from unitscope.maximization.objectives import objective
from unitscope.maximization.passes import passes
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.targets import target_unit, whole_layer

NETWORKS = {
    "residual": (Residual, 8),
    "shared": (Shared, 2),
    "in place": (InPlace, 8),
    "varied": (Varied, 8),
    "tokens": (Tokens, 8),
}
LAYERS = [
    (name, layer.name)
    for name, (network, size) in NETWORKS.items()
    for layer in opened(quiet(network()), (3, size, size))
]


def case(name, layer, images=7):
    network, size = NETWORKS[name]
    probed_layer = opened(quiet(network()), (3, size, size))[layer]
    pixels = torch.rand(images, 3, size, size, generator=torch.Generator().manual_seed(2))
    return (
        probed_layer,
        pixels.contiguous(memory_format=torch.channels_last),
        torch.arange(images) * 3 % probed_layer.units,
    )


def gradient(value, pixels):
    return torch.autograd.grad(value.sum(), pixels)[0]


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["mean", "max", "center"])
@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_single_units_and_whole_layers_equal_the_full_layer(name, layer, readout):
    layer, pixels, targets = case(name, layer)
    rows = torch.arange(len(targets))
    pixels.requires_grad_(True)
    before, after = layer.prefix(readout)(pixels)
    for target_values, layer_values in zip(
        target_unit(layer.tapped(), readout)(pixels, targets), (before, after), strict=True
    ):
        torch.testing.assert_close(target_values, layer_values[rows, targets])
        expected = gradient(layer.prefix(readout)(pixels)[0 if layer_values is before else 1][rows, targets], pixels)
        target_values = target_unit(layer.tapped(), readout)(pixels, targets)[0 if layer_values is before else 1]
        torch.testing.assert_close(gradient(target_values, pixels), expected)
    target_preactivations, activations = whole_layer(layer.tapped(), readout)(pixels, targets)
    torch.testing.assert_close(target_preactivations, before[rows, targets])
    torch.testing.assert_close(activations, after)
    weights = torch.rand(after.shape, generator=torch.Generator().manual_seed(3)) - 0.5
    expected = gradient((after * weights).sum(1) + 2 * before[rows, targets], pixels)
    torch.testing.assert_close(gradient((activations * weights).sum(1) + 2 * target_preactivations, pixels), expected)


@pytest.mark.parametrize("method", ["am", "iam", "iam_z"])
@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_ascent_passes_equal_the_objective(name, layer, method):
    target = "preactivation" if layer in ("conv1", "grouped") else "activation"
    layer, pixels, targets = case(name, layer)
    pixels.requires_grad_(True)
    before, after = layer.prefix("mean")(pixels)
    generator = torch.Generator().manual_seed(4)
    scale = torch.randn(after.shape[1], generator=generator), torch.rand(after.shape[1], generator=generator) + 0.5
    expected = objective(method, before, after, targets, scale, target)
    values = passes(layer, Recipe(objective=method, target=target), "mean", scale)(pixels, targets)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(gradient(values, pixels), gradient(expected, pixels))


def test_filters_are_used_exactly_where_applicable():
    def short(name, layer):
        return case(name, layer)[0].tapped().filters is not None

    assert [layer for name, layer in LAYERS if name == "varied" and not short(name, layer)] == [
        "dilated",  # A slope for each unit.
        "reflected",
        "same",
    ]
    assert all(short(name, layer) for name, layer in LAYERS if name != "varied")


class Standardized(nn.Conv2d):
    """A convolution that computes something else from its weight."""

    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


def test_convolution_subclass_uses_the_full_layer():
    module = quiet(nn.Sequential(Standardized(3, 4, 3), nn.ReLU()))
    pixels = torch.rand(2, 3, 8, 8)
    responses = target_unit(opened(module)["0"].tapped(), "mean")(pixels, torch.tensor([1, 3]))[1]
    torch.testing.assert_close(responses, module(pixels).mean((2, 3))[[0, 1], [1, 3]])


def test_batch_norm_without_running_statistics_uses_the_full_layer():
    module = quiet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU()))
    pixels = torch.rand(5, 3, 8, 8)
    responses = target_unit(opened(module)["0"].tapped(), "mean")(pixels, torch.tensor([0, 1, 2, 3, 0]))[1]
    torch.testing.assert_close(responses, module(pixels).mean((2, 3))[range(5), [0, 1, 2, 3, 0]])
