"""Rescaled networks: the same function to the last bit, other scales of the units, or a word on why not."""

import numpy as np
import pytest
import torch
from networks_by_hand import InPlace, Residual, Shared, Tokens, Varied, opened, quiet
from torch import fx, nn
from torch.nn import functional as F

from unitscope.errors import UserError
from unitscope.interventions.network_behaviour import layer_responses
from unitscope.interventions.rescaling import obstacle, rescaled
from unitscope.maximization.passes import passes
from unitscope.maximization.recipe import Recipe
from unitscope.networks.normalization import is_borrowed
from unitscope.probing.probe import Probe
from unitscope.scores.substitution import substitution

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Readers(nn.Module):
    """Three layers read the units of the first: a depthwise, a grouped and a full one; the next is read as columns."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.depthwise = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.grouped = nn.Conv2d(6, 12, 3, padding=1, groups=2)
        self.full = nn.Conv2d(6, 12, 1)
        self.norm = nn.BatchNorm2d(12)
        self.drop = nn.Dropout2d()
        self.last = nn.Linear(12 * 4, 4)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = self.depthwise(x) + self.grouped(F.avg_pool2d(x, 3, 1, 1)) * self.full(x)
        return self.last(torch.flatten(F.adaptive_avg_pool2d(self.drop(x), 2), 1))


class Columns(nn.Module):
    """A convolution behind a batch norm, read by two linear layers: place by place, and averaged over space."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.places = nn.Linear(5 * 4, 4)
        self.means = nn.Linear(5, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return self.places(F.max_pool2d(x, 2).flatten(1)) + self.means(x.mean([2, 3]))


class Borrowed(nn.Module):
    """A layer whose weights serve another computation, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3 * 64, 6)
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        x = torch.relu(self.first(x.flatten(1)))
        return self.last(x) + self.last.weight.sum()


class Branching(Borrowed):
    """A network that torch.fx cannot trace."""

    def forward(self, x):
        x = torch.relu(self.first(x.flatten(1)))
        return self.last(x) if x.sum() > 0 else -self.last(x)


def powers_of_two(units: int, spread: int = 6) -> np.ndarray:
    return 2.0 ** np.random.default_rng(0).integers(-spread, spread, units, endpoint=True)


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        (Residual, "conv1"),
        (Varied, "strided"),
        (Varied, "reflected"),
        (Varied, "same"),
        (Varied, "hidden"),
        (InPlace, "first"),
        (InPlace, "second"),
        (Tokens, "mixed"),
        (Readers, "first"),
        (Columns, "conv"),
    ],
)
def test_powers_of_two_leave_logits_bitwise_equal(kind, layer):
    module = quiet(kind())
    original = opened(module)[layer]
    units, factors = original.units, powers_of_two(original.units)
    assert len(set(factors)) > 2
    before = {name: value.clone() for name, value in module.state_dict().items()}
    kept = {name: value.clone() for name, value in original.probe.module.state_dict().items()}
    other = rescaled(original, factors)
    assert obstacle(original) == "" and other == original
    assert torch.equal(other.probe(IMAGES), original.probe(IMAGES))
    activations = [one.prefix("mean")(IMAGES)[1] for one in (original, other)]
    assert (activations[0] > 0).any(0).sum() > units / 3
    assert torch.equal(activations[1], activations[0] * torch.tensor(factors, dtype=torch.float32))
    # The network that was given is as it was.
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(torch.equal(kept[name], value) for name, value in original.probe.module.state_dict().items())
    assert all(not parameter.requires_grad for parameter in other.probe.module.parameters())


@pytest.mark.parametrize(
    ("kind", "layer"),
    [(Residual, "conv1"), (Varied, "same"), (InPlace, "second"), (Readers, "first"), (Columns, "conv")],
)
def test_powers_of_two_change_raw_rs_and_not_one_bit_of_rs_r(kind, layer):
    original = opened(quiet(kind()))[layer]
    units = np.arange(original.units)
    images = np.random.default_rng(0).integers(0, 256, (2, original.units, 8, 8, 3), dtype=np.uint8)
    networks = original, rescaled(original, powers_of_two(original.units))
    before, after = (substitution(layer_responses(one, images), units) for one in networks)
    for name in ("rs_r", "rs_r_quarter", "rs_r_three_quarters", "left_out_r"):
        assert np.asarray(getattr(before, name)).tobytes() == np.asarray(getattr(after, name)).tobytes()
    assert before.substitutes_r == after.substitutes_r and np.isfinite(before.rs_r).any()
    assert before.rs.tobytes() != after.rs.tobytes()


def test_other_factors_change_logits_only_by_rounding():
    layer = opened(quiet(Varied()))["same"]
    other = rescaled(layer, [0.3, 1.7, 11.0, 0.01])
    torch.testing.assert_close(other.probe(IMAGES), layer.probe(IMAGES), rtol=1e-5, atol=1e-5)
    assert not torch.equal(other.probe.module.same.weight, layer.probe.module.same.weight)


def test_with_a_batch_norm_the_convolution_is_unchanged():
    module = quiet(Columns())
    other = rescaled(opened(module)["conv"], [2, 4, 8, 1, 0.5]).probe.module
    assert torch.equal(other.conv.weight, module.conv.weight)
    assert torch.equal(other.norm.bias, module.norm.bias * torch.tensor([2, 4, 8, 1, 0.5]))


@pytest.mark.parametrize(
    ("kind", "layer", "why"),
    [
        # Its output is added to that of the block.
        (Residual, "stem", "add reads its activation"),
        (Residual, "conv2", "no nonlinearity follows it directly"),
        (Residual, "fc", "no nonlinearity follows it directly"),
        (Varied, "dilated", "its nonlinearity is PReLU, not a plain ReLU"),
        (Varied, "grouped", "its nonlinearity is relu6, not a plain ReLU"),
        (Varied, "depthwise", "no nonlinearity follows it directly"),
        (InPlace, "third", "its nonlinearity is leaky_relu"),
        # A module that is called twice would need two scales at once: as what reads the units, and as what makes them.
        (Shared, "first", "the module 'shared' is called 2 times"),
        (Shared, "shared-call2", "the module 'shared' is called 2 times"),
        (Borrowed, "first", "the weights of 'last' are read elsewhere"),
        (Branching, "first", "torch.fx cannot trace the network"),
    ],
)
def test_layers_that_cannot_be_rescaled_are_refused_with_a_reason(kind, layer, why):
    unscalable = opened(quiet(kind()), (3, 2, 2) if kind is Shared else (3, 8, 8))[layer]
    assert why in obstacle(unscalable)
    with pytest.raises(UserError, match="cannot be rescaled") as error:
        rescaled(unscalable, np.ones(6))
    assert why in str(error.value)


def test_an_activation_that_is_an_output_is_refused():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU()).eval()
    assert obstacle(opened(module, (1, 2, 2))["1"]) == "its activation is an output of the network"


@pytest.mark.parametrize("factors", [[1, 2], [1, 2, 0], [1, 2, -1], [1, 2, float("inf")]])
def test_factors_must_be_one_positive_number_per_unit(factors):
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    with pytest.raises(UserError, match="takes 3 numbers above 0"):
        rescaled(opened(module, (1, 2, 2))["1"], factors)


def test_unknown_layer_is_named():
    with pytest.raises(UserError, match="no layer 'nowhere'"):
        obstacle(opened(quiet(InPlace()))["nowhere"])


def test_a_graph_that_normalizes_for_itself_can_be_copied():
    # As exported programs are: a class made from that of a graph.
    network = fx.symbolic_trace(quiet(Columns()))
    layer = Probe(network, (3, 8, 8), [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])["conv"]
    assert not is_borrowed(layer.probe.module)
    factors = 2.0 ** np.arange(-2, 3)
    scaled = rescaled(layer, factors)
    assert torch.equal(scaled.probe(IMAGES), layer.probe(IMAGES))
    assert torch.allclose(
        scaled.prefix("mean")(IMAGES)[1],
        layer.prefix("mean")(IMAGES)[1] * torch.tensor(factors, dtype=torch.float32),
    )
    rough = passes(layer, Recipe(precision="bfloat16"))(IMAGES, torch.arange(5))
    exact = passes(layer, Recipe())(IMAGES, torch.arange(5))
    assert torch.allclose(rough, exact, rtol=0.1, atol=0.05)
    assert not torch.equal(rough, exact)
