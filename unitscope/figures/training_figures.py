"""The figure of training time: what becomes of selectivity, RS and their correlation from epoch to epoch."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unitscope.figures.drawing import GREY, relative_box, styled, wrapped
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, RS_SCORES, method_name
from unitscope.tables.number_text import MINUS
from unitscope.tables.table_access import Table

ROW_HEIGHT = 1.15
"""Inches of a panel."""

APART = 0.07
"""How far at most the layers' marks of one epoch stand from each other, so that their intervals can be told apart."""


@styled
def training_time(style: Style, training: Table) -> Figure:
    """Draw test accuracy, selectivity, RS and the correlation of the two over training; a line a layer and seed.

    Args:
        style: How it looks.
        training: As training.csv holds it.
    """
    layers, methods = (list(dict.fromkeys(training[name].tolist())) for name in ("layer", "method"))
    epochs = np.unique(training["epoch"])
    seeds = len(np.unique(training["seed"]))
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(layers)))
    line, gap, left = 1.3 * style.small / 72, 0.42, 0.52
    width = (style.width - left - 0.1 - (len(RS_SCORES) - 1) * gap) / len(RS_SCORES)
    head, between, rows = 1.4 * line, 0.22, 1 + 2 * len(methods)
    words = "Medians over living units. Where there is no mark the correlation is undefined: see the table."
    words += " Upright lines: 95 % intervals." * (seeds == 1)
    notes = wrapped(words + f" A line a training, of {seeds} trainings." * (seeds > 1), int(style.width * 72 / 4.2))
    foot = 0.42 + (notes.count("\n") + 1) * line
    total = rows * (ROW_HEIGHT + head + between) - between + foot
    figure = Figure(figsize=(style.width, total))

    def panel(row: int, column: int, text: str) -> Axes:
        low = total - row * (head + ROW_HEIGHT + between) - head - ROW_HEIGHT
        axes = figure.add_axes(
            relative_box((left + column * (width + gap), low, width, ROW_HEIGHT), style.width, total)
        )
        axes.set_title(text, size=style.small, weight="bold", loc="left", pad=4)
        axes.set_xticks(range(len(epochs)), map(str, epochs.tolist()))
        axes.set_xlim(-0.3, len(epochs) - 0.7)
        if row == rows - 1:
            axes.set_xlabel("epoch")
        return axes

    step = min(APART, 0.5 / len(layers))

    def by_layer(axes: Axes, name: str, method: str, score: str, intervals: bool = False) -> None:
        for number, (layer, color) in enumerate(zip(layers, colors, strict=True)):
            layer_rows = _rows(training, layer=layer, method=method, score=score)
            _lines(
                axes, epochs, layer_rows, name, color, (number - (len(layers) - 1) / 2) * step, intervals and seeds == 1
            )
        if not np.isfinite(_rows(training, method=method, score=score)[name]).any():
            axes.set_yticks([])
            axes.text(0.5, 0.6, "undefined in all layers", ha="center", size=style.small, transform=axes.transAxes)

    accuracy = panel(0, 0, "test accuracy")
    _lines(
        accuracy, epochs, _rows(training, layer=layers[0], method=methods[0], score="rs"), "test_accuracy", "#222222"
    )
    accuracy.set_ylim(-0.04, 1.04)
    by_layer(panel(0, 1, "class selectivity, median"), "selectivity", methods[0], "rs")
    for number, method in enumerate(methods):
        for column, score in enumerate(RS_SCORES):
            median = panel(1 + 2 * number, column, f"{RS_NAMES[score]}, {method_name(method)}, median")
            by_layer(median, "median", method, score)
            median.set_ylim(bottom=0)
            rho = panel(2 + 2 * number, column, f"ρ of {RS_NAMES[score]}, {method_name(method)}")
            rho.axhline(0, color=GREY, linewidth=0.7, zorder=1)
            by_layer(rho, "spearman", method, score, intervals=True)
            rho.set_ylim(-1.05, 1.05)
            if len(rho.get_yticks()):
                rho.set_yticks((-1, 0, 1), (f"{MINUS}1", "0", "1"))
            if column == 0:
                rho.set_ylabel("with selectivity")
    handles = [Line2D([], [], color=color, linewidth=1.4) for color in colors]
    anchor = (left + 2 * (width + gap)) / style.width, 1 - head / total
    figure.legend(
        handles,
        layers,
        loc="upper left",
        bbox_to_anchor=anchor,
        ncols=1 + (len(layers) > 8),
        frameon=False,
        fontsize=style.small,
        borderaxespad=0,
        handlelength=1.2,
        columnspacing=0.8,
        labelspacing=0.3,
    )
    figure.text(0.5, 0.05 / total, notes, ha="center", va="bottom", size=style.small, color="#444444")
    return figure


def _rows(training: Table, **criteria: str) -> dict[str, np.ndarray]:
    rows = np.all([training[name] == value for name, value in criteria.items()], axis=0)
    return {name: column[rows] for name, column in training.items()}


def _lines(
    axes: Axes,
    epochs: np.ndarray,
    layer_rows: Table,
    name: str,
    color: str | Sequence[float],
    shift: float = 0.0,
    intervals: bool = False,
) -> None:
    """Draw a line a seed; epochs stand at equal distances, as early ones lie close together."""
    seeds = np.unique(layer_rows["seed"])
    width = 1.4 if len(seeds) == 1 else 0.8
    for seed in seeds:
        rows = layer_rows["seed"] == seed
        x = np.searchsorted(epochs, layer_rows["epoch"][rows]) + shift
        axes.plot(
            x, layer_rows[name][rows], color=color, linewidth=width, marker=".", markersize=3.5 * width, clip_on=False
        )
        if intervals:
            axes.vlines(
                x, layer_rows["ci_low"][rows], layer_rows["ci_high"][rows], color=color, linewidth=0.7, alpha=0.6
            )
