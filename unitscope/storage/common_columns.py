"""Columns that tables of several packages have: names of things, and correlations with their uncertainty.

Every rule that reads or writes tables imports this module: a column that is new belongs into the module of its table.
"""

from unitscope.storage.columns import integer, number, text


class Common:
    """Columns to be reused."""

    experiment = text()
    """Name of the experiment."""
    network = text()
    """Name of the network; a training or checkpoint of several has its own."""
    layer = text()
    """Name of the layer."""
    depth = integer("index")
    """Position of the layer in the network, from 1."""
    kind = text()
    """Kind of the layer, such as conv or linear."""
    unit = integer("index")
    """Number of the unit in its layer, from 0."""
    method = text()
    """Name of the method by which the images were generated; empty where none is involved."""
    score = text()
    """Name of the score: rs, rs_z, rs_q, rs_r or another column of units.csv."""
    x = text()
    """Name of the first score."""
    y = text()
    """Name of the second score."""
    seeds = integer("count")
    """Number of noise seeds that were used."""
    units = integer("count")
    """Number of units in the layer."""
    used = integer("count")
    """Number of units on which the statistics of the row are based."""
    spearman = number("1")
    """Spearman's rank correlation."""
    ci_low = number("1")
    """Lower end of the 95 % confidence interval."""
    ci_high = number("1")
    """Upper end of the 95 % confidence interval."""
    p_value = number("1")
    """P value of a permutation test."""
    reason = text()
    """Why a value of the row is NaN; empty if none is."""
