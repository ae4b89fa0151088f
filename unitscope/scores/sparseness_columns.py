"""Columns of the population sparseness of layers."""

from unitscope.storage.columns import Schema, number
from unitscope.storage.common_columns import Common


class SparsenessTable(Schema, files=["results/{experiment}/sparseness.csv"]):
    """One row per layer."""

    layer = Common.layer
    population_sparseness = number("share")
    """Unevenness of the units' responses to an image, mean over test images: 0 if all are equal, 1 if one responds."""
