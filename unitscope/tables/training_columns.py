"""Columns of the comparison of a training's checkpoints."""

from unitscope.storage.columns import Schema, integer, number
from unitscope.storage.common_columns import Common


class TrainingTable(Schema, files=["results/{entry}.training/training.csv"]):
    """One row per checkpoint, layer, method and form of RS, with its correlation with class selectivity."""

    experiment = Common.experiment
    network = Common.network
    seed = integer("index")
    """Seed of the initial weights and the training."""
    epoch = integer("count")
    """Number of passes over the training images."""
    test_loss = number("nats")
    """Mean cross-entropy of the network on the test images."""
    test_accuracy = number("share")
    """Accuracy of the network on the test images."""
    layer = Common.layer
    depth = Common.depth
    method = Common.method
    score = Common.score
    units = Common.units
    dead = integer("count")
    """Number of units that no image activates."""
    selectivity = number("share")
    """Median class selectivity over living units."""
    median = number("1")
    """Median of the score over living units."""
    used = Common.used
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    p_value = Common.p_value
    reason = Common.reason
