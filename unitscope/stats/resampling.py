"""Bootstrap over units of what follows from the rank correlations of several scores: intervals for any of it at once.

A resample is a weight for each unit, as in `unitscope.stats.statistics`, so that ranks are cumulative sums and
thousands of resamples are a few products of matrices. Numbers in, numbers out: which scores are put together is decided
by `unitscope.tables.importance` and `unitscope.tables.reliability`.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from unitscope.stats.statistics import BLOCK, FEWEST_FOR_INTERVAL, MOST_CONSTANT, distinct_places, mid_ranks


class Estimate(NamedTuple):
    """A number with its 95 % interval, and why there is none of either; NaN where that is so."""

    value: float
    low: float
    high: float
    reason: str


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks (units,) of values (units,), from 1; tied values have the mean of their ranks."""
    return mid_ranks(distinct_places(values), np.ones((1, len(values))))[0]


def rank_correlations(scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return Spearman's correlations among several scores, (resamples, scores, scores).

    Args:
        scores: (scores, units), all finite.
        weights: (resamples, units) how often each unit occurs in a resample; None stands for one in which each occurs
            once.

    Returns:
        NaN in the rows and columns of a score that is constant over the units that occur.
    """
    weights = np.ones((1, scores.shape[1])) if weights is None else weights
    middle = (weights.sum(1, keepdims=True) + 1) / 2
    centred = np.stack([mid_ranks(distinct_places(score), weights) - middle for score in scores], axis=1)
    products = (centred * weights[:, None]) @ centred.mT
    scale = np.sqrt(np.einsum("rss->rs", products))
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / (scale[:, :, None] * scale[:, None])


def estimate(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scores: np.ndarray,
    resamples: int,
    draws: np.random.Generator,
) -> Estimate:
    """Return a statistic of units' scores with its percentile bootstrap interval over units.

    Args:
        statistic: Maps scores (scores, units) and weights (resamples, units) to a number for each resample, NaN where
            it is undefined.
        scores: (scores, units); a unit that is NaN in any of them is left out.
        resamples: Number of bootstrap resamples.
        draws: What they are drawn from.

    Returns:
        The interval is NaN below 10 units, or where the statistic is undefined in over 5 % of the resamples.
    """
    scores = np.asarray(scores, dtype=np.float64)
    scores = scores[:, np.isfinite(scores).all(0)]
    units = scores.shape[1]
    value = float(statistic(scores, np.ones((1, units)))[0]) if units else np.nan
    if not np.isfinite(value):
        return Estimate(np.nan, np.nan, np.nan, "undefined")
    if units < FEWEST_FOR_INTERVAL:
        return Estimate(value, np.nan, np.nan, f"no interval below {FEWEST_FOR_INTERVAL} units")
    found = np.concatenate([statistic(scores, weights) for weights in _weights(scores.shape, resamples, draws)])
    defined = found[np.isfinite(found)]
    if len(defined) < (1 - MOST_CONSTANT) * resamples:
        missing = f"it is undefined in {resamples - len(defined)} of {resamples} resamples"
        return Estimate(value, np.nan, np.nan, f"no interval: {missing}")
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(value, float(low), float(high), "")


def _weights(shape: tuple[int, ...], resamples: int, draws: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield (size, units) how often each unit occurs in each of some resamples, `resamples` of them in all."""
    scores, units = shape
    size = max(1, BLOCK // (scores * units))
    for first in range(0, resamples, size):
        count = min(size, resamples - first)
        drawn = draws.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)


def partial_correlation(correlations: np.ndarray) -> np.ndarray:
    """Return the correlation of the first two of several scores, given all others.

    Of rank correlations it is the partial Spearman correlation: Pearson's correlation of the residuals that are left
    of the ranks of both when they are regressed on the ranks of the others (Kim 2015, "ppcor", Communications for
    Statistical Applications and Methods 22; Whittaker 1990, Graphical Models in Applied Multivariate Statistics).

    Args:
        correlations: (resamples, scores, scores). Others that are constant, and so NaN, are left out.

    Returns:
        (resamples,); NaN where one of the two is constant, or is told by the others without a rest.
    """
    known = np.nan_to_num(correlations)
    across, given = known[:, :2, 2:], known[:, 2:, 2:]
    rest = correlations[:, :2, :2] - across @ np.linalg.pinv(given, rcond=1e-9, hermitian=True) @ across.mT
    own = np.einsum("rii->ri", rest)
    # What is left of a score that the others tell without a rest is rounding.
    own = np.where(own > 1e-9, own, np.nan)
    return np.clip(rest[:, 0, 1] / np.sqrt(own[:, 0] * own[:, 1]), -1, 1)
