"""Columns of the predictors of the ablation loss."""

from unitscope.storage.columns import Schema, number
from unitscope.storage.common_columns import Common


class PredictorsTable(Schema, files=["results/{experiment}/predictors.csv"]):
    """One row per unit."""

    layer = Common.layer
    unit = Common.unit
    weight_norm = number("1")
    """L2 norm of the unit's incoming weights, with a following batch norm folded in; NaN where it cannot be traced."""
    mean = number("activation")
    """Mean activation over the test images."""
    std = number("activation")
    """Population standard deviation of the activation over the test images."""
    firing_rate = number("share")
    """Share of the test images with a positive activation."""
    mean_half0 = number("activation")
    """Mean activation over the first half of the test images."""
    std_half0 = number("activation")
    """Population standard deviation over the first half of the test images."""
    firing_rate_half0 = number("share")
    """Share of the first half of the test images with a positive activation."""
    redundancy_half0 = number("1")
    """Held-out R2 of a ridge regression of the unit on the layer's other units, on the first half of these images."""
    mean_half1 = number("activation")
    """Mean activation over the second half of the test images."""
    std_half1 = number("activation")
    """Population standard deviation over the second half of the test images."""
    firing_rate_half1 = number("share")
    """Share of the second half of the test images with a positive activation."""
    redundancy_half1 = number("1")
    """Held-out R2 of the same regression on the second half of the test images."""
