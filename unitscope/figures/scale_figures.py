"""The figure of an experiment's rescaled units: which scores move, and which stay.

Only draws what `unitscope.interventions.scale` has measured.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unitscope.figures.drawing import GREY, relative_box, styled, tilt_names, wrapped
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, RS_SCORES, method_name
from unitscope.tables.number_text import MINUS
from unitscope.tables.table_access import Table

PANEL = 1.25
"""Inches."""

STEP = 0.21
"""Between the scores of a layer, as a share of the room that a layer has."""


@styled
def scale(style: Style, tables: Sequence[Table]) -> Figure:
    """Draw what random scales of the units do to the scores, while the network's function stays as it is.

    A panel a method of the stored images: Spearman's correlation of each score with selectivity, a dot a draw of the
    scales beside a line for the network as it is. Below, for images made anew: how far the scores move.

    Args:
        style: How it looks.
        tables: Of the layers, in the order of the network, as `unitscope.interventions.scale.table` makes them.
    """
    shown = [table for table in tables if table["condition"][0]]
    notes = wrapped(_footer(tables, shown), int(style.width * 72 / (0.57 * style.small)))
    line = 1.3 * style.small / 72
    note_height = (notes.count("\n") + 1) * line + 0.08
    if not shown:
        figure = Figure(figsize=(style.width, 0.5 + note_height))
        figure.text(0.5, 0.99, "No layer of this experiment can be rescaled.", ha="center", va="top")
        figure.text(0.01, 0.06, notes, va="bottom", size=style.small)
        return figure
    names = [str(table["layer"][0]) for table in shown]
    kept_methods, regenerated_methods = (_methods(shown, condition) for condition in ("kept", "made"))
    left, gap, head, legend = 0.62, 0.45, 1.25 * line + 0.1, 1.7 * line
    abreast = max(1, len(regenerated_methods))
    narrow = (style.width - left - 0.1 - (abreast - 1) * gap) / abreast
    tilt, tilt_regenerated = (_tilted(names, width / len(names), style) for width in (style.width - left - 0.1, narrow))
    labels, labels_regenerated = (
        0.7 * 0.6 * style.small / 72 * max(map(len, names)) + 0.15 if tilted else 0.22
        for tilted in (tilt, tilt_regenerated)
    )
    # Of the room of a layer there: whether a share stands in it level.
    upright = narrow / len(names) < 4.2 * style.small / 72
    between, shares = 0.22, 4 * style.small / 72 if upright else 1.5 * line
    total = (
        legend
        + len(kept_methods) * (head + PANEL)
        + labels
        + between
        + head
        + shares
        + PANEL
        + labels_regenerated
        + note_height
    )
    figure = Figure(figsize=(style.width, total))
    top = total - legend
    for number, method in enumerate(kept_methods):
        low = top - head - PANEL
        axes = figure.add_axes(relative_box((left, low, style.width - left - 0.1, PANEL), style.width, total))
        _correlations(style, axes, shown, method)
        _layers(axes, names if number == len(kept_methods) - 1 else [], len(names), tilt)
        title = f"{method_name(method)}, images as they are: correlation with selectivity"
        figure.text(left / style.width, (top - 0.1) / total, title, weight="bold", size=style.small, va="top")
        top = low
    top -= labels + between
    low = top - head - shares - PANEL
    highest = max((float(np.nanmax(_regenerated(table, "mean_change"), initial=0.0)) for table in shown), default=0.0)
    for number, method in enumerate(regenerated_methods):
        start = left + number * (narrow + gap)
        axes = figure.add_axes(relative_box((start, low, narrow, PANEL), style.width, total))
        _changes(style, axes, shown, method, max(highest, 0.05), upright)
        axes.tick_params(labelleft=number == 0)
        _layers(axes, names, len(names), tilt_regenerated)
        title = f"{method_name(method)}, images made anew: change of the score"
        figure.text(start / style.width, (top - 0.1) / total, title, weight="bold", size=style.small, va="top")
        if number == 0:
            axes.set_ylabel("mean |change|")
    figure.text(0.01, 0.06 / total, notes, va="bottom", size=style.small, color="#444444")
    figure.legend(
        **_legend(style), loc="upper right", bbox_to_anchor=(1, 1), frameon=False, fontsize=style.small, ncols=6
    )
    return figure


def _correlations(style: Style, axes: Axes, tables: Sequence[Table], method: str) -> None:
    """Draw the correlation of each layer and score with selectivity, by draw and as it is."""
    axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
    axes.axhspan(-1.45, -1.12, color="#EEEEEE", linewidth=0, zorder=0)
    for place, table in enumerate(tables):
        for number, score in enumerate(RS_SCORES):
            color, marker = style.look(number)
            x = place + (number - (len(RS_SCORES) - 1) / 2) * STEP
            rows = _rows(table, "kept", method, score)
            before, after = table["spearman_before"][rows], table["spearman_after"][rows]
            defined = np.isfinite(after)
            if not defined.all():
                axes.plot(x, -1.28, marker="x", color=color, markersize=4.5)
            # Side by side in the order of the draws, so that equal values are seen to be many.
            spread = np.linspace(-0.32, 0.32, len(after)) * STEP if len(after) > 1 else np.zeros(len(after))
            axes.plot(
                (x + spread)[defined],
                after[defined],
                linestyle="none",
                marker=marker,
                color=color,
                markersize=3.2,
                alpha=0.8,
                markeredgewidth=0,
                zorder=3,
            )
            if len(before) and math.isfinite(before[0]):
                ends = [x - 0.43 * STEP, x + 0.43 * STEP]
                axes.plot(ends, [before[0]] * 2, color="black", linewidth=1.1, zorder=2, solid_capstyle="butt")
    axes.set(ylim=(-1.45, 1.05), ylabel="Spearman ρ")
    axes.yaxis.set_label_coords(-0.062, 0.56)
    axes.set_yticks((-1.28, -1, -0.5, 0, 0.5, 1), ("undef.", f"{MINUS}1", f"{MINUS}0.5", "0", "0.5", "1"))


def _changes(style: Style, axes: Axes, tables: Sequence[Table], method: str, highest: float, upright: bool) -> None:
    """Draw how far each score of images made anew has moved, and above each layer how far the images have."""
    for place, table in enumerate(tables):
        for number, score in enumerate(RS_SCORES):
            color, marker = style.look(number)
            rows = _rows(table, "made", method, score)
            if rows.any():
                x = place + (number - (len(RS_SCORES) - 1) / 2) * STEP
                moved = table["mean_change"][rows][0]
                axes.plot([x, x], [0, moved], color=color, linewidth=1.2, zorder=2)
                axes.plot(x, moved, marker=marker, color=color, markersize=4.5, clip_on=False, zorder=3)
        z_rows = _rows(table, "made", method, "rs_z")
        share = table["image_change"][z_rows][0] if z_rows.any() else math.nan
        if math.isfinite(share):
            axes.text(
                place,
                1.03,
                f"{100 * share:.2g}\u2009%",
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                rotation=90 if upright else 0,
                size=style.small,
                color="#444444",
            )
    axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
    axes.set_ylim(-0.04 * highest, 1.08 * highest)


def _layers(axes: Axes, names: Sequence[str], count: int, tilted: bool) -> None:
    axes.set_xlim(-0.6, count - 0.4)
    axes.set_xticks(range(count), names or [""] * count)
    if tilted:
        tilt_names(axes)


def _tilted(names: Sequence[str], slot: float, style: Style) -> bool:
    """Return whether names are wider than the inches that each has."""
    return max(map(len, names)) * 0.6 * style.small / 72 > 0.95 * slot


def _legend(style: Style) -> dict[str, Any]:
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="none", markersize=4.5)
        for color, marker in map(style.look, range(len(RS_SCORES)))
    ]
    handles.append(Line2D([], [], color="black", linewidth=1.3))
    handles.append(Line2D([], [], color="#444444", marker="x", linestyle="none", markersize=4.5))
    labels = [*(RS_NAMES[score] for score in RS_SCORES), "network as it is", "undefined"]
    return {"handles": handles, "labels": labels, "borderaxespad": 0.1, "columnspacing": 1.2}


def _footer(tables: Sequence[Table], shown: Sequence[Table]) -> str:
    """Return what was done, that the function has stayed, and which layers are left out and why."""
    texts = []
    if shown:
        draws = max(len(np.unique(table["draw"][table["condition"] == "kept"])) for table in shown)
        logits, index = (
            max(float(np.nanmax(table[name], initial=0.0)) for table in shown)
            for name in ("logits_change", "selectivity_change")
        )
        limits = [f" by more than {value:.2g}" if value else "" for value in (logits, index)]
        texts.append(
            f"Each mark: one of {draws} draws of random scales, under which no logit changes{limits[0]}, and no "
            f"selectivity{limits[1]}. Over the lower panels: how far the images move, in percent of a pixel's range."
        )
    reasons: dict[str, list[str]] = {}
    for table in tables:
        if not table["condition"][0]:
            reasons.setdefault(str(table["reason"][0]), []).append(str(table["layer"][0]))
    if reasons:
        skipped = "; ".join(f"{', '.join(layers)} ({reason})" for reason, layers in reasons.items())
        texts.append(f"Not rescaled: {skipped}.")
    return " ".join(texts)


def _methods(tables: Sequence[Table], condition: str) -> list[str]:
    return list(
        dict.fromkeys(
            method for table in tables for method in table["method"][table["condition"] == condition].tolist()
        )
    )


def _regenerated(table: Table, column: str) -> np.ndarray:
    values: np.ndarray = table[column][table["condition"] == "made"]
    return values


def _rows(table: Table, condition: str, method: str, score: str) -> np.ndarray:
    mask: np.ndarray = (table["condition"] == condition) & (table["method"] == method) & (table["score"] == score)
    return mask
