"""Columns of the effects that gradients predict."""

from unitscope.storage.columns import Schema, number
from unitscope.storage.common_columns import Common


class GradientsTable(Schema, files=["results/{experiment}/gradients/{layer}.csv"]):
    """One row per unit: predicted increase of the mean cross-entropy when the unit is set to 0."""

    layer = Common.layer
    unit = Common.unit
    first_order = number("nats")
    """First-order effect: -activation x gradient of the loss, summed over positions, mean over the test images."""
    first_order_half0 = number("nats")
    """First-order effect on the first half of the test images."""
    first_order_half1 = number("nats")
    """First-order effect on the second half of the test images."""
    integrated = number("nats")
    """Integrated gradients while the activation of the whole layer is scaled to 0: the unit's share of that loss."""
    integrated_half0 = number("nats")
    """Integrated gradients on the first half of the test images."""
    integrated_half1 = number("nats")
    """Integrated gradients on the second half of the test images."""
    layer_loss = number("nats")
    """Increase of the mean cross-entropy when all units of the layer are set to 0; the same in all rows of a layer."""
    completeness_error = number("nats")
    """Sum of integrated over the units minus layer_loss: the error of the numerical integral."""
