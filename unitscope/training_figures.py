"""The figure of training time: what becomes of selectivity, RS and their correlation from epoch to epoch."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unitscope.figures import GREY, MINUS, SCORE_NAMES, Style, _relative, _styled, _wrapped
from unitscope.tables import RS_SCORES, Table, method_name

ROW_HEIGHT = 1.25
"""Inches of a panel."""


@_styled
def training_time(style: Style, training: Table) -> Figure:
    """Draw test accuracy, selectivity, RS and the correlation of the two over training; a line a layer and seed.

    Args:
        style: How it looks.
        training: As training.csv holds it.
    """
    layers, methods = (list(dict.fromkeys(training[name].tolist())) for name in ("layer", "method"))
    epochs = np.unique(training["epoch"])
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(layers)))
    line, gap, left = 1.3 * style.small / 72, 0.55, 0.55
    columns = max(2, len(methods))
    width = (style.width - left - 0.1 - (columns - 1) * gap) / columns
    title, between = line + 0.04, 0.2
    rows = 2 + len(RS_SCORES)
    seeds = len(np.unique(training["seed"]))
    words = "Medians over living units. Bands: 95 % intervals. Breaks: undefined, for the reason that the table gives."
    notes = _wrapped(words + f" Thin lines: {seeds} trainings." * (seeds > 1), int(style.width * 72 / 5))
    legend = line * -(-len(layers) // 6) + 0.1
    foot = 0.42 + (notes.count("\n") + 1) * line
    total = legend + rows * (ROW_HEIGHT + title + between) - between + foot
    figure = Figure(figsize=(style.width, total))

    def panel(row: int, column: int, text: str, label: str) -> Axes:
        low = total - legend - (row + 1) * (ROW_HEIGHT + title) - row * between
        box = (left + column * (width + gap), low, width, ROW_HEIGHT)
        axes = figure.add_axes(_relative(box, style.width, total))
        axes.set_title(text, size=style.small, weight="bold", loc="left", pad=3)
        axes.set_xticks(range(len(epochs)), map(str, epochs.tolist()))
        axes.set(xlim=(-0.15, len(epochs) - 0.85), ylabel=label if column == 0 or row == 0 else "")
        if row == rows - 1:
            axes.set_xlabel("epoch")
        return axes

    first = _rows(training, layer=layers[0], method=methods[0], score="rs")
    accuracy = panel(0, 0, "test accuracy", "share of images")
    _lines(accuracy, epochs, first, "test_accuracy", "#222222")
    selectivity = panel(0, 1, "class selectivity", "median")
    for layer, color in zip(layers, colors, strict=True):
        _lines(selectivity, epochs, _rows(training, layer=layer, method=methods[0], score="rs"), "selectivity", color)
    for column, method in enumerate(methods):
        medians = panel(1, column, f"RS, {method_name(method)}", "median")
        for layer, color in zip(layers, colors, strict=True):
            _lines(medians, epochs, _rows(training, layer=layer, method=method, score="rs"), "median", color)
        medians.set_ylim(bottom=min(0.0, medians.get_ylim()[0]))
        for number, score in enumerate(RS_SCORES):
            name = f"selectivity and {SCORE_NAMES[score]}, {method_name(method)}"
            axes = panel(2 + number, column, name, "Spearman ρ")
            axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
            for layer, color in zip(layers, colors, strict=True):
                own = _rows(training, layer=layer, method=method, score=score)
                _lines(axes, epochs, own, "spearman", color, band=seeds == 1)
            axes.set_ylim(-1.05, 1.05)
            axes.set_yticks((-1, 0, 1), (f"{MINUS}1", "0", "1"))
    handles = [Line2D([], [], color=color, linewidth=1.4) for color in colors]
    where: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 1), "ncols": min(6, len(layers))}
    figure.legend(handles, layers, **where, frameon=False, fontsize=style.small, borderaxespad=0.1)
    figure.text(0.5, 0.05 / total, notes, ha="center", va="bottom", size=style.small, color="#444444")
    return figure


def _rows(training: Table, **wanted: str) -> dict[str, np.ndarray]:
    rows = np.all([training[name] == value for name, value in wanted.items()], axis=0)
    return {name: column[rows] for name, column in training.items()}


def _lines(
    axes: Axes, epochs: np.ndarray, own: Table, name: str, color: str | Sequence[float], band: bool = False
) -> None:
    """Draw a line a seed; epochs stand at equal distances, as early ones lie close together."""
    seeds = np.unique(own["seed"])
    width = 1.4 if len(seeds) == 1 else 0.8
    for seed in seeds:
        rows = own["seed"] == seed
        x = np.searchsorted(epochs, own["epoch"][rows])
        look: dict[str, Any] = {"linewidth": width, "markersize": 3.5 * width, "marker": "."}
        axes.plot(x, own[name][rows], color=color, clip_on=False, zorder=3, **look)
        if band:
            axes.fill_between(x, own["ci_low"][rows], own["ci_high"][rows], color=color, alpha=0.1, linewidth=0)
