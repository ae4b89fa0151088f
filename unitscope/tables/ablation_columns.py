"""Columns of the ablation of single units, which the table of units has, too."""

from unitscope.storage.columns import Schema, number
from unitscope.storage.common_columns import Common


class AblationTable(Schema, files=["results/{experiment}/ablation/{layer}.csv"]):
    """One row per ablated unit: changes against the intact network, positive where performance drops."""

    layer = Common.layer
    unit = Common.unit
    ablation_loss = number("nats")
    """Increase of the mean cross-entropy when the unit is set to 0."""
    ablation_accuracy = number("share")
    """Decrease of the accuracy when the unit is set to 0."""
    ablation_worst_class = number("share")
    """Largest decrease of the accuracy within one class when the unit is set to 0."""
    ablation_loss_mean = number("nats")
    """Increase of the mean cross-entropy when the unit is set to its mean."""
    ablation_accuracy_mean = number("share")
    """Decrease of the accuracy when the unit is set to its mean."""
    ablation_worst_class_mean = number("share")
    """Largest decrease of the accuracy within one class when the unit is set to its mean."""
    ablation_loss_half0 = number("nats")
    """Increase of the mean cross-entropy on the first half of the images when the unit is set to 0."""
    ablation_loss_half1 = number("nats")
    """Increase of the mean cross-entropy on the second half of the images when the unit is set to 0."""
    ablation_loss_mean_half0 = number("nats")
    """Increase of the mean cross-entropy on the first half of the images when the unit is set to its mean."""
    ablation_loss_mean_half1 = number("nats")
    """Increase of the mean cross-entropy on the second half of the images when the unit is set to its mean."""
