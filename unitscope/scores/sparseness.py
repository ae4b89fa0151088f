"""Sparseness of responses: over the images of a unit, over the units of a layer, and over classes.

Arrays in, arrays out. Negative activations of signed layers count as 0, as they do for class selectivity.
"""

import numpy as np

from unitscope.data.summaries import group_sums


def lifetime_sparseness(activations: np.ndarray) -> np.ndarray:
    """Return how unevenly each unit's responses are distributed over the images.

    (1 - a) / (1 - 1/n) with a = (sum x / n)^2 / (sum x^2 / n) over n images (Rolls and Tovee 1995; Vinje and Gallant
    2000): 0 where all responses are equal, 1 where the unit responds to a single image.

    Args:
        activations: (images, units).

    Returns:
        (units,) in [0, 1]; NaN for a unit that responds to no image, or with a single image.

    Example: a unit that responds to one of four images, and one that responds equally to all.
        >>> lifetime_sparseness(np.array([[3.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]))
        array([1., 0.])
    """
    positive = np.maximum(activations, 0).astype(np.float64)
    return _sparseness(positive.sum(axis=0), (positive**2).sum(axis=0), len(positive))


class PopulationSparseness:
    """Mean over images of how unevenly the responses to an image are distributed over the units of a layer.

    The same formula as `lifetime_sparseness`, over units instead of images (Treves and Rolls 1991), without the images
    to which no unit responds. Units come in blocks, so that memory does not grow with them.
    """

    def __init__(self, images: int) -> None:
        self._sums, self._squares, self._units = np.zeros(images), np.zeros(images), 0

    def add(self, activations: np.ndarray) -> None:
        """Add a block of units (images, units)."""
        positive = np.maximum(activations, 0).astype(np.float64)
        self._sums += positive.sum(axis=1)
        self._squares += (positive**2).sum(axis=1)
        self._units += activations.shape[1]

    def value(self) -> float:
        """Return the mean in [0, 1]; NaN for a single unit, or where no unit responds to any image."""
        by_image = _sparseness(self._sums, self._squares, self._units)
        defined = np.isfinite(by_image)
        return float(by_image[defined].mean()) if defined.any() else np.nan


def label_entropy(activations: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the entropy of the classes in each unit's total response.

    The entropy of p_c = (sum of x over the images of class c) / (sum of x over all images): 0 where a unit responds to
    one class only, log2 of the number of classes where each class has the same share.

    Args:
        activations: (images, units).
        labels: (images,) class numbers.
        sizes: (classes,) number of images of each class, none of them 0.

    Returns:
        (units,) bits; NaN for a unit that responds to no image.

    Example: a unit that responds to one of two classes, and one that responds equally to both.
        >>> label_entropy(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 1]), np.array([1, 1]))
        array([0., 1.])
    """
    sums = group_sums(np.maximum(activations, 0), labels, sizes)
    total = sums.sum(axis=0)
    shares = np.divide(sums, total, out=np.zeros(sums.shape), where=total > 0)
    # 0 - x: an entropy of 0 is written without a sign.
    entropy = 0.0 - (shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=0)
    return np.where(total > 0, entropy, np.nan)


def _sparseness(sums: np.ndarray, squares: np.ndarray, count: int) -> np.ndarray:
    if count < 2:
        return np.full(sums.shape, np.nan)
    activity = np.divide((sums / count) ** 2, squares / count, out=np.full(sums.shape, np.nan), where=squares > 0)
    # Rounding may take the activity of equal numbers above 1.
    return np.clip((1 - activity) / (1 - 1 / count), 0.0, 1.0)
