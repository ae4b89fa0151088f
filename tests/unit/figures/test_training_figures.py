"""The figure of training time: one line per layer and training, over the epochs of its checkpoints."""

import itertools

import numpy as np
import pytest
from figure_texts import STYLE, assert_readable

from unitscope.figures.training_figures import training_time
from unitscope.scores.score_names import RS_NAMES, RS_SCORES

MANY = tuple(f"features.{number}" for number in range(9))


def table(layers=("conv1", "hidden"), methods=("am",), epochs=(0, 1, 16), seeds=(0,)):
    """Return training.csv; a value is made of the place of its epoch, its layer and its seed."""
    rows = list(itertools.product(seeds, epochs, layers, methods, RS_SCORES))
    names = ("seed", "epoch", "layer", "method", "score")
    columns = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    epoch = np.searchsorted(epochs, columns["epoch"])
    layer = np.array([layers.index(name) for name in columns["layer"]])
    value = 0.1 * epoch + 0.01 * layer + 0.001 * columns["seed"]
    return columns | {
        "test_accuracy": 0.1 + 0.3 * epoch + 0.05 * (columns["seed"] > 0),
        "selectivity": 0.2 + value,
        "median": 0.4 + value,
        "spearman": value - 0.3,
        "ci_low": value - 0.4,
        "ci_high": value - 0.1,
    }


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def lines(axes):
    """Return the lines over epochs; the one at 0 has two points of its own."""
    return [line for line in axes.lines if line.get_marker() == "."]


def words(figure):
    """Return the texts beside the panels in one line."""
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_one_panel_for_accuracy_and_selectivity_and_two_per_method_and_form_of_rs():
    figure = training_time(STYLE, table(methods=("am", "iam")))
    assert_readable(figure)
    forms = [f"{form}, {method}" for method in ("AM", "IAM") for form in RS_NAMES.values()]
    expected = ["test accuracy", "class selectivity, median"]
    expected += [name for form in forms for name in (f"{form}, median", f"ρ of {form}")]
    assert list(panels(figure)) == expected


def test_lines_show_the_values_of_their_layer_epoch_by_epoch():
    shown = panels(training_time(STYLE, table()))
    (accuracy,) = lines(shown["test accuracy"])
    assert accuracy.get_ydata() == pytest.approx([0.1, 0.4, 0.7])
    starts = {"class selectivity, median": 0.2, "RS (z), AM, median": 0.4, "ρ of RS (q), AM": -0.3}
    for title, start in starts.items():
        first, second = lines(shown[title])
        assert first.get_ydata() == pytest.approx(start + np.array([0, 0.1, 0.2]))
        assert second.get_ydata() == pytest.approx(start + 0.01 + np.array([0, 0.1, 0.2]))


def test_epochs_are_equally_spaced_and_named_and_layers_drawn_apart():
    shown = panels(training_time(STYLE, table()))
    for axes in shown.values():
        assert axes.get_xticks().tolist() == [0, 1, 2]
        first, second = (lines(axes) * 2)[:2]
        assert np.round(first.get_xdata()).tolist() == np.round(second.get_xdata()).tolist() == [0, 1, 2]
    bottom = shown["ρ of RS, AM"]
    assert [label.get_text() for label in bottom.get_xticklabels()] == ["0", "1", "16"]
    first, second = (line.get_xdata() for line in lines(bottom))
    assert (second > first).all() and (second - first < 0.1).all()
    # The lowest panels name the axis.
    named = [title for title, axes in shown.items() if axes.get_xlabel() == "epoch"]
    assert named == [f"ρ of {form}, AM" for form in RS_NAMES.values()]


def test_layers_differ_by_colour_and_the_legend_names_them():
    figure = training_time(STYLE, table())
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["conv1", "hidden"]
    colors = [tuple(line.get_color()) for line in legend.get_lines()]
    assert len(set(colors)) == 2
    for title, axes in panels(figure).items():
        if title != "test accuracy":
            assert [tuple(line.get_color()) for line in lines(axes)] == colors


def test_a_single_training_has_intervals_and_several_have_a_line_each():
    one, two = (training_time(STYLE, table(seeds=seeds)) for seeds in ((0,), (0, 3)))
    correlation = panels(one)["ρ of RS, AM"]
    first, second = (np.array(upright.get_segments()) for upright in correlation.collections)
    assert first[:, :, 1] == pytest.approx(np.array([[-0.4, -0.1], [-0.3, 0], [-0.2, 0.1]]))
    assert second[:, :, 1] == pytest.approx(first[:, :, 1] + 0.01)
    assert not panels(one)["RS, AM, median"].collections
    shown = panels(two)
    assert [len(lines(axes)) for axes in shown.values()] == [2] + [4] * (1 + 2 * len(RS_SCORES))
    assert not any(axes.collections for axes in two.axes)
    assert [line.get_ydata()[0] for line in lines(shown["test accuracy"])] == pytest.approx([0.1, 0.15])
    assert "95 % intervals" in words(one) and "trainings" not in words(one)
    assert "95 % intervals" not in words(two) and "of 2 trainings" in words(two)


def test_shares_and_correlations_have_fixed_scales():
    shown = panels(training_time(STYLE, table()))
    assert shown["test accuracy"].get_ylim() == (-0.04, 1.04)
    assert shown["RS, AM, median"].get_ylim()[0] == 0
    correlation = shown["ρ of RS, AM"]
    assert correlation.get_ylim() == (-1.05, 1.05)
    assert [label.get_text() for label in correlation.get_yticklabels()] == ["\N{MINUS SIGN}1", "0", "1"]
    assert correlation.get_ylabel() == "with selectivity"
    (zero,) = (line for line in correlation.lines if line.get_marker() != ".")
    assert list(zero.get_ydata()) == [0, 0]


def test_undefined_correlations_leave_a_gap():
    training_table = table()
    undefined = (
        (training_table["layer"] == "hidden") & (training_table["epoch"] == 1) & (training_table["score"] == "rs")
    )
    training_table["spearman"][undefined] = np.nan
    figure = training_time(STYLE, training_table)
    first, second = lines(panels(figure)["ρ of RS, AM"])
    assert np.isfinite(first.get_ydata()).all()
    assert np.isnan(second.get_ydata()).tolist() == [False, True, False]
    assert "undefined in all layers" not in words(figure)


def test_a_score_that_no_layer_has_is_named_undefined():
    training_table = table()
    for column in ("median", "spearman", "ci_low", "ci_high"):
        training_table[column][training_table["score"] == "rs_q"] = np.nan
    figure = training_time(STYLE, training_table)
    assert_readable(figure)
    shown = panels(figure)
    empty = [title for title, axes in shown.items() if "undefined in all layers" in [t.get_text() for t in axes.texts]]
    assert empty == ["RS (q), AM, median", "ρ of RS (q), AM"]
    assert all(len(shown[title].get_yticks()) == 0 for title in empty)


@pytest.mark.parametrize("layers", [("a",), MANY, ("a_rather_long.name_of_a.layer",)], ids=["one", "many", "long"])
def test_texts_do_not_overlap(layers):
    figure = training_time(STYLE, table(layers, epochs=(0, 1, 5, 100)))
    assert_readable(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(layers)


def test_a_single_checkpoint_is_drawn():
    shown = panels(training_time(STYLE, table(epochs=(3,))))
    assert [line.get_ydata().tolist() for line in lines(shown["test accuracy"])] == [[0.1]]
