"""Representative substitution (Chen et al. 2018, Eq. 4): how many units of a layer could stand in for a unit.

Works on response matrices R[i, j], the activation of unit j on the image generated for unit i. RS = 0 means that no
other unit responds to the image more strongly. Raw RS depends on the units' scales, which the network's function does
not determine; `rs_z` and `rs_q` compare on scales taken from real images, `rs_r` on what each unit gives on its own
image. The matrix is also what DORA compares units by (Bykov et al. 2023, "DORA: Exploring outlier representations in
deep neural networks"), which takes distances of its columns.

Where an image minimizes, what is compared is the pre-activation with its sign turned
(`unitscope.maximization.responses`): RS of the minimum is the share of units whose pre-activation lies below the
unit's. Of the scale-free forms it has `rs_r` alone, as no scales of pre-activations are known.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from unitscope.scores.strength import relative_strength

MAX_SUBSTITUTES = 5

HALF = 0.5
"""Share of its response to its own image from which a unit responds to another image, for `rs_r`."""


@dataclass(frozen=True)
class Substitution:
    """Scores of the target units of one layer and method; NaN where a unit is silent in all seeds or has no scale.

    Attributes:
        rs: (targets,) share of the layer's units that exceed the unit on its image, mean over seeds.
        rs_z: The same over (R - mean) / std of each unit.
        rs_q: The same over R / q99 of each unit.
        rs_r: (targets,) share of the other units that respond to the unit's image at least half as strongly as to their
            own image, mean over seeds; NaN unless all units of the layer are targets.
        rs_r_quarter: The same with a quarter in the place of half.
        rs_r_three_quarters: The same with three quarters.
        ties: (targets,) number of other units that respond exactly as strongly, mean over seeds.
        seeds: (targets,) number of seeds used: those in which the unit is not silent.
        exceeders: (targets,) number of units that exceed the unit in more than half of the seeds used.
        substitutes: For each target, the units that exceed it in more than half of the seeds used, strongest first.
        substitutes_z: The same over (R - mean) / std.
        substitutes_q: The same over R / q99.
        substitutes_r: For each target, the units that respond to its image at least half as strongly as to their own.
        left_out_z: Number of units without a standard deviation, left out of `rs_z`.
        left_out_q: Number of units without a quantile, left out of `rs_q`.
        left_out_r: Number of units that are silent on their own image, left out of `rs_r`, mean over seeds; all units
            where not all are targets.
    """

    rs: np.ndarray
    rs_z: np.ndarray
    rs_q: np.ndarray
    rs_r: np.ndarray
    rs_r_quarter: np.ndarray
    rs_r_three_quarters: np.ndarray
    ties: np.ndarray
    seeds: np.ndarray
    exceeders: np.ndarray
    substitutes: list[list[int]]
    substitutes_z: list[list[int]]
    substitutes_q: list[list[int]]
    substitutes_r: list[list[int]]
    left_out_z: int
    left_out_q: int
    left_out_r: float


@dataclass(frozen=True)
class Exceeding:
    """How many units exceed each target, seed by seed; RS is their share.

    Attributes:
        counts: (seeds, targets) number of units; NaN where the unit is silent or has no scale.
        competitors: N, the number of units that have a scale; (seeds,) where it depends on the seed.
    """

    counts: np.ndarray
    competitors: int | np.ndarray

    def mean(self) -> np.ndarray:
        """Return RS (targets,), the mean over the seeds in which it is defined; NaN where it never is.

        Counts are added and divided once, so that units that are exceeded as often have the same RS to the last bit; to
        the same end, shares are added as fractions where seeds differ in their competitors.
        """
        defined = np.isfinite(self.counts)
        competitors = np.broadcast_to(self.competitors, len(self.counts))
        if np.ptp(competitors) == 0:
            total, seeds = np.where(defined, self.counts, 0).sum(0), defined.sum(0)
            return np.divide(total, seeds * competitors[0], out=np.full(len(seeds), np.nan), where=seeds > 0)
        result = np.full(self.counts.shape[1], np.nan)
        for target in np.flatnonzero(defined.any(0)):
            used = defined[:, target]
            pairs = zip(self.counts[used, target].astype(int).tolist(), competitors[used].tolist(), strict=True)
            result[target] = sum((Fraction(*pair) for pair in pairs), Fraction(0)) / int(used.sum())
        return result

    def comparable(self) -> "Exceeding":
        """Return it with one number of competitors for all seeds: shares, of 1, where their numbers differ."""
        competitors = np.broadcast_to(self.competitors, len(self.counts))
        if np.ptp(competitors) == 0:
            return Exceeding(self.counts, int(competitors[0]))
        return Exceeding(self.counts / np.maximum(competitors, 1)[:, None], 1)


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
    center, spread, top = _scales(responses.shape[-1], mean, std, quantile)
    self_responses = _self_responses(exact, units)
    speaks = target_responses > 0
    seeds = speaks.sum(0)
    ties = np.where(speaks, (exact == target_responses[..., None]).sum(-1) - 1, 0).sum(0)
    return Substitution(
        **{score: exceeding.mean() for score, exceeding in by_score.items()},
        rs_r_quarter=responding_by_seed(exact, units, HALF / 2).mean(),
        rs_r_three_quarters=responding_by_seed(exact, units, 3 * HALF / 2).mean(),
        ties=np.divide(ties, seeds, out=np.full(len(units), np.nan), where=seeds > 0),
        seeds=seeds,
        exceeders=np.where(seeds > 0, exceeding(exact, units, speaks).sum(1), np.nan),
        substitutes=substitutes(exact, units),
        substitutes_z=_strongest(
            exceeding(((one - center) / spread for one in exact), units, speaks),
            lambda row, others: _over_seeds((exact[speaks[:, row], row] - center)[:, others] / spread[others]),
        ),
        substitutes_q=_strongest(
            exceeding((one / top for one in exact), units, speaks),
            lambda row, others: relative_strength(
                exact[:, row, units[row]] / top[units[row]], exact[:, row, others] / top[others]
            ),
        ),
        substitutes_r=_strongest(
            responding(exact, units),
            lambda row, others: _over_seeds(
                exact[speaks[:, row], row][:, others] / self_responses[speaks[:, row]][:, others]
            ),
        ),
        left_out_z=responses.shape[-1] - int(by_score["rs_z"].competitors),
        left_out_q=responses.shape[-1] - int(by_score["rs_q"].competitors),
        left_out_r=float(np.isnan(self_responses).sum(-1).mean())
        if _all_are_targets(exact, units)
        else float(exact.shape[-1]),
    )


def by_seed(
    responses: np.ndarray,
    units: np.ndarray,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
    quantile: np.ndarray | None = None,
) -> dict[str, Exceeding]:
    """Return how many units exceed every target in each seed, by the score: "rs", "rs_z", "rs_q" and "rs_r".

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
    exceeding_by_score = {
        score: Exceeding(np.where(speaks, _counts(values, units), np.nan), int(np.isfinite(scale).sum()))
        for score, (values, scale) in on_scales.items()
    }
    return {**exceeding_by_score, "rs_r": responding_by_seed(exact, units)}


