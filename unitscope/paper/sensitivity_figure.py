"""The figure of a sensitivity study: how the correlation of RS and selectivity depends on choices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unitscope.figures.drawing import GREY, relative_box, styled
from unitscope.figures.style import Style
from unitscope.scores.score_names import RS_NAMES, RS_SCORES, method_name
from unitscope.tables.number_text import MINUS


@styled
def sensitivity(style: Style, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how the correlation of selectivity and RS depends on choices: by layer and objective.

    Args:
        style: How it looks.
        rows: Records with layer, objective, variant, score (of RS) and spearman; one for each training.
    """
    layers, objectives, names = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("layer", "objective", "variant")
    )
    line, left, head = 1.45 * style.small / 72, 0.62 * style.small / 72 * max(map(len, names)) + 0.1, 0.5
    panel = len(names) * line
    total = head + len(objectives) * (panel + 0.3) + 0.35
    figure = Figure(figsize=(style.width, total))
    width = (style.width - left - 0.1) / len(layers)
    looks = {score: style.look(number) for number, score in enumerate(RS_SCORES)}
    for row, objective in enumerate(objectives):
        for column, layer in enumerate(layers):
            low = total - head - (row + 1) * panel - row * 0.3
            box = (left + column * width, low, width - 0.12, panel)
            axes = figure.add_axes(relative_box(box, style.width, total))
            axes.axvline(0, color=GREY, linewidth=0.7, zorder=1)
            for number, (score, (color, marker)) in enumerate(looks.items()):
                points = [
                    (one["spearman"], names.index(one["variant"]))
                    for one in rows
                    if (one["layer"], one["objective"], one["score"]) == (layer, objective, score)
                ]
                x, y = np.array(points, dtype=float).reshape(-1, 2).T
                # Side by side, so that equal values are both seen.
                y = y + 0.2 * (number - (len(RS_SCORES) - 1) / 2)
                axes.plot(x, y, linestyle="none", marker=marker, color=color, markersize=3.2, alpha=0.75, clip_on=False)
            axes.set(xlim=(-1, 1), ylim=(len(names) - 0.5, -0.5))
            axes.set_yticks(range(len(names)), names)
            axes.set_xticks((-0.5, 0, 0.5), (f"{MINUS}0.5", "0", "0.5"))
            axes.tick_params(labelleft=column == 0, labelbottom=row == len(objectives) - 1)
            axes.grid(axis="y", color="#EEEEEE", linewidth=0.6)
            axes.set_axisbelow(True)
            title = f"{layer}, {method_name(objective)}"
            figure.text(box[0] / style.width, (low + panel + 0.05) / total, title, weight="bold", size=style.small)
    handles = [Line2D([], [], color=color, marker=marker, linestyle="none") for color, marker in looks.values()]
    labels = [RS_NAMES[score] for score in looks]
    figure.legend(
        handles,
        labels,
        loc="upper right",
        bbox_to_anchor=(1, 1),
        ncols=len(RS_SCORES),
        frameon=False,
        fontsize=style.small,
    )
    figure.text(0.5, 0.05 / total, "Spearman ρ with selectivity; a mark a training", ha="center", va="bottom")
    return figure
