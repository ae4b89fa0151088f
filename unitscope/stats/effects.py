"""Effects in which claims are stated, apart from the rank correlation of `unitscope.stats.correlation`.

Numbers in, numbers out. Each effect is computed as its source defines it. Intervals are Student's over trainings, and
Wilson's or Newcombe's of shares; those over units are bootstraps (`unitscope.stats.bootstrap`).
"""

import numpy as np
import scipy.stats

from unitscope.stats.bootstrap import why_too_few_values
from unitscope.stats.estimate import Estimate, undefined


def over_trainings(values: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the mean of one number from each training (trainings,) and Student's interval; NaN from fewer than two."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return Estimate(float(values.mean()) if len(values) else np.nan)
    half = scipy.stats.t.ppf((1 + level) / 2, len(values) - 1) * scipy.stats.sem(values)
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def mean_paired_difference(x: np.ndarray, y: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the mean of x - y (units,) with Student's interval over the units that have both.

    Unlike the Hodges-Lehmann shift it is not 0 wherever most pairs are tied. No interval from fewer than two pairs, nor
    where fewer than `bootstrap.FEWEST_OFF_MODE` differences are not at their mode, in whose absence Student's interval
    is too narrow (64 differences of which 95 % are 0: 0.77 instead of 0.95).
    """
    differences = np.asarray(x, dtype=np.float64) - np.asarray(y, dtype=np.float64)
    differences = differences[np.isfinite(differences)]
    estimate = over_trainings(differences, level)
    reason = why_too_few_values(differences)
    return Estimate(estimate.value, reason=reason) if reason else estimate


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


def quadrant_difference_by_chance(rs: np.ndarray, selectivity: np.ndarray, border: float = 0.5) -> float:
    """Return what `quadrant_difference` would be if both were as often low, and knew nothing of one another."""
    selective, exceeded = (selectivity > np.median(selectivity)).mean(), (rs >= border).mean()
    return float((1 - selective) * (1 - exceeded) - selective * exceeded)


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


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the Spearman correlation of x and y (units,), NaN where either is constant."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    x, y = scipy.stats.rankdata(x), scipy.stats.rankdata(y)
    return float(np.corrcoef(x, y)[0, 1])


def same_sign(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> float:
    """Return the product of the correlations of x and of y with z (units,): positive where they have the same sign."""
    return rank_correlation(x, z) * rank_correlation(y, z)


def across_halves(score0: np.ndarray, score1: np.ndarray, loss0: np.ndarray, loss1: np.ndarray) -> float:
    """Return the correlation of a score with a loss, each from the half of the images that the other is not from.

    The mean of both ways round; all arrays are (units,), numbers are those of the halves.
    """
    return (rank_correlation(score0, loss1) + rank_correlation(score1, loss0)) / 2


def shift(x: np.ndarray, y: np.ndarray) -> float:
    """Return the Hodges-Lehmann shift of x over y (units,)."""
    return hodges_lehmann(x - y)


def share_of_zeros(values: np.ndarray) -> float:
    """Return the share of values (units,) that are 0."""
    return float((values == 0).mean())


def median(values: np.ndarray) -> float:
    """Return the median of values (units,)."""
    return float(np.median(values))


def proportion(hits: int, n: int) -> Estimate:
    """Return a share with Wilson's 95 % interval (Wilson 1927)."""
    if not n:
        return undefined()
    ends = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
    return Estimate(hits / n, float(ends.low), float(ends.high))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two independent estimates with the interval that follows from theirs.

    MOVER, the method of variance estimates recovery (Zou and Donner 2008, "Construction of confidence intervals about
    effect measures", Statistics in Medicine 27): the distances from each estimate to the end of its interval are added
    as the sides of a right angle. For two shares with Wilson's intervals the result is Newcombe's interval (1998). Of
    estimates that rise and fall together the interval is rather too wide.
    """
    value = first.value - second.value
    return Estimate(
        value,
        value - float(np.hypot(first.value - first.low, second.high - second.value)),
        value + float(np.hypot(first.high - first.value, second.value - second.low)),
    )
