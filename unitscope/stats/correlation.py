"""Rank correlation of two scores of units, with its uncertainty, and the correction for testing several.

Numbers in, numbers out: which scores are paired is decided in `unitscope.tables.correlations`.
"""

from dataclasses import dataclass

import numpy as np

from unitscope.stats.bootstrap import (
    FEWEST_OFF_MODE,
    block_sizes,
    occurrences,
    percentile_interval,
    resample,
    why_too_few_units,
    why_too_few_values,
)
from unitscope.stats.effects import fishers_z
from unitscope.stats.estimate import Estimate
from unitscope.stats.ranks import distinct_places, mid_ranks


@dataclass(frozen=True)
class Correlation(Estimate):
    """A rank correlation.

    Attributes:
        p_value: Two-sided.
        used: Number of units that have both scores.
        z_error: Standard error of Fisher's z of the correlation: the standard deviation of z over the resamples. NaN
            where there is no interval.
    """

    p_value: float = np.nan
    used: int = 0
    z_error: float = np.nan


def spearman(
    x: np.ndarray,
    y: np.ndarray,
    permutations: int = 10_000,
    resamples: int = 2_000,
    seed: int | np.random.Generator = 0,
    names: tuple[str, str] = ("x", "y"),
    fewest_off_mode: int = FEWEST_OFF_MODE,
) -> Correlation:
    """Return the Spearman correlation of two scores, with tied values at their mid-ranks.

    The p value is two-sided, from permutations: (b + 1) / (permutations + 1), b the shuffles that correlate at least as
    strongly. The interval is the percentile bootstrap over units.

    Args:
        x: (units,) first score; a unit that is NaN in either score is left out.
        y: (units,) second score.
        permutations: Number of shuffles.
        resamples: Number of bootstrap resamples.
        seed: Seed of both, or a generator; neither number influences the other's draws.
        names: What the scores are called in `reason`.
        fewest_off_mode: Fewest units that must differ from the mode of each score for an interval.

    Returns:
        All of it NaN where the correlation is undefined (fewer than three pairs, or a score that is the same for all of
        them); the interval alone NaN below 10 units, where fewer than 20 units differ from the mode of a score, or
        where over 5 % of the resamples are constant.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = np.isfinite(x) & np.isfinite(y)
    used = int(kept.sum())
    if reason := why_undefined(x, y, kept, names):
        return Correlation(np.nan, reason=reason, used=used)
    x_groups, y_groups = distinct_places(x[kept]), distinct_places(y[kept])
    every = np.ones((1, used))
    # Doubled and centred ranks are whole numbers, so equal correlations compare as equal.
    x_ranks = 2 * mid_ranks(x_groups, every)[0] - (used + 1)
    y_ranks = 2 * mid_ranks(y_groups, every)[0] - (used + 1)
    value = float(x_ranks @ y_ranks / np.sqrt((x_ranks @ x_ranks) * (y_ranks @ y_ranks)))
    shuffles, draws = np.random.default_rng(seed).spawn(2)
    p_value = _permutation_p(x_ranks, y_ranks, permutations, shuffles)
    reason = why_too_few_units(used) or why_too_few_values(x[kept], y[kept], fewest=fewest_off_mode)
    if reason:
        return Correlation(value, reason=reason, p_value=p_value, used=used)
    correlations = resample(
        lambda drawn: _weighted(x_groups, y_groups, occurrences(drawn[0])), [used], resamples, draws
    )
    interval = percentile_interval(value, correlations, what="one score is constant")
    z = fishers_z(correlations[np.isfinite(correlations)])
    z_error = float(z.std(ddof=1)) if len(z) > 1 and not interval.reason else np.nan
    return Correlation(value, interval.low, interval.high, interval.reason, p_value, used, z_error)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p values adjusted for testing all of them at once (Holm 1979).

    Args:
        p_values: (tests,) of one family; a NaN is a test that was not made: it stays NaN and does not count.

    Returns:
        (tests,) adjusted p values, at most 1.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values, kind="stable")[: np.isfinite(p_values).sum()]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def why_undefined(x: np.ndarray, y: np.ndarray, kept: np.ndarray, names: tuple[str, str]) -> str:
    """Return why two scores have no correlation; an empty text where they have one.

    Args:
        x: (units,).
        y: (units,).
        kept: (units,) which units have both.
        names: What the scores are called.
    """
    used = kept.sum()
    for values, name in ((x, names[0]), (y, names[1])):
        if not np.isfinite(values).any():
            return f"{name} is undefined for all units"
    if used < 3:
        return f"only {used} units have both {names[0]} and {names[1]}"
    for values, name in ((x[kept], names[0]), (y[kept], names[1])):
        if (values == values[0]).all():
            return f"{name} is {values[0]:.4g} for all {used} units"
    return ""


def _permutation_p(x_ranks: np.ndarray, y_ranks: np.ndarray, permutations: int, shuffles: np.random.Generator) -> float:
    observed = abs(x_ranks @ y_ranks)
    as_strong = 0
    for size in block_sizes(permutations, len(x_ranks)):
        shuffled = shuffles.permuted(np.broadcast_to(y_ranks, (size, len(y_ranks))), axis=1)
        as_strong += int((np.abs(shuffled @ x_ranks) >= observed).sum())
    return (as_strong + 1) / (permutations + 1)


def _weighted(x_groups: np.ndarray, y_groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the correlations (resamples,) of units weighted (resamples, units), NaN where a score is constant."""
    resamples, units = weights.shape
    x = mid_ranks(x_groups, weights) - (units + 1) / 2
    y = mid_ranks(y_groups, weights) - (units + 1) / 2
    products = [np.einsum("ij,ij,ij->i", weights, a, b) for a, b in ((x, y), (x, x), (y, y))]
    scale = np.sqrt(products[1] * products[2])
    return np.divide(products[0], scale, out=np.full(resamples, np.nan), where=scale > 0)
