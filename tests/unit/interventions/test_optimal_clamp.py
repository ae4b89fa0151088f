"""Optimal constants: never worse than 0 or the mean where they are fitted, and close to a fine search."""

import numpy as np
import pytest
import torch
from networks_by_hand import Residual, opened, quiet

from unitscope.interventions.donors import donor_rows
from unitscope.interventions.optimal_clamp import mean_losses, optimal_constants, refined

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(40, dtype=np.int64) % 4
BATCHES = [(IMAGES[first : first + 16], LABELS[first : first + 16]) for first in range(0, 40, 16)]


@pytest.fixture(params=["conv1", "conv2", "fc"])
def layer(request):
    return opened(quiet(Residual()), (3, 8, 8))[request.param]


def moments_of(layer):
    with torch.no_grad():
        values = layer.prefix("mean")(torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255)[1].double().numpy()
    return values.mean(0), values.std(0)


def test_no_unit_has_a_larger_loss_than_at_zero_or_at_its_mean(layer):
    mean, std = moments_of(layer)
    units = np.arange(layer.units)
    best = optimal_constants(layer, BATCHES, units.tolist(), mean, std)
    losses = mean_losses(layer, BATCHES, units, np.stack([best, np.zeros(layer.units), mean]))
    assert (losses[0] <= losses[1:].min(0)).all()
    assert (losses[0] < losses[1:].min(0)).any()


def test_constants_are_close_to_the_best_of_a_fine_search(layer):
    mean, std = moments_of(layer)
    units = np.arange(layer.units)
    best = optimal_constants(layer, BATCHES, units.tolist(), mean, std)
    grid = mean + np.linspace(-1.5, 2.5, 41)[:, None] * std
    grid_losses, optimal_losses = (
        mean_losses(layer, BATCHES, units, grid),
        mean_losses(layer, BATCHES, units, best[None])[0],
    )
    spread = np.ptp(grid_losses, axis=0)
    assert (optimal_losses - grid_losses.min(0) <= 0.1 * spread + 1e-6).all()


def test_units_that_are_not_requested_stay_at_zero(layer):
    mean, std = moments_of(layer)
    best = optimal_constants(layer, BATCHES, [1], mean, std)
    assert (np.delete(best, 1) == 0).all()
    assert best[1] == optimal_constants(layer, BATCHES, list(range(layer.units)), mean, std)[1]


def test_a_parabola_is_refined_to_its_minimum():
    grid = np.array([[0.0], [1.0], [-1.0], [2.0], [0.5]])
    assert refined(grid, (grid - 0.7) ** 2)[1, 0] == pytest.approx(0.7)
    # At an end, further outside.
    assert refined(grid, -grid).max() == 3.0
    assert (refined(np.zeros((5, 1)), np.zeros((5, 1))) == 0).all()


def test_donors_belong_to_the_image():
    rows = donor_rows(1000, 300)
    assert (rows[:50] == donor_rows(1000, 300)[:50]).all()
    assert rows.min() >= 0 and rows.max() < 1000 and len(set(rows.tolist())) > 200
