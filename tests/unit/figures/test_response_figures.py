"""Dendrograms are drawn as SciPy draws them, from positions and heights alone, and can be read."""

import numpy as np
import pytest
from figure_texts import MANY, STYLE, all_texts, assert_readable
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from unitscope.figures.response_figures import dendrograms, joints
from unitscope.scores.response_distances import ea_distances, neighbourhoods


def table(layer, method, units, silent=0):
    """Return the columns of responses.csv of a layer, some of whose units respond to no image."""
    responses = np.random.default_rng(units).gamma(0.3, 1.0, (1, 40, units))
    responses[:, :, units - silent :] = 0
    named = {"layer": np.full(units, layer), "method": np.full(units, method), "unit": np.arange(units)}
    return {**named, **vars(neighbourhoods(responses))}


def test_dendrogram_joints_equal_scipys():
    responses = np.random.default_rng(0).gamma(1.0, 1.0, (1, 30, 17))
    neighbours = neighbourhoods(responses)
    drawn = joints(neighbours.join_height[np.argsort(neighbours.position)][:-1])
    merges = linkage(squareform(ea_distances(responses[0]), checks=False), "average")
    expected = dendrogram(merges, no_plot=True)
    # SciPy's leaves are 10 apart, the first at 5.
    lines = np.stack([(np.array(expected["icoord"]) - 5) / 10, expected["dcoord"]], axis=-1)
    np.testing.assert_allclose(sorted(drawn.tolist()), sorted(lines.tolist()))


@pytest.mark.parametrize("layers", [{"conv1": 16}, MANY], ids=["one", "many"])
@pytest.mark.parametrize("methods", [("am",), ("am", "iam")], ids=["one", "two"])
def test_dendrograms_are_readable(layers, methods):
    tables = [table(layer, method, units) for layer, units in layers.items() for method in methods]
    assert_readable(dendrograms(STYLE, tables))


def test_units_without_responses_are_left_out_and_counted():
    figure = dendrograms(STYLE, [table("a", "am", 12, silent=3), table("b", "am", 3, silent=2)])
    texts = all_texts(figure)
    assert "a (9 of 12 units), AM" in texts and "b (1 of 3 units), AM" in texts
    assert "fewer than two units respond" in texts
    assert_readable(figure)


def test_the_farthest_unit_is_named():
    responses = np.random.default_rng(1).uniform(0.5, 1.0, (1, 20, 10))
    responses[0, :, 7] = np.eye(20)[3]
    named = {"layer": np.full(10, "a"), "method": np.full(10, "am"), "unit": np.arange(10)}
    figure = dendrograms(STYLE, [{**named, **vars(neighbourhoods(responses))}])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "7" in labels and len(labels) <= 3
