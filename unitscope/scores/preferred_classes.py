"""The class that each unit prefers, on either half of the images."""

import numpy as np

from unitscope.data.summaries import group_means


def preferred_by_half(activations: np.ndarray, labels: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return the class with the largest mean activation of each unit on either half of the images.

    Args:
        activations: (images, units).
        labels: (images,) class of each image.
        half: (images,) half, 0 or 1, that each image belongs to.

    Returns:
        (2, units) class numbers; -1 for a unit that responds to no image of that half. A class without an image in that
        half is never preferred.
    """
    positive = np.maximum(activations, 0)
    result = np.full((2, activations.shape[1]), -1)
    for number in (0, 1):
        rows = half == number
        present, sizes = np.unique(labels[rows], return_counts=True)
        if len(present):
            means = group_means(positive[rows], np.searchsorted(present, labels[rows]), sizes)
            result[number] = np.where((means > 0).any(axis=0), present[means.argmax(axis=0)], -1)
    return result
