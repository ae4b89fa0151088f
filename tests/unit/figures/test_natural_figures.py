"""The figures of RS on natural images: points, axes, and the correlation of each layer and method."""

import numpy as np
import pytest
import scores_by_hand as by_hand
from figure_texts import STYLE, assert_readable

from unitscope.figures.natural_figures import natural
from unitscope.tables.correlations import layer_correlations

FEW = {"conv1": 12, "hidden": 12}
MANY = {f"features.{number}": 4 for number in range(9)}


def experiment(layers, **options):
    _, units, correlations = by_hand.experiment(layers, permutations=9, resamples=20, on_natural=True, **options)
    return units, correlations


def words(figure):
    """Return the texts beside the panels in one line."""
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


@pytest.mark.parametrize("score", ["rs", "rs_z", "rs_q"])
def test_one_panel_per_layer_and_method_with_the_scores_of_its_units(score):
    units, layers = experiment(FEW)
    figure = natural(STYLE, units, layers, score)
    assert_readable(figure)
    panels = [(layer, method) for layer in FEW for method in by_hand.METHODS]
    assert len(figure.axes) == len(panels)
    for axes, (layer, method) in zip(figure.axes, panels, strict=True):
        in_layer = units["layer"] == layer
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), units[f"{score}_{method}"][in_layer])
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), units[f"{score}_natural"][in_layer])


def test_dead_units_have_no_point():
    units, layers = experiment({"a": 12})
    # Dead on the training images, but excited by a test image.
    units["rs_natural"][-1] = units["rs_am"][-1] = 0.5
    line = natural(STYLE, units, layers).axes[0].lines[0]
    assert units["dead"][-1] and np.isnan(line.get_ydata()[-1]) and np.isfinite(line.get_ydata()[:-1]).all()


@pytest.mark.parametrize(("score", "name"), [("rs", "RS"), ("rs_z", "RS (z)"), ("rs_q", "RS (q)")])
def test_axes_name_the_form_of_rs(score, name):
    units, layers = experiment(FEW)
    texts = words(natural(STYLE, units, layers, score))
    assert f"{name} on the image made for the unit" in texts and f"{name} on its top test images" in texts
    assert f"AM: ρ {'undefined' if score == 'rs_q' else '= '}" in texts
    # Standardized scores share no scales with the images.
    assert ("Raw RS" in texts) == (score == "rs")


def test_both_axes_span_all_shares_with_a_dashed_diagonal():
    units, layers = experiment(FEW)
    for axes in natural(STYLE, units, layers).axes:
        assert axes.get_xlim() == axes.get_ylim() == (-0.04, 1.04)
        assert axes.get_xticks().tolist() == axes.get_yticks().tolist() == [0, 0.5, 1]
        points, diagonal = axes.lines
        assert points.get_linestyle() == "None" and diagonal.get_linestyle() == "--"
        assert (list(diagonal.get_xdata()), list(diagonal.get_ydata())) == ([0, 1], [0, 1])
    assert "Dashed: equal" in words(natural(STYLE, units, layers))


def test_methods_differ_by_colour_and_marker_and_keep_them_in_every_layer():
    units, layers = experiment(FEW)
    looks = [(axes.lines[0].get_color(), axes.lines[0].get_marker()) for axes in natural(STYLE, units, layers).axes]
    assert looks == [STYLE.look(0), STYLE.look(1)] * 2


def test_correlations_are_shown_with_the_number_of_units():
    units, layers = experiment({"a": 12})
    selected = (layers["method"] == "am") & (layers["x"] == "rs_natural") & (layers["y"] == "rs")
    (value,), (used,) = layers["spearman"][selected], layers["used"][selected]
    texts = words(natural(STYLE, units, layers)).replace("\N{MINUS SIGN}", "-")
    assert f"AM: ρ = {value:.2f}" in texts and f"n = {used}" in texts and "a (12 units, 1 dead)" in texts


def test_an_undefined_correlation_names_the_scores():
    records, units, _ = by_hand.experiment({"a": 12}, permutations=9, resamples=20, on_natural=True)
    units["rs_z_natural"][:] = np.nan
    layers = layer_correlations(units, records, 9, 20, seed=0)
    texts = words(natural(STYLE, units, layers, "rs_z"))
    assert "IAM: ρ undefined, RS (z) on test images is undefined for all units" in texts
    assert "rs_z" not in texts


def test_too_few_units_name_both_scores():
    records, units, _ = by_hand.experiment({"a": 4}, permutations=9, resamples=20, on_natural=True)
    layers = layer_correlations(units, records, 9, 20, seed=0)
    texts = words(natural(STYLE, units, layers))
    assert "IAM: ρ undefined, only 2 units have both RS on test images and RS" in texts
    assert "rs_" not in texts


@pytest.mark.parametrize("layers", [{"a": 1}, MANY, {"a_rather_long.name_of_a.layer": 9}], ids=["one", "many", "long"])
def test_texts_do_not_overlap(layers):
    units, correlations = experiment(layers)
    figure = natural(STYLE, units, correlations)
    assert_readable(figure)
    assert len(figure.axes) == 2 * len(layers)
