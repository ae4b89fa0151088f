"""Effects in which the paper's claims are stated, beside the rank correlation of `unitscope.statistics`.

Numbers in, numbers out: which claim asks for which effect is decided elsewhere. Each effect is computed as its source
defines it; intervals are percentile bootstraps over units, or Student's over trainings.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.stats

from unitscope.statistics import FEWEST_FOR_INTERVAL, MOST_CONSTANT


class Interval(NamedTuple):
    """An effect with its interval; NaN where it is undefined."""

    effect: float
    low: float
    high: float


def bootstrapped(
    effect: Callable[..., float],
    *scores: np.ndarray,
    level: float = 0.95,
    resamples: int = 2_000,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Return an effect of units' scores and its percentile bootstrap interval over units.

    Args:
        effect: Maps the scores to a number, NaN where it is undefined.
        scores: Each (units,); a unit that is NaN in any of them is left out.
        level: Share of resamples between the ends.
        resamples: Number of bootstrap resamples.
        seed: Of the resamples, or a generator.

    Returns:
        The interval is NaN below 10 units, or where the effect is undefined in over 5 % of the resamples.
    """
    columns = np.stack([np.asarray(score, dtype=np.float64) for score in scores])
    columns = columns[:, np.isfinite(columns).all(0)]
    units = columns.shape[1]
    value = effect(*columns) if units else np.nan
    if units < FEWEST_FOR_INTERVAL or not np.isfinite(value):
        return Interval(float(value), np.nan, np.nan)
    draws = np.random.default_rng(seed)
    found = np.array([effect(*columns[:, draws.integers(units, size=units)]) for _ in range(resamples)])
    defined = found[np.isfinite(found)]
    if len(defined) < (1 - MOST_CONSTANT) * resamples:
        return Interval(float(value), np.nan, np.nan)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))


def over_trainings(values: np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean of one number from each training (trainings,) and Student's interval; NaN from fewer than two."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else np.nan, np.nan, np.nan)
    half = scipy.stats.t.ppf((1 + level) / 2, len(values) - 1) * scipy.stats.sem(values)
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def cliffs_delta(x: np.ndarray, y: np.ndarray) -> float:
    """Return Cliff's delta of x (n,) over y (m,): how much more often x is larger than smaller, in -1 to 1."""
    if not len(x) or not len(y):
        return np.nan
    y = np.sort(y)
    return float((np.searchsorted(y, x, "left") + np.searchsorted(y, x, "right") - len(y)).sum() / (len(x) * len(y)))


def quartile_delta(rs: np.ndarray, selectivity: np.ndarray) -> float:
    """Return Cliff's delta of RS (units,) in the highest quartile of selectivity (units,) over that in the lowest.

    Positive where unselective units have lower RS. Units on the border of a quartile belong to it. NaN where both
    quartiles hold the same units.
    """
    low, high = np.quantile(selectivity, [0.25, 0.75])
    return np.nan if low == high else cliffs_delta(rs[selectivity >= high], rs[selectivity <= low])


def quadrant_difference(rs: np.ndarray, selectivity: np.ndarray, border: float = 0.5) -> float:
    """Return the share of units that are low in both, minus the share high in both.

    Args:
        rs: (units,).
        selectivity: (units,), low up to its median.
        border: RS is low below it.
    """
    selective, exceeded = selectivity > np.median(selectivity), rs >= border
    return float((~selective & ~exceeded).mean() - (selective & exceeded).mean())


def hodges_lehmann(differences: np.ndarray) -> float:
    """Return the shift of paired values from their differences (pairs,): the median of all pairwise means."""
    if not len(differences):
        return np.nan
    first, second = np.triu_indices(len(differences))
    return float(np.median((differences[first] + differences[second]) / 2))


def interquartile_range(values: np.ndarray) -> float:
    """Return the distance between the quartiles of values (units,)."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low)


def slope(values: np.ndarray, depths: np.ndarray) -> float:
    """Return the least-squares slope of values (layers,) on depths (layers,); NaN below two that are defined."""
    kept = np.isfinite(values)
    if kept.sum() < 2 or np.ptp(depths[kept]) == 0:
        return np.nan
    return float(np.polyfit(depths[kept], values[kept], 1)[0])


def fishers_z(correlations: np.ndarray) -> np.ndarray:
    """Return Fisher's z of correlations, which are held off -1 and 1, where it is infinite."""
    return np.arctanh(np.clip(correlations, -0.999, 0.999))


def cochran_q(correlations: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """Return Cochran's Q of correlations (layers,) from numbers of units (layers,), and its p.

    A small p rejects that all layers have one correlation. The variance of Fisher's z of Spearman's correlation is
    taken as 1.06 / (n - 3) (Fieller, Hartley and Pearson 1957). NaN from fewer than two layers with a correlation.
    """
    kept = np.isfinite(correlations) & (units > 3)
    if kept.sum() < 2:
        return np.nan, np.nan
    z, weights = fishers_z(correlations[kept]), (units[kept] - 3) / 1.06
    q = float((weights * (z - np.average(z, weights=weights)) ** 2).sum())
    return q, float(scipy.stats.chi2.sf(q, kept.sum() - 1))


def step_over_line(values: np.ndarray) -> tuple[float, int]:
    """Compare a step with a line as the course of values over layers.

    Args:
        values: (layers,) in order of depth, at least four.

    Returns:
        BIC of the line minus BIC of the best step, positive where the step describes the course better, and the
        position of the first layer behind the step. A line has three parameters with its variance, a step four with
        its place.
    """
    layers = len(values)
    if layers < 4 or not np.isfinite(values).all():
        return np.nan, 0
    depth = np.arange(layers)
    line = values - np.polyval(np.polyfit(depth, values, 1), depth)
    around = {place: np.concatenate([part - part.mean() for part in np.split(values, [place])]) for place in depth[1:]}
    place = min(around, key=lambda number: float((around[number] ** 2).sum()))

    def bic(residuals: np.ndarray, parameters: int) -> float:
        # Medians of shares are exact; a perfect fit would be infinitely better.
        mean_square = max(float((residuals**2).mean()), np.finfo(np.float64).eps)
        return float(layers * np.log(mean_square) + parameters * np.log(layers))

    return bic(line, 3) - bic(around[place], 4), int(place)
