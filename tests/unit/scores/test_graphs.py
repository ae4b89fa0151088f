"""The substitution graph: cycles, stars and orders whose numbers are known, chance by full enumeration, and GraphML."""

import io
import itertools

import networkx as nx
import numpy as np
import pytest
import scores_by_hand as by_hand
from figure_texts import MANY, STYLE, all_texts, assert_readable

from unitscope.figures import graph_figures
from unitscope.scores import graphs
from unitscope.scores.graphs import Graph, substitution_graph
from unitscope.scores.substitution import substitutes, substitution
from unitscope.tables.table_access import rows_of


def responses(edges, units):
    """Return responses (1, units, units) in which unit j exceeds unit i on i's image where (i, j) is an edge."""
    matrix = np.full((units, units), 0.5)
    np.fill_diagonal(matrix, 1.0)
    for unit, other in edges:
        matrix[unit, other] = 2.0
    return matrix[None].astype(np.float32)


def graph(edges, units, **arguments):
    """Return the substitution graph of responses by hand, all units targets."""
    return substitution_graph(responses(edges, units), np.arange(units), **arguments)


def measured(edge_graph, permutations=99):
    """Return what is measured of a graph."""
    return graphs.measures(edge_graph, permutations, np.random.default_rng(0))[0]


# --- known answers ---------------------------------------------------------------------------------------------------


def test_a_cycle():
    record = measured(graph([(0, 1), (1, 2), (2, 3), (3, 0)], 4))
    assert (record["edges"], record["reciprocity"], record["density"]) == (4, 0.0, 4 / 12)
    # Nobody is more universal than another, and chance can only be as equal.
    assert (record["gini"], record["p_value"]) == (0.0, 1.0)
    assert (record["isolated"], record["weak_components"], record["largest_strong_component"]) == (0, 1, 4)
    assert record["substitutes_universal"] == "0 1 2 3"
    assert record["substitutes_universal_share"] == " ".join(["0.3333"] * 4)


def test_a_star():
    units = 12
    record = measured(graph([(unit, 5) for unit in range(units) if unit != 5], units), permutations=999)
    assert record["gini"] == pytest.approx((units - 1) / units)
    # Eleven choices of eleven others: the chance that they agree again is 11^-10 at most times twelve.
    assert record["p_value"] == 1 / 1000 and record["gini_null"] < 0.7
    assert (record["reciprocity"], record["largest_strong_component"], record["weak_components"]) == (0.0, 1, 1)
    assert (record["substitutes_universal"], record["substitutes_universal_share"]) == ("5", "1")


def test_linear_order():
    units = 6
    record = measured(graph(itertools.combinations(range(units), 2), units))
    assert record["edges"] == 15 and record["reciprocity"] == 0.0
    # In-degrees 0 to 5: sum over pairs of differences 70, over 2 n sum = 180.
    assert record["gini"] == pytest.approx(70 / 180)
    assert record["largest_strong_component"] == 1
    assert record["substitutes_universal"] == "5 4 3 2 1"
    assert record["substitutes_universal_share"] == "1 0.8 0.6 0.4 0.2"


def test_reciprocal_substitutes():
    record = measured(graph([(0, 1), (1, 0), (2, 3), (3, 2), (2, 0)], 5))
    assert record["reciprocity"] == 4 / 5
    assert (record["isolated"], record["weak_components"], record["largest_strong_component"]) == (1, 2, 2)


def test_dead_units_are_excluded():
    dead = np.array([False, False, False, True])
    without_dead = graph([(0, 1), (1, 0), (0, 3), (3, 0)], 4, dead=dead)
    assert without_dead.nodes.tolist() == without_dead.targets.tolist() == [0, 1, 2]
    assert (measured(without_dead)["edges"], measured(without_dead)["isolated"]) == (2, 1)


