"""Representative substitution (Chen et al. 2018, Eq. 4): how many units of a layer could stand in for a unit.

Works on response matrices R[i, j], the activation of unit j on the image made for unit i. RS = 0 means that nobody else
answers the image more strongly. Raw RS depends on the units' scales, which the network's function does not determine;
`rs_z` and `rs_q` compare on scales taken from real images.

Where an image minimizes, what is compared is the pre-activation with its sign turned
(`unitscope.maximization.responses`): RS of the minimum is the share of units whose pre-activation lies below the
unit's. It has no scale-free forms, as no scales of pre-activations are known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.scores.strength import relative_strength

MAX_SUBSTITUTES = 5


@dataclass(frozen=True)
class Substitution:
    """Scores of the target units of one layer and method; NaN where a unit is silent in all seeds or has no scale.

    Attributes:
        rs: (targets,) share of the layer's units that exceed the unit on its image, mean over seeds.
        rs_z: The same over (R - mean) / std of each unit.
        rs_q: The same over R / q99 of each unit.
        ties: (targets,) number of other units that answer exactly as strongly, mean over seeds.
        seeds: (targets,) number of seeds used: those in which the unit is not silent.
        substitutes: For each target, the units that exceed it in more than half of the seeds used, strongest first.
        left_out_z: Number of units without a standard deviation, left out of `rs_z`.
        left_out_q: Number of units without a quantile, left out of `rs_q`.
    """

    rs: np.ndarray
    rs_z: np.ndarray
    rs_q: np.ndarray
    ties: np.ndarray
    seeds: np.ndarray
    substitutes: list[list[int]]
    left_out_z: int
    left_out_q: int


@dataclass(frozen=True)
class Exceeding:
    """How many units exceed each target, seed by seed; RS is their share.

    Attributes:
        counts: (seeds, targets) number of units; NaN where the unit is silent or has no scale.
        competitors: N, the number of units that have a scale.
    """

    counts: np.ndarray
    competitors: int

    def mean(self) -> np.ndarray:
        """Return RS (targets,), the mean over the seeds in which it is defined; NaN where it never is.

        Counts are added and divided once, so that units that are exceeded as often have the same RS to the last bit.
        """
        defined = np.isfinite(self.counts)
        total, seeds = np.where(defined, self.counts, 0).sum(0), defined.sum(0)
        return np.divide(total, seeds * self.competitors, out=np.full(len(seeds), np.nan), where=seeds > 0)


def representative_substitution(responses: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return RS(i) = #{j : R[i, j] > R[i, i]} / N (Eq. 4), strict, so that RS lies in [0, (N - 1) / N].

    Args:
        responses: (..., targets, units), R. NaN columns are units that do not compete: they are left out of the count
            and of N, and as a target they give NaN.
        units: (targets,) which unit each row was made for.

    Returns:
        (..., targets).

    Example: only the image made for unit 1 is answered more strongly by others, by two of four units.
        >>> responses = np.array([[3, 1, 2, 0], [5, 4, 6, 1], [0, 1, 2, 2], [0, 0, 0, 1]], float)
        >>> representative_substitution(responses, units=np.arange(4))
        array([0. , 0.5, 0. , 0. ])
    """
    competing = ~np.isnan(responses)
    with np.errstate(divide="ignore"):
        return _counts(responses, units) / competing.sum(-1)


def substitution(
    responses: np.ndarray,
    units: np.ndarray,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
    quantile: np.ndarray | None = None,
) -> Substitution:
    """Score every target unit: RS raw and scale-free, ties, seeds used, substitutes.

    Args:
        responses: (seeds, targets, units).
        units: (targets,).
        mean: (units,) of the activations over real images; without it and `std`, `rs_z` is NaN.
        std: (units,); a unit with standard deviation 0 has no scale.
        quantile: (units,) 99th percentile of the positive activations, NaN where there is none; without it, or where
            activations are signed, `rs_q` is NaN.
    """
    exact = responses.astype(np.float64)
    target_responses = _target_responses(exact, units)
    by_score = by_seed(exact, units, mean, std, quantile)
    speaks = target_responses > 0
    seeds = speaks.sum(0)
    ties = np.where(speaks, (exact == target_responses[..., None]).sum(-1) - 1, 0).sum(0)
    return Substitution(
        **{score: exceeding.mean() for score, exceeding in by_score.items()},
        ties=np.divide(ties, seeds, out=np.full(len(units), np.nan), where=seeds > 0),
        seeds=seeds,
        substitutes=substitutes(exact, units),
        left_out_z=responses.shape[-1] - by_score["rs_z"].competitors,
        left_out_q=responses.shape[-1] - by_score["rs_q"].competitors,
    )


