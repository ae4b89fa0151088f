"""Figures of the analyses beyond the paper: RS on natural images, what foretells an ablation, and nulls.

Drawn from tables alone, in the style of `unitscope.figures.drawing`, whose rules hold here too.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unitscope.figures.drawing import (
    GREY,
    MINUS,
    PAGE_HEIGHT,
    SCORE_NAMES,
    Panel,
    correlation_text,
    layer_title,
    relative_box,
    scatter_grid,
    styled,
    wrapped,
)
from unitscope.figures.style import Style
from unitscope.tables.unit_tables import RS_SCORES, Table, layers_of, method_name, methods_of, rows_of, two_decimals

PREDICTOR_NAMES = {
    "selectivity": "selectivity",
    "mean": "mean activation",
    "std": "spread of activation",
    "firing_rate": "firing rate",
    "redundancy": "redundancy",
    "weight_norm": "weight norm",
    "all_but_rs": "all but RS",
    "all": "all",
}
NULL_NAMES = {
    "none": "as found",
    "minimized": "as found, minimized",
    "start": "RS on start images",
    "permuted": "permuted labels",
    "untrained": "untrained network",
}

NARROWEST_NUMBER = 0.34
"""Inches of a cell, below which it holds no number."""


@styled
def natural(style: Style, units: Table, layers: Table, score: str = "rs") -> Figure:
    """Draw RS on a unit's own top natural images against RS on the image made for it: a panel a layer and method.

    Args:
        style: How it looks.
        units: Table of units.
        layers: Table of correlations.
        score: "rs", "rs_z" or "rs_q".
    """
    groups, x, name = {}, f"{score}_natural", SCORE_NAMES[score]
    on_test = f"{name} on test images"
    for layer in layers_of(units):
        own = rows_of(units, layer)
        y = np.where(own["dead"], np.nan, own[x])
        groups[layer_title(layer, own)] = [
            Panel(
                f"{method_name(method)}: {correlation_text(layers, layer, method, x, score)}".replace(x, on_test),
                own[f"{score}_{method}"],
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


# --- what foretells the cost of an ablation --------------------------------------------------------------------------


@styled
def importance(style: Style, table: Table) -> Figure:
    """Draw how each predictor goes with the loss that ablation costs: a row a predictor, a column a layer.

    Above Spearman's correlation, below the cross-validated R2 of a regression on ranks.

    Args:
        style: How it looks.
        table: importance.csv.
    """
    names = list(dict.fromkeys(table["layer"].tolist()))
    rows = list(dict.fromkeys(zip(table["method"].tolist(), table["predictor"].tolist(), strict=True)))
    # What stands on no images first, then each method.
    alone = [row for row in rows if row[1] not in ("all", "all_but_rs")]
    together = sorted((row for row in rows if row not in alone), key=lambda row: row[0] != "")
    line, head, gap = 1.6 * style.small / 72, 0.24, 0.12
    labels = {row: _predictor_name(*row) for row in rows}
    left = max(map(len, labels.values())) * 0.58 * style.small / 72 + 0.12
    longest = max(map(len, names)) * 0.6 * style.small / 72
    width = min((style.width - left - 0.1) / len(names), 0.8)
    tilted = longest > 0.95 * width
    notes = wrapped(
        "ρ and R²: scored on one half of the test images, ablated on the other. "
        + ("Bold" if width >= NARROWEST_NUMBER else "Dot")
        + ": the 95 % interval of ρ excludes 0. R² below 0: worse than no predictor. Grey: undefined.",
        int(style.width * 72 / (0.52 * style.small)),
    )
    bottom = 0.12 + (notes.count("\n") + 1) * 1.3 * style.small / 72 + (0.75 * longest + 0.08 if tilted else line)
    heights = [len(alone) * line, len(alone + together) * line]
    total = bottom + sum(heights) + 2 * head + gap
    figure = Figure(figsize=(style.width, total))
    panels = (
        ("Spearman ρ with the rise of the loss when the unit is clamped to 0", "spearman", alone),
        ("Cross-validated R² of the rank of that rise", "r2", alone + together),
    )
    low = total
    for (title, column, shown), height in zip(panels, heights, strict=True):
        low -= head + height
        axes = figure.add_axes(relative_box((left, low, width * len(names), height), style.width, total))
        figure.text(0.1 / style.width, (low + height + 0.06) / total, title, weight="bold", size=style.small)
        _heat(style, axes, table, column, shown, names, width >= NARROWEST_NUMBER)
        axes.set_yticks(range(len(shown)), [labels[row] for row in shown])
        axes.set_xticks(range(len(names)), names if column == "r2" else [])
        low -= gap
    if tilted:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    figure.text(0.5, 0.06 / total, notes, ha="center", va="bottom", size=style.small, color="#444444")
    return figure


def _heat(
    style: Style,
    axes: Axes,
    table: Table,
    column: str,
    rows: Sequence[tuple[str, str]],
    names: Sequence[str],
    numbers: bool,
) -> None:
    """Draw a column of importance.csv as coloured cells, with numbers where they have room."""
    colormap, scale = colormaps[style.colormap], Normalize(-1, 1)
    values = np.full((len(rows), len(names)), np.nan)
    for place, (method, predictor) in enumerate(rows):
        for position, layer in enumerate(names):
            own = (table["layer"] == layer) & (table["method"] == method) & (table["predictor"] == predictor)
            if not own.any():
                continue
            found = {key: table[key][own][0] for key in (column, "ci_low", "ci_high")}
            value = values[place, position] = found[column]
            if not math.isfinite(value):
                continue
            sure = column == "spearman" and (found["ci_low"] > 0 or found["ci_high"] < 0)
            red, green, blue, _ = colormap(scale(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            words: dict[str, Any] = {"color": "white" if dark else "black", "ha": "center", "va": "center"}
            if numbers:
                text = f"{MINUS}9+" if value < -9.995 else two_decimals(value).replace("-", MINUS)
                axes.text(position, place, text, size=style.small, weight="bold" if sure else "normal", **words)
            elif sure:
                axes.plot(position, place, marker=".", markersize=4, color=words["color"])
    drawn = colormap.with_extremes(bad="#CCCCCC")
    axes.imshow(np.ma.masked_invalid(values), cmap=drawn, norm=scale, aspect="auto", interpolation="none")
    axes.spines[:].set(visible=False)
    axes.tick_params(length=0)


def _predictor_name(method: str, predictor: str) -> str:
    name = SCORE_NAMES.get(predictor) or PREDICTOR_NAMES.get(predictor, predictor)
    return f"{name}, {method_name(method)}" if method else name


# --- nulls -----------------------------------------------------------------------------------------------------------


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
            title = f"{SCORE_NAMES[score]}, {method_name(method)}"
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
    own = np.all([table[column] == value for column, value in columns], axis=0)
    if not own.any():
        return
    color, marker = look
    value, low, high = (float(table[name][own][0]) for name in ("spearman", "ci_low", "ci_high"))
    if not math.isfinite(value):
        axes.plot(-1.215, y, marker="x", color=color, markersize=4, zorder=3)
        return
    axes.plot([low, high], [y, y], color=color, linewidth=0.9, solid_capstyle="butt", zorder=2)
    # Hollow where there is no interval.
    inside = color if math.isfinite(low) else "white"
    axes.plot(value, y, marker=marker, color=color, markerfacecolor=inside, markersize=4, zorder=3)
