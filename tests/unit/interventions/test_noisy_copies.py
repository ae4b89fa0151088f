"""Noisy copies: the correlation that is set, moments of the original, and filters that belong to their names."""

import numpy as np
import pytest
import torch
from networks_by_hand import InPlace, Tokens, Varied, opened, quiet
from test_widening import Columns
from torch import nn

from unitscope.interventions.noisy_copies import TOLERANCE, correlation_of_sums, noisy_copies
from unitscope.interventions.widening import modules_of, widened

REAL = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
TENSOR = torch.from_numpy(REAL).permute(0, 3, 1, 2).float() / 255
LEVELS = [1.0, 0.9, 0.7, 0.5]


def in_batches(size=25):
    return lambda: np.split(REAL, range(size, len(REAL), size))


def maps(layer, preactivation=False):
    """Return the values (images x positions, units) of a layer, by its plain parts."""
    tapped = layer.tapped()
    values = tapped.outputs(TENSOR)
    values = values if preactivation else tapped.nonlinearity(values)
    return values.movedim(layer.axis, -1).flatten(0, -2).double().numpy()


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Columns, "conv"), (Varied, "strided"), (Varied, "same"), (Varied, "hidden"), (InPlace, "second"), (Tokens, "up")],
)
def test_copies_have_the_correlation_that_is_set_and_the_moments_of_their_originals(kind, name):
    layer = opened(quiet(kind(), seed=3))[name]
    units = [unit for unit in range(layer.units) if maps(layer)[:, unit].std() > 0.05][:3]
    assert units
    plantings = noisy_copies(layer, units, LEVELS, in_batches(), seed=0)
    assert list(plantings) == LEVELS and plantings[1.0].missing == []
    reached = 0
    for level, planting in plantings.items():
        assert sorted([*planting.copies.originals, *planting.missing]) == units
        wide = widened(layer, planting.copies)
        values, before = maps(wide), maps(wide, preactivation=True)
        for place, (unit, angle) in enumerate(zip(planting.copies.originals, planting.angles, strict=True)):
            copy, reached = layer.units + place, reached + 1
            assert np.corrcoef(values[:, unit], values[:, copy])[0, 1] == pytest.approx(level, abs=TOLERANCE)
            assert before[:, copy].mean() == pytest.approx(before[:, unit].mean(), abs=1e-3)
            if modules_of(layer).norm is not None:
                assert before[:, copy].std() == pytest.approx(before[:, unit].std(), rel=1e-3)
            paths = wide.probe.module.get_submodule(modules_of(layer).module).weight.flatten(1).double()
            original, other = paths[unit], paths[copy]
            assert float(other.norm()) == pytest.approx(float(original.norm()), rel=1e-5)
            cosine = float(original @ other / original.norm() / other.norm())
            assert np.arccos(min(cosine, 1)) == pytest.approx(angle, abs=1e-3)
    assert reached > 2 * len(units)


def test_an_exact_copy_is_turned_by_nothing():
    layer = opened(quiet(Columns()))["conv"]
    (planting,) = noisy_copies(layer, [1, 4], [1.0], in_batches(), 0).values()
    assert planting.angles.tolist() == [0, 0]
    module = layer.probe.module.get_submodule("conv")
    assert torch.equal(planting.copies.weight, module.weight[[1, 4]])


def test_a_filter_belongs_to_seed_layer_unit_and_correlation():
    layer = opened(quiet(InPlace(), seed=3))["second"]
    units = [unit for unit in range(4) if maps(layer)[:, unit].std() > 0.05]

    def copies(units, levels, seed=0, size=25):
        return noisy_copies(layer, units, levels, in_batches(size), seed)

    several, one = copies(units, [0.9, 0.7]), copies(units[1:2], [0.7])[0.7]
    place = several[0.7].copies.originals.index(units[1])
    torch.testing.assert_close(several[0.7].copies.weight[place], one.copies.weight[0], rtol=1e-4, atol=1e-5)
    again = copies(units, [0.9, 0.7])
    assert all(torch.equal(again[level].copies.weight, several[level].copies.weight) for level in several)
    # Batches round otherwise; another seed is another filter.
    other = copies(units[1:2], [0.7], size=7)[0.7]
    torch.testing.assert_close(other.copies.weight, one.copies.weight, rtol=1e-3, atol=1e-4)
    assert (copies(units[1:2], [0.7], seed=1)[0.7].copies.weight - one.copies.weight).abs().max() > 0.01


def test_a_unit_with_one_weight_has_no_noisy_copy():
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(128, 3))
    layer = opened(quiet(module), (1, 8, 8))["0"]
    plantings = noisy_copies(layer, [0, 2], [1.0, 0.7], lambda: [REAL[..., :1]], 0)
    assert plantings[0.7].missing == [0, 2] and plantings[0.7].copies.originals == []
    assert plantings[1.0].missing == []


def test_correlation_of_sums_is_that_of_the_values():
    first, second = np.random.default_rng(0).normal(3, 1, (2, 50, 4))
    second[:, 3] = 2.5
    sums = first.sum(0), (first**2).sum(0), second.sum(0), (second**2).sum(0), (first * second).sum(0)
    correlation = correlation_of_sums(50, *sums)
    expected = [np.corrcoef(first[:, column], second[:, column])[0, 1] for column in range(3)]
    np.testing.assert_allclose(correlation[:3], expected, atol=1e-9)
    assert np.isnan(correlation[3])
