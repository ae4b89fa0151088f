"""What is known of units without ablating them, and might foretell what their ablation costs.

Mean, spread and firing rate of a unit's activation, how well the layer's other units tell it (its redundancy on the
data's side), and the norm of its incoming weights. What they foretell is asked in `unitscope.tables.importance`.
"""

from typing import Any

import numpy as np
import torch

from unitscope.data.summaries import LEAST_POSITIVE
from unitscope.probing.following import NORMS
from unitscope.probing.layer import Layer
from unitscope.randomness import generator

FOLDS = 5
"""Parts of the images; redundancy is scored on each with what was fitted on the others."""

PENALTIES = 10.0 ** np.arange(-6, 4)
"""Ridge penalties that are tried, on standardized activations, as a share of the number of images."""


def activity(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean, standard deviation (population) and firing rate (share of images above 0), each (units,).

    Args:
        values: Activations (images, units).
    """
    return {
        "mean": values.mean(0, dtype=np.float64),
        # A constant unit has standard deviation 0, not the rounding error of its mean.
        "std": np.where(np.ptp(values, axis=0) == 0, 0.0, values.std(0, dtype=np.float64)),
        "firing_rate": (values > 0).mean(0),
    }


def redundancy(values: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """Return how well the other units of its layer tell each unit: held-out R2 of a ridge regression on them.

    The images are parted into folds; each is told by the regression that was fitted on the others. R2 = 1 - (squared
    errors) / (squared distances from the mean of the images fitted on), both summed over the folds. Near 1: the unit is
    a linear function of the others; 0 or a little below: they tell nothing of it. Scaling a unit changes nothing.

    All units are regressed at once. With C the correlations of the activations, l the penalty and P = (C + l I)^-1, the
    regression of unit j on the others leaves z_j - sum_k b_k z_k = (z P)_j / P_jj (Lauritzen 1996, Graphical Models,
    5.1.3; a ridge regression since all of C has the penalty). Each unit has the penalty that minimizes its generalized
    cross-validation (Golub, Heath and Wahba 1979), which needs no images that are held out.

    Args:
        values: Activations (images, units).
        folds: Number of folds.

    Returns:
        (units,); NaN for a unit that is anything but its median on fewer than 20 images: its scale is not known, and it
        tells nothing of the others either. NaN for all with fewer than two other units or two images a fold.

    Example: the first two units say the same, the third is on its own, the fourth is dead.
        >>> draws = np.random.default_rng(0).random((200, 2))
        >>> redundancy(np.stack([draws[:, 0], 2 * draws[:, 0], draws[:, 1], np.zeros(200)], 1)).round(1) + 0
        array([ 1.,  1.,  0., nan])
    """
    images = len(values)
    result = np.full(values.shape[1], np.nan)
    scaled = (values != np.median(values, axis=0)).sum(0) >= LEAST_POSITIVE
    if images < 2 * folds or scaled.sum() < 2:
        return result
    exact = values[:, scaled].astype(np.float64)
    units = exact.shape[1]
    part = generator("redundancy", images).permutation(images) % folds
    errors, distances = np.zeros(units), np.zeros(units)
    for number in range(folds):
        fitted, held = exact[part != number], exact[part == number]
        middle = fitted.mean(0)
        # What is the same on all images fitted on tells nothing there, and is told by its mean.
        spread = np.where(np.ptp(fitted, axis=0) > 0, fitted.std(0), np.inf)
        left = _residuals((fitted - middle) / spread, (held - middle) / spread)
        varied = np.isfinite(spread)
        errors += (np.where(varied, left * np.where(varied, spread, 0.0), held - middle) ** 2).sum(0)
        distances += ((held - middle) ** 2).sum(0)
    result[scaled] = 1 - errors / distances
    return result


def _residuals(fitted: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return what regressions on the other units leave of the held-out images.

    Args:
        fitted: Standardized activations (images, units) that are fitted.
        held: Activations on the same scale, (held-out images, units).

    Returns:
        (held-out images, units).
    """
    images, units = fitted.shape
    values, vectors = np.linalg.eigh(fitted.T @ fitted / images)
    values, squares = np.maximum(values, 0.0), vectors**2
    best, best_penalty = np.full(units, np.inf), np.full(units, PENALTIES[-1])
    for penalty in PENALTIES:
        inverse = 1 / (values + penalty)
        # P_jj, (P P)_jj and (P C P)_jj.
        diagonal, twice, across = squares @ inverse, squares @ inverse**2, squares @ (values * inverse**2)
        # The trace of the hat matrix of each regression, from that of the whole by the inverse of a block.
        freedom = units - 1 - penalty * (inverse.sum() - twice / diagonal)
        score = across / diagonal**2 / np.maximum(1 - (freedom + 1) / images, 1e-9) ** 2
        better = score < best
        best, best_penalty = np.where(better, score, best), np.where(better, penalty, best_penalty)
    # Column j: P's with the penalty of unit j, in the eigenvectors.
    columns = vectors.T / (values[:, None] + best_penalty)
    best_diagonal = np.einsum("jk,kj->j", vectors, columns)
    return held @ vectors @ columns / best_diagonal


def weight_norms(layer: Layer) -> np.ndarray | None:
    """Return the L2 norm of each unit's incoming weights, (units,), a batch norm behind the layer folded in.

    With the norm folded in, a unit's weights are w * gamma / sqrt(variance + eps). A bias is none of them.

    Returns:
        None where the network cannot be traced, or its batch norm keeps no statistics: then what stands behind the
        layer is not known.
    """
    traced = layer.probe.traced
    if traced is None:
        return None
    site, modules = traced.sites[layer.name], traced.modules
    module: Any = modules[str(site.call.target)]
    norms = torch.linalg.vector_norm(module.weight.detach().cpu().double().flatten(1), dim=1).numpy()
    if site.tap is site.call:
        return norms
    # A batch norm that is a function is no module.
    norm = modules.get(str(site.tap.target))
    if not isinstance(norm, NORMS) or norm.running_var is None:
        return None
    gamma = torch.ones(len(norms)) if norm.weight is None else norm.weight.detach()
    scale = gamma.cpu().double() / torch.sqrt(norm.running_var.cpu().double() + norm.eps)
    return norms * scale.abs().numpy()
