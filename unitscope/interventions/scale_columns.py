"""Columns of the comparison of scores under random scales of the units."""

from unitscope.storage.columns import Schema, integer, number, text
from unitscope.storage.common_columns import Common


class ScaleTable(Schema, files=["results/{experiment}/scale/{layer}.csv"]):
    """One row per condition, draw of scales, method and score; one with a reason if the layer cannot be rescaled."""

    layer = Common.layer
    condition = text()
    """Images that are scored: the stored ones (kept), or ones generated on the rescaled network (made)."""
    method = Common.method
    score = Common.score
    draw = integer("index", or_nan=True)
    """Number of the draw of scales, from 0."""
    units = integer("count", or_nan=True)
    """Number of units that have the score before and after rescaling."""
    spearman_before = number("1")
    """Spearman's rank correlation of the score and class selectivity before rescaling."""
    spearman_after = number("1")
    """Spearman's rank correlation of the score and class selectivity after rescaling."""
    agreement = number("1")
    """Spearman's rank correlation of the score before and after rescaling."""
    mean_change = number("share")
    """Mean absolute change of the score."""
    image_change = number("share")
    """Mean absolute change of the images' pixels, of the range 0 to 1."""
    logits_change = number("1")
    """Largest absolute change of a logit on a sample of test images."""
    selectivity_change = number("share")
    """Largest absolute change of a unit's class selectivity on a sample of test images."""
    reason = Common.reason
