"""Exemplars: the natural images that a unit answers most strongly.

Arrays in, arrays out. Images that are made for a unit belong to `unitscope.maximization.maximize`; how the
activations were collected, to `unitscope.probing.activations`.
"""

from dataclasses import dataclass

import numpy as np

EXEMPLARS = 9
"""How many images are kept for each unit."""


@dataclass(frozen=True)
class Exemplars:
    """The images that the units of a layer answer most strongly, the strongest first.

    Attributes:
        images: (units, count) int64, rows of the activations; -1 where no further image excites the unit.
        activations: (units, count) float32, NaN where there is no image.
    """

    images: np.ndarray
    activations: np.ndarray


def strongest(activations: np.ndarray, count: int = EXEMPLARS) -> Exemplars:
    """Return the images that each unit answers most strongly.

    Only an image with an activation above 0 is an exemplar, in signed layers too: class selectivity looks at positive
    values likewise, and a unit without any is dead. Of equally strong images the one with the lower row comes first.

    Args:
        activations: (images, units).
        count: How many images are kept.
    """
    order = np.argsort(-activations, axis=0, kind="stable")[:count].T
    ranked = np.take_along_axis(activations.T, order, axis=1)
    excites = ranked > 0
    images = np.full((activations.shape[1], count), -1, dtype=np.int64)
    values = np.full((activations.shape[1], count), np.nan, dtype=np.float32)
    images[:, : order.shape[1]] = np.where(excites, order, -1)
    values[:, : order.shape[1]] = np.where(excites, ranked, np.nan)
    return Exemplars(images, values)
