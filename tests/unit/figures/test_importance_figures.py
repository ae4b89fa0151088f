"""The importance figure: one cell per predictor and layer, its number, its colour, and the mark of a clear effect."""

from dataclasses import replace

import numpy as np
import pytest
from figure_texts import STYLE, all_texts, assert_readable
from matplotlib.colors import to_hex

from unitscope.figures.importance_figures import importance

MINUS = "\N{MINUS SIGN}"


def table(*rows, reliability=np.nan):
    """Return importance.csv of rows (layer, method, predictor, spearman, ci_low, ci_high, r2)."""
    names = ("layer", "method", "predictor", "spearman", "ci_low", "ci_high", "r2")
    columns = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return {**columns, "reliability_y": np.full(len(rows), reliability)}


def panels(figure):
    """Return the labels of the rows and columns of both panels."""
    return [
        tuple([label.get_text() for label in labels] for labels in (axes.get_yticklabels(), axes.get_xticklabels()))
        for axes in figure.axes
    ]


def numbers(axes):
    """Return the text of each cell by (column, row)."""
    return {(text.get_position()[0], text.get_position()[1]): text for text in axes.texts}


def colors(axes):
    """Return the colour of each cell, (rows, columns)."""
    (image,) = axes.images
    return np.array([[to_hex(cell) for cell in row] for row in image.cmap(image.norm(image.get_array()))])


SMALL = table(
    ("conv1", "", "selectivity", 0.5, 0.2, 0.7, 0.25),
    ("conv1", "", "weight_norm", -0.4, -0.6, -0.1, 0.1),
    ("conv1", "am", "rs_z", 0.1, -0.2, 0.4, -0.03),
    ("conv1", "am", "all_but_rs", np.nan, np.nan, np.nan, 0.3),
    ("conv1", "am", "all", np.nan, np.nan, np.nan, -12.5),
    ("hidden", "", "selectivity", np.nan, np.nan, np.nan, np.nan),
    ("hidden", "", "weight_norm", 1.0, 0.9, 1.0, 1.0),
    ("hidden", "am", "rs_z", -1.0, -1.0, -0.9, 0.0),
    ("hidden", "am", "all_but_rs", np.nan, np.nan, np.nan, 0.0),
    ("hidden", "am", "all", np.nan, np.nan, np.nan, -0.001),
)


def test_one_row_per_predictor_and_one_column_per_layer():
    figure = importance(STYLE, SMALL)
    assert_readable(figure)
    alone = ["selectivity", "weight norm", "RS (z), AM"]
    (rows, columns), (all_rows, all_columns) = panels(figure)
    # Sets of predictors have no correlation, only R2.
    assert rows == alone and not any(columns)
    assert all_rows == [*alone, "all but RS, AM", "all, AM"] and all_columns == ["conv1", "hidden"]
    texts = all_texts(figure)
    assert "Spearman ρ with the rise of the loss" in texts and "Cross-validated R²" in texts


def test_sets_without_a_method_precede_those_with_one():
    rows = [("a", method, name, 0.1, 0.0, 0.2, 0.1) for method in ("am", "") for name in ("all_but_rs", "all")]
    figure = importance(STYLE, table(("a", "", "mean", 0.1, 0.0, 0.2, 0.1), *rows))
    assert panels(figure)[1][0] == ["mean activation", "all but RS", "all", "all but RS, AM", "all, AM"]


def test_cells_show_the_values():
    correlation, fit = (numbers(axes) for axes in importance(STYLE, SMALL).axes)
    assert {place: text.get_text() for place, text in correlation.items()} == {
        (0, 0): "0.50",
        (0, 1): f"{MINUS}0.40",
        (0, 2): "0.10",
        (1, 1): "1.00",
        (1, 2): f"{MINUS}1.00",
    }
    # A cell is too narrow for more; what rounds to 0 has no sign.
    assert fit[0, 4].get_text() == f"{MINUS}9+" and fit[1, 4].get_text() == "0.00"
    assert fit[0, 2].get_text() == f"{MINUS}0.03" and (1, 0) not in fit


def test_correlations_whose_interval_excludes_0_are_bold():
    correlation, fit = (numbers(axes) for axes in importance(STYLE, SMALL).axes)
    weights = {place: text.get_fontweight() for place, text in correlation.items()}
    assert weights == {(0, 0): "bold", (0, 1): "bold", (0, 2): "normal", (1, 1): "bold", (1, 2): "bold"}
    # R2 has no interval.
    assert {text.get_fontweight() for text in fit.values()} == {"normal"}


