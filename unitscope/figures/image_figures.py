"""Figures of the images made for units: a unit beside its substitutes, a layer's sheet, its response matrix."""

import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from unitscope.figures.drawing import GREY, SCORE_NAMES, ranks_by_selectivity, relative_box, styled, wrapped
from unitscope.figures.pictures import reduced, rgb
from unitscope.figures.style import Style
from unitscope.maximization.responses import compared_in
from unitscope.storage.hdf5 import open_hdf5
from unitscope.tables.unit_tables import RS_SCORES, Table, method_name, methods_of, rows_of


@dataclass(frozen=True)
class UnitImages:
    """The images of a layer's target units by one method.

    Attributes:
        units: (targets,).
        images: (seeds, targets, height, width, channels), uint8, or float in [0, 1]; of the first seed at least, which
            is what figures show.
        responses: (seeds, targets, units), R, or what stands for it where the images minimize.
    """

    units: np.ndarray
    images: np.ndarray
    responses: np.ndarray

    def of(self, unit: int) -> np.ndarray | None:
        """Return the image of a unit for the first seed, (height, width, 3) uint8; None if it has none."""
        rows = np.flatnonzero(self.units == unit)
        return rgb(self.images[0, rows])[0] if len(rows) else None

    def relative_responses(self) -> np.ndarray:
        """Return R[i, j] / R[i, i], median over the seeds in which unit i is not silent: (targets, units).

        NaN in the rows of units that are silent in all seeds.
        """
        own = self.responses[:, np.arange(len(self.units)), self.units]
        result = np.full(self.responses.shape[1:], np.nan)
        for row in range(len(self.units)):
            speaks = own[:, row] > 0
            if speaks.any():
                result[row] = np.median(self.responses[speaks, row] / own[speaks, row, None], axis=0)
        return result


def read_images(paths: Iterable[Path]) -> dict[tuple[str, str], UnitImages]:
    """Return what artifacts of images hold, by layer and method; several of one layer and method are joined.

    Raises:
        UserError: A file is missing, damaged, or holds something else.
    """
    found: dict[tuple[str, str], list[UnitImages]] = {}
    for path in paths:
        with open_hdf5(path) as handle:
            answers = compared_in(handle)
            made = UnitImages(handle["units"][:], handle["images"][:1], answers)
            found.setdefault(_of(handle), []).append(made)
    return {
        key: several[0]
        if len(several) == 1
        else UnitImages(
            np.concatenate([made.units for made in several]),
            np.concatenate([made.images for made in several], axis=1),
            np.concatenate([made.responses for made in several], axis=1),
        )
        for key, several in found.items()
    }


def shown(units: Table, paths: Iterable[Path]) -> list[Path]:
    """Return the artifacts of images that `substitutes` needs, those of one layer and method: all may be too many."""
    files: dict[tuple[str, str], list[Path]] = {}
    made: dict[tuple[str, str], np.ndarray] = {}
    for path in paths:
        with open_hdf5(path) as handle:
            key = _of(handle)
            files.setdefault(key, []).append(path)
            made[key] = np.concatenate([made.get(key, np.empty(0, int)), handle["units"][:]])
    found = _chosen(units, made)
    return files[found[:2]] if found else []


def _of(handle: Any) -> tuple[str, str]:
    """Return layer and method of an artifact of images."""
    return str(handle.attrs["layer"]), str(handle.attrs["method"])


