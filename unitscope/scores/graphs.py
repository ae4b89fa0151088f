"""The substitution graph of a layer: who stands in for whom, and whether a few units stand in for all.

An edge i -> j says that unit j answers the image made for unit i more strongly than i itself: Chen et al. (2018) count
these edges at i (RS, Eq. 4), and here they are looked at from j. Whole matrices are measured; what is written for other
programs (GraphML) holds each target's strongest substitutes. Making images and scoring RS is done elsewhere.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from scipy.sparse import coo_array, csgraph

from unitscope.scores.substitution import exceeding, responding

BLOCK = 2**20
"""Numbers that are drawn at a time, whatever the number of units."""

MOST_UNIVERSAL = 5

FEWEST_DRAWS = 39
"""Of a null, below which the ends of its 95 % say nothing: each end is then cut off by less than one draw."""


@dataclass(frozen=True)
class Graph:
    """Who substitutes whom in a layer.

    Attributes:
        nodes: (nodes,) numbers of the units that take part, ascending: the living ones, where answers are standardized
            those with a scale.
        targets: (targets,) numbers of the nodes whose substitutes are known, ascending: those that have an image and
            answer it.
        edges: (targets, nodes) whether the node substitutes the target.
    """

    nodes: np.ndarray
    targets: np.ndarray
    edges: np.ndarray

    @property
    def in_degrees(self) -> np.ndarray:
        """Number of targets that each node substitutes, (nodes,)."""
        return self.edges.sum(0)

    @property
    def out_degrees(self) -> np.ndarray:
        """Number of substitutes of each target, (targets,)."""
        return self.edges.sum(1)

    @property
    def places(self) -> np.ndarray:
        """Positions of the targets among the nodes, (targets,)."""
        return np.searchsorted(self.nodes, self.targets)


def substitution_graph(
    responses: np.ndarray,
    units: np.ndarray,
    dead: np.ndarray | None = None,
    mean: np.ndarray | None = None,
    scale: np.ndarray | None = None,
) -> Graph:
    """Return the graph in which i -> j where j exceeds i on i's image in more than half of the seeds used.

    The seeds used are those in which i is not silent, R[i, i] > 0, as for RS and its list of substitutes.

    Args:
        responses: (seeds, targets, units), R.
        units: (targets,) which unit each row was made for.
        dead: (units,) units that no real image excites: they take no part.
        mean: (units,) what is taken from the answers before they are compared; by default nothing.
        scale: (units,) what they are divided by; a unit whose scale is not above 0, or NaN, takes no part.
    """
    count = responses.shape[-1]
    scale = np.ones(count) if scale is None else np.where(scale > 0, scale, np.nan)
    mean = np.zeros(count) if mean is None else mean
    takes_part = np.isfinite(scale) & (True if dead is None else ~dead)
    speaks = responses[:, np.arange(len(units)), units] > 0
    # A seed at a time: all at once would be as large as the images' file.
    compared = ((seed_responses.astype(np.float64) - mean) / scale for seed_responses in responses)
    exceeded = exceeding(compared, units, speaks)
    return _graph(units, speaks, takes_part, exceeded)


def responding_graph(responses: np.ndarray, units: np.ndarray, dead: np.ndarray | None = None) -> Graph:
    """Return the graph of RS (r): i -> j where j responds to i's image at least half as strongly as to its own.

    In more than half of the seeds in which i is not silent. Units that are silent on all of their own images take no
    part; where not all units are targets, no unit does.

    Args:
        responses: (seeds, targets, units), R.
        units: (targets,) unit of each row.
        dead: (units,) units that no real image activates: they take no part.
    """
    speaks = responses[:, np.arange(len(units)), units] > 0
    takes_part = np.zeros(responses.shape[-1], dtype=bool)
    if len(units) == responses.shape[-1]:
        takes_part[units] = speaks.any(0)
    if dead is not None:
        takes_part &= ~dead
    return _graph(units, speaks, takes_part, responding(responses, units))


def _graph(units: np.ndarray, speaks: np.ndarray, takes_part: np.ndarray, edges: np.ndarray) -> Graph:
    """Return the graph of edges (targets, units) between the units that take part (units,)."""
    kept = np.flatnonzero(speaks.any(0) & takes_part[units])
    kept = kept[np.argsort(units[kept], kind="stable")]
    return Graph(np.flatnonzero(takes_part), units[kept], edges[kept][:, takes_part])


# --- what is measured ------------------------------------------------------------------------------------------------


def reciprocity(graph: Graph) -> float:
    """Return the share of edges i -> j that are answered by j -> i (Newman 2010, Eq. 7.32).

    Only edges between targets are counted: of other nodes it is not known whom they are substituted by. NaN where there
    are none.
    """
    between = graph.edges[:, graph.places]
    return float((between & between.T).sum() / between.sum()) if between.any() else np.nan


def gini(values: np.ndarray) -> np.ndarray:
    """Return Gini's coefficient: half the relative mean absolute difference, sum |a - b| / (2 n^2 mean).

    0 where all values are equal, (n - 1) / n where one holds everything.

    Args:
        values: (..., n), not negative.

    Returns:
        (...), NaN where all values are 0.
    """
    count, total = values.shape[-1], values.sum(-1)
    weights = 2 * np.arange(1, count + 1) - count - 1
    spread = (np.sort(values, axis=-1) * weights).sum(-1)
    return np.divide(spread, count * total, out=np.full(np.shape(total), np.nan), where=total > 0)


def drawn_in_degrees(graph: Graph, draws: int, random: np.random.Generator) -> np.ndarray:
    """Return in-degrees by chance, (draws, nodes): who substitutes a target is drawn at random, and how many is kept.

    Every choice among the other nodes is equally likely: nodes are gone through one by one, and each is taken with the
    chance that it has among those that are left (selection sampling, Knuth, TAOCP 2, 3.4.2, Algorithm S), for all
    targets and a block of draws at once.
    """
    nodes, has = len(graph.nodes), graph.out_degrees > 0
    places, out_degrees = graph.places[has], graph.out_degrees[has]
    result = np.zeros((draws, nodes), np.int64)
    size = max(1, BLOCK // max(1, len(places)))
    for first in range(0, draws, size):
        block = result[first : first + size]
        left = np.repeat(out_degrees[None], len(block), axis=0).astype(np.float64)
        others = np.full(len(places), nodes - 1.0)
        for node in range(nodes):
            itself = places == node
            drawn = (random.random(left.shape) * others < left) & ~itself
            block[:, node] = drawn.sum(1)
            left -= drawn
            others -= ~itself
    return result


def components(graph: Graph) -> tuple[int, int, int]:
    """Return the number of isolated nodes, that of weakly connected components, and the size of the largest strong one.

    A strongly connected component is a set of units each of which is substituted, over some steps, by every other. An
    isolated node is a component by itself.
    """
    rows, columns = np.nonzero(graph.edges)
    size = len(graph.nodes)
    matrix = coo_array((np.ones(len(rows), np.int8), (graph.places[rows], columns)), shape=(size, size)).tocsr()
    alone = graph.in_degrees == 0
    alone[graph.places] &= graph.out_degrees == 0
    weak, _ = csgraph.connected_components(matrix, directed=True, connection="weak")
    _, member = csgraph.connected_components(matrix, directed=True, connection="strong")
    return int(alone.sum()), int(weak), int(np.bincount(member).max(initial=0))


def universal_substitutes(graph: Graph, most: int = MOST_UNIVERSAL) -> tuple[np.ndarray, np.ndarray]:
    """Return the units of largest in-degree, the largest first (of equal ones the lower number), and their shares.

    The share is that of the other targets whom the unit substitutes: 1 for one that substitutes everybody else.
    """
    others = np.full(len(graph.nodes), len(graph.targets))
    others[graph.places] -= 1
    order = np.argsort(-graph.in_degrees, kind="stable")[:most]
    order = order[graph.in_degrees[order] > 0]
    return graph.nodes[order], graph.in_degrees[order] / others[order]


def measures(graph: Graph, permutations: int, random: np.random.Generator) -> tuple[dict[str, Any], np.ndarray]:
    """Return what is told of a graph, and the in-degrees that chance would give.

    Args:
        graph: The graph.
        permutations: Draws of the null, as `drawn_in_degrees` makes them.
        random: Where they come from.

    Returns:
        A record: units (nodes), targets, edges, density (of all possible edges; also the reciprocity to be expected by
        chance), reciprocity, gini (of in-degrees), gini_null (its mean by chance), p_value (one-sided, (b + 1) /
        (permutations + 1), b the draws that are at least as unequal), isolated, weak_components,
        largest_strong_component, substitutes_universal and substitutes_universal_share (numbers separated by spaces),
        reason (why a value is NaN), gini_null_low and gini_null_high (what 95 % of the draws lie between; NaN below
        `FEWEST_DRAWS`). And (nodes,) the mean in-degree by chance of the node of the same rank, in the
        order of the nodes.
    """
    nodes, targets, edges = len(graph.nodes), len(graph.targets), int(graph.edges.sum())
    record: dict[str, Any] = {"units": nodes, "targets": targets, "edges": edges}
    by_chance = np.full(nodes, np.nan)
    ends = {"gini_null_low": np.nan, "gini_null_high": np.nan}
    if not targets or nodes < 2:
        gaps = ("density", "reciprocity", "gini", "gini_null", "p_value")
        reason = "no unit that takes part answers an image of its own" if nodes > 1 else f"{nodes} units take part"
        record |= dict.fromkeys(gaps, np.nan) | {"isolated": nodes, "weak_components": nodes}
        record |= {"largest_strong_component": min(nodes, 1), "substitutes_universal": ""}
        return record | {"substitutes_universal_share": "", "reason": reason} | ends, by_chance
    observed = float(gini(graph.in_degrees))
    record |= {"density": edges / (targets * (nodes - 1)), "reciprocity": reciprocity(graph), "gini": observed}
    if edges:
        drawn = drawn_in_degrees(graph, permutations, random)
        unequal = gini(drawn)
        if permutations >= FEWEST_DRAWS:
            ends = dict(zip(ends, np.quantile(unequal, [0.025, 0.975]).tolist(), strict=True))
        # Equal but for rounding is as unequal.
        as_unequal = int((unequal >= observed - 1e-12).sum())
        record |= {"gini_null": float(unequal.mean()), "p_value": (as_unequal + 1) / (permutations + 1)}
        by_chance[np.argsort(-graph.in_degrees, kind="stable")] = np.sort(drawn, axis=1)[:, ::-1].mean(0)
    else:
        record |= {"gini_null": np.nan, "p_value": np.nan}
    record["isolated"], record["weak_components"], record["largest_strong_component"] = components(graph)
    units, shares = universal_substitutes(graph)
    record["substitutes_universal"] = " ".join(map(str, units))
    record["substitutes_universal_share"] = " ".join(f"{share:.4g}" for share in shares)
    reason = "" if edges else "no unit is exceeded on its own image: there are no edges"
    if edges and np.isnan(record["reciprocity"]):
        reason = "no edge leads to another target"
    return record | {"reason": reason} | ends, by_chance


# --- for other programs ----------------------------------------------------------------------------------------------


def strongest_edges(
    responses: np.ndarray, units: np.ndarray, graph: Graph, most: int | None
) -> list[tuple[int, int, float]]:
    """Return the edges of a graph of raw answers as (i, j, weight), each target's strongest first.

    Args:
        responses: (seeds, targets, units), R.
        units: (targets,) which unit each row was made for.
        graph: What `substitution_graph` gives for them.
        most: How many are kept of each target; None keeps all.

    The weight is the median over the seeds used of R[i, j] / R[i, i], by which substitutes are ranked.
    """
    row_of = {int(unit): row for row, unit in enumerate(units)}
    result = []
    for unit, edges in zip(graph.targets.tolist(), graph.edges, strict=True):
        unit_responses = responses[:, row_of[unit]].astype(np.float64)
        unit_responses = unit_responses[unit_responses[:, unit] > 0]
        substitutes = graph.nodes[edges]
        weights = np.median(unit_responses[:, substitutes] / unit_responses[:, [unit]], axis=0)
        order = np.argsort(-weights, kind="stable")[:most]
        result += [(unit, int(substitutes[place]), float(weights[place])) for place in order]
    return result


def graphml(
    edges: Iterable[tuple[int, int, float]], nodes: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> bytes:
    """Return a directed graph as GraphML, the same bytes for the same graph; Gephi, Cytoscape and networkx read it.

    Args:
        edges: (i, j, weight), i and j positions in the columns of `nodes`.
        nodes: Columns (units,) of attributes; what is NaN or an empty text is left out of its node.
        about: What is said of the graph as a whole.
    """
    graph = nx.DiGraph(**about)
    # Truth values as 0 and 1: networkx writes True, where XML says true.
    columns = [(column * 1 if column.dtype == bool else column).tolist() for column in nodes.values()]
    for unit, values in enumerate(zip(*columns, strict=True)):
        defined = {name: value for name, value in zip(nodes, values, strict=True) if value == value and value != ""}
        graph.add_node(str(unit), **defined)
    for unit, other, weight in edges:
        graph.add_edge(str(unit), str(other), weight=weight)
    content = io.BytesIO()
    # Named, so that the bytes do not depend on whether lxml is installed.
    nx.write_graphml_xml(graph, content)
    return content.getvalue()
