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
    rs_r = number("share")
    """RS (r): share of the other units that respond to the unit's image at least half as strongly as to their own."""
    rs_r_quarter = number("share")
    """The same with at least a quarter."""
    rs_r_three_quarters = number("share")
    """The same with at least three quarters."""
    substitutes_z = text()
    """Up to 5 units that exceed the unit over standardized activations in most seeds used, strongest first."""
    substitutes_q = text()
    """The same over activations divided by their 99th percentiles."""
    substitutes_r = text()
    """Up to 5 units that respond at least half as strongly as to their own image in most seeds, strongest first."""
    exceeders = integer("count", or_nan=True)
    """Number of units that exceed the unit in most seeds used, all of them; NaN if the unit is silent in all."""
    left_out_r = number("count")
    """Units that are silent on their own image, left out of rs_r, mean over seeds; all units if not all are targets."""
    ascent_failures = number("count")
    """Pairs of units i, j where the image of i activates j more than the image of j does, mean over seeds; AM only."""
