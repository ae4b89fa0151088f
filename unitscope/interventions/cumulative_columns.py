"""Columns of cumulative ablation: curves, and the areas under them."""

from unitscope.storage.columns import Schema, integer, number, text
from unitscope.storage.common_columns import Common


class CurvesTable(
    Schema, files=["results/{experiment}/cumulative/{layer}.csv", "results/{experiment}/cumulative_of_all.csv"]
):
    """One row per order of removal and point; layer is empty where all layers lose units at once."""

    layer = Common.layer
    clamp = text()
    """Value of the removed units: zero, or mean (of each unit over the training images)."""
    score = Common.score
    direction = text()
    """Which units are removed first: ascending (the lowest scores), descending (the highest), or random."""
    draw = integer("index")
    """Number of the random order, from 0; -1 for an order by a score."""
    fraction = number("share")
    """Share of the units that are removed."""
    removed = integer("count")
    """Number of units that are removed."""
    accuracy = number("share")
    """Accuracy on the test images."""
    loss = number("nats")
    """Mean cross-entropy on the test images."""
    reason = Common.reason


class AreasTable(
    Schema,
    files=[
        "results/{experiment}/cumulative_areas/{layer}.csv",
        "results/{experiment}/cumulative_areas_of_all.csv",
        "results/{experiment}/cumulative_areas.csv",
    ],
):
    """One row per score and direction, and one for the mean of the random orders, with intervals over images."""

    layer = Common.layer
    clamp = CurvesTable.clamp
    score = Common.score
    direction = CurvesTable.direction
    scored = integer("count")
    """Number of units that have the score; the others are removed last."""
    accuracy_area = number("share")
    """Area under the accuracy against the fraction removed."""
    accuracy_area_low = number("share")
    """Lower end of its 95 % confidence interval."""
    accuracy_area_high = number("share")
    """Upper end of its 95 % confidence interval."""
    loss_area = number("nats")
    """Area under the loss against the fraction removed."""
    loss_area_low = number("nats")
    """Lower end of its 95 % confidence interval."""
    loss_area_high = number("nats")
    """Upper end of its 95 % confidence interval."""
    accuracy_over = number("share")
    """Area under the accuracy minus that of the mean random order."""
    accuracy_over_low = number("share")
    """Lower end of its 95 % confidence interval."""
    accuracy_over_high = number("share")
    """Upper end of its 95 % confidence interval."""
    loss_over = number("nats")
    """Area under the loss minus that of the mean random order."""
    loss_over_low = number("nats")
    """Lower end of its 95 % confidence interval."""
    loss_over_high = number("nats")
    """Upper end of its 95 % confidence interval."""
    reason = Common.reason
