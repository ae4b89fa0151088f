"""Effects in which the paper's claims are stated, beside the rank correlation of `unitscope.stats.statistics`.

Numbers in, numbers out: which claim asks for which effect is decided elsewhere. Each effect is computed as its source
defines it; intervals are percentile bootstraps over units, Student's over trainings, Wilson's or Newcombe's of shares.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from unitscope.stats.statistics import FEWEST_FOR_INTERVAL, MOST_CONSTANT


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
    return bootstrapped_layers(lambda values: values[0], effect, [scores], level, resamples, seed)


def bootstrapped_layers(
    course: Callable[[np.ndarray], float],
    effect: Callable[..., float],
    layers: Sequence[Sequence[np.ndarray]],
    level: float = 0.95,
    resamples: int = 2_000,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Return what an effect does over layers, with its interval: units are resampled within their layers.

    Args:
        course: Maps the effects of all layers (layers,) to a number, NaN where it is undefined.
        effect: Maps the scores of a layer to a number.
        layers: The scores of each layer, as `bootstrapped` takes them. A layer without units has the effect NaN.
        level: Share of resamples between the ends.
        resamples: Number of bootstrap resamples.
        seed: Of the resamples, or a generator.

    Returns:
        The interval is NaN where a layer has 1 to 9 units, or the number is undefined in over 5 % of the resamples.
    """
    tables = [np.stack([np.asarray(score, dtype=np.float64) for score in scores]) for scores in layers]
    tables = [table[:, np.isfinite(table).all(0)] for table in tables]
    units = [table.shape[1] for table in tables]

    def found(chosen: Sequence[np.ndarray]) -> float:
        return course(np.array([effect(*table) if table.size else np.nan for table in chosen]))

    value = found(tables)
    if any(0 < count < FEWEST_FOR_INTERVAL for count in units) or not np.isfinite(value):
        return Interval(float(value), np.nan, np.nan)
    draws = np.random.default_rng(seed)
    resampled = np.array(
        [
            found(
                [
                    table[:, draws.integers(max(count, 1), size=count)]
                    for table, count in zip(tables, units, strict=True)
                ]
            )
            for _ in range(resamples)
        ]
    )
    defined = resampled[np.isfinite(resampled)]
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


def proportion(hits: int, n: int) -> Interval:
    """Return a share with Wilson's 95 % interval (Wilson 1927)."""
    if not n:
        return Interval(np.nan, np.nan, np.nan)
    ends = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
    return Interval(hits / n, float(ends.low), float(ends.high))


def difference(first: Interval, second: Interval) -> Interval:
    """Return the difference of two independent estimates with the interval that follows from theirs.

    MOVER, the method of variance estimates recovery (Zou and Donner 2008, "Construction of confidence intervals about
    effect measures", Statistics in Medicine 27): the distances from each estimate to the end of its interval are added
    as the sides of a right angle. Of estimates that rise and fall together the interval is rather too wide.
    """
    effect = first.effect - second.effect
    return Interval(
        effect,
        effect - float(np.hypot(first.effect - first.low, second.high - second.effect)),
        effect + float(np.hypot(first.high - first.effect, second.effect - second.low)),
    )


def difference_of_proportions(first: Interval, second: Interval) -> Interval:
    """Return the difference of two independent shares with Newcombe's 95 % interval, from Wilson's (Newcombe 1998)."""
    return difference(first, second)
