"""The figure of null models: one mark per layer, form of RS and null model, with its interval."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from figure_texts import STYLE, all_texts, assert_readable

from unitscope.figures.nulls_figures import NULL_NAMES, nulls
from unitscope.scores.score_names import RS_NAMES, RS_SCORES

MANY = tuple(f"features.{number}" for number in range(13))


def table(layers, methods=("am",), kinds=("none", "start", "permuted"), value=0.5, half=0.1):
    """Return nulls.csv with a row for each layer, method, score and null model, all of one value."""
    rows = list(itertools.product(layers, methods, RS_SCORES, kinds))
    columns = dict(zip(("layer", "method", "score", "null"), map(np.array, zip(*rows, strict=True)), strict=True))
    values = np.full(len(rows), value)
    return columns | {"spearman": values, "ci_low": values - half, "ci_high": values + half}


def change(null_table, column, value, **where):
    """Set a column in the rows where others have a value."""
    null_table[column][np.all([null_table[name] == key for name, key in where.items()], axis=0)] = value


def marks(axes):
    """Return the marks of a panel: (x, y) and the line itself."""
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]), line)
        for line in axes.lines
        if line.get_marker() not in ("None", "")
    ]


def intervals(axes):
    return [tuple(line.get_xdata()) for line in axes.lines[1:] if line.get_marker() in ("None", "")]


def test_one_panel_per_method_and_form_of_rs_and_one_mark_per_layer_and_null_model():
    figure = nulls(STYLE, table(("conv1", "hidden"), ("am", "iam")))
    assert_readable(figure)
    assert len(figure.axes) == 2 * len(RS_SCORES)
    for axes in figure.axes:
        assert len(marks(axes)) == 6 and intervals(axes) == [pytest.approx((0.4, 0.6))] * 6
        assert {x for x, _, _ in marks(axes)} == {0.5}
        # Each in the row of its layer, none over another.
        heights = [y for _, y, _ in marks(axes)]
        assert np.round(heights).tolist() == [0, 0, 0, 1, 1, 1] and len(set(heights)) == 6
    texts = all_texts(figure).splitlines()
    for name in (f"{form}, {method}" for method in ("AM", "IAM") for form in RS_NAMES.values()):
        assert texts.count(name) == 1
    # Layers are named in the first column of panels alone.
    assert texts.count("conv1") == texts.count("hidden") == 2


def test_panels_show_the_rows_of_their_method_and_score():
    null_table = table(("a", "b"), ("am", "iam"))
    change(null_table, "spearman", -0.25, layer="b", method="iam", score="rs_z", null="start")
    change(null_table, "ci_low", -0.75, layer="b", method="iam", score="rs_z", null="start")
    figure = nulls(STYLE, null_table)
    shown = [number for number, axes in enumerate(figure.axes) for x, _, _ in marks(axes) if x == -0.25]
    second_of_iam = len(RS_SCORES) + 1
    assert shown == [second_of_iam]
    assert [(x, round(y)) for x, y, _ in marks(figure.axes[second_of_iam]) if x < 0] == [(-0.25, 1)]
    assert intervals(figure.axes[second_of_iam])[4] == (-0.75, 0.6)


def test_the_axis_is_spearmans_correlation_from_minus_1_to_1():
    figure = nulls(STYLE, table(("a",)))
    assert "Spearman ρ of RS and class selectivity, 95 % interval; ?: undefined" in all_texts(figure)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert low < -1 and high > 1
        zero = axes.lines[0]
        assert list(zero.get_xdata()) == [0, 0]
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["?", "\N{MINUS SIGN}1", "", "0", "", "1"]


def test_undefined_correlations_are_crosses_outside_the_scale():
    null_table = table(("a",))
    for column in ("spearman", "ci_low", "ci_high"):
        change(null_table, column, np.nan, score="rs", null="start")
    axes = nulls(STYLE, null_table).axes[0]
    ((x, _, cross),) = [mark for mark in marks(axes) if mark[2].get_marker() == "x"]
    assert axes.get_xlim()[0] < x < -1.08 and cross.get_color() == STYLE.look(list(NULL_NAMES).index("start"))[0]
    # In the band that is labelled "?".
    assert x == pytest.approx(axes.get_xticks()[0])
    assert len(marks(axes)) == 3 and len(intervals(axes)) == 2


def test_marks_without_an_interval_are_hollow():
    null_table = table(("a",))
    for column in ("ci_low", "ci_high"):
        change(null_table, column, np.nan, score="rs", null="permuted")
    filled = [line.get_markerfacecolor() for _, _, line in marks(nulls(STYLE, null_table).axes[0])]
    assert [color == "white" for color in filled] == [False, False, True]


def test_null_models_differ_by_colour_and_marker_and_keep_them_without_the_others():
    every = nulls(STYLE, table(("a",), kinds=tuple(NULL_NAMES)))
    looks = [(line.get_color(), line.get_marker()) for _, _, line in marks(every.axes[0])]
    assert len({color for color, _ in looks}) == len({marker for _, marker in looks}) == len(NULL_NAMES)
    some = nulls(STYLE, table(("a",), kinds=("none", "untrained")))
    assert [(line.get_color(), line.get_marker()) for _, _, line in marks(some.axes[0])] == [looks[0], looks[-1]]
    (legend,) = some.legends
    assert [text.get_text() for text in legend.get_texts()] == ["as found", "untrained network"]
    assert [(line.get_color(), line.get_marker()) for line in legend.get_lines()] == [looks[0], looks[-1]]


def test_a_null_model_that_a_layer_lacks_is_not_drawn():
    null_table = table(("a", "b"))
    kept = ~((null_table["layer"] == "a") & (null_table["null"] == "permuted"))
    axes = nulls(STYLE, {name: column[kept] for name, column in null_table.items()}).axes[0]
    assert [round(y) for _, y, _ in marks(axes)] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("layers", "methods"),
    [(("a",), ("am",)), (MANY, ("am",)), (("a_rather_long.name_of_a.layer",), ("am",))],
    ids=["one", "many", "long"],
)
def test_texts_do_not_overlap(layers, methods):
    assert_readable(nulls(STYLE, table(layers, methods, tuple(NULL_NAMES))))


def test_the_legend_takes_two_rows_on_a_narrow_page():
    heights = [
        nulls(replace(STYLE, width=width), table(("a",), kinds=tuple(NULL_NAMES))).get_figheight() for width in (7, 8)
    ]
    assert heights[0] > heights[1]
