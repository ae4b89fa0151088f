"""Ranks and rank correlations of weighted units, for all resamples of a bootstrap at once.

A resample is a weight for each unit, so that mid-ranks are cumulative sums and nothing is sorted again. Numbers in,
numbers out.
"""

import numpy as np


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
    defined = np.nan_to_num(correlations)
    across, between_controls = defined[:, :2, 2:], defined[:, 2:, 2:]
    residual = (
        correlations[:, :2, :2] - across @ np.linalg.pinv(between_controls, rcond=1e-9, hermitian=True) @ across.mT
    )
    variances = np.einsum("rii->ri", residual)
    # What is left of a score that the others tell without a rest is rounding.
    variances = np.where(variances > 1e-9, variances, np.nan)
    return np.clip(residual[:, 0, 1] / np.sqrt(variances[:, 0] * variances[:, 1]), -1, 1)
