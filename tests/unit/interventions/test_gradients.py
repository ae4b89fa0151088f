"""Gradient effects: exact where the loss is linear, complete, and equal to derivatives of the whole network."""

import numpy as np
import pytest
import torch
from networks_by_hand import InPlace, Residual, Shared, Tokens, followed_by_hooks, opened, quiet
from torch import nn
from torch.nn import functional as F

from unitscope.errors import UserError
from unitscope.interventions.ablation import ablation_scores
from unitscope.interventions.gradients import gauss_legendre, gradient_effects
from unitscope.probing.layer import unit_axis

GENERATOR = np.random.default_rng(0)
PICTURES = GENERATOR.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
LABELS = GENERATOR.integers(0, 4, 10)
HALVES = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 1])


def batches(images=PICTURES, labels=LABELS, size=4):
    return [(images[first : first + size], labels[first : first + size]) for first in range(0, len(images), size)]


def pixels(images=PICTURES):
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


# A map, in place and with a skip connection; units of a linear layer that is called twice; tokens; signed logits.
CASES = [(Residual, "stem"), (Residual, "conv1"), (Residual, "conv2"), (Shared, "first"), (Shared, "shared-call2")]
CASES += [(InPlace, "third"), (Tokens, "up"), (Tokens, "patches"), (Tokens, "mixed"), (Tokens, "last")]


