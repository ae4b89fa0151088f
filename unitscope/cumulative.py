"""Cumulative ablation (Morcos et al. 2018, section 3.1): what is left as more and more units are removed in some order.

Orders and areas, on arrays; the removing itself is in `unitscope.removal`.
"""

from dataclasses import dataclass

import numpy as np

from unitscope.randomness import generator

DIRECTIONS = ("ascending", "descending")


@dataclass(frozen=True)
class Area:
    """Area under a curve with its percentile interval over images."""

    value: float
    low: float
    high: float


def order_by(score: np.ndarray, direction: str, shuffled: np.ndarray) -> np.ndarray:
    """Return all units of a layer in the order in which a score removes them, (units,).

    Equal scores are in random order, the same for both directions. A unit without the score (dead, silent, without a
    scale) has no place in an order by it: such units come last, in random order, in either direction. So every curve
    begins at the intact network, ends at the layer removed, and a fraction is of the same units in all.

    Args:
        score: (units,), NaN where a unit has none.
        direction: "ascending" removes the lowest first, "descending" the highest.
        shuffled: (units,) the units in the random order by which ties are broken.

    Example:
        >>> order_by(np.array([0.5, np.nan, 0.1, 0.9]), "descending", np.arange(4))
        array([3, 0, 2, 1])
    """
    given = score[shuffled]
    scored = shuffled[np.isfinite(given)]
    key = score[scored] if direction == "ascending" else -score[scored]
    return np.concatenate([scored[np.argsort(key, kind="stable")], shuffled[~np.isfinite(given)]])


def random_order(units: int, *name: str | int) -> np.ndarray:
    """Return the units of a layer in a random order that belongs to a name, (units,)."""
    return generator("cumulative", *name).permutation(units)


def fractions(points: int) -> np.ndarray:
    """Return the fractions at which curves are measured, 0 to 1, (points,)."""
    return np.linspace(0.0, 1.0, points)


def counts(units: int, points: int) -> list[int]:
    """Return how many of a layer's units are removed at each point: its fraction, rounded to whole units."""
    return [int(np.floor(fraction * units + 0.5)) for fraction in fractions(points)]


def areas(removed: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the area under the curve of each image, (..., images): the mean height over removed fractions 0 to 1.

    The trapezoid rule. The area is linear in the images, so that the area under the mean curve is the mean of these.

    Args:
        removed: (points,) share of units that is removed, ascending from 0 to 1.
        values: (..., points, images) correctness or loss.
    """
    return np.trapezoid(values, removed, axis=-2)


def resampled(images: int, resamples: int, *name: str | int) -> np.ndarray:
    """Return how often each image is drawn in each resample of a bootstrap over images, (resamples, images)."""
    draw = generator("cumulative", "resamples", *name)
    return draw.multinomial(images, np.full(images, 1 / images), size=resamples)


def area(values: np.ndarray, resamples: np.ndarray, level: float = 0.95) -> Area:
    """Return the mean of the areas of all images (images,) and its percentile bootstrap interval.

    Args:
        values: (images,) from `areas`, or a difference of such.
        resamples: (resamples, images) from `resampled`.
        level: Share of resamples between the ends.
    """
    means = resamples @ values / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Area(float(values.mean()), float(low), float(high))
