"""Columns of RS on natural images."""

from unitscope.storage.columns import Schema, integer, number
from unitscope.storage.common_columns import Common


class NaturalTable(Schema, files=["results/{experiment}/natural.csv"]):
    """One row per unit."""

    layer = Common.layer
    unit = Common.unit
    rs_natural = number("share")
    """RS on the test images that activate the unit most, mean over these images."""
    rs_z_natural = number("share")
    """RS over standardized activations on the same images."""
    rs_q_natural = number("share")
    """RS over activations divided by the unit's 99th percentile on the same images."""
    images_natural = integer("count")
    """Number of these images: up to 9 that activate the unit."""
