"""The figure of null models: the correlation of RS and selectivity without training, labels or an ascent."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unitscope.figures.drawing import GREY, PAGE_HEIGHT, relative_box, styled
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, RS_SCORES, method_name
from unitscope.tables.number_text import MINUS
from unitscope.tables.table_access import Table

NULL_NAMES = {
    "none": "as found",
    "minimized": "as found, minimized",
    "start": "RS on start images",
    "permuted": "permuted labels",
    "untrained": "untrained network",
}


@styled
def nulls(style: Style, table: Table) -> Figure:
    """Draw the correlation of RS and selectivity beside what it is where there is nothing to be found.

    A panel a method and score; in it the layers, with a mark for each null.

    Args:
        style: How it looks.
        table: nulls.csv.
    """
    names = list(dict.fromkeys(table["layer"].tolist()))
    methods = list(dict.fromkeys(table["method"].tolist()))
    kinds = [kind for kind in NULL_NAMES if kind in table["null"]]
    looks = {kind: style.look(number) for number, kind in enumerate(NULL_NAMES)}
    left, head, gap, margin = max(map(len, names)) * 0.6 * style.small / 72 + 0.12, 0.24, 0.16, 0.35
    legend, bottom = 0.32 if len(kinds) * 1.5 < style.width else 0.5, 0.5
    # Marks of many layers stand closer, so that the figure keeps to a page as long as it can.
    room = PAGE_HEIGHT - legend - bottom - len(methods) * (head + gap)
    step = min(0.11, max(0.06, room / (len(methods) * len(names) * (len(kinds) + 1))))
    slot = (len(kinds) + 1) * step
    panel = len(names) * slot
    total = legend + len(methods) * (panel + head) + (len(methods) - 1) * gap + bottom
    figure = Figure(figsize=(style.width, total))
    width = (style.width - left - 0.1) / len(RS_SCORES)
    for row, method in enumerate(methods):
        low = total - legend - (row + 1) * (panel + head) - row * gap
        for column, score in enumerate(RS_SCORES):
            axes = figure.add_axes(relative_box((left + column * width, low, width - 0.12, panel), style.width, total))
            axes.axvline(0, color=GREY, linewidth=0.7, zorder=1)
            for place, layer in enumerate(names):
                if place % 2:
                    axes.axhspan(place - 0.5, place + 0.5, color="#F4F4F4", linewidth=0, zorder=0)
                for number, kind in enumerate(kinds):
                    y = place + (number - (len(kinds) - 1) / 2) * step / slot
                    _null(axes, table, (layer, method, score, kind), y, looks[kind])
            axes.set(xlim=(-1 - margin, 1.08), ylim=(len(names) - 0.5, -0.5))
            axes.axvspan(-1 - margin, -1.08, color="#E8E8E8", linewidth=0, zorder=0.5)
            axes.set_yticks(range(len(names)), names)
            undefined = -1 - margin / 2 - 0.04
            ticks = (undefined, -1, -0.5, 0, 0.5, 1)
            axes.set_xticks(ticks, ("?", f"{MINUS}1", "", "0", "", "1"))
            axes.tick_params(axis="y", length=0, labelleft=column == 0)
            axes.tick_params(axis="x", labelbottom=row == len(methods) - 1)
            title = f"{RS_NAMES[score]}, {method_name(method)}"
            figure.text(
                (left + column * width) / style.width,
                (low + panel + 0.05) / total,
                title,
                weight="bold",
                size=style.small,
            )
    handles = [
        Line2D([], [], color=looks[kind][0], marker=looks[kind][1], linewidth=0.9, markersize=4) for kind in kinds
    ]
    figure.legend(
        handles,
        [NULL_NAMES[kind] for kind in kinds],
        loc="upper right",
        bbox_to_anchor=(1, 1),
        ncols=len(kinds) if legend < 0.4 else math.ceil(len(kinds) / 2),
        frameon=False,
        fontsize=style.small,
        borderaxespad=0.1,
        columnspacing=1.2,
    )
    text = "Spearman ρ of RS and class selectivity, 95 % interval; ?: undefined"
    figure.text(0.5, 0.06 / total, text, ha="center", va="bottom")
    return figure


def _null(axes: Axes, table: Table, key: tuple[str, str, str, str], y: float, look: tuple[str, str]) -> None:
    """Draw one row of nulls.csv at a height; a row that is not there is not drawn."""
    columns = zip(("layer", "method", "score", "null"), key, strict=True)
    matches = np.all([table[column] == value for column, value in columns], axis=0)
    if not matches.any():
        return
    color, marker = look
    value, low, high = (float(table[name][matches][0]) for name in ("spearman", "ci_low", "ci_high"))
    if not math.isfinite(value):
        axes.plot(-1.215, y, marker="x", color=color, markersize=4, zorder=3)
        return
    axes.plot([low, high], [y, y], color=color, linewidth=0.9, solid_capstyle="butt", zorder=2)
    # Hollow where there is no interval.
    inside = color if math.isfinite(low) else "white"
    axes.plot(value, y, marker=marker, color=color, markerfacecolor=inside, markersize=4, zorder=3)
