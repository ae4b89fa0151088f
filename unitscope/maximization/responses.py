"""What is stored of the images made for a layer's units: the layer's answers to them, and which of these are compared.

Stands apart from `unitscope.maximization.maximize` and `unitscope.scores.substitution`, so that what reads images
does not hang on how they are made, nor figures and pages on how RS is scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np


@dataclass(frozen=True)
class Generated:
    """Images made for units, and how the whole layer answers them.

    Attributes:
        units: (targets,) the units.
        images: (seeds, targets, height, width, channels), uint8, or float32 where pixels are free.
        responses: (seeds, targets, units): activation of each unit on the image as stored.
        start_responses: The same on the start image.
        preactivations: (seeds, targets, units): as `responses`, before the nonlinearity.
        objective: (seeds, targets, points): course of what was maximized, or minimized: that falls.
        steps: (points,): the steps at which it was recorded.
        rounding: (seeds, targets): how far RS moves when the image is rounded to 8 bits; the RS of the minimum, over
            pre-activations, where the recipe minimizes.
    """

    units: np.ndarray
    images: np.ndarray
    responses: np.ndarray
    start_responses: np.ndarray
    preactivations: np.ndarray
    objective: np.ndarray
    steps: np.ndarray
    rounding: np.ndarray


def compared(arrays: Mapping[str, Any], minimize: bool) -> np.ndarray:
    """Return the answers that RS compares, (seeds, targets, units), float32; a unit competes by those above others.

    Args:
        arrays: `responses` and `preactivations`, both (seeds, targets, units), such as a file of images.
        minimize: Whether the images minimize. Then a unit answers by how far its pre-activation lies below 0: -P[i, j]
            stands for R[i, j], and a unit is silent where the image does not inhibit it, P[i, i] >= 0.
    """
    return -np.asarray(arrays["preactivations"]) if minimize else np.asarray(arrays["responses"])


def compared_in(file: h5py.File) -> np.ndarray:
    """Return the answers that RS compares, of a file of images, which says by itself whether they minimize."""
    return compared(file, bool(file.attrs.get("minimize", False)))
