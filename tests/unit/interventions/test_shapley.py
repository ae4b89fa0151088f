"""Shapley values: enumeration, efficiency, symmetry, intervals, and layers of networks."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unitscope.interventions.shapley import estimate, shapley
from unitscope.probing.probe import Probe


def enumerated(value, units):
    """Return exact Shapley values of a game, from the values of all sets of present units."""
    value = functools.cache(value)
    result = np.zeros(units)
    for unit in range(units):
        others = [other for other in range(units) if other != unit]
        for size in range(units):
            weight = math.factorial(size) * math.factorial(units - size - 1) / math.factorial(units)
            for members in itertools.combinations(others, size):
                result[unit] += weight * (value(frozenset({*members, unit})) - value(frozenset(members)))
    return result


def walk_of(value, units):
    def walk(order):
        present = set(range(units))
        for unit in order:
            present.discard(unit)
            yield value(present)

    return walk


def ends_of(value, units, noise=0.0):
    return value(set(range(units))), value(set()), noise


def majority(present):
    """Return the value of a set in a game where units 0 and 1 compensate each other, and 2 needs 3."""
    return 1.0 * bool({0, 1} & present) + 2.0 * ({2, 3} <= present) + 0.25 * (4 in present)


def test_values_approach_enumeration():
    exact = enumerated(majority, 6)
    result = estimate(walk_of(majority, 6), 6, ends_of(majority, 6), 4000, np.random.default_rng(0))
    assert result.values == pytest.approx(exact, abs=0.03)
    assert exact == pytest.approx([0.5, 0.5, 1.0, 1.0, 0.25, 0.0])
    assert result.values.sum() == pytest.approx(result.total) == pytest.approx(3.25)


def test_an_additive_game_is_exact_from_one_pair_of_orders():
    weights = np.array([0.5, -1.0, 2.0, 0.0, 0.25])
    value = lambda present: sum(weights[list(present)])  # noqa: E731
    result = estimate(walk_of(value, 5), 5, ends_of(value, 5), 2, np.random.default_rng(1))
    assert result.values == pytest.approx(weights)
    assert np.isnan(result.low).all()


def test_intervals_cover_the_exact_values():
    exact, covered = enumerated(majority, 6), []
    for seed in range(200):
        result = estimate(walk_of(majority, 6), 6, ends_of(majority, 6), 40, np.random.default_rng(seed))
        covered.append((result.low - 1e-9 <= exact) & (exact <= result.high + 1e-9))
    # Units 0 to 3; 4 and 5 are exact in every order.
    coverage = np.mean(covered, axis=0)
    assert (coverage[:4] > 0.9).all() and (coverage[4:] == 1).all()


def test_an_order_ends_early_and_the_values_still_sum_to_the_total():
    def value(present):
        return 1.0 if len(present) > 15 else 0.001 * len(present)

    result = estimate(walk_of(value, 20), 20, ends_of(value, 20, noise=0.05), 20, np.random.default_rng(2))
    assert result.evaluations == 20 * 5
    assert result.values.sum() == pytest.approx(result.total)


def test_an_odd_number_of_orders_is_refused():
    with pytest.raises(ValueError, match="permutations is 5; orders come in pairs"):
        estimate(walk_of(majority, 6), 6, ends_of(majority, 6), 5, np.random.default_rng(0))


# --- layers of networks ----------------------------------------------------------------------------------------------


def network(kind):
    torch.manual_seed(3)
    if kind == "linear":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)
        ), "1"
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 5, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(5 * 9, 4),
    ).eval(), "0"  # fmt: skip


def opened(kind, shape):
    """Return a layer, and images whose classes the network tells without an error, in batches."""
    model, name = network(kind)
    with torch.no_grad():
        model[-1].weight.mul_(12)
        # Without the layer all classes are equally probable.
        for module in model:
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.bias.zero_()
    probe = Probe(model, shape=shape, mean=0.5, std=0.2)
    images = np.random.default_rng(4).integers(0, 256, (30, *shape[1:], shape[0]), dtype=np.uint8)
    with torch.no_grad():
        logits = probe(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    labels = logits.argmax(1).numpy()
    return probe[name], [(images[first : first + 12], labels[first : first + 12]) for first in range(0, 30, 12)]


@pytest.mark.parametrize(("kind", "shape"), [("linear", (3, 2, 2)), ("conv", (3, 12, 12))])
def test_values_of_a_layer_equal_enumeration_by_full_passes(kind, shape):
    layer, batches = opened(kind, shape)
    held = layer.held()

    def value(present):
        removed = torch.tensor([unit not in present for unit in range(8)])
        losses = []
        for images, labels in batches:
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
            logits = held(pixels, removed, torch.zeros(8)).double()
            losses.append(F.cross_entropy(logits, torch.from_numpy(labels), reduction="none"))
        return -float(torch.cat(losses).mean())

    with torch.no_grad():
        exact = enumerated(value, 8)
        total = value(set(range(8))) - value(set())
    result = shapley(layer, batches, permutations=200)
    assert result.total == pytest.approx(total, abs=1e-5)
    assert result.values.sum() == pytest.approx(total, abs=1e-5)
    assert total > 0.3
    assert result.values == pytest.approx(exact, abs=2 * (result.high - result.low).max())
    assert np.corrcoef(result.values, exact)[0, 1] > 0.99


def test_draws_belong_to_the_seed_and_the_layer():
    layer, batches = opened("linear", (3, 2, 2))
    first, again, other = (shapley(layer, batches, 10, seed) for seed in ((0,), (0,), (1,)))
    assert (first.values == again.values).all() and (first.values != other.values).any()


@pytest.mark.parametrize(("kind", "shape"), [("linear", (3, 2, 2)), ("conv", (3, 12, 12))])
def test_halves_are_from_the_same_orders_and_average_to_the_whole(kind, shape):
    layer, batches = opened(kind, shape)
    halves = np.arange(30) % 3 % 2
    whole, split = (shapley(layer, batches, 40, halves=each) for each in (None, halves))
    np.testing.assert_array_equal(split.values, whole.values)
    np.testing.assert_array_equal(split.low, whole.low)
    assert np.isnan(whole.by_half).all() and split.by_half.shape == (2, 8)
    shares = np.bincount(halves)[:, None] / 30
    np.testing.assert_allclose((split.by_half * shares).sum(0), whole.values, atol=1e-9)
    # A half on its own has the same values, but for where its orders end.
    images, labels = (np.concatenate(parts)[halves == 1] for parts in zip(*batches, strict=True))
    alone = shapley(layer, [(images, labels)], 40)
    assert split.by_half[1] == pytest.approx(alone.values, abs=0.5 * (split.high - split.low).max())
    assert np.abs(split.by_half[0] - split.by_half[1]).max() > 1e-3
    one = shapley(layer, [(images, labels)], 2, halves=np.ones(len(labels), int))
    assert np.isnan(one.by_half[0]).all() and one.by_half[1] == pytest.approx(one.values)
