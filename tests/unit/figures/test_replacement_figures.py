"""Figure of replaced units: one point per unit, the diagonal, rivals, and what a title counts."""

import numpy as np
import pytest

from unitscope.figures.replacement_figures import SMALLEST, replacements
from unitscope.figures.style import Style
from unitscope.interventions.replacement_columns import ReplacementTable


def table(layer, substitutes, controls, size=1):
    count = len(substitutes)
    columns = {name: np.full(count, np.nan) for name in ReplacementTable.names()}
    return columns | {
        "layer": np.full(count, layer), "method": np.full(count, "iam"), "size": np.full(count, size),
        "kl_substitutes": np.array(substitutes), "kl_controls": np.array(controls),
        "kl_correlated": np.full(count, 0.01), "kl_natural": np.full(count, np.nan),
    }  # fmt: skip


@pytest.fixture
def figure():
    tables = [
        table("conv1", [0.0, 0.2, np.nan, 0.1], [0.1, 0.1, 0.1, 0.3]),
        table("conv2", [np.nan], [np.nan], size=5),
    ]
    return replacements(Style(), tables)


def test_points_are_the_units_with_substitutes_and_controls(figure):
    panel = figure.axes[0]
    correlated, natural, units = (points.get_offsets() for points in panel.collections)
    np.testing.assert_allclose(units, [[0.1, SMALLEST], [0.1, 0.2], [0.3, 0.1]])
    np.testing.assert_allclose(correlated, [[0.1, 0.01], [0.1, 0.01], [0.3, 0.01]])
    assert len(natural) == 0
    (diagonal,) = panel.lines
    assert (diagonal.get_xdata() == diagonal.get_ydata()).all()
    assert panel.get_xlim() == panel.get_ylim() and panel.get_xscale() == panel.get_yscale() == "log"


def test_titles_name_the_layer_and_count_the_units(figure):
    assert figure.axes[0].get_title(loc="left") == "conv1, IAM: 1 substitute\nbetter than controls: 2 of 3 units"
    assert figure.axes[1].get_title(loc="left") == "conv2, IAM: 5 substitutes\nbetter than controls: 0 of 0 units"
    assert figure.axes[1].texts[0].get_text() == "no unit has substitutes\nand controls"


def test_axes_have_units_and_the_legend_names_all_markers(figure):
    texts = [text.get_text() for text in figure.texts] + [figure.get_supylabel()]
    assert "KL with control sets (nats)" in texts and "KL with the prediction (nats)" in texts
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "substitutes",
        "most correlated units",
        "units named by natural images",
    ]


def test_figure_without_tables_names_what_is_missing():
    assert replacements(Style(), []).axes[0].texts[0].get_text() == "no unit has substitutes\nand controls"
