"""The figure of the distances between units by their responses: a dendrogram of each layer."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from unitscope.figures.drawing import PAGE_HEIGHT, relative_box, styled, wrapped
from unitscope.figures.style import Style
from unitscope.scores.score_names import method_name
from unitscope.tables.table_access import Table

NAMED = 3
"""Units farthest from all others whose numbers are shown."""
ACCENT = "#D55E00"
ROOM = 0.06
"""Share of the axis between units whose numbers are shown."""


@styled
def dendrograms(style: Style, tables: Sequence[Table]) -> Figure:
    """Draw the dendrogram of each layer and method, by average linkage of EA distances.

    Args:
        style: How it looks.
        tables: Columns of `ResponsesTable`, of one layer and method each.
    """
    abreast = 1 if len(tables) == 1 or style.width < 5 else 2
    lines = math.ceil(len(tables) / abreast)
    line = 1.3 * style.small / 72
    notes = wrapped(
        "Each leaf is a unit, each joint the mean EA distance of the units on its two sides: 0 if responses to all "
        "images are proportional, 0.71 if no image is shared, 1 if they are opposite. Numbers: the units with the "
        "largest mean distance to all others.",
        int(style.width * 72 / (0.52 * style.small)),
    )
    head, between, left, gap = 1.3 * line, 0.32, 0.62, 0.35
    bottom = 0.35 + (notes.count("\n") + 1) * line
    width = (style.width - left - 0.1 - (abreast - 1) * gap) / abreast
    height = min(1.5, max(0.7, (PAGE_HEIGHT - bottom) / lines - head - between))
    total = bottom + lines * (head + height) + (lines - 1) * between + 0.05
    highest = max(0.75, 1.05 * float(np.nanmax(np.concatenate([[0.0], *(table["join_height"] for table in tables)]))))
    figure = Figure(figsize=(style.width, total))
    for number, table in enumerate(tables):
        row, column = divmod(number, abreast)
        start, low = left + column * (width + gap), total - 0.05 - (row + 1) * (head + height) - row * between
        axes = figure.add_axes(relative_box((start, low, width, height), style.width, total))
        shown = np.isfinite(table["position"])
        units = f"{shown.sum()} of {len(shown)} units" if not shown.all() else f"{len(shown)} units"
        title = f"{table['layer'][0]} ({units}), {method_name(str(table['method'][0]))}"
        figure.text(
            start / style.width, (low + height + head) / total, title, weight="bold", size=style.small, va="top"
        )
        _dendrogram(style, axes, {name: values[shown] for name, values in table.items()})
        axes.set(ylim=(0, highest), yticks=(0, 0.25, 0.5, 0.75))
        axes.tick_params(labelleft=column == 0)
    middle = 0.5 * (1 + bottom / total)
    figure.text(0.01, middle, "EA distance", rotation=90, ha="left", va="center")
    figure.text(0.5, 0.06 / total, notes, ha="center", va="bottom", size=style.small, color="#444444")
    return figure


def _dendrogram(style: Style, axes: Axes, table: Table) -> None:
    """Draw a dendrogram from the positions of its leaves and the heights at which neighbours are joined."""
    count = len(table["unit"])
    axes.set(xlim=(-0.6, max(count - 0.4, 0.6)), xticks=())
    if count < 2:
        where = axes.transAxes
        axes.text(0.5, 0.5, "fewer than two units respond", size=style.small, ha="center", transform=where)
        return
    order = np.argsort(table["position"])
    lines = joints(table["join_height"][order[:-1]])
    axes.add_collection(LineCollection(list(lines), colors="#333333", linewidths=max(0.3, min(0.8, 60 / count))))
    far = _named(table["mean_distance"][order])
    axes.set_xticks(far, [str(table["unit"][order[place]]) for place in far], color=ACCENT)
    axes.plot(far, [0] * len(far), linestyle="none", marker="^", markersize=3, color=ACCENT, clip_on=False, zorder=3)


def joints(heights: np.ndarray) -> np.ndarray:
    """Return the lines of a dendrogram, (joints, 4, 2): x and y of the ends and corners of each.

    Args:
        heights: (leaves - 1,) at which the leaf of each position and the next one are joined.
    """
    # For each leaf: the ends of the cluster that it is the border of, the cluster's middle and its height.
    ends = np.arange(len(heights) + 1)
    middles, tops = ends.astype(float), np.zeros(len(ends))
    lines = []
    for place in np.argsort(heights, kind="stable"):
        left, right, height = place, place + 1, heights[place]
        first, last = ends[left], ends[right]
        lines.append(
            [
                (middles[left], tops[left]),
                (middles[left], height),
                (middles[right], height),
                (middles[right], tops[right]),
            ]
        )
        ends[first], ends[last] = last, first
        middles[[first, last]], tops[[first, last]] = (middles[left] + middles[right]) / 2, height
    return np.array(lines)


def _named(distances: np.ndarray) -> list[int]:
    """Return the positions of the units that are farthest from all others; of close ones the farther."""
    positions: list[int] = []
    for place in np.argsort(-distances, kind="stable").tolist():
        if len(positions) < NAMED and all(abs(place - other) > ROOM * len(distances) for other in positions):
            positions.append(place)
    return positions
