"""The figure of substitution graphs: the strongest edges of each layer, and how unequal its substitutes are."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from unitscope.figures.drawing import GREY, layer_title, ranks_by_selectivity, relative_box, styled, wrapped
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, RS_SCORES, method_name
from unitscope.tables.table_access import Table, rows_of

Edges = Sequence[tuple[int, int, float]]
"""Target, substitute and weight, each target's strongest first."""

ACCENT = "#D55E00"
NAMED = 3
"""Units of largest in-degree whose numbers stand beside them."""

NAME_ROOM = 0.4
"""Between units with a number, in radii of the circle."""


@styled
def graph(
    style: Style, units: Table, measures: Table, degrees: Table, edges: Mapping[tuple[str, str], Edges]
) -> Figure:
    """Draw the substitution graph of each layer and method.

    On the left its units on a circle, each target tied to its strongest substitute. On the right the share of targets
    that each unit substitutes, the largest first, on each scale, beside what chance would give.

    Args:
        style: How it looks.
        units: Table of units.
        measures: A row a layer, method and score, as graphs.csv holds them.
        degrees: A row a layer, method, score and unit: in_degree, by_chance.
        edges: Edges of raw answers by layer and method.
    """
    cells = list(edges)
    line, abreast = 1.3 * style.small / 72, 1 if len(cells) == 1 or style.width < 6 else 2
    lines = math.ceil(len(cells) / abreast)
    wide = style.width / abreast
    side = min(1.6, 0.45 * wide)
    notes = wrapped(
        "Circle: units in the order of selectivity, clockwise from the top (dark: selective; white: dead or without "
        "selectivity); a line from each target to its strongest substitute, which is larger the more lines end there; "
        "where most do, in colour. Curves: share of targets that a unit substitutes, the largest first; "
        "dashed: by chance. Numbers: Gini's coefficient, in brackets by chance.",
        int(style.width * 72 / (0.54 * style.small)),
    )
    foot, head, below = (notes.count("\n") + 1) * line + 0.12, 1.35 * line, 0.42
    total = lines * (head + side + below) + foot + 0.05
    figure = Figure(figsize=(style.width, total))
    for number, (layer, method) in enumerate(cells):
        row, column = divmod(number, abreast)
        low, left = total - 0.05 - row * (head + side + below) - head - side, column * wide + 0.08
        layer_units = rows_of(units, layer)
        title = f"{layer_title(layer, layer_units)}, {method_name(method)}"
        figure.text(left / style.width, (low + side + head) / total, title, weight="bold", size=style.small, va="top")
        circle = figure.add_axes(relative_box((left, low - 0.12, side + 0.1, side), style.width, total))
        _circle(style, circle, layer_units, edges[layer, method])
        box = (left + side + 0.55, low, wide - side - 0.75, side - 0.05)
        curves = figure.add_axes(relative_box(box, style.width, total))
        by_score = {
            score: [
                {name: column[_rows(table, layer, method, score)] for name, column in table.items()}
                for table in (measures, degrees)
            ]
            for score in RS_SCORES
        }
        _curves(style, curves, by_score)
        if row == lines - 1 or number + abreast >= len(cells):
            curves.set_xlabel("share of units", labelpad=1)
    figure.text(0.5, 0.04 / total, notes, ha="center", va="bottom", size=style.small, color="#444444")
    return figure


def _rows(table: Table, layer: str, method: str, score: str) -> np.ndarray:
    return (table["layer"] == layer) & (table["method"] == method) & (table["score"] == score)


def _circle(style: Style, axes: Axes, layer_units: Table, edges: Edges) -> None:
    """Draw the units of a layer on a circle, and the strongest edge of each."""
    count = len(layer_units["unit"])
    angle = np.pi / 2 - 2 * np.pi * ranks_by_selectivity(layer_units) / count
    places = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    strongest = {target: other for target, other, _ in reversed(edges)}
    received = np.bincount(list(strongest.values()), minlength=count)
    first = int(received.argmax())
    paths = {target: _bent(places[target], places[other]) for target, other in strongest.items()}
    thin = max(0.3, min(0.9, 30 / count))
    for highlighted, color, alpha in ((False, GREY, 0.55), (True, ACCENT, 0.8)):
        lines = [path for target, path in paths.items() if (strongest[target] == first) == highlighted]
        axes.add_collection(LineCollection(lines, colors=color, linewidths=thin, alpha=alpha, zorder=1 + highlighted))
    shown = np.where(layer_units["dead"], np.nan, layer_units["selectivity"])
    colors = matplotlib.colormaps["viridis_r"].with_extremes(bad="white")(np.ma.masked_invalid(shown))
    size = 1400 / (count + 40) * (0.35 + received / max(received.max(), 1))
    border: dict[str, Any] = {"edgecolors": "#333333", "linewidths": min(0.5, 16 / count)}
    axes.scatter(places[:, 0], places[:, 1], s=size, c=colors, zorder=3, **border)
    named: list[int] = []
    for unit in np.argsort(-received, kind="stable").tolist():
        # Of neighbours the larger one has its number: two would stand over one another.
        apart = np.linalg.norm(places[named] - places[unit], axis=1)
        if received[unit] and len(named) < NAMED and (apart > NAME_ROOM).all():
            named.append(unit)
            x, y = (1.19 * places[unit]).tolist()
            axes.text(x, y, str(unit), ha="center", va="center", size=style.small, zorder=4)
    axes.set(xlim=(-1.32, 1.32), ylim=(-1.32, 1.32), aspect="equal")
    axes.axis("off")


def _bent(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return points (points, 2) of a curve between two places, bent towards the middle of the circle."""
    along = np.linspace(0, 1, 17)[:, None]
    middle = 0.25 * (start + end)
    return (1 - along) ** 2 * start + 2 * along * (1 - along) * middle + along**2 * end


def _curves(style: Style, axes: Axes, by_score: Mapping[str, Sequence[Table]]) -> None:
    """Draw the in-degrees of a layer by rank, on each scale."""
    highest = 0.0
    for number, (score, (measured, degrees)) in enumerate(by_score.items()):
        color, _ = style.look(number)
        defined = len(degrees["unit"]) and np.isfinite(degrees["by_chance"]).all()
        value = f"{measured['gini'][0]:.2f} ({measured['gini_null'][0]:.2f})" if defined else "undefined"
        text = f"{RS_NAMES[score]} {value}"
        where: dict[str, Any] = {"ha": "right", "va": "top", "transform": axes.transAxes}
        axes.text(1, 1 - 0.13 * number, text, color=color, size=style.small, **where)
        if not defined:
            continue
        x = (np.arange(len(degrees["unit"])) + 0.5) / len(degrees["unit"])
        for name, look in (("in_degree", "-"), ("by_chance", "--")):
            share = np.sort(degrees[name])[::-1] / measured["targets"][0]
            axes.plot(x, share, look, color=color, linewidth=1.2 if look == "-" else 0.8, zorder=3 - number)
            highest = max(highest, float(share[0]))
    # Room above the curves for the numbers.
    axes.set(xlim=(0, 1), ylim=(0, 2.1 * highest or 1))
    axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
    axes.set_ylabel("share of targets", labelpad=2)
