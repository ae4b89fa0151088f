"""Columns of representative substitution (RS)."""

from unitscope.storage.columns import Schema, integer, number, text
from unitscope.storage.common_columns import Common


class SubstitutionTable(Schema, files=["results/{experiment}/substitution/{layer}.{method}.csv"]):
    """One row per target unit."""

    layer = Common.layer
    method = Common.method
    unit = Common.unit
    rs = number("share")
    """RS: share of the layer's units that respond more strongly than the unit to its own image, mean over seeds."""
    rs_z = number("share")
    """RS over standardized activations, (activation - mean) / standard deviation on training images."""
    rs_q = number("share")
    """RS over activations divided by the unit's 99th percentile on training images."""
    ties = number("count")
    """Number of other units that respond exactly as strongly, mean over seeds."""
    seeds = integer("count")
    """Number of noise seeds that were used: those on whose image the unit is not silent."""
    substitutes = text()
    """Up to 5 units that exceed the unit in most seeds used, strongest first, separated by spaces."""
    left_out_z = integer("count")
    """Units of the layer without a standard deviation, left out of rs_z."""
    left_out_q = integer("count")
    """Units of the layer without a 99th percentile, left out of rs_q."""
