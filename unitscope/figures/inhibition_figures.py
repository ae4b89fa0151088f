"""The figure of inhibition: how many units of a layer the image of each unit silences."""

from matplotlib.figure import Figure

from unitscope.figures.drawing import correlation_text, layer_title, styled
from unitscope.figures.scatter import Panel, scatter_grid
from unitscope.figures.style import Style
from unitscope.scores.score_names import method_name
from unitscope.tables.inhibition import by_unit
from unitscope.tables.table_access import Table, layers_of, methods_of, rows_of


@styled
def inhibition(style: Style, units: Table, inhibited: Table, correlations: Table) -> Figure:
    """Draw the share of a layer's units that a unit's image inhibits, against the unit's class selectivity.

    Args:
        style: How it looks.
        units: Table of units.
        inhibited: A row a target unit and method, as inhibition.csv holds them.
        correlations: A row a layer, method and score, as inhibition_layers.csv holds them.
    """
    groups = {}
    for layer in layers_of(units):
        layer_units = rows_of(units, layer)
        groups[layer_title(layer, layer_units)] = [
            Panel(
                f"{method_name(method)}: {correlation_text(correlations, layer, method, 'inhibited', 'selectivity')}",
                layer_units["selectivity"],
                by_unit(inhibited, layer, method, len(layer_units["unit"])),
                number,
            )
            for number, method in enumerate(methods_of(units))
        ]
    footer = "A mark is a living unit. Undefined where the layer is signed: nothing is silenced there."
    label = "share of the other units with a negative pre-activation on the unit's image"
    figure, grid = scatter_grid(style, groups, "class selectivity", label, footer)
    for row in grid:
        for axes in row:
            axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))
    return figure
