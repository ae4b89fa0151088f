"""The figure of what predicts the cost of an ablation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from unitscope.figures.drawing import relative_box, styled, tilt_names, wrapped
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, method_name
from unitscope.stats.reliabilities import TESTABLE
from unitscope.tables.number_text import MINUS, two_decimals, typeset
from unitscope.tables.table_access import Table

PREDICTOR_NAMES = {
    "selectivity": "selectivity",
    "mean": "mean activation",
    "std": "spread of activation",
    "firing_rate": "firing rate",
    "redundancy": "redundancy",
    "weight_norm": "weight norm",
    "first_order": "first-order effect",
    "integrated": "integrated gradients",
    "shapley": "Shapley value",
    "compensation": "compensation",
    "all_but_rs": "all but RS",
    "all": "all",
}
CEILING = "", "ceiling"
"""The row below the correlations: what the reliability of the loss allows."""
NARROWEST_NUMBER = 0.34
"""Inches of a cell, below which it holds no number."""


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
    labels = {row: _predictor_name(*row) for row in rows} | {CEILING: "ceiling of ρ by the loss"}
    left = max(map(len, labels.values())) * 0.58 * style.small / 72 + 0.12
    longest = max(map(len, names)) * 0.6 * style.small / 72
    width = min((style.width - left - 0.1) / len(names), 0.8)
    tilted = longest > 0.95 * width
    if tilted:
        # The first name extends to the left of its column.
        left = max(left, 0.77 * longest)
        width = min((style.width - left - 0.1) / len(names), 0.8)
    limits = _ceilings(table, names)
    ceiling_rows = [CEILING] if np.isfinite(limits).any() else []
    notes = wrapped(
        "ρ and R²: scored on one half of the test images, ablated on the other. "
        + ("Bold" if width >= NARROWEST_NUMBER else "Dot")
        + ": the 95 % interval of ρ excludes 0. R² below 0: worse than no predictor. Grey: undefined. "
        + ("Ceiling: largest ρ that the reliability of the loss on half of the images allows." if ceiling_rows else "")
        + _untestable_text(names, limits),
        int(style.width * 72 / (0.52 * style.small)),
    )
    bottom = 0.12 + (notes.count("\n") + 1) * 1.3 * style.small / 72 + (0.75 * longest + 0.08 if tilted else line)
    heights = [(len(alone) + len(ceiling_rows)) * line, len(alone + together) * line]
    total = bottom + sum(heights) + 2 * head + gap
    figure = Figure(figsize=(style.width, total))
    panels = (
        ("Spearman ρ with the rise of the loss when the unit is clamped to 0", "spearman", alone + ceiling_rows),
        ("Cross-validated R² of the rank of that rise", "r2", alone + together),
    )
    low = total
    for (title, column, shown), height in zip(panels, heights, strict=True):
        low -= head + height
        axes = figure.add_axes(relative_box((left, low, width * len(names), height), style.width, total))
        figure.text(0.1 / style.width, (low + height + 0.06) / total, title, weight="bold", size=style.small)
        _heat(style, axes, table, column, shown, names, width >= NARROWEST_NUMBER)
        if CEILING in shown:
            axes.axhline(len(alone) - 0.5, color="white", linewidth=2)
        axes.set_yticks(range(len(shown)), [labels[row] for row in shown])
        axes.set_xticks(range(len(names)), names if column == "r2" else [])
        low -= gap
    if tilted:
        tilt_names(axes)
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
            if (method, predictor) == CEILING:
                value = values[place, position] = _ceilings(table, names)[position]
                if numbers and math.isfinite(value):
                    axes.text(position, place, two_decimals(value), size=style.small, **_words(colormap(scale(value))))
                continue
            matches = (table["layer"] == layer) & (table["method"] == method) & (table["predictor"] == predictor)
            if not matches.any():
                continue
            estimate = {key: table[key][matches][0] for key in (column, "ci_low", "ci_high")}
            value = values[place, position] = estimate[column]
            if not math.isfinite(value):
                continue
            sure = column == "spearman" and (estimate["ci_low"] > 0 or estimate["ci_high"] < 0)
            words = _words(colormap(scale(value)))
            if numbers:
                text = f"{MINUS}9+" if value < -9.995 else typeset(two_decimals(value))
                axes.text(position, place, text, size=style.small, weight="bold" if sure else "normal", **words)
            elif sure:
                axes.plot(position, place, marker=".", markersize=4, color=words["color"])
    drawn = colormap.with_extremes(bad="#CCCCCC")
    axes.imshow(np.ma.masked_invalid(values), cmap=drawn, norm=scale, aspect="auto", interpolation="none")
    axes.spines[:].set(visible=False)
    axes.tick_params(length=0)


def _words(background: tuple[float, float, float, float]) -> dict[str, Any]:
    """Return the look of a number on a cell."""
    red, green, blue, _ = background
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    return {"color": "white" if dark else "black", "ha": "center", "va": "center"}


def _ceilings(table: Table, names: Sequence[str]) -> list[float]:
    """Return the largest correlation with the loss that its reliability allows, for each layer."""
    reliabilities = [_of_layer(table, name) for name in names]
    return [float(np.sqrt(max(value, 0.0))) if math.isfinite(value) else math.nan for value in reliabilities]


def _of_layer(table: Table, layer: str) -> float:
    """Return the reliability of the loss of a layer; the largest of those of several sets of units."""
    values = table["reliability_y"][table["layer"] == layer]
    values = values[np.isfinite(values)]
    return float(values.max()) if len(values) else math.nan


def _untestable_text(names: Sequence[str], ceilings: Sequence[float]) -> str:
    """Return in which layers the absence of a correlation cannot be tested."""
    few = [name for name, value in zip(names, ceilings, strict=True) if value**2 < TESTABLE]
    return f" Not testable with this number of images (reliability below {TESTABLE}): {', '.join(few)}." if few else ""


def _predictor_name(method: str, predictor: str) -> str:
    name = RS_NAMES.get(predictor) or PREDICTOR_NAMES.get(predictor, predictor)
    return f"{name}, {method_name(method)}" if method else name
