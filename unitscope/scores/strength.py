"""How strongly units respond to the image of another unit.

Apart from `unitscope.scores.substitution`, so that figures and pages are not drawn again when RS is scored otherwise.
"""

import numpy as np


def relative_strength(target_responses: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how strongly units respond to a target's image: the median over seeds of R[i, j] / R[i, i], (units,).

    Args:
        target_responses: (seeds,) R[i, i], the target's own responses. A seed in which it is silent is not used.
        others: (seeds, units) R[i, j].

    Returns:
        NaN where the target is silent in all seeds.
    """
    speaks = target_responses > 0
    if not speaks.any():
        return np.full(others.shape[1], np.nan)
    ratios: np.ndarray = np.median(others[speaks] / target_responses[speaks, None], axis=0)
    return ratios