def test_silent_units_are_nodes_but_not_targets():
    values = responses([(0, 1), (2, 1)], 3)
    values[0, 1] = 0
    with_silent = substitution_graph(values, np.arange(3))
    assert with_silent.nodes.tolist() == [0, 1, 2] and with_silent.targets.tolist() == [0, 2]
    assert with_silent.in_degrees.tolist() == [0, 2, 0]
    assert measured(with_silent)["substitutes_universal_share"] == "1"


def test_duplicates_tie_and_have_no_edge():
    record = measured(substitution_graph(np.array([[[3, 3, 1], [3, 3, 1], [0, 0, 2]]], float), np.arange(3)))
    assert record["edges"] == 0 and record["density"] == 0.0 and record["isolated"] == 3
    assert np.isnan([record["gini"], record["gini_null"], record["p_value"], record["reciprocity"]]).all()
    assert "there are no edges" in record["reason"]


def test_without_participating_units_nothing_is_measured():
    none = measured(graph([(0, 1)], 2, scale=np.full(2, np.nan)))
    alone = measured(graph([], 1))
    silent = measured(substitution_graph(np.zeros((1, 3, 3)), np.arange(3)))
    for record, nodes, reason in (
        (none, 0, "0 units"),
        (alone, 1, "1 units"),
        (silent, 3, "answers an image of its own"),
    ):
        assert reason in record["reason"] and np.isnan(record["gini"]) and np.isnan(record["density"])
        assert record["units"] == record["isolated"] == record["weak_components"] == nodes


def test_only_sampled_targets_have_outgoing_edges():
    values = responses([(0, 1), (1, 0), (1, 4), (4, 1), (2, 3)], 5)
    sampled = substitution_graph(values[:, [1, 4]], np.array([1, 4]))
    assert sampled.targets.tolist() == [1, 4] and len(sampled.nodes) == 5
    # 1 -> 0 cannot be answered by a unit that is no target; 1 -> 4 is.
    assert (measured(sampled)["edges"], measured(sampled)["reciprocity"]) == (3, 1.0)
    outside = measured(substitution_graph(values[:, [2]], np.array([2])))
    assert np.isnan(outside["reciprocity"]) and outside["reason"] == "no edge leads to another target"
    assert outside["substitutes_universal_share"] == "1"


# --- seeds and scales ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_edges_equal_the_listed_substitutes(seed):
    values = np.random.default_rng(seed).normal(0.5, 1, (3, 7, 9)).astype(np.float32)
    units = np.array([8, 0, 3, 1, 6, 2, 5])
    layer_graph = substitution_graph(values, units)
    expected = dict(zip(units.tolist(), substitutes(values, units, most=9), strict=True))
    written = graphs.strongest_edges(values, units, layer_graph, None)
    for unit, edges in zip(layer_graph.targets.tolist(), layer_graph.edges, strict=True):
        assert layer_graph.nodes[edges].tolist() == sorted(expected[unit])
        assert [other for target, other, _ in written if target == unit] == expected[unit]
    assert written and all(weight > 1 for *_, weight in written)
    kept = graphs.strongest_edges(values, units, layer_graph, 1)
    assert kept == [next(edge for edge in written if edge[0] == unit) for unit, _, _ in kept]


def test_edges_of_rs_r_are_units_that_respond_half_as_strongly_as_to_their_image():
    # Unit 2 is silent on its own image, unit 3 dead; unit 0 gives 4 on its own image, unit 1 gives 2.
    matrix = np.array([[4, 1, 9, 9], [1.5, 2, 9, 9], [4, 2, 0, 9], [4, 2, 9, 1]], np.float32)[None]
    dead = np.arange(4) == 3
    graph = graphs.responding_graph(matrix, np.arange(4), dead)
    assert graph.nodes.tolist() == graph.targets.tolist() == [0, 1]
    assert graph.edges.tolist() == [[False, True], [False, False]]
    scores = substitution(matrix, np.arange(4))
    assert [[unit for unit in others if unit < 2] for others in scores.substitutes_r[:2]] == [[1], []]
    # Of a sample of targets, the own images of the others are not known.
    assert not len(graphs.responding_graph(matrix[:, :2], np.arange(2), dead).nodes)


