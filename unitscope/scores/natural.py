"""RS on natural images: how many units answer a unit's own top images more strongly than the unit does.

Arrays in, arrays out. RS on images made for a unit may tell of what the ascent makes of an image and not of the units;
if RS on natural images does not go with it, it does.
"""

from dataclasses import replace

import numpy as np

from unitscope.scores.exemplars import EXEMPLARS, strongest
from unitscope.scores.substitution import Substitution, substitution

BLOCK = 64
"""Units that are looked at at a time: each brings the whole layer's answers to its images."""


def natural_substitution(
    activations: np.ndarray,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
    quantile: np.ndarray | None = None,
    count: int = EXEMPLARS,
) -> list[Substitution]:
    """Score every unit of a layer on the natural images that it answers most strongly (Chen et al. 2018, Eq. 4).

    On each of a unit's images, the share of the layer's units that answer it more strongly, raw and on the scales of
    real images; then the mean over the images. A unit's images stand where the seeds of made images stand: those that
    do not excite it are not used, and `seeds` is the number that are.

    Args:
        activations: (images, units).
        mean: (units,), as in `substitution.substitution`, like the next two.
        std: (units,).
        quantile: (units,).
        count: How many images a unit has at most.

    Returns:
        The scores of blocks of units, in order; without RS (r), which needs the image generated for each unit.
    """
    units = activations.shape[1]
    blocks = np.split(np.arange(units), range(BLOCK, units, BLOCK))
    by_block = []
    for block in blocks:
        images = strongest(activations[:, block], count).images.T
        responses = activations[images]
        # No image: the unit is silent there, as on an image that does not excite it.
        responses[images < 0] = 0
        scores = substitution(responses, block, mean, std, quantile)
        undefined = np.full(len(block), np.nan)
        by_block.append(
            replace(
                scores,
                rs_r=undefined,
                rs_r_quarter=undefined,
                rs_r_three_quarters=undefined,
                substitutes_r=[[] for _ in block],
                left_out_r=float(units),
            )
        )
    return by_block
