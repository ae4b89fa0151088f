"""The constant that each unit can be clamped to at the least loss (optimal ablation; Li and Janson 2024).

A clamp that the network was never trained with adds damage of its own; the optimal constant adds least, and the damage
that remains measures what the unit's variation is worth. It is fitted on training images and evaluated on test images.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from unitscope.interventions.sets import ClampedSet, removal_by_batch
from unitscope.probing.layer import Layer

COARSE = np.array([-1.0, -0.5, 0.5, 1.0, 2.0])
"""Constants that are tried first next to 0 and the mean: the mean plus so many standard deviations."""

FITTED_IMAGES = 500
"""Training images on which the constants are compared, at most."""

FINE = 3
"""Constants that are tried around the best one, then."""


TRIED_CONSTANTS = 2 + len(COARSE) + FINE


def optimal_constants(
    layer: Layer,
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    units: Sequence[int],
    mean: np.ndarray,
    std: np.ndarray,
) -> np.ndarray:
    """Return the best of ten constants for each unit: 0, its mean, five on a grid and three around the best of these.

    Args:
        layer: The layer.
        batches: Training images and labels, which are passed twice.
        units: The units.
        mean: (units of the layer,) of each unit's map over real images.
        std: (units of the layer,) of each unit's activation; the scale of the grid.

    Returns:
        (units of the layer,): the constant with the least mean loss, the first of equal ones (0, then the mean); 0 for
        units that are not asked for. On these images no unit has a larger loss than at 0 or at its mean.
    """
    chosen = np.asarray(units, dtype=np.int64)
    grid = np.concatenate([[np.zeros(len(chosen))], mean[chosen] + np.array([0.0, *COARSE])[:, None] * std[chosen]])
    losses = mean_losses(layer, batches, chosen, grid)
    fine = refined(grid, losses)
    grid, losses = np.concatenate([grid, fine]), np.concatenate([losses, mean_losses(layer, batches, chosen, fine)])
    result = np.zeros(layer.units)
    result[chosen] = np.take_along_axis(grid, losses.argmin(0)[None], axis=0)[0]
    return result


def refined(grid: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Return `FINE` further constants for each unit around its best one.

    The minimum of the parabola through the best constant and its two neighbors, and the midpoints between them; at an
    end of the grid, constants beyond it.

    Args:
        grid: (constants, units), in any order.
        losses: (constants, units) their losses.

    Returns:
        (FINE, units).
    """
    order = np.argsort(grid, axis=0, kind="stable")
    points, values = np.take_along_axis(grid, order, axis=0), np.take_along_axis(losses, order, axis=0)
    result = np.empty((FINE, grid.shape[1]))
    for unit, (x, y) in enumerate(zip(points.T, values.T, strict=True)):
        x, places = np.unique(x, return_index=True)
        y = y[places]
        best = int(y.argmin())
        if len(x) < 3:
            result[:, unit] = x[best]
        elif best in (0, len(x) - 1):
            step = x[1] - x[0] if best == 0 else x[-1] - x[-2]
            result[:, unit] = x[best] + (-1 if best == 0 else 1) * step * np.array([-0.5, 0.5, 1.0])
        else:
            left, middle, right = x[best - 1 : best + 2]
            vertex = _vertex(x[best - 1 : best + 2], y[best - 1 : best + 2])
            result[:, unit] = (left + middle) / 2, vertex, (middle + right) / 2
    return result


def _vertex(x: np.ndarray, y: np.ndarray) -> float:
    """Return where the parabola through three points, the middle one of which is lowest, has its minimum."""
    first, second = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    curvature = (second - first) / (x[2] - x[0])
    return float((x[0] + x[1] - first / curvature) / 2) if curvature > 0 else float(x[1])


def mean_losses(
    layer: Layer, batches: Iterable[tuple[np.ndarray, np.ndarray]], units: np.ndarray, constants: np.ndarray
) -> np.ndarray:
    """Return the mean loss with each unit clamped to each of its constants, (constants, units), in nats."""
    sets = []
    for row in constants:
        values = np.zeros(layer.units)
        values[units] = row
        sets += [ClampedSet([unit], values) for unit in units.tolist()]
    total, images = np.zeros(len(sets)), 0
    for part in removal_by_batch(layer, batches, sets, what="optimal clamp"):
        total += part.loss.sum(1)
        images += part.loss.shape[1]
    return total.reshape(constants.shape) / images
