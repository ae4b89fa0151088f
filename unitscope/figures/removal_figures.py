"""Figures of removed sets of units: interactions against their controls, and curves of cumulative ablation."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from unitscope.figures.drawing import GREY, styled
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, RS_SCORES, method_name
from unitscope.tables.number_text import typeset
from unitscope.tables.table_access import Table

COLUMNS = 3
CLAMPS = {"zero": "at 0", "mean": "at mean"}
LINES: dict[str, Any] = {"ascending": "-", "descending": (0, (3, 1.5))}


@styled
def interactions(style: Style, tables: Sequence[Table]) -> Figure:
    """Draw each unit's interaction with its substitutes against the mean of its controls, coloured by each form of RS.

    A line a layer and method.

    Args:
        style: How it looks.
        tables: The interactions of each layer and method, as the rule `joint` writes them.
    """
    # Margins may be of any size: room for -0.00025 beside each panel.
    figure, panels = panels_of_equal_size(style, len(tables) * len(RS_SCORES), 2, right=0.75, left=0.98, gap=0.7)
    shade = ScalarMappable(Normalize(0, 1), colormaps["viridis_r"].with_extremes(bad="#CCCCCC"))
    for axes, (table, score) in zip(panels, itertools.product(tables, RS_SCORES), strict=True):
        x, y = table["control_mean"].astype(float), table["interaction"].astype(float)
        rs = table[score].astype(float)
        shown = np.isfinite(x) & np.isfinite(y)
        matched = shown & (table["reason"] == "")
        axes.set_title(
            f"{table['layer'][0]}, {method_name(str(table['method'][0]))}: {RS_NAMES[score]}\n"
            f"{matched.sum()} of {len(x)} units, {(y > x)[matched].sum()} above",
            size=style.small,
            loc="left",
        )
        if not shown.any():
            axes.text(0.5, 0.5, "no unit has substitutes\nand controls", ha="center", va="center", size=style.small)
            axes.set(xticks=[], yticks=[])
            continue
        both = np.concatenate([x[shown], y[shown], [0.0]])
        room = 0.06 * max(np.ptp(both), 1e-12)
        limits = both.min() - room, both.max() + room
        axes.plot(limits, limits, color=GREY, linewidth=0.7, zorder=1)
        axes.axhline(0, color=GREY, linewidth=0.5, linestyle=(0, (1, 2)), zorder=1)
        colors = shade.to_rgba(np.ma.masked_invalid(rs))
        axes.scatter(x[matched], y[matched], c=colors[matched], s=14, edgecolors="black", linewidths=0.3, zorder=3)
        other = shown & ~matched
        axes.scatter(x[other], y[other], c="none", s=14, edgecolors=colors[other], linewidths=0.9, zorder=2)
        axes.set(xlim=limits, ylim=limits)
        for axis, most in ((axes.xaxis, 2), (axes.yaxis, 3)):
            axis.set_major_locator(MaxNLocator(most))
            axis.set_major_formatter(lambda value, _: typeset(f"{value:.2g}"))
    bar = figure.add_axes((1 - 0.6 / style.width, 0.3, 0.1 / style.width, 0.4))
    figure.colorbar(shade, cax=bar).set_label("RS", size=style.small)
    figure.supxlabel("mean interaction with random units of the same scale (logits)", size=style.font_size)
    figure.supylabel("interaction with\nthe substitutes (logits)", size=style.font_size)
    return figure


@styled
def curves(style: Style, tables: Sequence[Table]) -> Figure:
    """Draw accuracy against the fraction of units removed, for each layer and for all of them together.

    A layer has a panel for each form of RS that units were ordered by, and for each clamp: where there are several, all
    layers under the first come first.

    Args:
        style: How it looks.
        tables: The curves of each layer, as the rule `cumulative` writes them; an empty name is all together.
    """
    score_names = list(dict.fromkeys(score for table in tables for score in table["score"].tolist()))
    forms = [form for form in RS_SCORES if any(_form(score) == form for score in score_names)] or [""]
    methods = list(dict.fromkeys(_method(score) for score in score_names if _form(score)))
    clamps = list(dict.fromkeys(clamp for table in tables for clamp in table["clamp"].tolist()))
    names = ["selectivity", *(f"RS, {method_name(method)}" for method in methods)]
    # A name has a line and some room beside it; as many stand side by side as the page is wide.
    widest = (max(map(len, [*names, *LINES])) * 0.6 + 5) * style.small / 72
    columns = min(len(names) + len(LINES) + 1, int(style.width / widest))
    more = 1.6 * style.small / 72 * (math.ceil((len(names) + len(LINES) + 1) / columns) - 1)
    abreast = COLUMNS if len(forms) % 2 else 4
    figure, panels = panels_of_equal_size(style, len(clamps) * len(tables) * len(forms), abreast, bottom=0.85 + more)
    for axes, (clamp, table, form) in zip(panels, itertools.product(clamps, tables, forms), strict=True):
        clamp_rows = {name: column[table["clamp"] == clamp] for name, column in table.items()}
        where = (str(table["layer"][0]) or "all layers") + f", {CLAMPS[clamp]}" * (len(clamps) > 1)
        title = f"{where}: {RS_NAMES[form]}" if form else where
        axes.set_title(title, size=style.small, weight="bold", loc="left")
        _band(axes, clamp_rows)
        shown = {"selectivity": 0, **{f"{form}_{method}": number for number, method in enumerate(methods, 1)}}
        for score, number in shown.items():
            for direction, line in LINES.items():
                rows = (
                    (clamp_rows["score"] == score)
                    & (clamp_rows["direction"] == direction)
                    & np.isfinite(clamp_rows["fraction"])
                )
                axes.plot(
                    clamp_rows["fraction"][rows],
                    clamp_rows["accuracy"][rows],
                    color=style.look(number)[0],
                    linestyle=line,
                    linewidth=1.1,
                )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    handles = [Line2D([], [], color=style.look(number)[0], label=name) for number, name in enumerate(names)]
    handles += [Line2D([], [], color="black", linestyle=line, label=name) for name, line in LINES.items()]
    handles += [Line2D([], [], color=GREY, linewidth=3, alpha=0.6, label="random")]
    figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=style.small)
    height = figure.get_figheight()
    figure.text(0.5, (0.38 + more) / height, "fraction of units removed", ha="center", size=style.font_size)
    figure.supylabel("accuracy", size=style.font_size)
    return figure


def _form(score: str) -> str:
    """Return the form of RS of a column such as rs_z_am; empty where it is no RS."""
    return next((form for form in reversed(RS_SCORES) if score.startswith(f"{form}_")), "")


def _method(score: str) -> str:
    return score.removeprefix(f"{_form(score)}_")


def _band(axes: Axes, table: Mapping[str, np.ndarray]) -> None:
    """Draw the random orders: their mean, and from the lowest to the highest of them."""
    rows = table["score"] == "random"
    if not rows.any():
        return
    draws = len(np.unique(table["draw"][rows]))
    x = table["fraction"][rows].reshape(draws, -1)[0]
    heights = table["accuracy"][rows].reshape(draws, -1)
    axes.fill_between(x, heights.min(0), heights.max(0), color=GREY, alpha=0.25, linewidth=0)
    axes.plot(x, heights.mean(0), color=GREY, linewidth=1.2)


def panels_of_equal_size(
    style: Style,
    count: int,
    abreast: int = COLUMNS,
    right: float = 0.1,
    bottom: float = 0.6,
    left: float = 0.62,
    gap: float = 0.5,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels of equal size, row by row, at most so many side by side."""
    columns = min(abreast, count)
    lines = math.ceil(count / columns)
    head, between = 0.42, 0.3
    width = (style.width - left - right - (abreast - 1) * gap) / abreast
    height = 0.85 * width
    total = bottom + lines * (height + head) + (lines - 1) * between
    figure = Figure(figsize=(style.width, total))
    panels = []
    for number in range(count):
        line, place = divmod(number, columns)
        low = total - (line + 1) * (height + head) - line * between
        box = ((left + place * (width + gap)) / style.width, low / total, width / style.width, height / total)
        panels.append(figure.add_axes(box))
    return figure, panels
