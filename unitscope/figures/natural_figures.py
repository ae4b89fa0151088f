"""Figures of RS on natural images against RS on the images made for the units."""

import numpy as np
from matplotlib.figure import Figure

from unitscope.figures.drawing import GREY, correlation_text, layer_title, styled
from unitscope.figures.scatter import Panel, scatter_grid
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, method_name
from unitscope.tables.table_access import Table, layers_of, methods_of, rows_of


@styled
def natural(style: Style, units: Table, layers: Table, score: str = "rs") -> Figure:
    """Draw RS on a unit's own top natural images against RS on the image made for it: a panel a layer and method.

    Args:
        style: How it looks.
        units: Table of units.
        layers: Table of correlations.
        score: "rs", "rs_z" or "rs_q", the forms that natural images have.
    """
    groups, x, name = {}, f"{score}_natural", RS_NAMES[score]
    on_test = f"{name} on test images"
    for layer in layers_of(units):
        layer_units = rows_of(units, layer)
        y = np.where(layer_units["dead"], np.nan, layer_units[x])
        groups[layer_title(layer, layer_units)] = [
            Panel(
                f"{method_name(method)}: {correlation_text(layers, layer, method, x, score)}".replace(x, on_test),
                layer_units[f"{score}_{method}"],
                y,
                number,
            )
            for number, method in enumerate(methods_of(units))
        ]
    footer = "Dashed: equal. A low correlation says that RS on made images is of the ascent, not of the units."
    footer += " Raw RS has the units' scales in common on both." if score == "rs" else ""
    axis_labels = f"{name} on the image made for the unit", f"{name} on its top test images"
    figure, grid = scatter_grid(style, groups, *axis_labels, footer)
    for row in grid:
        for axes in row:
            axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))
            axes.plot((0, 1), (0, 1), color=GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    return figure
