"""Figures of units' scores against each other: RS and the loss of an ablation against class selectivity."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unitscope.figures.drawing import GREY, correlation_text, layer_title, styled
from unitscope.figures.scatter import Panel, scatter_grid
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, method_name
from unitscope.tables.number_text import typeset
from unitscope.tables.table_access import Table, layers_of, methods_of, rows_of

SCORE_MEANINGS = {
    "rs": "RS: share of units that answer more strongly",
    "rs_z": "RS (z): the same, on standardized activations",
    "rs_q": "RS (q): the same, relative to 99th percentiles",
    "rs_r": "RS (r): share of units with half of their own maximum",
}


@styled
def selectivity_rs(style: Style, units: Table, layers: Table, *scores: str) -> Figure:
    """Draw RS against class selectivity (as Chen et al. 2018, Fig. 1): a panel a layer, score and method.

    The panels of a layer share a scale: in a large layer RS may lie within a hundredth of its range.

    Args:
        style: How it looks.
        units: Table of units.
        layers: Table of correlations.
        scores: "rs", "rs_z", "rs_q" or "rs_r", or several of them side by side.
    """
    columns = [(score, method, number) for score in scores for number, method in enumerate(methods_of(units))]
    groups = {}
    for layer in layers_of(units):
        layer_units = rows_of(units, layer)
        groups[layer_title(layer, layer_units)] = [
            Panel(
                (f"{RS_NAMES[score]}, " if len(scores) > 1 else "")
                + f"{method_name(method)}: {correlation_text(layers, layer, method, 'selectivity', score)}"
                + _unscored_text(layer_units, f"{score}_{method}"),
                layer_units["selectivity"],
                layer_units[f"{score}_{method}"],
                number,
            )
            for score, method, number in columns
        ]
    label = SCORE_MEANINGS[scores[0]] if len(scores) == 1 else "RS: share of the layer's units"
    figure, grid = scatter_grid(style, groups, "class selectivity", label, _selectivity_footer(units))
    for layer, row in zip(layers_of(units), grid, strict=True):
        layer_units = rows_of(units, layer)
        chance = _living_mean(layer_units, "selectivity_permuted")
        top = share_scale([layer_units[f"{score}_{method}"] for score, method, _ in columns])
        for axes in row:
            axes.set(xlim=(-0.04, 1.04), ylim=(-0.04 * top, 1.04 * top))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            axes.set_yticks((0, top), ("0", f"{top:g}"))
            if math.isfinite(chance):
                axes.axvline(chance, color=GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    return figure


@styled
def ablation(style: Style, units: Table, layers: Table, score: str = "rs") -> Figure:
    """Draw how much the loss rises when a unit is clamped to 0, against its selectivity and its RS.

    Args:
        style: How it looks.
        units: Table of units.
        layers: Table of correlations.
        score: "rs", "rs_z", "rs_q" or "rs_r".
    """
    methods = methods_of(units)
    columns = [("selectivity", "", "selectivity", "selectivity", len(methods))]
    name = RS_NAMES[score]
    columns += [(f"{name}, {method_name(m)}", m, score, f"{score}_{m}", number) for number, m in enumerate(methods)]
    groups = {}
    for layer in layers_of(units):
        layer_units = rows_of(units, layer)
        groups[layer_title(layer, layer_units)] = [
            Panel(
                f"{title}: {correlation_text(layers, layer, method, x, 'ablation_loss')}",
                layer_units[column],
                layer_units["ablation_loss"],
                look,
            )
            for title, method, x, column, look in columns
        ]
    footer = "Clamped to 0 one at a time. The loss has a scale of its own in every layer."
    figure, grid = scatter_grid(
        style,
        groups,
        f"class selectivity, or {RS_NAMES[score]}",
        "rise of the test loss without the unit",
        footer,
        room_for_scales=True,
    )
    for group, row in zip(groups.values(), grid, strict=True):
        limits = _limits(group[0].y)
        for axes in row:
            axes.set(xlim=(-0.04, 1.04), ylim=limits)
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_formatter(lambda value, _: typeset(f"{value:.3g}"))
    return figure


def _unscored_text(layer_units: Table, column: str) -> str:
    """Tell how many living units are not in the panel."""
    unscored = int((~np.isfinite(layer_units[column] + layer_units["selectivity"]) & ~layer_units["dead"]).sum())
    return f", {unscored}\u00a0unscored" if unscored else ""


def _selectivity_footer(units: Table) -> str:
    texts = ["RS has a scale of its own in every layer.", "Darker marks: several units at one place."]
    if np.isfinite(units["selectivity_permuted"]).any():
        texts.append("Dashed: mean selectivity under permuted labels.")
    texts.append("Unscored: without RS or without selectivity.")
    return " ".join(texts)


def _living_mean(layer_units: Table, column: str) -> float:
    values = layer_units[column][~layer_units["dead"]]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def share_scale(columns: Sequence[np.ndarray]) -> float:
    """Return a round share that no value is above, at least 0.01; 1 where there is nothing but 0."""
    values = np.concatenate(columns)
    largest = values[np.isfinite(values)].max(initial=0.0)
    return next(top for top in (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0) if largest <= top) if largest else 1.0


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return limits that hold all values and 0, with a margin."""
    values = np.append(values[np.isfinite(values)], 0.0)
    margin = 0.06 * (np.ptp(values) or 1.0)
    return float(values.min() - margin), float(values.max() + margin)
