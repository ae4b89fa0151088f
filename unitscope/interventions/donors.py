"""Which training image each test image gets a unit's map from, where a unit is resampled."""

import numpy as np

from unitscope.randomness import generator


def donor_rows(training_images: int, test_images: int) -> np.ndarray:
    """Return the number of a random training image for each test image, (test images,).

    It belongs to the test image, whatever the layer, the unit, the batch and the sample of images are.
    """
    return generator("ablation", "donors").integers(training_images, size=test_images)