def by_seed(
    responses: np.ndarray,
    units: np.ndarray,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
    quantile: np.ndarray | None = None,
) -> dict[str, Exceeding]:
    """Return how many units exceed every target in each seed, by the score: "rs", "rs_z" and "rs_q".

    The arguments are those of `substitution`, which gives the means over the seeds.
    """
    exact = responses.astype(np.float64)
    speaks = _target_responses(exact, units) > 0
    center, spread, top = _scales(responses.shape[-1], mean, std, quantile)
    on_scales = {
        "rs": (exact, np.ones(responses.shape[-1])),
        "rs_z": ((exact - center) / spread, spread),
        "rs_q": (exact / top, top),
    }
    return {
        score: Exceeding(np.where(speaks, _counts(values, units), np.nan), int(np.isfinite(scale).sum()))
        for score, (values, scale) in on_scales.items()
    }


def scales_of(summary: Mapping[str, Any], signed: bool) -> dict[str, np.ndarray]:
    """Return the scales that `substitution` takes, from what activations.h5 holds of a layer.

    Args:
        summary: `mean`, `std` and `positive_q99`, each (units,).
        signed: Whether activations can be negative: then no quantile is a scale.
    """
    scales = {"mean": np.asarray(summary["mean"]), "std": np.asarray(summary["std"])}
    return scales if signed else {**scales, "quantile": np.asarray(summary["positive_q99"])}


def substitutes(responses: np.ndarray, units: np.ndarray, most: int = MAX_SUBSTITUTES) -> list[list[int]]:
    """Return, for each target, the units that could stand in for it, strongest first.

    A substitute exceeds the unit in more than half of the seeds in which the unit is not silent; substitutes are ranked
    by `relative_strength`.

    Args:
        responses: (seeds, targets, units).
        units: (targets,).
        most: How many are kept.
    """
    target_responses = _target_responses(responses, units)
    exceeded = exceeding(responses, units, target_responses > 0)
    result: list[list[int]] = []
    for row in range(len(units)):
        others = np.flatnonzero(exceeded[row])
        if len(others):
            strength = relative_strength(target_responses[:, row], responses[:, row, others])
            others = others[np.argsort(-strength, kind="stable")]
        result.append(others[:most].tolist())
    return result


def exceeding(responses: Iterable[np.ndarray], units: np.ndarray, speaks: np.ndarray) -> np.ndarray:
    """Return which units exceed each target in more than half of the seeds used, (targets, units).

    Args:
        responses: For each seed, what is compared (targets, units); a NaN exceeds nothing, and is not exceeded.
        units: (targets,).
        speaks: (seeds, targets) whether a seed is used for a target: whether the unit is not silent on its image.
    """
    exceeded: np.ndarray | int = 0
    for seed_responses, used in zip(responses, speaks, strict=True):
        with np.errstate(invalid="ignore"):
            exceeded = exceeded + ((seed_responses > _target_responses(seed_responses, units)[:, None]) & used[:, None])
    return 2 * np.asarray(exceeded) > speaks.sum(0)[:, None]


def _scales(
    units: int, mean: np.ndarray | None, std: np.ndarray | None, quantile: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, standard deviation and quantile of the units, each (units,), NaN where there is no scale."""
    absent = np.full(units, np.nan)
    return (
        absent if mean is None else mean,
        absent if std is None else np.where(std > 0, std, np.nan),
        absent if quantile is None else np.where(quantile > 0, quantile, np.nan),
    )


def _counts(responses: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return by how many units each target is exceeded, (..., targets); NaN where its own answer is."""
    target_responses = _target_responses(responses, units)
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(target_responses), np.nan, (responses > target_responses[..., None]).sum(-1))


def _target_responses(responses: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return R[i, i] of every target, (..., targets)."""
    return responses[..., np.arange(len(units)), units]