@styled
def substitutes(style: Style, units: Table, images: Mapping[tuple[str, str], UnitImages]) -> Figure:
    """Draw the most selective unit that has two substitutes, its image beside theirs (as Chen et al. 2018, Fig. 2).

    Args:
        style: How it looks.
        units: Table of units.
        images: The images of each layer and method. The method "iam" is preferred, then the others in the order of the
            table; a figure without any such unit says so.
    """
    found = _chosen(units, {key: made.units for key, made in images.items()})
    if found is None:
        figure = Figure(figsize=(style.width, 0.8))
        figure.text(0.5, 0.5, "No unit of this experiment is exceeded by two others on its own image.", ha="center")
        return figure
    layer, method, unit, others = found
    own, made = rows_of(units, layer), images[layer, method]
    relative = made.relative_responses()[np.flatnonzero(made.units == unit)[0]]
    room = style.width / 3
    side, fit = min(1.9, room - 0.25), int((room - 0.1) * 72 / (0.56 * style.small))
    above = [f"unit {unit} of {layer}\n{_scores_text(own, unit, method, fit)}"]
    above += [f"substitute: unit {other}\n{_scores_text(own, other, method, fit)}" for other in others]
    below = ["its own image"]
    below += [
        wrapped(f"answers unit {unit}'s image {relative[other]:.3g}×\u00a0as\u00a0strongly", fit) for other in others
    ]
    line_height = 1.3 * style.small / 72
    bottom = line_height * (1 + max(text.count("\n") for text in below)) + 0.12
    head = line_height * (1 + max(text.count("\n") for text in above)) + 0.1
    total = bottom + side + head + 1.6 * style.font_size / 72
    figure = Figure(figsize=(style.width, total))
    title = f"Most selective unit with two substitutes under {method_name(method)}"
    figure.text(0.5, 1 - 0.04 / total, title, ha="center", va="top", weight="bold")
    for place, number in enumerate((unit, *others)):
        middle = (place + 0.5) * room
        axes = figure.add_axes(relative_box((middle - side / 2, bottom, side, side), style.width, total))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, linewidth=1.4 if place == 0 else 0.6)
        picture = made.of(number)
        if picture is None:
            axes.text(0.5, 0.5, "no image: not\na target unit", ha="center", va="center", transform=axes.transAxes)
        else:
            axes.imshow(picture, interpolation="none")
        words: dict[str, Any] = {"ha": "center", "size": style.small, "linespacing": 1.2}
        figure.text(middle / style.width, (bottom + side + 0.06) / total, above[place], va="bottom", **words)
        figure.text(middle / style.width, (bottom - 0.05) / total, below[place], va="top", **words)
    return figure


def _chosen(units: Table, targets: Mapping[tuple[str, str], np.ndarray]) -> tuple[str, str, int, list[int]] | None:
    """Return layer, method, unit and two substitutes of the unit that `substitutes` draws.

    Args:
        units: Table of units.
        targets: The units that have an image, of each layer and method.
    """
    methods = sorted(methods_of(units), key=lambda method: method != "iam")
    return next(filter(None, (_with_substitutes(units, targets, method) for method in methods)), None)


def _with_substitutes(
    units: Table, targets: Mapping[tuple[str, str], np.ndarray], method: str
) -> tuple[str, str, int, list[int]] | None:
    """Return layer, method, unit and two substitutes of the most selective unit that has them."""
    several = np.array([len(text.split()) >= 2 for text in units[f"substitutes_{method}"]], dtype=bool)
    made = np.array([(layer, method) in targets for layer in units["layer"].tolist()], dtype=bool)
    rows = np.flatnonzero(several & made & ~units["dead"]).tolist()
    if not rows:
        return None

    def two(row: int) -> list[int]:
        """Return two substitutes, those with images first: of sampled targets not every substitute has one."""
        found = [int(number) for number in units[f"substitutes_{method}"][row].split()]
        return sorted(found, key=lambda number: number not in targets[units["layer"][row], method])[:2]

    seen = [row for row in rows if np.isin(two(row), targets[units["layer"][row], method]).all()]
    row = max(seen or rows, key=lambda row: np.nan_to_num(units["selectivity"][row], nan=-1.0))
    return str(units["layer"][row]), method, int(units["unit"][row]), two(row)


