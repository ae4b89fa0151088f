"""Cumulative ablation (Morcos et al. 2018, section 3.1): what is left as more and more units are removed in some order.

Orders, curves and areas, on arrays; the removing itself is in `unitscope.interventions.cumulative_removal`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from unitscope.randomness import generator
from unitscope.stats.bootstrap import percentile_interval
from unitscope.stats.estimate import Estimate
from unitscope.storage.columns import Schema

DIRECTIONS = ("ascending", "descending")
RANDOM = "random"
"""Score and direction of a random order."""

MEASURES = ("accuracy", "loss")

ByLayer = Mapping[str, np.ndarray]
"""Something of each unit (units,), by layer."""


class Key(NamedTuple):
    """An order in which units are removed: by a score, or at random; `draw` numbers random ones, and else is -1."""

    score: str
    direction: str
    draw: int


class Part(NamedTuple):
    """What rows are of: a layer, or no name for all of them together, and what its units are clamped to."""

    layer: str
    clamp: str


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
    shuffled_scores = score[shuffled]
    scored = shuffled[np.isfinite(shuffled_scores)]
    key = score[scored] if direction == "ascending" else -score[scored]
    return np.concatenate([scored[np.argsort(key, kind="stable")], shuffled[~np.isfinite(shuffled_scores)]])


def random_order(units: int, *name: str | int) -> np.ndarray:
    """Return the units of a layer in a random order that belongs to a name, (units,)."""
    return generator("cumulative", *name).permutation(units)


def orders(
    scores: Mapping[str, ByLayer], units: Mapping[str, int], draws: int, seed: int
) -> tuple[dict[Key, dict[str, np.ndarray]], dict[tuple[str, str], str]]:
    """Return the orders in which the units of some layers are removed, and why a score gives none.

    Args:
        scores: The scores by name.
        units: Number of units of each layer.
        draws: Number of random orders.
        seed: Of those, and of the order of equal scores.

    Returns:
        For each order the units of each layer (units,); for each score and direction that has none the reason.
    """
    by_key: dict[Key, dict[str, np.ndarray]] = {}
    missing = {}
    ties = {layer: random_order(count, seed, layer, "ties") for layer, count in units.items()}
    for name, by_layer in scores.items():
        varied = any(len(np.unique(values[np.isfinite(values)])) > 1 for values in by_layer.values())
        for direction in DIRECTIONS:
            if varied:
                by_key[Key(name, direction, -1)] = {
                    layer: order_by(values, direction, ties[layer]) for layer, values in by_layer.items()
                }
            else:
                missing[name, direction] = "the score is constant, or no unit has it"
    for draw in range(draws):
        by_key[Key(RANDOM, RANDOM, draw)] = {
            layer: random_order(count, seed, layer, draw) for layer, count in units.items()
        }
    return by_key, missing


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


def area(values: np.ndarray, resamples: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the mean of the areas of all images (images,) and its percentile bootstrap interval.

    Args:
        values: (images,) from `areas`, or a difference of such.
        resamples: (resamples, images) from `resampled`.
        level: Share of resamples between the ends.
    """
    means = resamples @ values / len(values)
    return percentile_interval(float(values.mean()), means, ((1 - level) / 2, (1 + level) / 2))


# --- the tables ------------------------------------------------------------------------------------------------------


def curve_rows(
    part: Part, keys: Sequence[Key], accuracy: np.ndarray, loss: np.ndarray, removed: np.ndarray, units: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `CurvesTable`, one for every order and point.

    Args:
        part: What is removed.
        keys: The orders.
        accuracy: (orders, points).
        loss: (orders, points), in nats.
        removed: (points,) number of units removed.
        units: Number of all of them.
    """
    for key, heights, losses in zip(keys, accuracy, loss, strict=True):
        for count, height, cost in zip(removed.tolist(), heights.tolist(), losses.tolist(), strict=True):
            measured = {"fraction": count / units, "removed": count, "accuracy": height, "loss": cost}
            yield {**part._asdict(), **key._asdict(), **measured, "reason": ""}


def area_rows(
    part: Part,
    keys: Sequence[Key],
    by_image: Mapping[str, np.ndarray],
    scored: Mapping[str, int],
    resamples: np.ndarray,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `AreasTable`: one for every score and direction, and one for the mean of all random orders.

    Args:
        part: What is removed.
        keys: The orders.
        by_image: For each of `MEASURES` the area under each image's curve, (orders, images).
        scored: How many units have each score.
        resamples: Of the images, as `resampled` gives them.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault((key.score, key.direction), []).append(number)
    chance = groups.get((RANDOM, RANDOM), [])
    for (score, direction), numbers in groups.items():
        row: dict[str, Any] = {**part._asdict(), "score": score, "direction": direction, "scored": scored.get(score, 0)}
        for measure, each in by_image.items():
            mean_area = each[numbers].mean(0)
            over = mean_area - each[chance].mean(0) if chance else np.full(len(mean_area), np.nan)
            for kind, values in (("area", mean_area), ("over", over)):
                name = f"{measure}_{kind}"
                row |= area(values, resamples).columns(name, f"{name}_low", f"{name}_high")
        yield {**row, "reason": ""}


def missing_rows(part: Part, missing: Mapping[tuple[str, str], str], schema: type[Schema]) -> Iterator[dict[str, Any]]:
    """Yield a row of `CurvesTable` or `AreasTable` for every score and direction that has no order, and why."""
    blank = schema.blank() | ({"draw": -1} if "draw" in schema.names() else {})
    for (score, direction), reason in missing.items():
        yield {**blank, **part._asdict(), "score": score, "direction": direction, "reason": reason}
