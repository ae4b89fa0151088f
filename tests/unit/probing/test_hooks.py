"""Networks that torch.fx cannot trace: hooks see in any network what the traced graph says of it."""

import numpy as np
import pytest
import torch
from networks_by_hand import Discarding, InPlace, Residual, Shared, Tokens, Varied, opened, quiet
from torch import nn
from torch.nn import functional as F

from unitscope.errors import UserError
from unitscope.interventions.ablation import ablation_scores
from unitscope.maximization.maximize import maximize
from unitscope.maximization.passes import share_of_multiplications
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.targets import target_unit, whole_layer
from unitscope.probing.following import TRANSPARENT
from unitscope.probing.hooked import Hooked
from unitscope.probing.traced import Traced
from unitscope.probing.tracing import trace

NETWORKS = {Residual: 8, Shared: 2, InPlace: 8, Discarding: 8, Varied: 8, Tokens: 8}
LAYERS = [
    (network, layer.name)
    for network, size in NETWORKS.items()
    for layer in Traced(trace(quiet(network()))).describe((3, size, size))
]


def images_for(network):
    return torch.rand(5, 3, NETWORKS[network], NETWORKS[network], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("network", NETWORKS)
def test_taps(network):
    shape = images_for(network).shape[1:]
    assert Hooked(quiet(network())).describe(shape) == Traced(trace(quiet(network()))).describe(shape)


# What stands behind leaky_relu_().mul_(2) torch itself cannot differentiate, where the network runs as it is written.
@pytest.mark.parametrize(("network", "layer"), [case for case in LAYERS if case != (InPlace, "last")])
def test_values_and_gradients(network, layer):
    module, images = quiet(network()), images_for(network).requires_grad_(True)
    traced, hooked = Traced(trace(module)), Hooked(module)
    expected = traced.prefix(layer, "mean")(images)
    hooked_values = hooked.prefix(layer, "mean")(images)
    torch.testing.assert_close(hooked_values, expected)
    for hooked_value, expected_value in zip(hooked_values, expected, strict=True):
        gradients = [
            torch.autograd.grad(value.square().sum(), images, retain_graph=True)[0]
            for value in (hooked_value, expected_value)
        ]
        torch.testing.assert_close(*gradients)
    targets = torch.tensor([0, 1, 2, 1, 0])
    plain, cut = traced.tapped(layer), hooked.tapped(layer)
    assert cut.kind == plain.kind
    for read_targets in (target_unit, whole_layer):
        torch.testing.assert_close(
            read_targets(cut, "max")(images, targets), read_targets(plain, "max")(images, targets)
        )


@pytest.mark.parametrize(("network", "layer"), LAYERS)
def test_replaced_activations_change_the_output_as_in_a_traced_network(network, layer):
    module, images = quiet(network()), images_for(network)
    traced = Traced(trace(module))
    (axis,) = (each.axis for each in traced.describe(images.shape[1:]) if each.name == layer)
    plain, hooked_cut = traced.cut(layer), Hooked(module).cut(layer)
    activation, start, *live = hooked_cut.prefix(images)
    torch.testing.assert_close(activation, plain.prefix(images)[0])
    torch.testing.assert_close(hooked_cut.suffix(start, *live), module(images))
    clamped = start.clone()
    clamped.select(axis, 1)[:] = 0.7
    before, first, *live_values = plain.prefix(images)
    if plain.change is None:
        expected = plain.suffix(clamped, *live_values)
    else:
        unit_values = before.narrow(axis, 1, 1)
        expected = plain.suffix(first + plain.change(1, unit_values, torch.full_like(unit_values, 0.7)), *live_values)
    torch.testing.assert_close(hooked_cut.suffix(clamped, *live), expected)


class Functional(nn.Module):
    """A batch norm that is a function, and a layer whose name looks like a further call of another."""

    def __init__(self):
        super().__init__()
        self.add_module("my-caller", nn.Conv2d(3, 6, 3))
        self.register_buffer("mean", torch.randn(6))
        self.register_buffer("var", torch.rand(6) + 0.5)
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        x = F.batch_norm(self.get_submodule("my-caller")(x), self.mean, self.var)
        return self.last(torch.relu(x).mean((2, 3)))


class Bare(Functional):
    """The same without what follows the batch norm."""

    def forward(self, x):
        return self.last(F.batch_norm(self.get_submodule("my-caller")(x), self.mean, self.var).mean((2, 3)))


@pytest.mark.parametrize("network", [Functional, Bare])
def test_a_batch_norm_that_is_a_function_belongs_to_the_tap(network):
    module, images = quiet(network()), images_for(Residual)
    normed = F.batch_norm(module.get_submodule("my-caller")(images), module.mean, module.var)
    hooked = Hooked(module)
    assert hooked.tapped("my-caller").kind == "conv"
    before, after = hooked.prefix("my-caller", "mean")(images)
    torch.testing.assert_close(before, normed.mean((2, 3)))
    torch.testing.assert_close(after, (torch.relu(normed) if network is Functional else normed).mean((2, 3)))
    cut = hooked.cut("my-caller")
    torch.testing.assert_close(cut.suffix(*cut.prefix(images)[1:]), module(images))


def test_several_layers_in_one_pass_and_an_unknown_layer():
    module, images = quiet(Residual()), images_for(Residual)
    names = ["conv2", "stem"]
    torch.testing.assert_close(
        Hooked(module).readouts(names, "max")(images), Traced(trace(module)).readouts(names, "max")(images)
    )
    with pytest.raises(UserError, match="stem, conv1, conv2, fc"):
        Hooked(module).readouts(["conv9"], "max")(images)


def test_a_pass_ends_at_the_last_requested_layer():
    class Short(Residual):
        passes = 0

        def forward(self, x):
            output = super().forward(x)
            self.passes += 1
            assert self.passes == 1, "the network ran to its end"
            return output

    # A network's first pass shows what follows each layer, and runs to the end.
    module = quiet(Short())
    hooked = Hooked(module)
    for _ in range(3):
        hooked.prefix("conv1", "mean")(images_for(Residual))
    assert module.passes == 1


class Dropping(nn.Module):
    """Has a dropout between a layer and its nonlinearity, as a module or as a function."""

    def __init__(self, drop):
        super().__init__()
        # What drops channels of signals takes no maps: tokens for it.
        self.of_tokens = drop in (nn.Dropout1d, F.dropout1d)
        self.layer = nn.Linear(64, 4) if self.of_tokens else nn.Conv2d(3, 4, 3)
        self.drop = drop() if isinstance(drop, type) else drop

    def forward(self, images):
        values = self.layer(images.flatten(2) if self.of_tokens else images)
        dropped = self.drop(values) if isinstance(self.drop, nn.Module) else self.drop(values, 0.5, self.training)
        return F.relu(dropped).flatten(1)


@pytest.mark.parametrize("drop", TRANSPARENT, ids=lambda drop: drop.__name__)
def test_dropout_layers_pass_through_in_traced_and_hooked_networks(drop):
    module = quiet(Dropping(drop))
    (traced,), (hooked,) = (form.describe((3, 8, 8)) for form in (Traced(trace(module)), Hooked(module)))
    assert traced == hooked and not traced.signed


@pytest.mark.parametrize("fails", [False, True])
def test_all_hooks_are_removed(fails):
    module = quiet(Discarding())
    if fails:
        with pytest.raises(UserError, match="There is no layer"):
            Hooked(module).prefix("missing", "mean")(images_for(Discarding))
        with pytest.raises(RuntimeError):
            Hooked(module).prefix(LAYERS[0][1], "mean")(torch.rand(1, 1, 8, 8))
    else:
        hooked = Hooked(module)
        hooked.prefix(hooked.describe((3, 8, 8))[0].name, "mean")(images_for(Discarding))
    assert not any(part._forward_hooks for part in module.modules())


class Branching(nn.Module):
    """A network that looks at its values, which no symbol has."""

    def __init__(self):
        super().__init__()
        self.first, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU6(inplace=True)
        self.second, self.last = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x):
        x = self.relu(self.first(x))
        x = F.leaky_relu_(self.second(x), 0.3)
        return self.last(x.mean((2, 3)) if x.sum() > -1e9 else x.amax((2, 3)))


