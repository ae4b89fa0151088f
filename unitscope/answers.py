"""What a layer answers to the images made for its units: which of the stored numbers are compared.

Stands apart from `unitscope.substitution`, so that figures and pages do not hang on how RS is scored.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np


def compared(made: Mapping[str, Any], minimize: bool) -> np.ndarray:
    """Return the answers that RS compares, (seeds, targets, units), float32; a unit competes by those above others.

    Args:
        made: `responses` and `preactivations`, both (seeds, targets, units), such as a file of images.
        minimize: Whether the images minimize. Then a unit answers by how far its pre-activation lies below 0: -P[i, j]
            stands for R[i, j], and a unit is silent where the image does not inhibit it, P[i, i] >= 0.
    """
    return -np.asarray(made["preactivations"]) if minimize else np.asarray(made["responses"])
