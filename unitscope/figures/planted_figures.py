"""The figure of planted copies: which scores find them, and whether they replace their originals.

Only draws what `unitscope.interventions.planted` has measured and `unitscope.interventions.planted_summary` has summed
up; the text below the panels reads the answer from these tables.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from unitscope.figures.drawing import GREY, relative_box, styled, wrapped
from unitscope.figures.style import Style
from unitscope.interventions.planted_scores import FORMS, PLANTED_NAMES, PLANTED_SCORES
from unitscope.tables.number_text import number, typeset
from unitscope.tables.table_access import Table, layers_of, rows_of

ABREAST = 2
"""Layers side by side, where there are several."""
TITLES = ("AUC", "advantage (nats)")
DODGE = 0.012
"""Between the marks of scores, on the axis of correlations."""


@styled
def planted(style: Style, tables: Sequence[Table], summary: Table, advantage: Table) -> Figure:
    """Draw how well each score finds planted copies, and how replacement by them depends on their correlation.

    Two panels per layer. Left: mean area under the ROC curve against the planted correlation, a line per score. Right:
    advantage against the correlation, a dot per unit and the mean over units.

    Args:
        style: How it looks.
        tables: Of the layers, in the order of the network, as `PlantedTable` describes them.
        summary: As `PlantedSummaryTable` describes it.
        advantage: As `PlantedAdvantageTable` describes it.
    """
    names = layers_of(summary)
    line = 1.3 * style.small / 72
    notes = wrapped(answer(tables, summary, advantage), int(style.width * 72 / (0.54 * style.small)))
    note_height = (notes.count("\n") + 1) * line + 0.1
    if not names:
        figure = Figure(figsize=(style.width, 0.5 + note_height))
        figure.text(0.5, 0.99, "No copies can be planted in a layer of this experiment.", ha="center", va="top")
        figure.text(0.01, 0.06, notes, va="bottom", size=style.small)
        return figure
    left, between, inner, right = 0.5, 0.62, 0.62, 0.1

    def panel_width(abreast: int) -> float:
        return ((style.width - left - right - (abreast - 1) * between) / abreast - inner) / 2

    # A title is not wider than its panel.
    fits = panel_width(ABREAST) > len(TITLES[1]) * 0.6 * style.small / 72
    abreast = min(ABREAST, len(names)) if fits else 1
    lines, width = math.ceil(len(names) / abreast), panel_width(abreast)
    labels = [*PLANTED_NAMES.values(), "chance, or no advantage"]
    columns = max(1, int(style.width / ((max(map(len, labels)) * 0.56 + 5) * style.small / 72)))
    legend = (1.6 * math.ceil(len(labels) / columns) + 0.4) * line
    panel, head, feet = min(1.5, max(1.0, 0.85 * width)), 2.4 * line + 0.08, 0.32
    bottom = note_height + 0.3
    total = legend + lines * (head + panel + feet) + bottom
    figure = Figure(figsize=(style.width, total))
    for place, layer in enumerate(names):
        row, column = divmod(place, abreast)
        low = total - legend - (row + 1) * (head + panel) - row * feet
        start = left + column * (2 * width + inner + between)
        boxes = [(start, low, width, panel), (start + width + inner, low, width, panel)]
        areas, doses = (figure.add_axes(relative_box(box, style.width, total)) for box in boxes)
        table = next(each for each in tables if str(each["layer"][0]) == layer)
        _areas(style, areas, rows_of(summary, layer))
        _doses(style, doses, table, rows_of(advantage, layer))
        top = (low + panel + head - 0.04) / total
        figure.text(start / style.width, top, layer, weight="bold", size=style.small, va="top")
        for box, title in zip(boxes, TITLES, strict=True):
            figure.text(box[0] / style.width, (low + panel + 0.07) / total, title, size=style.small, va="bottom")
    figure.text(0.5, (note_height + 0.12) / total, "correlation of copy and original", ha="center", va="bottom")
    figure.text(0.01, 0.05 / total, notes, va="bottom", size=style.small, color="#444444")
    figure.legend(
        handles=_handles(style),
        labels=labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 1),
        frameon=False,
        fontsize=style.small,
        ncols=columns,
        columnspacing=1.2,
        borderaxespad=0.1,
    )
    return figure


def _handles(style: Style) -> list[Line2D]:
    looks = [style.look(place) for place in range(len(PLANTED_SCORES))]
    marks = [Line2D([], [], color=color, marker=marker, linewidth=1, markersize=4) for color, marker in looks]
    return [*marks, Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)))]


def _areas(style: Style, axes: Axes, summary: Table) -> None:
    """Draw the mean area of each score by planted correlation, with its interval."""
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    for place, score in enumerate(PLANTED_SCORES):
        rows = summary["score"] == score
        color, marker = style.look(place)
        x = summary["planted"][rows] + (place - (len(PLANTED_SCORES) - 1) / 2) * DODGE
        area, low, high = (summary[name][rows] for name in ("auc", "ci_low", "ci_high"))
        axes.plot(x, area, color=color, marker=marker, markersize=3.6, linewidth=1, markeredgewidth=0, zorder=3)
        axes.vlines(x, low, high, color=color, linewidth=0.8, zorder=2)
    axes.set(ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
    _levels(axes, summary["planted"])


def _doses(style: Style, axes: Axes, table: Table, advantage: Table) -> None:
    """Draw the advantage of each copy against its correlation, and the mean by planted correlation."""
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    shown = np.isfinite(table["advantage"]) & np.isfinite(table["correlation"])
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 2.6, "markeredgewidth": 0, "alpha": 0.35}
    axes.plot(table["correlation"][shown], table["advantage"][shown], color=GREY, zorder=2, **dots)
    axes.plot(advantage["correlation"], advantage["advantage"], color="black", linewidth=1.1, zorder=3)
    axes.vlines(advantage["correlation"], advantage["ci_low"], advantage["ci_high"], color="black", linewidth=0.9)
    if not shown.any():
        axes.text(0.5, 0.75, "undefined", transform=axes.transAxes, ha="center", va="center", size=style.small)
        axes.set_yticks([0])
    else:
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(lambda value, _: typeset(f"{value:.2g}"))
    _levels(axes, table["planted"])


def _levels(axes: Axes, planted_levels: np.ndarray) -> None:
    levels = sorted(set(planted_levels[np.isfinite(planted_levels)].tolist()))
    axes.set_xlim(levels[0] - 0.06, levels[-1] + 0.06)
    # Names of levels that are close to one another would overlap.
    ticks = [level for place, level in enumerate(levels) if place == 0 or level - levels[place - 1] >= 0.09]
    axes.set_xticks(ticks, [f"{level:g}" for level in ticks])


# --- the answer ------------------------------------------------------------------------------------------------------


def answer(tables: Sequence[Table], summary: Table, advantage: Table) -> str:
    """Return in words what the tables say: whether RS finds the copies, better than a correlation, and their dose."""
    texts = []
    if len(summary["layer"]):
        texts += [_detected(summary), _compared(summary), _replaced(advantage), _changed(tables)]
    missing = sum(int(np.isfinite(table["unit"]).sum() - np.isfinite(table["copy"]).sum()) for table in tables)
    texts += [f"{missing} copies have no random filter that leads to their correlation."] * (missing > 0)
    refused: dict[str, list[str]] = {}
    for table in tables:
        if not np.isfinite(table["planted"]).any():
            refused.setdefault(str(table["reason"][0]), []).append(str(table["layer"][0]))
    if refused:
        reasons = "; ".join(f"{', '.join(layers)} ({reason})" for reason, layers in refused.items())
        texts.append(f"Without copies: {reasons}.")
    return " ".join(texts)


def _detected(summary: Table) -> str:
    """Return the range over layers of each score's area, by planted correlation."""
    parts = []
    for level in sorted(set(summary["planted"].tolist()), reverse=True):
        ranges = []
        for score in PLANTED_SCORES:
            areas = summary["auc"][(summary["planted"] == level) & (summary["score"] == score)]
            areas = areas[np.isfinite(areas)]
            if len(areas):
                ends = dict.fromkeys(number(value) for value in (areas.min(), areas.max()))
                ranges.append(f"{PLANTED_NAMES[score]} {' to '.join(ends)}")
        parts.append(f"at {level:g}: {', '.join(ranges) or 'undefined'}")
    return f"Mean AUC by layer (range), copies of correlation {'; '.join(parts)}."