class Straight(Branching):
    """The same without the question."""

    def forward(self, x):
        x = self.relu(self.first(x))
        return self.last(F.leaky_relu_(self.second(x), 0.3).mean((2, 3)))


def test_untraceable_network_is_analyzed_through_hooks(caplog):
    branching, straight = opened(quiet(Branching())), opened(quiet(Straight()))
    assert branching.layers == straight.layers and branching.traced is None and straight.traced
    assert "Branching cannot be traced" in caplog.text and "hooks" in caplog.text
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(12) % 4
    for layer, units in (("first", 6), ("second", 6), ("last", 4)):
        clamps = {"": np.zeros(units), "_mean": np.full(units, 0.4)}
        effects, expected = (
            ablation_scores(probe[layer], [(images, labels)], clamps, np.arange(12) % 2)
            for probe in (branching, straight)
        )
        for name in clamps:
            np.testing.assert_allclose(effects[name].loss, expected[name].loss, atol=1e-6)
            assert effects[name].loss.any()
            np.testing.assert_array_equal(effects[name].accuracy, expected[name].accuracy)
        generated, expected_generated = (
            maximize(probe[layer], np.arange(units), Recipe(objective="iam", steps=8))
            for probe in (branching, straight)
        )
        np.testing.assert_allclose(generated.responses, expected_generated.responses, rtol=1e-3, atol=1e-3)
        shares = [share_of_multiplications(probe[layer]) for probe in (branching, straight)]
        assert 0 < shares[0] == shares[1] <= 1
