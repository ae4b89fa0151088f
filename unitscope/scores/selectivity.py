"""Class selectivity of units (Morcos et al. 2018; Eq. 1 of Chen et al. 2018), from activations and labels.

Arrays in, arrays out: collecting activations belongs to `unitscope.probing.activations`, relating selectivity to other
scores to `unitscope.stats.correlation`.
"""

from collections.abc import Sequence

import numpy as np

from unitscope.data.sampling import halves
from unitscope.data.summaries import class_sizes, group_means


def class_selectivity(means: np.ndarray) -> np.ndarray:
    """Return the class selectivity index of each unit (Chen et al. 2018, Eq. 1).

    (largest class mean - mean of the others) / (largest class mean + mean of the others), without an epsilon, so that
    scaling a unit's activations changes nothing.

    Args:
        means: (classes, units) class means, none negative.

    Returns:
        (units,) in [0, 1]; NaN where the denominator is not above 0, or with fewer than two classes.

    Example: one unit prefers the first of three classes, another treats all alike.
        >>> class_selectivity(np.array([[4.0, 1.0], [1.0, 1.0], [1.0, 1.0]]))
        array([0.6, 0. ])
    """
    if len(means) < 2:
        return np.full(means.shape[1], np.nan)
    ordered = np.sort(means, axis=0)
    largest = ordered[-1]
    # The mean of equal numbers may be rounded to above them.
    others = np.minimum(ordered[:-1].mean(axis=0), largest)
    total = largest + others
    return np.divide(largest - others, total, out=np.full(total.shape, np.nan), where=total > 0)


def top_class(means: np.ndarray) -> np.ndarray:
    """Return (units,) the class with the largest mean, the first of equal ones, given means (classes, units)."""
    return np.argmax(means, axis=0)


def permuted_selectivity(
    activations: np.ndarray, labels: np.ndarray, classes: Sequence[str], draws: int, seed: int
) -> np.ndarray:
    """Return each unit's mean selectivity when the labels are shuffled over the images.

    Selectivity is a maximum of noisy means and thus biased upward; this is how large it is for labels that mean
    nothing, with the same numbers of images in the classes.

    Args:
        activations: (images, units).
        labels: (images,) class of each image.
        classes: Names of the classes.
        draws: Number of shuffles; the same ones for every unit.
        seed: Seed of the shuffles.

    Returns:
        (units,) mean over the shuffles in which the index is defined; NaN where it never is.

    Raises:
        UserError: As in `summaries.class_means`.
    """
    sizes = class_sizes(labels, classes)
    positive = np.maximum(activations, 0)
    generator = np.random.default_rng(seed)
    total = np.zeros(activations.shape[1])
    defined = np.zeros(activations.shape[1], dtype=np.int64)
    for _ in range(draws):
        index = class_selectivity(group_means(positive, generator.permutation(labels), sizes))
        total += np.nan_to_num(index)
        defined += np.isfinite(index)
    return np.divide(total, defined, out=np.full(total.shape, np.nan), where=defined > 0)


def selectivity_by_half(activations: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the class selectivity of each unit on either half of the images.

    Args:
        activations: (images, units).
        labels: (images,) class of each image.
        classes: Number of classes.

    Returns:
        (2, units); NaN where a class has no image in that half.
    """
    half = halves(labels)
    positive = np.maximum(activations, 0)
    result = np.full((2, activations.shape[1]), np.nan)
    for number in (0, 1):
        in_half = half == number
        sizes = np.bincount(labels[in_half], minlength=classes)
        if sizes.all():
            result[number] = class_selectivity(group_means(positive[in_half], labels[in_half], sizes))
    return result


def dead_units(train_max: np.ndarray, activations: np.ndarray) -> np.ndarray:
    """Return (units,) whether a unit's activation is above 0 on no image at all.

    Args:
        train_max: (units,) largest activation over the training images.
        activations: (images, units) of the test images.
    """
    return ~((train_max > 0) | (activations > 0).any(axis=0))
