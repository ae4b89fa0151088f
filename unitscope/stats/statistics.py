"""Rank correlation of two scores of units, with its uncertainty, and the correction for testing several.

Numbers in, numbers out: which scores are paired is decided in `unitscope.tables.unit_tables`. Only numpy is needed: a
bootstrap resample is a weight for each unit, and mid-ranks of weighted units are a cumulative sum: nothing is sorted
again.
"""

from typing import NamedTuple

import numpy as np

FEWEST_FOR_INTERVAL = 10
"""Below this many units a bootstrap interval says nothing."""

MOST_CONSTANT = 0.05
"""Largest share of bootstrap resamples that may be constant, and so have no correlation, for an interval to stand."""

BLOCK = 2**20
"""Numbers that are drawn at a time, whatever the number of units."""


class Correlation(NamedTuple):
    """A Spearman correlation: its value, 95 % interval and p, the pairs used, and why something of it is NaN."""

    spearman: float
    ci_low: float
    ci_high: float
    p_value: float
    used: int
    reason: str


def spearman(
    x: np.ndarray,
    y: np.ndarray,
    permutations: int = 10_000,
    resamples: int = 2_000,
    seed: int | np.random.Generator = 0,
    names: tuple[str, str] = ("x", "y"),
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

    Returns:
        All of it NaN where the correlation is undefined (fewer than three pairs, or a score that is the same for all of
        them); the interval alone NaN below 10 units or where over 5 % of the resamples are constant.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = np.isfinite(x) & np.isfinite(y)
    used = int(kept.sum())
    if reason := why_undefined(x, y, kept, names):
        return Correlation(np.nan, np.nan, np.nan, np.nan, used, reason)
    x_groups, y_groups = distinct_places(x[kept]), distinct_places(y[kept])
    every = np.ones((1, used))
    # Doubled and centred ranks are whole numbers, so equal correlations compare as equal.
    x_ranks = 2 * mid_ranks(x_groups, every)[0] - (used + 1)
    y_ranks = 2 * mid_ranks(y_groups, every)[0] - (used + 1)
    value = float(x_ranks @ y_ranks / np.sqrt((x_ranks @ x_ranks) * (y_ranks @ y_ranks)))
    shuffles, draws = np.random.default_rng(seed).spawn(2)
    p_value = _permutation_p(x_ranks, y_ranks, permutations, shuffles)
    low, high, reason = _bootstrap_interval(x_groups, y_groups, resamples, draws)
    return Correlation(value, low, high, p_value, used, reason)


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


def distinct_places(values: np.ndarray) -> np.ndarray:
    """Return (units,) the position of each value among the distinct values in ascending order."""
    return np.unique(values, return_inverse=True)[1]


def mid_ranks(groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (resamples, units) mid-ranks when each unit occurs `weights` (resamples, units) times."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    return ranks[:, groups]


def _permutation_p(x_ranks: np.ndarray, y_ranks: np.ndarray, permutations: int, shuffles: np.random.Generator) -> float:
    observed = abs(x_ranks @ y_ranks)
    as_strong = 0
    for size in _block_sizes(permutations, len(x_ranks)):
        shuffled = shuffles.permuted(np.broadcast_to(y_ranks, (size, len(y_ranks))), axis=1)
        as_strong += int((np.abs(shuffled @ x_ranks) >= observed).sum())
    return (as_strong + 1) / (permutations + 1)


def _bootstrap_interval(
    x_groups: np.ndarray, y_groups: np.ndarray, resamples: int, draws: np.random.Generator
) -> tuple[float, float, str]:
    units = len(x_groups)
    if units < FEWEST_FOR_INTERVAL:
        return np.nan, np.nan, f"no interval below {FEWEST_FOR_INTERVAL} units"
    values = np.concatenate([_resampled(x_groups, y_groups, size, draws) for size in _block_sizes(resamples, units)])
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - MOST_CONSTANT) * resamples:
        return (
            np.nan,
            np.nan,
            f"no interval: one score is constant in {len(values) - len(defined)} of {resamples} resamples",
        )
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high), ""


def _resampled(x_groups: np.ndarray, y_groups: np.ndarray, size: int, draws: np.random.Generator) -> np.ndarray:
    """Return (size,) correlations of bootstrap resamples, NaN where a side of one is constant."""
    units = len(x_groups)
    drawn = draws.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
    x = mid_ranks(x_groups, weights) - (units + 1) / 2
    y = mid_ranks(y_groups, weights) - (units + 1) / 2
    products = [np.einsum("ij,ij,ij->i", weights, a, b) for a, b in ((x, y), (x, x), (y, y))]
    scale = np.sqrt(products[1] * products[2])
    return np.divide(products[0], scale, out=np.full(size, np.nan), where=scale > 0)


def _block_sizes(total: int, units: int) -> list[int]:
    size = max(1, BLOCK // units)
    return [min(size, total - start) for start in range(0, total, size)]
