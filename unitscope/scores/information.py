"""Class information of units: what a unit's activation tells of the class (after Morcos et al. 2018).

Class selectivity asks how much a unit prefers one class. A unit that answers half of the classes alike is hardly
selective, and still tells much of the class; mutual information counts that. Arrays in, arrays out.
"""

from collections.abc import Sequence

import numpy as np

from unitscope.data.summaries import unit_blocks
from unitscope.randomness import generator


def class_information(activations: np.ndarray, labels: np.ndarray, classes: int, bins: int) -> np.ndarray:
    """Return the mutual information of each unit's binned activation and the class, in bits.

    I = sum over bins b and classes c of p(b, c) log2(p(b, c) / (p(b) p(c))), with p the shares of images (Morcos et al.
    2018 compare it with class selectivity). The bins are ours: they hold equal numbers of images, and equal activations
    share a bin, so that the silence of a rectified unit is one, and any increasing map of a unit's activations changes
    nothing. Shares of few images make I too large, the more so the more bins there are: the value for permuted labels
    (`permuted_information`) belongs beside it.

    Args:
        activations: (images, units).
        labels: (images,) class numbers.
        classes: Number of classes.
        bins: Largest number of bins.

    Returns:
        (units,), at least 0 and at most log2 of the number of bins and of the number of classes.

    Example: of four classes the first unit tells one from the others, the second all.
        >>> activations = np.array([[1.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 4.0]])
        >>> class_information(activations, np.arange(4), classes=4, bins=4).round(3)
        array([0.811, 2.   ])
    """
    return np.concatenate(
        [_information(binned(block, bins), labels, classes, bins) for block in unit_blocks(np.asarray(activations))]
    )


def permuted_information(
    activations: np.ndarray, labels: np.ndarray, classes: int, bins: int, draws: int, seed: int
) -> np.ndarray:
    """Return each unit's mean class information (units,) in bits over shuffles of the labels, the same for every unit.

    Args:
        activations: (images, units).
        labels: (images,) class numbers.
        classes: Number of classes.
        bins: Largest number of bins.
        draws: Number of shuffles.
        seed: Of the shuffles.
    """
    shuffled = shuffles(labels, draws, seed)
    blocks = unit_blocks(np.asarray(activations))
    return np.concatenate([_permuted(binned(block, bins), shuffled, classes, bins) for block in blocks])


def information_and_null(
    activations: np.ndarray, labels: np.ndarray, classes: int, bins: int, shuffled: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return `class_information` and its mean over shuffled labels, both (units,) in bits, from the same bins.

    Args:
        activations: (images, units), a block of them.
        labels: (images,) class numbers.
        classes: Number of classes.
        bins: Largest number of bins.
        shuffled: The labels of each shuffle, as `shuffles` returns them.
    """
    places = binned(activations, bins)
    return _information(places, labels, classes, bins), _permuted(places, shuffled, classes, bins)


def shuffles(labels: np.ndarray, draws: int, seed: int) -> list[np.ndarray]:
    """Return shuffled labels (images,), one array per draw, the same for all units."""
    return [generator("class information", seed, draw).permutation(labels) for draw in range(draws)]


def binned(activations: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin (images, units) of each activation (images, units): of equal numbers of images, but for ties."""
    images = len(activations)
    places = np.empty(activations.shape, dtype=np.int64)
    for unit, values in enumerate(activations.T):
        # The number of images below; equal activations have as many.
        places[:, unit] = np.searchsorted(np.sort(values), values) * bins // images
    return places


def _permuted(places: np.ndarray, shuffled: Sequence[np.ndarray], classes: int, bins: int) -> np.ndarray:
    return np.mean([_information(places, labels, classes, bins) for labels in shuffled], axis=0)


def _information(places: np.ndarray, labels: np.ndarray, classes: int, bins: int) -> np.ndarray:
    """Return the mutual information (units,) in bits of bins (images, units) and classes (images,)."""
    images, units = places.shape
    cells = (np.arange(units) * bins + places) * classes + labels[:, None]
    joint = np.bincount(cells.ravel(), minlength=units * bins * classes).reshape(units, bins, classes) / images
    # H(bin) + H(class) - H(both); rounding may take it below 0.
    return np.maximum(_entropy(joint.sum(2)) + _entropy(joint.sum(1)) - _entropy(joint.reshape(units, -1)), 0.0)


def _entropy(shares: np.ndarray) -> np.ndarray:
    """Return the entropy (units,) in bits of shares (units, cells)."""
    return -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(1)
