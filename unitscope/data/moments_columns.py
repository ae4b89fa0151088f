"""Columns of the moments of all units of a network."""

from unitscope.storage.columns import Schema, number
from unitscope.storage.common_columns import Common


class MomentsTable(Schema, files=["results/{experiment}/moments/{readout}.csv"]):
    """One row per unit of each layer of the network."""

    layer = Common.layer
    unit = Common.unit
    mean = number("activation")
    """Mean activation over the training images."""
    std = number("activation")
    """Population standard deviation of the activation over the training images."""