def test_scaling_units_removes_the_edges_of_a_star():
    # Unit 0 answers everything ten times as strongly because it is scaled so.
    values = responses([], 4)
    values[..., 0] *= 10
    assert graph([], 4).in_degrees.tolist() == [0, 0, 0, 0]
    assert substitution_graph(values, np.arange(4)).in_degrees.tolist() == [3, 0, 0, 0]
    scale = np.array([10.0, 1, 1, 0])
    scaled = substitution_graph(values, np.arange(4), scale=scale)
    # The unit without a scale takes no part.
    assert scaled.nodes.tolist() == [0, 1, 2] and not scaled.edges.any()
    shifted = substitution_graph(values, np.arange(4), mean=np.array([0, 0, 5.0, 0]), scale=np.ones(4))
    assert shifted.nodes.tolist() == [0, 1, 2, 3] and shifted.out_degrees.tolist() == [0, 1, 3, 1]


# --- chance ----------------------------------------------------------------------------------------------------------


def test_random_graphs_preserve_out_degrees_and_are_uniform():
    # Target 0 has two substitutes of three others, target 2 one: nine choices, by full enumeration.
    two_targets = Graph(np.arange(4), np.array([0, 2]), np.array([[0, 1, 1, 0], [0, 0, 0, 1]], bool))
    every = [
        tuple(np.bincount([*first, second], minlength=4).tolist())
        for first in itertools.combinations((1, 2, 3), 2)
        for second in (0, 1, 3)
    ]
    draws = 20_000
    drawn = graphs.drawn_in_degrees(two_targets, draws, np.random.default_rng(0))
    assert (drawn.sum(1) == 3).all()
    counts = dict.fromkeys(every, 0)
    for row in drawn.tolist():
        counts[tuple(row)] += 1
    for choice, count in counts.items():
        share = every.count(choice) / len(every)
        assert count / draws == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / draws))


def test_draws_are_valid_with_partial_blocks(monkeypatch):
    small_graph = graph([(0, 1), (2, 1), (3, 0), (3, 1)], 4)
    assert (graphs.drawn_in_degrees(small_graph, 7, np.random.default_rng(0)).sum(1) == 4).all()
    monkeypatch.setattr(graphs, "BLOCK", 6)
    drawn = graphs.drawn_in_degrees(small_graph, 7, np.random.default_rng(0))
    assert drawn.shape == (7, 4) and (drawn.sum(1) == 4).all() and (drawn[:, 1] <= 3).all()


@pytest.mark.parametrize("seed", range(3))
def test_numbers_agree_with_networkx(seed):
    random = np.random.default_rng(seed)
    edges = random.random((14, 14)) < 0.12
    np.fill_diagonal(edges, False)
    record = measured(Graph(np.arange(14), np.arange(14), edges))
    reference = nx.from_numpy_array(edges.astype(int), create_using=nx.DiGraph)
    assert record["edges"] == reference.number_of_edges()
    assert record["reciprocity"] == pytest.approx(nx.overall_reciprocity(reference))
    assert record["density"] == pytest.approx(nx.density(reference))
    assert record["isolated"] == nx.number_of_isolates(reference)
    assert record["weak_components"] == nx.number_weakly_connected_components(reference)
    assert record["largest_strong_component"] == max(map(len, nx.strongly_connected_components(reference)))
    degrees = np.array([degree for _, degree in reference.in_degree()])
    pairs = np.abs(degrees[:, None] - degrees).sum() / (2 * len(degrees) ** 2 * degrees.mean())
    assert record["gini"] == pytest.approx(pairs)


# --- GraphML and the figure ------------------------------------------------------------------------------------------


