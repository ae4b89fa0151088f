"""Reliability of scores, the ceiling that it sets on a correlation, and the number of images that it would take.

The formulas are of linear correlations; that they are applied to Spearman's here is an approximation. Numbers in,
numbers out.
"""

import numpy as np

from unitscope.stats.ranks import rank_correlations

TESTABLE = 0.5
"""Reliability of a score below which the absence of a correlation with it cannot be tested."""

GOAL = 0.8
"""Reliability for which the number of images is given."""


def spearman_brown(correlation: np.ndarray, times: float = 2.0) -> np.ndarray:
    """Return the reliability of so many times as many measurements: k r / (1 + (k - 1) r) (Spearman; Brown 1910).

    Args:
        correlation: Reliability of what was measured, such as the correlation of two halves.
        times: k: 2 for the whole from its halves.
    """
    with np.errstate(divide="ignore"):
        return times * correlation / (1 + (times - 1) * correlation)


def split_half(first: np.ndarray, second: np.ndarray) -> float:
    """Return the reliability of a score from its values on two halves of the images, (units,) each.

    The rank correlation of the halves, stepped up by `spearman_brown`; at least -1, below 0 where the halves contradict
    each other by chance. NaN for fewer than three units that have both, and where a half is constant.
    """
    # At a correlation of -1/3 it is -1; towards -1 it would be infinite.
    return float(spearman_brown(np.maximum(of_half(first, second), -1 / 3)))


def of_half(first: np.ndarray, second: np.ndarray) -> float:
    """Return the reliability of a score on one half of the images: the rank correlation of both halves (units,)."""
    halves = np.stack([first, second]).astype(np.float64)
    halves = halves[:, np.isfinite(halves).all(0)]
    return float(rank_correlations(halves)[0, 0, 1]) if halves.shape[1] > 2 else np.nan


def ceiling(first: float, second: float) -> float:
    """Return the largest correlation that two reliabilities allow: sqrt(reliability * reliability) (Spearman 1904).

    An unknown reliability counts as 1, so that the result is an upper bound. NaN where both are unknown, 0 where one is
    not above 0.
    """
    if np.isnan(first) and np.isnan(second):
        return np.nan
    limits = [max(reliability, 0.0) for reliability in (first, second) if not np.isnan(reliability)]
    return float(np.sqrt(np.prod(limits)))


def images_needed(reliability: float, images: float, goal: float = GOAL) -> float:
    """Return the number of images for a reliability, from that of a score on some images, by Spearman and Brown.

    NaN where the reliability is unknown or not above 0: then no number follows from it.
    """
    if not reliability > 0:
        return np.nan
    return images * goal * (1 - reliability) / (reliability * (1 - goal))


def disattenuated(correlation: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return what a correlation would be of scores without noise: r / sqrt(reliability * reliability) (Spearman 1904).

    It may lie beyond -1 and 1, where reliabilities are estimated too low. NaN where a reliability is not above 0.
    """
    product = np.where((first > 0) & (second > 0), first * second, np.nan)
    return correlation / np.sqrt(product)


def intraclass(ratings: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the intraclass correlations ICC(2,1) and ICC(2,k) of ratings (Shrout and Fleiss 1979, case 2).

    Two-way random effects, absolute agreement, with BMS, JMS and EMS the mean squares between units, between seeds and
    of the rest, n units and k seeds:
    ICC(2,1) = (BMS - EMS) / (BMS + (k - 1) EMS + k (JMS - EMS) / n), of one seed;
    ICC(2,k) = (BMS - EMS) / (BMS + (JMS - EMS) / n), of the mean over k seeds. It may be below 0.

    Args:
        ratings: (seeds, units), all finite.
        weights: (resamples, units) how often each unit occurs in a resample; None stands for one in which each occurs
            once.

    Returns:
        Both (resamples,); NaN with fewer than two seeds or units, or where all ratings are the same.
    """
    seeds, units = ratings.shape
    weights = np.ones((1, units)) if weights is None else weights
    if seeds < 2:
        return np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    count = weights.sum(1)
    of_unit = ratings.mean(0)
    of_seed = weights @ ratings.T / count[:, None]
    overall = of_seed.mean(1, keepdims=True)
    total = weights @ (ratings**2).sum(0) - seeds * count * overall[:, 0] ** 2
    between_units = seeds * (weights * (of_unit - overall) ** 2).sum(1)
    between_seeds = count * ((of_seed - overall) ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = np.maximum(total - between_units - between_seeds, 0) / ((count - 1) * (seeds - 1))
        bms, jms = between_units / (count - 1), between_seeds / (seeds - 1)
        # Rounding leaves something of ratings that are all the same.
        varies = total > 1e-12 * np.maximum(weights @ (ratings**2).sum(0), 1e-300)
        # Nor is rounding a reliability above 0.
        above = np.where(np.abs(bms - rest) > 1e-9 * bms, bms - rest, 0.0)
        single = above / (bms + (seeds - 1) * rest + seeds * (jms - rest) / count)
        mean = above / (bms + (jms - rest) / count)
    return np.where(varies, single, np.nan), np.where(varies, mean, np.nan)