@pytest.mark.parametrize("hooked", [False, True], ids=["traced", "hooked"])
@pytest.mark.parametrize(("network", "name"), CASES, ids=[f"{network.__name__}-{name}" for network, name in CASES])
def test_effects_are_derivatives_of_the_whole_network(network, name, hooked):
    images = PICTURES if network is not Shared else PICTURES[:, :2, :2]
    probe = opened(quiet(network()), (3, *images.shape[1:3]))
    layer = (followed_by_hooks(probe) if hooked else probe)[name]
    effects = gradient_effects(layer, batches(images), HALVES, nodes=3)
    # In double precision, on hooks alone, one unit at a time: the loss as a unit's map is scaled by 1 - e.
    double = probe.hooked.__class__(quiet(network()).double())
    cut = double.cut(name)
    with torch.no_grad():
        activation, _, *live = cut.prefix(pixels(images).double())

        def derivative(unit, scale, step=1e-6):
            scales = torch.ones(layer.units, dtype=torch.float64)
            losses = []
            for sign in (1, -1):
                scales[unit] = 1 + sign * step / scale
                shape = [1] * activation.dim()
                shape[unit_axis(layer.kind)] = -1
                logits = cut.suffix(scale * scales.reshape(shape) * activation, *live)
                losses.append(F.cross_entropy(logits, torch.from_numpy(LABELS), reduction="none"))
            return ((losses[1] - losses[0]) / (2 * step)).numpy()

        points, weights = gauss_legendre(3)
        first_order = np.stack([derivative(unit, 1.0) for unit in range(layer.units)])
        integrated = sum(
            weight * np.stack([derivative(unit, point) for unit in range(layer.units)])
            for point, weight in zip(points, weights, strict=True)
        )
    for values, expected in ((effects.first_order, first_order), (effects.integrated, integrated)):
        assert values.shape == (3, layer.units) and np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(values[0], expected.mean(1), rtol=1e-3, atol=1e-5)
        for half in (0, 1):
            np.testing.assert_allclose(values[1 + half], expected[:, half == HALVES].mean(1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("network", "name"), [(Residual, "conv1"), (Tokens, "up"), (Tokens, "patches")])
def test_integrated_gradients_sum_to_the_loss_of_all_units(network, name):
    layer = opened(quiet(network()))[name]
    effects = gradient_effects(layer, batches(), HALVES, nodes=64)
    with torch.no_grad():
        removed, zeros = torch.ones(layer.units, dtype=torch.bool), torch.zeros(layer.units)
        logits = layer.probe(pixels()), layer.held()(pixels(), removed, zeros)
        intact, absent = (F.cross_entropy(each, torch.from_numpy(LABELS), reduction="none") for each in logits)
    total = (absent - intact).numpy()
    assert effects.total[0] == pytest.approx(total.mean(), abs=1e-5) and abs(total.mean()) > 0.01
    assert effects.integrated.sum(1) == pytest.approx(effects.total, abs=0.01 * float(np.abs(total).mean()))
    assert effects.total[1:] == pytest.approx([total[half == HALVES].mean() for half in (0, 1)], abs=1e-5)
    coarse = gradient_effects(layer, batches(), HALVES, nodes=1)
    assert abs(coarse.completeness_error) > abs(effects.completeness_error)


def linear_loss():
    """Return a network whose loss is linear in its units: the probability of the label is always about e^-60."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    quiet(module)
    module[3].bias.copy_(torch.tensor([0.0, 60.0]))
    return opened(module, (3, 2, 2))["1"]


def test_both_are_exact_for_a_loss_that_is_linear_in_the_units():
    layer, images, labels = linear_loss(), PICTURES[:, :2, :2], np.zeros(10, np.int64)
    effects = gradient_effects(layer, batches(images, labels), HALVES, nodes=1)
    removed = ablation_scores(layer, batches(images, labels), {"zero": np.zeros(5)}, HALVES)["zero"]
    assert np.abs(removed.loss).max() > 0.05
    for values in (effects.first_order, effects.integrated):
        np.testing.assert_allclose(values, [removed.loss, removed.loss_half0, removed.loss_half1], atol=1e-5)
    assert effects.completeness_error == pytest.approx(0, abs=1e-5)


def test_a_layer_of_another_head_has_no_effect_and_a_network_without_gradients_is_refused():
    class Heads(nn.Module):
        def __init__(self, detached=False):
            super().__init__()
            self.first, self.other, self.last = nn.Linear(12, 6), nn.Linear(6, 2), nn.Linear(6, 4)
            self.detached = detached

        def forward(self, x):
            x = torch.relu(self.first(x.flatten(1)))
            self.other(x)
            return self.last(x.detach() if self.detached else x)

    images = PICTURES[:, :2, :2]
    probe = opened(quiet(Heads()), (3, 2, 2))
    effects = gradient_effects(followed_by_hooks(probe)["other"], batches(images), HALVES, nodes=2)
    assert not effects.first_order.any() and not effects.integrated.any() and not effects.total.any()
    for layer in (
        opened(quiet(Heads(True)), (3, 2, 2))["first"],
        followed_by_hooks(opened(quiet(Heads(True)), (3, 2, 2)))["first"],
    ):
        with pytest.raises(UserError, match="layer first, but the network computes no gradient"):
            gradient_effects(layer, batches(images), HALVES, nodes=2)


def test_batches_halves_without_images_and_the_caller_s_network():
    module = quiet(Residual())
    layer = opened(module)["conv2"]
    whole = gradient_effects(layer, batches(size=10), HALVES, nodes=4)
    parts = gradient_effects(layer, batches(size=3), HALVES, nodes=4)
    np.testing.assert_allclose(parts.first_order, whole.first_order, atol=1e-6)
    np.testing.assert_allclose(parts.integrated, whole.integrated, atol=1e-6)
    one = gradient_effects(layer, batches(PICTURES[:1], LABELS[:1]), HALVES[:1], nodes=4)
    assert np.isnan(one.first_order[2]).all() and np.isnan(one.total[2])
    np.testing.assert_array_equal(one.first_order[0], one.first_order[1])
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in module.parameters())


def test_quadrature_is_exact_for_polynomials():
    points, weights = gauss_legendre(4)
    assert [float(weights @ points**power) for power in range(8)] == pytest.approx([1 / (p + 1) for p in range(8)])


def test_the_network_is_cut_at_the_activation_itself_on_request():
    layer = opened(quiet(Tokens()))["mixed"]
    assert layer.cut().change is not None and layer.cut(at_activation=True).change is None
    activation, start, *_ = layer.cut(at_activation=True).prefix(pixels())
    assert torch.equal(activation, start)