def test_graphml_is_read_back_and_has_the_same_bytes_each_time():
    edges = [(0, 2, 3.5), (0, 1, 1.25), (2, 0, 2.0)]
    nodes = {
        "selectivity": np.array([0.25, np.nan, 1.0]),
        "top_class": np.array(["a <b>", "", "ü"]),
        "dead": np.array([False, True, False]),
        "in_degree": np.array([1, 1, 1]),
    }
    content = graphs.graphml(edges, nodes, {"layer": "conv1", "edges": 7})
    assert content == graphs.graphml(edges, nodes, {"layer": "conv1", "edges": 7})
    parsed = nx.read_graphml(io.BytesIO(content))
    assert isinstance(parsed, nx.DiGraph) and parsed.graph["edges"] == 7 and parsed.graph["layer"] == "conv1"
    assert list(parsed.edges(data="weight")) == [("0", "2", 3.5), ("0", "1", 1.25), ("2", "0", 2.0)]
    # What is undefined is left out: nan is no number to other programs.
    assert parsed.nodes["1"] == {"dead": 1, "in_degree": 1}
    assert parsed.nodes["0"] == {"selectivity": 0.25, "top_class": "a <b>", "dead": 0, "in_degree": 1}


def columns(rows):
    """Return records as the columns of a table."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def drawn(layers, strongest=None):
    """Return the figure of an experiment by hand, and what was measured of it; rs_q is undefined.

    The strongest edges are as found, or what `strongest` makes of the units of a layer.
    """
    records, units, _ = by_hand.experiment(layers)
    measures, degrees, edges = [], [], {}
    for tap in records:
        layer_images = by_hand.images(tap)
        layer_graph = substitution_graph(layer_images.responses, layer_images.units)
        record, chance = graphs.measures(layer_graph, 19, np.random.default_rng(0))
        for score in ("rs", "rs_z", "rs_q", "rs_r"):
            place = {"layer": tap["layer"], "method": "iam", "score": score}
            measures.append({**place, **record})
            degrees += [
                {**place, "unit": unit, "in_degree": in_degree, "by_chance": expected}
                for unit, in_degree, expected in zip(layer_graph.nodes, layer_graph.in_degrees, chance, strict=True)
                if score != "rs_q"
            ]
        edges[tap["layer"], "iam"] = graphs.strongest_edges(layer_images.responses, layer_images.units, layer_graph, 3)
        if strongest:
            edges[tap["layer"], "iam"] = strongest(rows_of(units, tap["layer"]))
    return graph_figures.graph(STYLE, units, columns(measures), columns(degrees), edges), columns(measures)


@pytest.mark.parametrize(
    "layers", [{"conv1": 12, "hidden": 40}, {"a_rather_long.name_of_a.layer": 9}, MANY], ids=["two", "one", "many"]
)
def test_figure_is_readable(layers):
    figure, measures = drawn(layers)
    assert_readable(figure)
    texts = all_texts(figure)
    assert "undefined" in texts and f"RS {measures['gini'][0]:.2f} ({measures['gini_null'][0]:.2f})" in texts
    # The curve of raw RS: the share of targets of each unit, the largest first.
    curve = figure.axes[1].lines[0].get_ydata()
    assert (np.diff(curve) <= 0).all()
    assert curve.sum() * measures["targets"][0] == pytest.approx(measures["edges"][0])


def test_labels_of_hubs_do_not_overlap():
    def neighbours(layer_units):
        # Three units next to one another on the circle are everybody's substitutes.
        first, second, third = np.argsort(-np.nan_to_num(layer_units["selectivity"]))[10:13].tolist()
        others = [unit for unit in layer_units["unit"].tolist() if unit not in (first, second, third)]
        return [(unit, (second, first, third)[min(place // 24, 2)], 2.0) for place, unit in enumerate(others)]

    figure, _ = drawn({"conv1": 64, "hidden": 64}, neighbours)
    assert_readable(figure)