def _compared(summary: Table) -> str:
    """Return in how many layers and planted correlations each form of RS finds copies better than the correlation."""
    parts = []
    for score in FORMS:
        rows = (summary["score"] == score) & np.isfinite(summary["over_correlation"])
        better, worse = (summary["over_low"][rows] > 0).sum(), (summary["over_high"][rows] < 0).sum()
        parts.append(f"{PLANTED_NAMES[score]} {better} better, {worse} worse, {rows.sum() - better - worse} open")
    return f"Against the correlation, layers x planted correlations by 95 % intervals: {'; '.join(parts)}."


def _replaced(advantage: Table) -> str:
    """Return in how many layers copies replace originals better than control units do."""
    rows = np.isfinite(advantage["ci_low"])
    if not rows.any():
        return "Advantage: no interval in any layer."
    above, below = (advantage["ci_low"][rows] > 0).sum(), (advantage["ci_high"][rows] < 0).sum()
    by_layer = {layer: rows_of(advantage, layer) for layer in layers_of(advantage)}
    slopes = [(table["slope_low"][0], table["slope_high"][0]) for table in by_layer.values()]
    defined = [(low, high) for low, high in slopes if math.isfinite(low)]
    rising, falling = sum(low > 0 for low, _ in defined), sum(high < 0 for _, high in defined)
    return (
        f"Advantage above 0 in {above} of {rows.sum()} layers x planted correlations, below 0 in {below}; it rises "
        f"with the correlation in {rising} of {len(defined)} layers and falls in {falling}."
    )


def _changed(tables: Sequence[Table]) -> str:
    """Return how much the function changes by the widening."""
    parts = []
    planted_levels = np.concatenate([table["planted"] for table in tables])
    for level in sorted(set(planted_levels[np.isfinite(planted_levels)].tolist()), reverse=True):
        changes = np.concatenate([table["function_kl"][table["planted"] == level] for table in tables])
        changes = changes[np.isfinite(changes)]
        if len(changes):
            parts.append(f"{changes.max():.1g} at {level:g}")
    return f"The widening changes the outputs by KL of at most (nats): {', '.join(parts)}."
