"""Figures of a network's layers in their order: RS by layer, and its correlation with class selectivity by depth."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unitscope.figures.drawing import GREY, relative_box, styled, tilt_names
from unitscope.figures.score_figures import share_scale
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, RS_SCORES, method_name
from unitscope.tables.number_text import MINUS
from unitscope.tables.table_access import Table, correlation_of, layers_of, methods_of, rows_of


@styled
def spread(style: Style, units: Table, *scores: str) -> Figure:
    """Draw the median of RS and the range between its quartiles, by layer, each score in a panel.

    Args:
        style: How it looks.
        units: Table of units.
        scores: "rs", "rs_z", "rs_q" or "rs_r", or several of them.
    """
    names, methods = layers_of(units), methods_of(units)
    below = 0.35 + 0.7 * max(map(len, names)) * 0.6 * style.small / 72
    panel, between, legend = 1.2, 0.12, 0.35
    total = below + len(scores) * (panel + between) - between + legend
    figure = Figure(figsize=(style.width, total))
    for row, score in enumerate(scores):
        low = total - legend - (row + 1) * panel - row * between
        axes = figure.add_axes(relative_box((0.6, low, style.width - 0.7, panel), style.width, total))
        highest = []
        for number, method in enumerate(methods):
            color, marker = style.look(number)
            for place, layer in enumerate(names):
                layer_units = rows_of(units, layer)
                values = layer_units[f"{score}_{method}"][~layer_units["dead"]]
                values = values[np.isfinite(values)]
                if not len(values):
                    continue
                x = place + (number - (len(methods) - 1) / 2) * 0.25
                first, middle, third = np.quantile(values, (0.25, 0.5, 0.75))
                highest.append(third)
                axes.plot([x, x], [first, third], color=color, linewidth=3, alpha=0.45, solid_capstyle="butt")
                axes.plot(x, middle, color=color, marker=marker, markersize=4.5, linestyle="none")
        top = share_scale([np.array(highest)])
        axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(-0.04 * top, 1.04 * top), ylabel=f"{RS_NAMES[score]}")
        axes.set_yticks((0, top / 2, top), ("0", f"{top / 2:g}", f"{top:g}"))
        axes.set_xticks(range(len(names)), names if score == scores[-1] else [])
        tilt_names(axes)
    handles = [
        Line2D([], [], color=color, marker=marker, linewidth=3, markersize=4.5)
        for color, marker in map(style.look, range(len(methods)))
    ]
    labels = [f"{method_name(method)}: median, quartiles" for method in methods]
    figure.legend(
        handles,
        labels,
        loc="upper right",
        bbox_to_anchor=(1, 1),
        ncols=max(1, len(methods)),
        frameon=False,
        fontsize=style.small,
        borderaxespad=0.1,
    )
    return figure


@styled
def depth(style: Style, units: Table, layers: Table) -> Figure:
    """Draw the correlation of selectivity and RS by depth (as Chen et al. 2018, Fig. 3b), each score in a panel.

    Args:
        style: How it looks.
        units: Table of units.
        layers: Table of correlations.
    """
    names, methods = layers_of(units), methods_of(units)
    line_height = 1.3 * style.small / 72
    longest = max(map(len, names), default=0) * 0.6 * style.small / 72
    left, panel = 0.46 + 2.0 * line_height, 1.45
    width = style.width - left - 0.1
    slot = width / max(len(names), 1)
    step = min(0.6 / max(len(methods), 1), 0.5 / slot)
    upright, tilted = slot * step * 72 < 3 * 0.7 * style.small, longest > 0.95 * slot
    head = line_height * (3.2 if upright else 2.3)
    legend = _legend(style, methods)
    legend_height = line_height * math.ceil(len(legend["labels"]) / legend["ncols"]) + 0.1
    bottom = 0.12 + 1.4 * style.font_size / 72 + (0.7 * longest if tilted else line_height)
    total = bottom + len(RS_SCORES) * (panel + head) + (len(RS_SCORES) - 1) * 0.14 + legend_height
    figure = Figure(figsize=(style.width, total))
    for row, score in enumerate(RS_SCORES):
        low = total - legend_height - (row + 1) * (panel + head) - row * 0.14
        axes = figure.add_axes(relative_box((left, low, width, panel), style.width, total))
        axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
        axes.axhspan(-1.42, -1.1, color="#EEEEEE", linewidth=0, zorder=0)
        for number, method in enumerate(methods):
            color, marker = style.look(number)
            for place, layer in enumerate(names):
                correlation = correlation_of(layers, layer, method, "selectivity", score)
                x = place + (number - (len(methods) - 1) / 2) * step
                _point(axes, x, correlation, color, marker)
                count, angle = str(correlation["used"]), 90 if upright else 0
                where: dict[str, Any] = {
                    "va": "bottom",
                    "ha": "center",
                    "transform": axes.get_xaxis_transform(),
                    "clip_on": False,
                }
                axes.text(x, 1.02, count, color=color, size=style.small, rotation=angle, **where)
        axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(-1.42, 1.08))
        axes.set_yticks((-1.26, -1, -0.5, 0, 0.5, 1), ("undef.", f"{MINUS}1", f"{MINUS}0.5", "0", "0.5", "1"))
        axes.set_ylabel("Spearman ρ", y=0.56)
        title = f"selectivity and {RS_NAMES[score]}" + (" (n above each point)" if row == 0 else "")
        above = (low + panel + head - 0.02) / total
        figure.text(left / style.width, above, title, weight="bold", size=style.small, va="top")
        axes.set_xticks(range(len(names)), names if score == RS_SCORES[-1] else [])
    if tilted:
        tilt_names(axes)
    axes.set_xlabel("layer, in the order of the network")
    figure.legend(**legend, loc="upper right", bbox_to_anchor=(1, 1), frameon=False, fontsize=style.small)
    return figure


@styled
def trend(style: Style, trainings: Sequence[Table], layers: Sequence[str], method: str = "iam") -> Figure:
    """Draw the correlation of selectivity and RS by depth for several trainings, and their mean.

    Args:
        style: How it looks.
        trainings: The table of correlations of each training.
        layers: In the order of the network.
        method: Of the images.
    """
    places = np.arange(len(layers))
    values = {
        score: np.array([[_value(table, layer, method, score) for layer in layers] for table in trainings])
        for score in RS_SCORES
    }
    low = min(-0.6, *(float(np.nanmin(correlations, initial=0.0)) - 0.1 for correlations in values.values()))
    high = max(0.6, *(float(np.nanmax(correlations, initial=0.0)) + 0.1 for correlations in values.values()))
    tilted = max(map(len, layers)) * len(layers) > 36
    below = 0.62 + (0.85 * max(map(len, layers)) * 0.6 * style.small / 72 if tilted else 0)
    total = below + 1.6
    figure = Figure(figsize=(style.width, total))
    pitch = 0.88 / len(RS_SCORES)
    for number, score in enumerate(RS_SCORES):
        axes = figure.add_axes((0.11 + number * pitch, below / total, pitch - 0.023, 1.25 / total))
        color, _ = style.look(number)
        axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
        for by_layer in values[score]:
            axes.plot(places, by_layer, color=color, linewidth=0.8, alpha=0.5, marker=".", markersize=4)
        defined = np.isfinite(values[score]).any(axis=0)
        mean = np.full(len(layers), np.nan)
        mean[defined] = np.nanmean(values[score][:, defined], axis=0)
        axes.plot(places, mean, color=color, linewidth=2.0, marker="o", markersize=4.5)
        axes.set(xlim=(-0.3, len(layers) - 0.7), ylim=(low, high))
        axes.set_title(RS_NAMES[score], size=style.small, weight="bold", loc="left")
        axes.tick_params(labelleft=number == 0)
        axes.set_xticks(places, layers)
        if tilted:
            tilt_names(axes)
    figure.axes[0].set_ylabel("Spearman ρ with selectivity")
    text = f"{method_name(method)}; thin: {len(trainings)} trainings, thick: their mean"
    figure.text(0.99, 0.02, text, ha="right", va="bottom", size=style.small, color="#444444")
    return figure


def _value(layers: Table, layer: str, method: str, score: str) -> float:
    return float(correlation_of(layers, layer, method, "selectivity", score)["spearman"])


def _legend(style: Style, methods: Sequence[str]) -> dict[str, Any]:
    """Return what a legend of the methods shows, in as many columns as the page holds."""
    handles = [
        Line2D([], [], color=color, marker=marker, linewidth=0.9, markersize=4.5)
        for color, marker in map(style.look, range(len(methods)))
    ]
    handles.append(Line2D([], [], color="#444444", marker="x", linestyle="none", markersize=4.5))
    labels = [f"{method_name(method)}, 95 % interval" for method in methods] + ["undefined: constant or missing"]
    widest = (max(map(len, labels)) * 0.6 + 4) * style.small / 72
    columns = max(1, min(len(labels), int(style.width / widest)))
    return {"handles": handles, "labels": labels, "ncols": columns, "borderaxespad": 0.1, "columnspacing": 1.2}


def _point(axes: Axes, x: float, correlation: Mapping[str, Any], color: str, marker: str) -> None:
    if math.isfinite(correlation["spearman"]):
        axes.plot(
            [x, x], [correlation["ci_low"], correlation["ci_high"]], color=color, linewidth=0.9, solid_capstyle="butt"
        )
        # Hollow where there is no interval.
        inside = color if math.isfinite(correlation["ci_low"]) else "white"
        axes.plot(
            x, correlation["spearman"], marker=marker, color=color, markerfacecolor=inside, markersize=4.5, zorder=3
        )
    else:
        axes.plot(x, -1.26, marker="x", color=color, markersize=4.5)
