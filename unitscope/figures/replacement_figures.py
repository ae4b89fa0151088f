"""Figure of replaced units: divergence with the substitutes against that with control sets."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unitscope.figures.drawing import GREY, styled
from unitscope.figures.removal_figures import panels_of_equal_size
from unitscope.figures.style import Style
from unitscope.scores.score_names import method_name

SMALLEST = 1e-9
"""Divergence in nats at which smaller ones are drawn: an exact copy has 0, which a logarithmic axis cannot show."""

RIVALS = {"kl_correlated": ("most correlated units", "^"), "kl_natural": ("units named by natural images", "s")}


@styled
def replacements(style: Style, tables: Sequence[Mapping[str, np.ndarray]]) -> Figure:
    """Draw a panel for each layer, method and number of substitutes, a point for each unit.

    Args:
        style: Style of the figure.
        tables: The replacement table of each layer and method, as the rule `replacement` writes them.
    """
    sizes = sorted({size for table in tables for size in table["size"].tolist()})
    shown = [
        {name: column[table["size"] == size] for name, column in table.items()}
        for size in sizes
        for table in tables
        if (table["size"] == size).any()
    ]
    figure, panels = panels_of_equal_size(style, max(len(shown), 1), bottom=0.95, left=0.75)
    for axes, table in zip(panels, shown, strict=False):
        _panel(style, axes, table)
    if not shown:
        _nothing(style, panels[0])
    handles = [
        Line2D([], [], color=style.look(0)[0], marker="o", linestyle="", markersize=4, label="substitutes"),
        *(
            Line2D([], [], color=GREY, marker=marker, linestyle="", markersize=4, markerfacecolor="none", label=name)
            for name, marker in RIVALS.values()
        ),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False, fontsize=style.small)
    height = figure.get_size_inches()[1]
    figure.text(0.5, 0.42 / height, "KL with control sets (nats)", ha="center", size=style.font_size)
    figure.supylabel("KL with the prediction (nats)", size=style.font_size)
    return figure


def _panel(style: Style, axes: Axes, table: Mapping[str, np.ndarray]) -> None:
    x, y = (np.maximum(table[name].astype(float), SMALLEST) for name in ("kl_controls", "kl_substitutes"))
    compared = np.isfinite(x) & np.isfinite(y)
    size = int(table["size"][0])
    axes.set_title(
        f"{table['layer'][0]}, {method_name(str(table['method'][0]))}: {size} substitute{'s' if size > 1 else ''}\n"
        f"better than controls: {int((y < x)[compared].sum())} of {int(compared.sum())} units",
        size=style.small,
        loc="left",
    )
    if not compared.any():
        _nothing(style, axes)
        return
    values = [x[compared], y[compared]]
    for name, (_, marker) in RIVALS.items():
        rival = np.maximum(table[name].astype(float), SMALLEST)
        both = compared & np.isfinite(rival)
        axes.scatter(x[both], rival[both], s=9, marker=marker, facecolors="none", edgecolors=GREY, linewidths=0.6)
        values.append(rival[both])
    axes.scatter(x[compared], y[compared], s=11, color=style.look(0)[0], linewidths=0, zorder=3)
    limits = np.concatenate(values).min() / 1.6, np.concatenate(values).max() * 1.6
    axes.plot(limits, limits, color="black", linewidth=0.7, zorder=2)
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits)


def _nothing(style: Style, axes: Axes) -> None:
    axes.text(0.5, 0.5, "no unit has substitutes\nand controls", ha="center", va="center", size=style.small)
    axes.set(xticks=[], yticks=[])