def test_colours_show_the_sign_and_grey_is_undefined():
    correlation = colors(importance(STYLE, SMALL).axes[0])
    cells = np.array([[[int(cell[i : i + 2], 16) for i in (1, 3, 5)] for cell in row] for row in correlation])
    red, blue = cells[..., 0], cells[..., 2]
    assert correlation[0, 1] == "#cccccc"
    # The default map is orange above 0 and purple below.
    assert red[0, 0] > blue[0, 0] and red[1, 1] > blue[1, 1]
    assert red[1, 0] < blue[1, 0] and red[2, 1] < blue[2, 1]
    # 1 and -1 are the ends of the scale in both panels.
    for axes in importance(STYLE, SMALL).axes:
        assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (-1, 1)


def test_the_colormap_is_that_of_the_style():
    figure = importance(replace(STYLE, colormap="RdBu_r"), SMALL)
    assert colors(figure.axes[0])[1, 1] == "#67001f"
    assert colors(figure.axes[0])[0, 1] == "#cccccc"


def test_numbers_contrast_with_their_cells():
    texts = numbers(importance(STYLE, SMALL).axes[0])
    assert texts[1, 1].get_color() == texts[1, 2].get_color() == "white"
    assert texts[0, 2].get_color() == "black"


def test_a_predictor_that_a_layer_lacks_is_an_undefined_cell():
    rows = table(
        ("a", "", "selectivity", 0.5, 0.2, 0.7, 0.25),
        ("b", "", "selectivity", 0.6, 0.2, 0.7, 0.25),
        ("b", "am", "rs", 0.7, 0.2, 0.7, 0.25),
    )
    axes = importance(STYLE, rows).axes[0]
    assert {place: text.get_text() for place, text in numbers(axes).items()} == {
        (0, 0): "0.50",
        (1, 0): "0.60",
        (1, 1): "0.70",
    }
    assert colors(axes)[1, 0] == "#cccccc"


@pytest.mark.parametrize("layers", [3, 18])
def test_narrow_cells_have_a_dot_instead_of_a_number(layers):
    rows = [
        (f"features.{number}", "", name, value, value - 0.2, value + 0.2, value)
        for number in range(layers)
        for name, value in (("selectivity", 0.5), ("mean", 0.1))
    ]
    figure = importance(STYLE, table(*rows))
    assert_readable(figure)
    correlation, fit = figure.axes
    texts = " ".join(all_texts(figure).split())
    if layers == 3:
        assert len(correlation.texts) == len(fit.texts) == 6 and not correlation.lines
        assert "Bold: the 95 % interval" in texts
    else:
        assert not correlation.texts and not fit.texts and not fit.lines
        # One per layer: the interval of the mean activation includes 0.
        assert [line.get_ydata()[0] for line in correlation.lines] == [0] * layers
        assert "Dot: the 95 % interval" in texts


def test_long_names_of_layers_are_tilted_and_inside_the_page():
    for count, length in ((5, 31), (9, 31), (2, 100)):
        rows = [("x" * length + str(number), "", "mean", 0.5, 0.2, 0.7, 0.25) for number in range(count)]
        figure = importance(STYLE, table(*rows))
        assert_readable(figure)
        assert [label.get_rotation() for label in figure.axes[1].get_xticklabels()] == [40] * count
    short = importance(STYLE, table(("a", "", "selectivity", 0.5, 0.2, 0.7, 0.25)))
    assert [label.get_rotation() for label in short.axes[1].get_xticklabels()] == [0]


@pytest.mark.parametrize(("reliability", "testable"), [(0.64, True), (0.09, False)])
def test_ceiling_by_the_reliability_of_the_loss_is_a_row_of_the_correlations(reliability, testable):
    figure = importance(STYLE, table(("a", "", "selectivity", 0.5, 0.2, 0.7, 0.25), reliability=reliability))
    assert_readable(figure)
    rows, _ = panels(figure)[0]
    assert rows == ["selectivity", "ceiling of ρ by the loss"] and panels(figure)[1][0] == ["selectivity"]
    assert numbers(figure.axes[0])[0, 1].get_text() == f"{np.sqrt(reliability):.2f}"
    texts = " ".join(all_texts(figure).split())
    assert "Ceiling: largest ρ" in texts and ("Not testable with this number of images" in texts) != testable


def test_other_predictors_keep_their_names():
    rows = table(("a", "am_grey", "rs", 0.5, 0.2, 0.7, 0.25), ("a", "", "curvature", 0.5, 0.2, 0.7, 0.25))
    assert panels(importance(STYLE, rows))[0][0] == ["RS, am_grey", "curvature"]