def responding_by_seed(responses: np.ndarray, units: np.ndarray, share: float = HALF) -> Exceeding:
    """Return how many other units respond to each target's image in each seed as to their own, for `rs_r`.

    Of the competitors j != i with R[j, j] > 0, those with R[i, j] >= share * R[j, j], both of the same seed. It needs
    no real images, and multiplying a unit by a factor changes nothing. (R[i, j] > R[j, j] would be a failure of the
    ascent: `ascent_failures`.)

    Args:
        responses: (seeds, targets, units).
        units: (targets,); unless they are all units of the layer, all counts are NaN, of 0 competitors.
        share: Of its response to its own image, from which a unit counts.
    """
    self_responses = _self_responses(responses, units)
    responsive = np.isfinite(self_responses)
    if not _all_are_targets(responses, units):
        return Exceeding(np.full(responses.shape[:2], np.nan), 0)
    competitors = np.maximum(responsive.sum(-1) - 1, 0)
    counts = np.stack([one.sum(-1) for one in _responding(responses, units, share)]).astype(np.float64)
    return Exceeding(np.where(responsive[:, units] & (competitors[:, None] > 0), counts, np.nan), competitors)


def responding(responses: np.ndarray, units: np.ndarray, share: float = HALF) -> np.ndarray:
    """Return which units respond to each target's image as to their own in more than half of its seeds used.

    Args:
        responses: (seeds, targets, units).
        units: (targets,).
        share: As in `responding_by_seed`.

    Returns:
        (targets, units); no unit unless all units of the layer are targets.
    """
    speaks = _target_responses(responses, units) > 0
    if not _all_are_targets(responses, units):
        return np.zeros(responses.shape[1:], dtype=bool)
    return _in_most_seeds(_responding(responses, units, share), speaks)


