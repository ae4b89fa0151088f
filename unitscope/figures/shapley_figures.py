"""The figure of Shapley values: what a unit contributes together with others, against its ablation alone."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unitscope.figures.drawing import GREY, layer_title, styled
from unitscope.figures.scatter import Panel, scatter_grid
from unitscope.figures.style import Style
from unitscope.tables.number_text import number, typeset
from unitscope.tables.table_access import Table, layers_of, rows_of


@styled
def shapley(style: Style, units: Table, values: Sequence[Table]) -> Figure:
    """Draw the Shapley value of each unit against the loss increase when it alone is set to 0: one panel per layer.

    Args:
        style: How it looks.
        units: Table of units.
        values: shapley/{layer}.csv of each layer.
    """
    by_layer = {str(table["layer"][0]): table for table in values}
    groups, intervals = {}, []
    for layer in layers_of(units):
        if layer not in by_layer:
            continue
        layer_units, table = rows_of(units, layer), by_layer[layer]
        losses = layer_units["ablation_loss"][table["unit"]]
        sums = [np.nansum(column) if np.isfinite(column).any() else np.nan for column in (table["shapley"], losses)]
        text = f"sum {number(sums[0])}, of ablations {number(sums[1])} nats"
        groups[layer_title(layer, layer_units)] = [Panel(typeset(text), losses, table["shapley"], 0)]
        intervals.append((losses, table["shapley_low"], table["shapley_high"]))
    figure, grid = scatter_grid(
        style,
        groups,
        "loss increase when the unit alone is set to 0 (nats)",
        "Shapley value (nats)",
        "Bars: 95 % intervals over orders of removal. Dashed: equal. Above it, others compensate for the removal of "
        "the unit alone. Each layer has its own scale.",
        room_for_scales=True,
    )
    for (losses, low, high), (axes,) in zip(intervals, grid, strict=True):
        axes.vlines(losses, low, high, color=style.look(0)[0], alpha=0.4, linewidth=0.8, zorder=1)
        axes.axline((0, 0), slope=1, color=GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
        axes.set(xlim=_limits(losses), ylim=_limits(np.concatenate([low, high])))
        # Each layer has its own units of the axis below, too.
        axes.tick_params(labelbottom=True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(3))
            axis.set_major_formatter(lambda value, _: typeset(f"{value:.3g}"))
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return limits that hold all values and 0, with a margin."""
    values = np.append(values[np.isfinite(values)], 0.0)
    margin = 0.06 * (np.ptp(values) or 1.0)
    return float(values.min() - margin), float(values.max() + margin)
