"""Columns of Shapley values."""

from unitscope.storage.columns import Schema, integer, number
from unitscope.storage.common_columns import Common


class ShapleyTable(Schema, files=["results/{experiment}/shapley/{layer}.csv"]):
    """One row per unit: what it adds to -(mean cross-entropy), averaged over orders of removing the layer's units."""

    layer = Common.layer
    unit = Common.unit
    shapley = number("nats")
    """Shapley value: positive where the unit lowers the loss. They sum to the loss without the layer minus the loss."""
    shapley_low = number("nats")
    """Lower end of its 95 % confidence interval over the orders."""
    shapley_high = number("nats")
    """Upper end of its 95 % confidence interval over the orders."""
    shapley_half0 = number("nats")
    """Shapley value on the first half of the images."""
    shapley_half1 = number("nats")
    """Shapley value on the second half of the images."""
    images = integer("count")
    """Number of images."""
