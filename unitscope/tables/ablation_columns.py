"""Columns of the ablation of single units, which the table of units has, too."""

from unitscope.storage.columns import Schema, number
from unitscope.storage.common_columns import Common


class AblationTable(Schema, files=["results/{experiment}/ablation/{layer}.csv"]):
    """One row per ablated unit: changes against the intact network, positive where performance drops.

    Columns of a clamp that was not requested are NaN (zero, mean) or absent (resample, optimal).
    """

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
    ablation_loss_resample = number("nats").optional()
    """Increase of the mean cross-entropy when the unit has its map of another, random training image."""
    ablation_accuracy_resample = number("share").optional()
    """Decrease of the accuracy when the unit has its map of another, random training image."""
    ablation_worst_class_resample = number("share").optional()
    """Largest decrease of the accuracy within one class when the unit has its map of another, random training image."""
    ablation_loss_optimal = number("nats").optional()
    """Increase of the mean cross-entropy when the unit is set to the constant with the least loss on training
    images."""
    ablation_accuracy_optimal = number("share").optional()
    """Decrease of the accuracy when the unit is set to the constant with the least loss on training images."""
    ablation_worst_class_optimal = number("share").optional()
    """Largest decrease of the accuracy within one class when the unit is set to the constant with the least loss on
    training images."""
    optimal_constant = number("activation").optional()
    """The constant with the least loss on training images (clamp optimal)."""
    ablation_loss_mean_half0 = number("nats")
    """Increase of the mean cross-entropy on the first half of the images when the unit is set to its mean."""
    ablation_loss_mean_half1 = number("nats")
    """Increase of the mean cross-entropy on the second half of the images when the unit is set to its mean."""
    ablation_loss_resample_half0 = number("nats").optional()
    """Increase of the mean cross-entropy on the first half of the images when the unit has its map of another, random
    training image."""
    ablation_loss_resample_half1 = number("nats").optional()
    """Increase of the mean cross-entropy on the second half of the images when the unit has its map of another, random
    training image."""
    ablation_loss_optimal_half0 = number("nats").optional()
    """Increase of the mean cross-entropy on the first half of the images when the unit is set to the constant with the
    least loss on training images."""
    ablation_loss_optimal_half1 = number("nats").optional()
    """Increase of the mean cross-entropy on the second half of the images when the unit is set to the constant with the
    least loss on training images."""
    own_class_damage = number("nats")
    """Increase of the mean cross-entropy on images of the unit's preferred class when the unit is set to 0; class
    chosen on one half of the images, damage measured on the other."""
    specificity = number("nats")
    """own_class_damage minus the mean increase over the other classes."""
    worst_class = number("nats")
    """Increase of the mean cross-entropy in the class in which it is largest on the other half of the images, when the
    unit is set to 0."""
    own_class_damage_mean = number("nats")
    """Increase of the mean cross-entropy on images of the unit's preferred class when the unit is set to its mean;
    class chosen on one half of the images, damage measured on the other."""
    specificity_mean = number("nats")
    """own_class_damage_mean minus the mean increase over the other classes."""
    worst_class_mean = number("nats")
    """Increase of the mean cross-entropy in the class in which it is largest on the other half of the images, when the
    unit is set to its mean."""
    own_class_damage_resample = number("nats").optional()
    """Increase of the mean cross-entropy on images of the unit's preferred class when the unit has its map of another,
    random training image; class chosen on one half of the images, damage measured on the other."""
    specificity_resample = number("nats").optional()
    """own_class_damage_resample minus the mean increase over the other classes."""
    worst_class_resample = number("nats").optional()
    """Increase of the mean cross-entropy in the class in which it is largest on the other half of the images, when the
    unit has its map of another, random training image."""
    own_class_damage_optimal = number("nats").optional()
    """Increase of the mean cross-entropy on images of the unit's preferred class when the unit is set to the constant
    with the least loss on training images; class chosen on one half of the images, damage measured on the other."""
    specificity_optimal = number("nats").optional()
    """own_class_damage_optimal minus the mean increase over the other classes."""
    worst_class_optimal = number("nats").optional()
    """Increase of the mean cross-entropy in the class in which it is largest on the other half of the images, when the
    unit is set to the constant with the least loss on training images."""
