"""Figures of all images of a layer: a sheet of them, and the layer's response matrix."""

import math

import matplotlib
import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from unitscope.figures.drawing import GREY, ranks_by_selectivity, relative_box, styled
from unitscope.figures.pictures import reduced, rgb
from unitscope.figures.style import Style
from unitscope.figures.substitutes_figure import rs_text
from unitscope.figures.unit_images import UnitImages
from unitscope.scores.score_names import RS_SCORES, method_name
from unitscope.tables.table_access import Table, rows_of


@styled
def sheet(style: Style, units: Table, layer: str, method: str, unit_images: UnitImages) -> Figure:
    """Draw the images of all target units of a layer by one method, most selective first, dead units last.

    Args:
        style: How it looks.
        units: Table of units.
        layer: Layer of the images.
        method: Method of the images.
        unit_images: The images; the first seed's are shown.
    """
    layer_units = rows_of(units, layer)
    rows = np.argsort(ranks_by_selectivity(layer_units)[unit_images.units], kind="stable")
    count = len(rows)
    columns = 8 if count <= 64 else 10 if count <= 200 else math.ceil(math.sqrt(1.4 * count))
    lines = math.ceil(count / columns)
    labels = [_label(layer_units, unit, method) for unit in unit_images.units[rows].tolist()]
    cell = (style.width - 0.2) / min(columns, 10)
    pictures = reduced(rgb(unit_images.images[0]), math.ceil(cell * style.dpi))[rows]
    # One picture for all, in whole pixels, with white room for the texts: thousands of axes would take minutes.
    high, wide = pictures.shape[1:3]
    pixel = cell / (wide + max(1, round(0.1 * wide)))
    text = (max(label.count("\n") for label in labels) + 1) * 1.2 * style.small / 72 + 0.08
    step_down, step_right = high + math.ceil(text / pixel), round(cell / pixel)
    canvas = np.full((lines * step_down, columns * step_right, 3), 255, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * step_down, place % columns * step_right
        canvas[top : top + high, left : left + wide] = picture
    margin, head = 0.14, 0.3
    width, total = columns * cell + 0.2, head + lines * step_down * pixel
    figure = Figure(figsize=(width, total))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    box = (margin, margin + canvas.shape[1] * pixel, head + canvas.shape[0] * pixel, head)
    axes.imshow(canvas, extent=box, interpolation="none", aspect="auto")
    axes.set(xlim=(0, width), ylim=(total, 0))
    corners = [
        (margin + place % columns * step_right * pixel, head + place // columns * step_down * pixel)
        for place in range(count)
    ]
    # A white image shall be seen to be one.
    frames = [Rectangle(corner, wide * pixel, high * pixel) for corner in corners]
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=GREY, linewidth=0.3), autolim=False)
    for place, label in enumerate(labels):
        x = margin + (place % columns * step_right + wide / 2) * pixel
        y = head + (place // columns * step_down + high) * pixel + 0.02
        axes.text(x, y, label, ha="center", va="top", size=style.small, linespacing=1.1)
    part = f"all {count}" if count == len(layer_units["unit"]) else f"{count} of {len(layer_units['unit'])}"
    seeds = f", first of {len(unit_images.responses)} seeds" if len(unit_images.responses) > 1 else ""
    title = f"{layer} · {method_name(method)}: {part} units, most selective (sel) first{seeds}"
    axes.text(margin, 0.08, title, va="top", weight="bold")
    return figure


@styled
def responses(style: Style, units: Table, layer: str, method: str, unit_images: UnitImages) -> Figure:
    """Draw a layer's response matrix as a heat map, units in the order of their selectivity.

    Every row is relative to the unit that the image was made for, on a logarithmic scale, so that RS is the share of a
    row that is on the "stronger" side of the colour scale.

    Args:
        style: How it looks.
        units: Table of units.
        layer: Layer of the responses.
        method: Method of the images.
        unit_images: The responses; the median over seeds is shown.
    """
    layer_units = rows_of(units, layer)
    ranks = ranks_by_selectivity(layer_units)
    rows, columns = np.argsort(ranks[unit_images.units], kind="stable"), np.argsort(ranks, kind="stable")
    relative = unit_images.relative_responses()[rows][:, columns]
    silent = int(np.isnan(relative).all(axis=1).sum())
    # Zero and negative responses are below every ratio.
    shown = np.log2(np.where(relative > 0, relative, np.where(np.isnan(relative), np.nan, 2.0**-3)))
    side = style.width - 1.55
    high = min(max(side * len(rows) / len(columns), 1.2), side)
    total = high + 0.8
    figure = Figure(figsize=(style.width, total))
    axes = figure.add_axes(relative_box((0.6, 0.5, side, high), style.width, total))
    colormap = matplotlib.colormaps[style.colormap].with_extremes(bad="#BBBBBB")
    drawn = axes.imshow(np.clip(shown, -3, 3), cmap=colormap, vmin=-3, vmax=3, aspect="auto")
    axes.spines[:].set(visible=True)
    digits = len(str(len(columns)))
    for axis, size, room, numbers in (
        (axes.yaxis, high, 1.3, unit_images.units[rows]),
        (axes.xaxis, side, 0.65 * digits + 0.8, columns),
    ):
        every = math.ceil(room * style.small / 72 * len(numbers) / size)
        axis.set_ticks(range(0, len(numbers), every), [str(number) for number in numbers[::every]])
    axes.set(xlabel="unit j that answers, most selective first", ylabel="unit i whose image it is")
    bar = figure.colorbar(
        drawn, cax=figure.add_axes(relative_box((0.6 + side + 0.12, 0.5, 0.13, high), style.width, total))
    )
    ticks = range(-3, 4) if high > 2 else (-3, 0, 3)
    ratios = {-3: "≤ 1/8", -2: "1/4", -1: "1/2", 0: "1", 1: "2", 2: "4", 3: "≥ 8"}
    bar.set_ticks(list(ticks), labels=[ratios[tick] for tick in ticks])
    bar.set_label("R[i, j] / R[i, i]" + (", log scale; 0 and below: ≤ 1/8" if high > 2 else ""))
    bar.outline.set_linewidth(0.6)
    seeds = f", median over {len(unit_images.responses)} seeds" if len(unit_images.responses) > 1 else ""
    quiet = f"; grey: {silent} silent" if silent else ""
    title = f"{layer} · {method_name(method)}: how the layer answers each unit's image{seeds}{quiet}"
    figure.text(0.1 / style.width, 1 - 0.09 / total, title, va="top", weight="bold")
    return figure


def _label(layer_units: Table, unit: int, method: str) -> str:
    selectivity, rs = layer_units["selectivity"][unit], layer_units[f"rs_{method}"][unit]
    if layer_units["dead"][unit]:
        return f"unit {unit}\ndead"
    selectivity_text = [f"sel {selectivity:.2f}"] if np.isfinite(selectivity) else []
    free = [
        f"{score.removeprefix('rs_')}\u00a0{layer_units[f'{score}_{method}'][unit]:.2f}"
        for score in RS_SCORES[1:]
        if np.isfinite(layer_units[f"{score}_{method}"][unit])
    ]
    scores = [rs_text(rs), " ".join(free)] if np.isfinite(rs) else ["silent"]
    return "\n".join([f"unit {unit}", *selectivity_text, *filter(None, scores)])
