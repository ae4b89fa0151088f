"""Columns of inhibition by images, and of its correlations."""

from unitscope.storage.columns import Schema, integer, number
from unitscope.storage.common_columns import Common


class InhibitionTable(Schema, files=["results/{experiment}/inhibition.csv"]):
    """One row per target unit and method."""

    experiment = Common.experiment
    layer = Common.layer
    method = Common.method
    unit = Common.unit
    seeds = integer("count")
    """Number of noise seeds that were used: those whose image does to the unit what it was made for."""
    inhibited = number("share")
    """Share of the layer's other units whose pre-activation on the unit's image is negative, mean over seeds."""
    reason = Common.reason


class InhibitionLayersTable(Schema, files=["results/{experiment}/inhibition_layers.csv"]):
    """One row per layer, method and score: its correlation with the share of inhibited units."""

    experiment = Common.experiment
    layer = Common.layer
    depth = Common.depth
    kind = Common.kind
    method = Common.method
    x = Common.x
    y = Common.y
    units = Common.units
    median = number("share")
    """Median share of inhibited units over living target units."""
    used = Common.used
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    p_value = Common.p_value
    reason = Common.reason
