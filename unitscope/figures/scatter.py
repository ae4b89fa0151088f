"""A grid of scatter plots: a group of panels for each layer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unitscope.figures.drawing import PAGE_HEIGHT, relative_box, wrapped
from unitscope.figures.style import Style

NARROWEST_PANEL = 1.1
"""Inches of the page's width that a panel takes, below which fewer stand side by side."""


@dataclass(frozen=True)
class Panel:
    """A scatter plot: what stands above it, its points, and the number of its look."""

    text: str
    x: np.ndarray
    y: np.ndarray
    look: int


def scatter_grid(
    style: Style,
    groups: Mapping[str, Sequence[Panel]],
    x_label: str,
    y_label: str,
    footer: str,
    room_for_scales: bool = False,
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a scatter plot for each panel of each group (a layer), and the axes of each group.

    A group's panels stand side by side under its title; where groups are many, several share a line of the page.
    """
    columns = max(map(len, groups.values()), default=1)
    most = min(4 if len(groups) <= 8 else 6, int(style.width / NARROWEST_PANEL))
    # A title stands over its own group.
    most_titles = int(style.width / (max(map(len, groups), default=1) * 0.7 * style.small / 72))
    abreast = 1 if len(groups) <= 4 and columns > 1 else max(1, min(most // columns, len(groups), most_titles))
    lines = math.ceil(len(groups) / abreast)
    gap, wide_gap, left, right = 0.12, 0.55 if room_for_scales else 0.4, 0.85 if room_for_scales else 0.72, 0.1
    width = (style.width - left - right - abreast * (columns - 1) * gap - (abreast - 1) * wide_gap) / (
        abreast * columns
    )
    line_height = 1.3 * style.small / 72
    fit = max(12, int(width * 72 / (0.55 * style.small)))
    texts = [[wrapped(panel.text, fit) for panel in group] for group in groups.values()]
    heads = [
        line_height * (1 + max(text.count("\n") + 1 for row in texts[first : first + abreast] for text in row)) + 0.06
        for first in range(0, len(groups), abreast)
    ]
    notes = wrapped(footer, int(style.width * 72 / (0.52 * style.small)))
    bottom, between = 0.52 + (notes.count("\n") + 1) * line_height, 0.2
    around = bottom + sum(heads) + (lines - 1) * between
    height = min(1.7, 0.75 * width, max(0.75, (PAGE_HEIGHT - around) / lines))
    total = around + lines * height
    figure = Figure(figsize=(style.width, total))
    grid: list[list[Axes]] = []
    for number, (title, group) in enumerate(groups.items()):
        line, place = divmod(number, abreast)
        low = total - sum(heads[: line + 1]) - (line + 1) * height - line * between
        start = left + place * (columns * (width + gap) - gap + wide_gap)
        top = low + height + heads[line] - 0.02
        figure.text(start / style.width, top / total, title, weight="bold", size=style.small, va="top")
        grid.append([])
        for column, panel in enumerate(group):
            box = (start + column * (width + gap), low, width, height)
            axes = figure.add_axes(relative_box(box, style.width, total))
            _scatter(style, axes, panel)
            axes.tick_params(labelleft=column == 0, labelbottom=number + abreast >= len(groups))
            words = (box[0] / style.width, (top - line_height) / total, texts[number][column])
            figure.text(*words, size=style.small, va="top", linespacing=1.2)
            grid[-1].append(axes)
    middle = 0.5 * (1 + bottom / total)
    vertical = wrapped(y_label, int(13 * (total - bottom)))
    figure.text(0.01, middle, vertical, rotation=90, ha="left", va="center", ma="center")
    figure.text(0.5, (bottom - 0.36) / total, x_label, ha="center", va="center")
    figure.text(0.5, 0.08 / total, notes, ha="center", va="bottom", size=style.small, color="#444444")
    return figure, grid


def _scatter(style: Style, axes: Axes, panel: Panel) -> None:
    color, marker = style.look(panel.look)
    crowded = len(panel.x) > 150
    # Transparent, so that units with equal scores are darker; nothing is moved.
    axes.plot(
        panel.x,
        panel.y,
        linestyle="none",
        marker=marker,
        color=color,
        alpha=0.3 if crowded else 0.45,
        markersize=3.0 if crowded else 4.2,
        markeredgewidth=0,
        clip_on=False,
        zorder=2,
    )
