"""Convolutions with fewer multiplications against the direct ones, alone and within an ascent."""

import numpy as np
import pytest
import torch
from networks_by_hand import opened, quiet
from torch import fx, nn
from torch.nn import functional as F

from unitscope.maximization.maximize import maximize
from unitscope.maximization.passes import passes
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.winograd import (
    Filters,
    LightConv2d,
    convolved,
    lightened,
    suits,
)
from unitscope.networks.building import build, freeze


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 4), (5, 5), (1, 1), (7, 4), (3, 8)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_the_direct_convolution_forward_and_backward(height, width, bias, dtype, near):
    torch.manual_seed(0)
    module = nn.Conv2d(6, 10, 3, padding=1, bias=bias).to(dtype)
    images = torch.randn(3, 6, height, width, dtype=dtype, requires_grad=True)
    ahead = torch.randn(3, 10, height, width, dtype=dtype)
    light = LightConv2d(module)
    # Each dtype has its way to the products.
    packed = dtype is torch.float32 and torch.backends.mkldnn.is_available()
    assert {type(each.matrices) for each in light.filters} == {list if packed else torch.Tensor}
    winograd_maps, expected = light(images), module(images)
    torch.testing.assert_close(winograd_maps, expected, rtol=near, atol=near)
    (gradient,), (plain,) = (
        torch.autograd.grad(output, images, ahead, retain_graph=True) for output in (winograd_maps, expected)
    )
    torch.testing.assert_close(gradient, plain, rtol=near, atol=near)
    # Whatever lies how in memory.
    last = LightConv2d(module)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=near, atol=near)


def test_rounding_is_that_of_float32():
    torch.manual_seed(0)
    weight, images = torch.randn(512, 512, 3, 3) / 68, torch.randn(4, 512, 4, 4)
    exact = F.conv2d(images.double(), weight.double(), padding=1)
    error = (convolved(images, Filters(weight), None) - exact).abs().max() / exact.std()
    assert error < 3e-5
    # In bfloat16, whose numbers are rounded before anything is computed, some twice that of the direct convolution.
    images, weight = images.bfloat16(), weight.bfloat16()
    light, direct = (
        (maps - exact).abs().mean() / exact.std()
        for maps in (convolved(images, Filters(weight), None), F.conv2d(images, weight, padding=1))
    )
    assert 0 < light < 3 * direct < 0.02


def test_only_suitable_convolutions_are_replaced():
    def conv(channels=512, filters=512, size=3, **options):
        module = nn.Conv2d(channels, filters, size, **{"padding": 1, **options})
        return module.to(memory_format=torch.channels_last)

    class Subclass(nn.Conv2d):
        pass

    assert suits(conv()) and suits(conv(256, 256)) and suits(conv(512, 128, bias=False))
    assert suits(conv().bfloat16()) and suits(conv(256).bfloat16())
    others = [
        conv(256, 128),
        conv(256, 256).bfloat16(),
        conv(size=5),
        conv(stride=2),
        conv(padding=0),
        conv(padding="same"),
        conv(dilation=2),
        conv(groups=2),
        conv(padding_mode="reflect"),
        conv().double(),
        Subclass(512, 512, 3, padding=1),
        nn.Linear(512, 512),
    ]
    assert not any(map(suits, others))


class Deep(nn.Module):
    """Two convolutions that are replaced, one of them called twice, with what may stand behind them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 256, 1)
        self.widen, self.again = nn.Conv2d(256, 512, 3, padding=1), nn.Conv2d(512, 512, 3, padding=1)
        self.norm = nn.BatchNorm2d(512)
        self.last = nn.Conv2d(512, 6, 1)

    def forward(self, images):
        maps = F.relu(self.norm(self.widen(self.stem(images))))
        maps = maps + F.relu(self.again(maps))
        return self.last(F.relu_(self.again(maps)))


@pytest.mark.slow
def test_winograd_ascent_is_equal_and_leaves_the_network_unchanged(monkeypatch):
    torch.manual_seed(0)
    module = quiet(Deep())
    layer = opened(module, (3, 5, 5))["last"]
    images, targets = torch.rand(4, 3, 5, 5), torch.arange(4)
    results = {}
    for name in ("light", "plain"):
        if name == "plain":
            monkeypatch.setattr("unitscope.maximization.passes.lightened", lambda part: part)
        for objective in ("am", "iam"):
            leaf_images = images.clone().requires_grad_(True)
            value = passes(layer, Recipe(objective=objective))(leaf_images, targets)
            results[name, objective] = value.detach(), *torch.autograd.grad(value.sum(), leaf_images)
        results[name] = maximize(layer, np.arange(6), Recipe(objective="iam", steps=8))
    for objective in ("am", "iam"):
        for tensor, expected in zip(results["light", objective], results["plain", objective], strict=True):
            torch.testing.assert_close(tensor, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()) + 1e-7)
    # Adam moves a pixel by as much where the gradient is rounding alone: few may differ, by whatever they like.
    assert np.mean(np.abs(results["light"].images.astype(int) - results["plain"].images) > 1) < 0.1
    np.testing.assert_allclose(results["light"].objective, results["plain"].objective, rtol=1e-2)
    assert not any(isinstance(part, LightConv2d) for part in (*module.modules(), *layer.probe.module.modules()))
    assert not any(isinstance(part, LightConv2d) for part in layer.probe.traced.graph.modules())


@pytest.mark.parametrize("objective", ["am", "iam"])
def test_bfloat16_objective_is_as_accurate_as_direct_convolution(monkeypatch, objective):
    torch.manual_seed(0)
    layer = opened(quiet(Deep()), (3, 5, 5))["last"]
    images, targets = torch.rand(4, 3, 5, 5), torch.arange(4)

    def climbed(**changes):
        leaf_images = images.clone().requires_grad_(True)
        value = passes(layer, Recipe(objective=objective, **changes))(leaf_images, targets)
        (gradient,) = torch.autograd.grad(value.sum(), leaf_images)
        return value.detach(), gradient

    exact, light = climbed(), climbed(precision="bfloat16")
    monkeypatch.setattr("unitscope.maximization.passes.lightened", lambda part: part)
    direct = climbed(precision="bfloat16")
    for number in (0, 1):
        light_error, direct_error = (
            (pair[number] - exact[number]).norm() / exact[number].norm() for pair in (light, direct)
        )
        assert 0 < light_error < 1.5 * direct_error < 0.2


def test_most_of_vgg16s_convolutions_are_replaced():
    module = freeze(build({"source": "built_in", "model": "vgg16", "options": {}, "seed": 0}, (3, 32, 32), 10))
    part = lightened(fx.symbolic_trace(module))
    replaced = [name for name, submodule in part.named_modules() if isinstance(submodule, LightConv2d)]
    assert len(replaced) == 8
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(part(images), module(images), rtol=1e-4, atol=1e-4)
    # What is no traced part stays what it is.
    assert lightened(module) is module and not any(isinstance(submodule, LightConv2d) for submodule in module.modules())
