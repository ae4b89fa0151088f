"""Class selectivity of units (Morcos et al. 2018; Eq. 1 of Chen et al. 2018), from activations and labels.

Gale et al. (2020, "Selectivity metrics can overestimate the selectivity of units") call the index CCMAS and recommend
the measures of `unitscope.scores.detection`. Rafegas et al. (2020, "Understanding trained CNNs by indexing neuron
selectivity"; library nefesi) index selectivity by the labels of the images that activate a unit most.

Arrays in, arrays out: collecting activations belongs to `unitscope.probing.activations`, relating selectivity to other
scores to `unitscope.stats.correlation`.
"""

from collections.abc import Sequence

import numpy as np

from unitscope.data.sampling import halves
from unitscope.data.summaries import class_sizes, group_means


def class_selectivity(means: np.ndarray) -> np.ndarray:
    """Return the class selectivity index of each unit (Chen et al. 2018, Eq. 1), CCMAS in Gale et al. (2020).

    (largest class mean - mean of the others) / (largest class mean + mean of the others), without an epsilon, so that
    scaling a unit's activations changes nothing. A maximum of noisy means, it is biased upward: it can be large for a
    unit that detects no class. selectivity.csv has it next to AUC, informedness and d' (`unitscope.scores.detection`).

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


def corrected_selectivity(activations: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the class selectivity index with the preferred class chosen on other images than those that are measured.

    The class with the largest mean is chosen on one half of the images, its index computed on the other, and the two
    halves are averaged. The index itself is biased upward, as a maximum of noisy means; this one is, if anything,
    biased downward. Layers and networks are compared by it.

    Args:
        activations: (images, units).
        labels: (images,) class of each image.
        classes: Number of classes.

    Returns:
        (units,) in [-1, 1]; NaN where a class has no image in a half, or a unit responds to no image of one.
    """
    half = halves(labels)
    positive = np.maximum(activations, 0)
    means = []
    for number in (0, 1):
        sizes = np.bincount(labels[half == number], minlength=classes)
        if len(sizes) < 2 or not sizes.all():
            return np.full(activations.shape[1], np.nan)
        means.append(group_means(positive[half == number], labels[half == number], sizes))
    return (_index_for(means[0], top_class(means[1])) + _index_for(means[1], top_class(means[0]))) / 2


def _index_for(means: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """Return the index (units,) of class means (classes, units) for the preferred class (units,) of each unit."""
    mean = np.take_along_axis(means, preferred[None], axis=0)[0]
    is_other = np.arange(len(means))[:, None] != preferred
    others = np.where(is_other, means, 0.0).sum(axis=0) / (len(means) - 1)
    total = mean + others
    return np.divide(mean - others, total, out=np.full(total.shape, np.nan), where=total > 0)


def dead_units(train_max: np.ndarray, activations: np.ndarray) -> np.ndarray:
    """Return (units,) whether a unit's activation is above 0 on no image at all.

    Args:
        train_max: (units,) largest activation over the training images.
        activations: (images, units) of the test images.
    """
    return ~((train_max > 0) | (activations > 0).any(axis=0))
