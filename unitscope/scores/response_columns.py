"""Columns of the distances between units by their responses."""

from unitscope.storage.columns import Schema, integer, number
from unitscope.storage.common_columns import Common


class ResponsesTable(Schema, files=["results/{experiment}/responses/{layer}.{method}.csv"]):
    """One row per unit of the layer: its place among the others by its responses to all units' images."""

    layer = Common.layer
    method = Common.method
    unit = Common.unit
    nearest = integer("index", or_nan=True)
    """Unit with the smallest EA distance (Bykov et al. 2023); of several, the lowest number."""
    nearest_distance = number("1")
    """EA distance to it, sqrt((1 - cosine) / 2): 0 if responses are proportional, 0.71 if no image is shared."""
    mean_distance = number("1")
    """Mean EA distance to the other units; large for an outlier representation."""
    position = integer("index", or_nan=True)
    """Position among the leaves of the layer's dendrogram (average linkage), from 0."""
    join_height = number("1")
    """Mean EA distance at which the dendrogram joins the unit and the next leaf; NaN for the last leaf."""
    reason = Common.reason