def _scores_text(own: Table, unit: int, method: str, fit: int) -> str:
    selectivity = own["selectivity"][unit]
    top = f" (class {textwrap.shorten(own['top_class'][unit], 16, placeholder='…')})" if own["top_class"][unit] else ""
    first = f"selectivity {selectivity:.2f}{top}" if np.isfinite(selectivity) else "no selectivity"
    scores = [
        _rs_text(own[f"{score}_{method}"][unit], SCORE_NAMES[score])
        for score in RS_SCORES
        if np.isfinite(own[f"{score}_{method}"][unit])
    ]
    return wrapped(f"{first}, {', '.join(scores) or 'no RS'}", fit)


@styled
def sheet(style: Style, units: Table, layer: str, method: str, made: UnitImages) -> Figure:
    """Draw the images of all target units of a layer by one method, most selective first, dead units last.

    Args:
        style: How it looks.
        units: Table of units.
        layer: Layer of the images.
        method: Method of the images.
        made: The images; the first seed's are shown.
    """
    own = rows_of(units, layer)
    rows = np.argsort(ranks_by_selectivity(own)[made.units], kind="stable")
    count = len(rows)
    columns = 8 if count <= 64 else 10 if count <= 200 else math.ceil(math.sqrt(1.4 * count))
    lines = math.ceil(count / columns)
    labels = [_label(own, unit, method) for unit in made.units[rows].tolist()]
    cell = (style.width - 0.2) / min(columns, 10)
    pictures = reduced(rgb(made.images[0]), math.ceil(cell * style.dpi))[rows]
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
    part = f"all {count}" if count == len(own["unit"]) else f"{count} of {len(own['unit'])}"
    seeds = f", first of {len(made.responses)} seeds" if len(made.responses) > 1 else ""
    title = f"{layer} · {method_name(method)}: {part} units, most selective (sel) first{seeds}"
    axes.text(margin, 0.08, title, va="top", weight="bold")
    return figure


@styled
def responses(style: Style, units: Table, layer: str, method: str, made: UnitImages) -> Figure:
    """Draw a layer's response matrix as a heat map, units in the order of their selectivity.

    Every row is relative to the unit that the image was made for, on a logarithmic scale, so that RS is the share of a
    row that is on the "stronger" side of the colour scale.

    Args:
        style: How it looks.
        units: Table of units.
        layer: Layer of the responses.
        method: Method of the images.
        made: The responses; the median over seeds is shown.
    """
    own = rows_of(units, layer)
    ranks = ranks_by_selectivity(own)
    rows, columns = np.argsort(ranks[made.units], kind="stable"), np.argsort(ranks, kind="stable")
    relative = made.relative_responses()[rows][:, columns]
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
        (axes.yaxis, high, 1.3, made.units[rows]),
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
    seeds = f", median over {len(made.responses)} seeds" if len(made.responses) > 1 else ""
    quiet = f"; grey: {silent} silent" if silent else ""
    title = f"{layer} · {method_name(method)}: how the layer answers each unit's image{seeds}{quiet}"
    figure.text(0.1 / style.width, 1 - 0.09 / total, title, va="top", weight="bold")
    return figure


def _label(own: Table, unit: int, method: str) -> str:
    selectivity, rs = own["selectivity"][unit], own[f"rs_{method}"][unit]
    if own["dead"][unit]:
        return f"unit {unit}\ndead"
    known = [f"sel {selectivity:.2f}"] if np.isfinite(selectivity) else []
    free = [
        f"{score.removeprefix('rs_')}\u00a0{own[f'{score}_{method}'][unit]:.2f}"
        for score in RS_SCORES[1:]
        if np.isfinite(own[f"{score}_{method}"][unit])
    ]
    scores = [_rs_text(rs), " ".join(free)] if np.isfinite(rs) else ["silent"]
    return "\n".join([f"unit {unit}", *known, *filter(None, scores)])


def _rs_text(value: float, name: str = "RS") -> str:
    """Return RS with the decimals that tell a small one from none; it is not broken."""
    number = f"{value:.1g}" if 0 < value < 0.01 else f"{value:.2f}"
    return f"{name} {number}".replace(" ", "\u00a0")
