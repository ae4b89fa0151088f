"""Columns of the substitution graphs."""

from unitscope.storage.columns import Schema, integer, number, text
from unitscope.storage.common_columns import Common


class GraphsTable(Schema, files=["results/{experiment}/graphs.csv", "results/{experiment}/graph/{layer}.{method}.csv"]):
    """One row per layer, method and score: the graph of living units, with an edge from a unit to each substitute."""

    experiment = Common.experiment
    layer = Common.layer
    depth = Common.depth
    method = Common.method
    score = Common.score
    dead = integer("count")
    """Number of dead units, which are no nodes."""
    units = integer("count")
    """Number of nodes: living units with a scale."""
    targets = integer("count")
    """Number of nodes whose own images are known and activate them, so that edges start there."""
    edges = integer("count")
    """Number of edges."""
    density = number("share")
    """Share of all possible edges; the reciprocity expected by chance."""
    reciprocity = number("share")
    """Share of edges between targets whose reverse is an edge, too."""
    gini = number("1")
    """Gini coefficient of the in-degrees: 0 if all units substitute equally many others."""
    gini_null = number("1")
    """Mean Gini coefficient of random graphs with the same out-degrees."""
    p_value = number("1")
    """Share of random graphs, the observed one included, whose Gini coefficient is at least as large."""
    isolated = integer("count")
    """Number of nodes without an edge."""
    weak_components = integer("count")
    """Number of weakly connected components."""
    largest_strong_component = integer("count")
    """Number of nodes in the largest strongly connected component."""
    substitutes_universal = text()
    """Units with the largest in-degrees, largest first, separated by spaces."""
    substitutes_universal_share = text()
    """Share of the other targets that each of these units substitutes, separated by spaces."""
    reason = Common.reason
    gini_null_low = number("1")
    """2.5th percentile of the Gini coefficient of random graphs."""
    gini_null_high = number("1")
    """97.5th percentile of the Gini coefficient of random graphs."""
    note = text()
    """Number of nodes from which no edges are known; empty if there are none."""


class DegreesTable(Schema, files=["results/{experiment}/graph/{layer}.{method}.degrees.csv"]):
    """One row per score and node of the substitution graph."""

    layer = Common.layer
    method = Common.method
    score = Common.score
    unit = Common.unit
    in_degree = integer("count")
    """Number of targets that the unit substitutes."""
    by_chance = number("count")
    """Mean in-degree of the node of the same rank in random graphs."""
    out_degree = integer("count", or_nan=True)
    """Number of substitutes of the unit; NaN if it is no target."""