def ascent_failures(responses: np.ndarray, units: np.ndarray) -> float:
    """Return how many images activate another target more strongly than its own image does, mean over seeds.

    The number of pairs of targets i != j with R[i, j] > R[j, j]: where the images maximize the activation itself, each
    is a failure of the ascent for unit j.

    Args:
        responses: (seeds, targets, units).
        units: (targets,).

    Example: the image of unit 0 activates unit 1 more than the image of unit 1 does.
        >>> ascent_failures(np.array([[[3.0, 2.0], [0.0, 1.0]]]), np.arange(2))
        1.0
    """
    self_responses = _target_responses(responses, units)
    return float((responses[:, :, units] > self_responses[:, None, :]).sum((1, 2)).mean())


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
    return _strongest(
        exceeding(responses, units, target_responses > 0),
        lambda row, others: relative_strength(target_responses[:, row], responses[:, row, others]),
        most,
    )


def _strongest(
    exceeded: np.ndarray, strength: Callable[[int, np.ndarray], np.ndarray], most: int = MAX_SUBSTITUTES
) -> list[list[int]]:
    """Return, for each target, the units that exceed it, strongest first.

    Args:
        exceeded: (targets, units).
        strength: Given a target's row and some units (others,), how strong they are (others,).
        most: How many are kept.
    """
    result: list[list[int]] = []
    for row, exceeds in enumerate(exceeded):
        others = np.flatnonzero(exceeds)
        if len(others):
            others = others[np.argsort(-strength(row, others), kind="stable")]
        result.append(others[:most].tolist())
    return result


def exceeding(responses: Iterable[np.ndarray], units: np.ndarray, speaks: np.ndarray) -> np.ndarray:
    """Return which units exceed each target in more than half of the seeds used, (targets, units).

    Args:
        responses: For each seed, what is compared (targets, units); a NaN exceeds nothing, and is not exceeded.
        units: (targets,).
        speaks: (seeds, targets) whether a seed is used for a target: whether the unit is not silent on its image.
    """
    return _in_most_seeds((one > _target_responses(one, units)[:, None] for one in responses), speaks)


def _in_most_seeds(exceeds: Iterable[np.ndarray], speaks: np.ndarray) -> np.ndarray:
    """Return (targets, units) where more than half of the seeds used have True in (targets, units)."""
    exceeded: np.ndarray | int = 0
    with np.errstate(invalid="ignore"):
        for seed_exceeds, used in zip(exceeds, speaks, strict=True):
            exceeded = exceeded + (seed_exceeds & used[:, None])
    return 2 * np.asarray(exceeded) > speaks.sum(0)[:, None]


def _responding(responses: np.ndarray, units: np.ndarray, share: float) -> Iterator[np.ndarray]:
    """Yield for each seed which other units respond as to their own image, (targets, units)."""
    for seed_responses, self_responses in zip(responses, _self_responses(responses, units), strict=True):
        # In float64, in which multiples of a float32 by quarters are exact.
        responds = seed_responses >= share * self_responses.astype(np.float64)
        responds[np.arange(len(units)), units] = False
        yield responds


def _over_seeds(values: np.ndarray) -> np.ndarray:
    """Return the median over seeds (units,) of values (seeds, units), without those that are NaN."""
    median: np.ndarray = np.nanmedian(values, axis=0)
    return median


def _self_responses(responses: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return R[j, j] of every unit j (seeds, units): NaN where it is silent on its own image, or is no target."""
    result = np.full((len(responses), responses.shape[-1]), np.nan)
    self_responses = _target_responses(responses, units)
    result[:, units] = np.where(self_responses > 0, self_responses, np.nan)
    return result


def _all_are_targets(responses: np.ndarray, units: np.ndarray) -> bool:
    return len(np.unique(units)) == responses.shape[-1]


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
