"""Images on which forms of a network are compared."""

from collections.abc import Sequence

import numpy as np

from unitscope.randomness import generator

NOISE_IMAGES = 1


def example_images(images: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return images on which forms of a network are compared: real ones and noise.

    Args:
        images: Real ones, uint8 (images, height, width, channels); there may be none.
        shape: (channels, height, width).
    """
    channels, height, width = shape
    count = NOISE_IMAGES if len(images) else 3
    noise = generator("example images").integers(0, 256, (count, height, width, channels), np.uint8)
    return np.concatenate([images, noise]) if len(images) else noise
