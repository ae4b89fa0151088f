"""Layers with added units: the same function with exact copies, weights shared by halves, or a reason why not."""

import numpy as np
import pytest
import torch
from networks_by_hand import InPlace, Residual, Shared, Tokens, Varied, opened, quiet
from torch import nn
from torch.nn import functional as F

from unitscope.errors import UserError
from unitscope.interventions.sets import removal
from unitscope.interventions.widening import Copies, exact_copies, obstacle, widened

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Columns(nn.Module):
    """A convolution with a batch norm, read by a convolution and two linear layers: by position, and as means."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.maps = nn.Conv2d(5, 4, 3, padding=1)
        self.places = nn.Linear(5 * 4, 4)
        self.means, self.of_maps = nn.Linear(5, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        maps = torch.relu(self.maps(x)).mean((2, 3))
        return self.of_maps(maps) + self.places(F.max_pool2d(x, 2).flatten(1)) + self.means(x.mean([2, 3]))


class Twice(nn.Module):
    """A layer whose pre-activation is read by two branches, one of which leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.side, self.last = nn.Linear(12, 6), nn.Linear(6, 2), nn.Linear(6, 4)

    def forward(self, x):
        x = self.first(x.flatten(1))
        self.side(x)
        return self.last(torch.relu(x))


WIDE = [
    (Columns, "conv"),
    (Columns, "maps"),
    (Varied, "strided"),
    (Varied, "reflected"),
    (Varied, "same"),
    (Varied, "hidden"),
    (InPlace, "first"),
    (InPlace, "second"),
    (Tokens, "up"),
    (Tokens, "mixed"),
]


@pytest.mark.parametrize(("kind", "name"), WIDE)
def test_exact_copies_compute_the_same_function_and_the_same_activations(kind, name):
    module = quiet(kind())
    layer = opened(module)[name]
    before = {key: value.clone() for key, value in layer.probe.module.state_dict().items()}
    wide = widened(layer, exact_copies(layer, [2, 0]))
    assert obstacle(layer) == ""
    torch.testing.assert_close(wide.probe(IMAGES), layer.probe(IMAGES), rtol=1e-5, atol=1e-5)
    before_widening, activations = (each.prefix("mean")(IMAGES)[1] for each in (layer, wide))
    assert (before_widening > 0).any(0).sum() > 1
    torch.testing.assert_close(activations[:, : layer.units], before_widening, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(activations[:, layer.units :], before_widening[:, [2, 0]], rtol=1e-5, atol=1e-6)
    # The layer describes itself, and the network that was given is as it was.
    assert wide.units == layer.units + 2
    assert [each.units for each in wide.probe.layers if each.name == name] == [wide.units]
    assert [each.units for each in wide.probe.layers if each.name != name] == [
        each.units for each in layer.probe.layers if each.name != name
    ]
    assert all(torch.equal(before[key], value) for key, value in layer.probe.module.state_dict().items())
    assert all(not parameter.requires_grad for parameter in wide.probe.module.parameters())


@pytest.mark.parametrize(("kind", "name"), WIDE)
def test_a_wide_network_is_cut_as_any_other(kind, name):
    layer = opened(quiet(kind()))[name]
    one, other = layer.prefix("mean")(IMAGES)[1].abs().mean(0).argsort(descending=True)[:2].tolist()
    wide = widened(layer, exact_copies(layer, [one, other]))
    pixels = (IMAGES.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    batches = [(pixels, np.array([0, 1, 2, 3, 0]))]
    zeros = np.zeros(wide.units)
    copies = [layer.units, layer.units + 1]
    both = removal(wide, batches, zeros, [[], [one, other, *copies], [one, copies[0]], [one], [copies[0]]]).loss
    plain = removal(layer, batches, zeros[: layer.units], [[], [one, other], [one]]).loss
    # Without a unit and its copy the network is the one without the unit.
    np.testing.assert_allclose(both[:3], plain, rtol=1e-4, atol=1e-5)
    # Each carries half.
    np.testing.assert_allclose(both[3], both[4], rtol=1e-4, atol=1e-5)
    assert np.abs(plain[2] - plain[0]).max() > 1e-4 and np.abs(both[3] - both[2]).max() > 1e-5


def test_half_of_each_weight_goes_to_the_copy():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    layer = opened(module, (1, 2, 2))["1"]
    wide = widened(layer, exact_copies(layer, [1])).probe.module
    weight, old = wide.get_submodule("3").weight, module[3].weight
    assert torch.equal(weight, torch.stack([old[:, 0], old[:, 1] / 2, old[:, 2], old[:, 1] / 2], 1))
    assert torch.equal(wide.get_submodule("1").weight, torch.cat([module[1].weight, module[1].weight[1:2]]))
    assert torch.equal(wide.get_submodule("1").bias, torch.cat([module[1].bias, module[1].bias[1:2]]))


def test_columns_of_a_flattened_map_follow_those_of_the_layer():
    module = quiet(Columns())
    layer = opened(module)["conv"]
    weight = widened(layer, exact_copies(layer, [3])).probe.module.places.weight.view(4, 6, 4)
    old = module.places.weight.view(4, 5, 4)
    assert torch.equal(weight[:, 5], old[:, 3] / 2) and torch.equal(weight[:, :3], old[:, :3])


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        (Residual, "stem", "add reads its activation"),
        (Residual, "conv1", "'conv2' reads its activation in groups"),
        (Residual, "conv2", "'conv2' is a grouped convolution"),
        (Residual, "fc", "its activation is an output of the network"),
        (Varied, "dilated", "its nonlinearity has parameters for each unit"),
        (InPlace, "third", "mul reads its activation"),
        (Shared, "first", "the module 'shared' is called 2 times"),
        (Shared, "shared-call2", "the module 'shared' is called 2 times"),
        (Twice, "first", "its pre-activation is read elsewhere, too"),
    ],
)
def test_what_cannot_be_widened_is_refused_with_a_reason(kind, name, why):
    layer = opened(quiet(kind()), (3, 2, 2) if kind in (Shared, Twice) else (3, 8, 8))[name]
    assert why in obstacle(layer)
    with pytest.raises(UserError, match="No units can be added") as error:
        widened(layer, Copies([0], torch.zeros(1), torch.zeros(1)))
    assert why in str(error.value)


def test_a_network_that_cannot_be_traced_is_not_widened():
    layer = opened(quiet(Columns()))["conv"]
    layer.probe.traced = None
    assert "torch.fx cannot trace the network" in obstacle(layer)


def test_a_batch_norm_without_running_statistics_is_refused():
    module = quiet(Columns())
    module.norm = nn.BatchNorm2d(5, track_running_stats=False).eval()
    refused = opened(module)
    # Its output for an image depends on the others: it may not be a layer at all.
    assert "conv" in refused.refused or "no running statistics" in obstacle(refused["conv"])
