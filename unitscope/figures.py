"""Figures of an experiment, drawn from its tables and images: for print, for the colour-blind, equal bytes each time.

Colours are Okabe and Ito's, methods differ by marker as well, and the number of units stands beside every correlation.
Nothing is computed here that a table could hold: scores and correlations come from `unitscope.tables`.
"""

import functools
import io
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from unitscope import artifacts
from unitscope.answers import compared
from unitscope.errors import UserError
from unitscope.pictures import reduced, rgb
from unitscope.tables import RS_NAMES, RS_SCORES, Table, correlation_of, layers_of, method_name, methods_of, rows_of

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
GREY = "#767676"
MINUS = "\N{MINUS SIGN}"

PAGE_HEIGHT = 9.5
"""Inches that panels are fitted into, as long as they stay readable."""

NARROWEST_PANEL = 1.1
"""Inches of the page's width that a panel takes, below which fewer stand side by side."""

SMALLEST_TEXT = 7.0
"""Points, at the size of print."""

MOST_PIXELS = 25_000_000
"""Of a sheet: above it the resolution is lowered, so that a layer of thousands of units can still be opened."""

SCORE_NAMES = RS_NAMES
SCORE_MEANINGS = {
    "rs": "RS: share of units that answer more strongly",
    "rs_z": "RS (z): the same, on standardized activations",
    "rs_q": "RS (q): the same, relative to 99th percentiles",
}

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Style:
    """How figures look.

    Attributes:
        dpi: Resolution of the PNG.
        width: Width in inches, as printed; sheets of large layers are wider.
        font_size: Points; nothing is smaller than 7.
        colors: One for each method in turn, with a marker of its own.
        colormap: Of the response matrix; a diverging one, its middle is "as strongly as the unit itself".
    """

    dpi: int = 200
    width: float = 7.0
    font_size: float = 8.0
    colors: Sequence[str] = OKABE_ITO
    colormap: str = "PuOr_r"

    def __post_init__(self) -> None:
        for color in self.colors:
            if not is_color_like(color):
                raise UserError(
                    f"figures.colors holds {color!r}, which is no colour. Use a name such as 'navy' or a code such as "
                    "'#0072B2'."
                )
        if self.colormap not in matplotlib.colormaps:
            raise UserError(
                f"figures.colormap is {self.colormap!r}, which Matplotlib does not have. Use a diverging one: PuOr_r, "
                "RdBu_r, BrBG or coolwarm."
            )

    @property
    def small(self) -> float:
        """Size of the smaller texts, in points."""
        return max(SMALLEST_TEXT, self.font_size - 1)

    def look(self, number: int) -> tuple[str, str]:
        """Return colour and marker of the method of that number."""
        return self.colors[number % len(self.colors)], MARKERS[number % len(MARKERS)]

    def parameters(self) -> dict[str, Any]:
        """Return the style as Matplotlib's settings."""
        return {
            "font.family": "DejaVu Sans",
            "font.size": self.font_size,
            "axes.labelsize": self.font_size,
            "axes.linewidth": 0.6,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.labelsize": self.small,
            "ytick.labelsize": self.small,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.major.size": 2.5,
            "ytick.major.size": 2.5,
            "pdf.fonttype": 42,
            "path.simplify": True,
        }


@dataclass(frozen=True)
class UnitImages:
    """The images of a layer's target units by one method.

    Attributes:
        units: (targets,).
        images: (seeds, targets, height, width, channels), uint8, or float in [0, 1].
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


def styled(draw: Callable[Concatenate[Style, P], R]) -> Callable[Concatenate[Style, P], R]:
    """Run a function under the settings of its first argument, whatever the caller's own are."""

    @functools.wraps(draw)
    def drawn(style: Style, *args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(style.parameters())  # type: ignore[arg-type]
            return draw(style, *args, **kwargs)

    return drawn


def read_images(paths: Iterable[Path]) -> dict[tuple[str, str], UnitImages]:
    """Return what artifacts of images hold, by layer and method; several of one layer and method are joined.

    Raises:
        UserError: A file is missing, damaged, or holds something else.
    """
    found: dict[tuple[str, str], list[UnitImages]] = {}
    for path in paths:
        with artifacts.open_hdf5(path) as handle:
            answers = compared(handle, bool(handle.attrs.get("minimize", False)))
            made = UnitImages(handle["units"][:], handle["images"][:], answers)
            found.setdefault((str(handle.attrs["layer"]), str(handle.attrs["method"])), []).append(made)
    return {
        key: UnitImages(
            np.concatenate([made.units for made in several]),
            np.concatenate([made.images for made in several], axis=1),
            np.concatenate([made.responses for made in several], axis=1),
        )
        for key, several in found.items()
    }


@styled
def save(style: Style, figure: Figure, path: Path) -> None:
    """Write a figure as `path`.png and `path`.pdf, without dates and versions in them."""
    pixels = figure.get_figwidth() * figure.get_figheight() * style.dpi**2
    dpi = style.dpi * min(1.0, math.sqrt(MOST_PIXELS / pixels))
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=dpi, metadata=metadata)
        artifacts.write_bytes(path.with_name(f"{path.name}.{kind}"), content.getvalue())


# --- scores against scores -------------------------------------------------------------------------------------------


@styled
def selectivity_rs(style: Style, units: Table, layers: Table, score: str = "rs") -> Figure:
    """Draw RS against class selectivity (as Chen et al. 2018, Fig. 1): a panel a layer and method.

    Args:
        style: How it looks.
        units: Table of units.
        layers: Table of correlations.
        score: "rs", "rs_z" or "rs_q".
    """
    groups = {}
    for layer in layers_of(units):
        own = rows_of(units, layer)
        groups[layer_title(layer, own)] = [
            Panel(
                f"{method_name(method)}: {correlation_text(layers, layer, method, 'selectivity', score)}"
                + _unscored_text(own, f"{score}_{method}"),
                own["selectivity"],
                own[f"{score}_{method}"],
                number,
            )
            for number, method in enumerate(methods_of(units))
        ]
    figure, grid = scatter_grid(style, groups, "class selectivity", SCORE_MEANINGS[score], _selectivity_footer(units))
    for layer, row in zip(layers_of(units), grid, strict=True):
        chance = _living_mean(rows_of(units, layer), "selectivity_permuted")
        for axes in row:
            axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))
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
        score: "rs", "rs_z" or "rs_q".
    """
    methods = methods_of(units)
    columns = [("selectivity", "", "selectivity", "selectivity", len(methods))]
    name = SCORE_NAMES[score]
    columns += [(f"{name}, {method_name(m)}", m, score, f"{score}_{m}", number) for number, m in enumerate(methods)]
    groups = {}
    for layer in layers_of(units):
        own = rows_of(units, layer)
        groups[layer_title(layer, own)] = [
            Panel(
                f"{title}: {correlation_text(layers, layer, method, x, 'ablation_loss')}",
                own[column],
                own["ablation_loss"],
                look,
            )
            for title, method, x, column, look in columns
        ]
    footer = "Clamped to 0 one at a time. The loss has a scale of its own in every layer."
    figure, grid = scatter_grid(
        style,
        groups,
        f"class selectivity, or {SCORE_NAMES[score]}",
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
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}".replace("-", MINUS))
    return figure


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
    gap, wide_gap, left, right = 0.12, 0.55 if room_for_scales else 0.4, 0.85 if room_for_scales else 0.62, 0.1
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


# --- correlation by depth --------------------------------------------------------------------------------------------


@styled
def depth(style: Style, units: Table, layers: Table) -> Figure:
    """Draw the correlation of selectivity and RS by depth (as Chen et al. 2018, Fig. 3b), each score in a panel.

    Args:
        style: How it looks.
        units: Table of units.
        layers: Table of correlations.
    """
    names, methods = layers_of(units), methods_of(units)
    line_height = 1.3 * style.small / 72
    longest = max(map(len, names), default=0) * 0.6 * style.small / 72
    left, panel = 0.46 + 2.0 * line_height, 1.45
    width = style.width - left - 0.1
    slot = width / max(len(names), 1)
    step = min(0.6 / max(len(methods), 1), 0.5 / slot)
    upright, tilted = slot * step * 72 < 3 * 0.7 * style.small, longest > 0.95 * slot
    head = line_height * (3.2 if upright else 2.3)
    legend = _legend(style, methods)
    legend_height = line_height * math.ceil(len(legend["labels"]) / legend["ncols"]) + 0.1
    bottom = 0.12 + 1.4 * style.font_size / 72 + (0.7 * longest if tilted else line_height)
    total = bottom + len(RS_SCORES) * (panel + head) + (len(RS_SCORES) - 1) * 0.14 + legend_height
    figure = Figure(figsize=(style.width, total))
    for row, score in enumerate(RS_SCORES):
        low = total - legend_height - (row + 1) * (panel + head) - row * 0.14
        axes = figure.add_axes(relative_box((left, low, width, panel), style.width, total))
        axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
        axes.axhspan(-1.42, -1.1, color="#EEEEEE", linewidth=0, zorder=0)
        for number, method in enumerate(methods):
            color, marker = style.look(number)
            for place, layer in enumerate(names):
                found = correlation_of(layers, layer, method, "selectivity", score)
                x = place + (number - (len(methods) - 1) / 2) * step
                _point(axes, x, found, color, marker)
                count, angle = str(found["used"]), 90 if upright else 0
                where: dict[str, Any] = {
                    "va": "bottom",
                    "ha": "center",
                    "transform": axes.get_xaxis_transform(),
                    "clip_on": False,
                }
                axes.text(x, 1.02, count, color=color, size=style.small, rotation=angle, **where)
        axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(-1.42, 1.08))
        axes.set_yticks((-1.26, -1, -0.5, 0, 0.5, 1), ("undef.", f"{MINUS}1", f"{MINUS}0.5", "0", "0.5", "1"))
        axes.set_ylabel("Spearman ρ", y=0.56)
        title = f"selectivity and {SCORE_NAMES[score]}" + (" (n above each point)" if row == 0 else "")
        above = (low + panel + head - 0.02) / total
        figure.text(left / style.width, above, title, weight="bold", size=style.small, va="top")
        axes.set_xticks(range(len(names)), names if score == RS_SCORES[-1] else [])
    if tilted:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlabel("layer, in the order of the network")
    figure.legend(**legend, loc="upper right", bbox_to_anchor=(1, 1), frameon=False, fontsize=style.small)
    return figure


@styled
def trend(style: Style, trainings: Sequence[Table], layers: Sequence[str], method: str = "iam") -> Figure:
    """Draw the correlation of selectivity and RS by depth for several trainings, and their mean.

    Args:
        style: How it looks.
        trainings: The table of correlations of each training.
        layers: In the order of the network.
        method: Of the images.
    """
    places = np.arange(len(layers))
    values = {
        score: np.array([[_value(table, layer, method, score) for layer in layers] for table in trainings])
        for score in RS_SCORES
    }
    low = min(-0.6, *(float(np.nanmin(found, initial=0.0)) - 0.1 for found in values.values()))
    high = max(0.6, *(float(np.nanmax(found, initial=0.0)) + 0.1 for found in values.values()))
    tilted = max(map(len, layers)) * len(layers) > 36
    below = 0.62 + (0.85 * max(map(len, layers)) * 0.6 * style.small / 72 if tilted else 0)
    total = below + 1.6
    figure = Figure(figsize=(style.width, total))
    for number, score in enumerate(RS_SCORES):
        axes = figure.add_axes((0.13 + number * 0.293, below / total, 0.27, 1.25 / total))
        color, _ = style.look(number)
        axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
        for found in values[score]:
            axes.plot(places, found, color=color, linewidth=0.8, alpha=0.5, marker=".", markersize=4)
        defined = np.isfinite(values[score]).any(axis=0)
        mean = np.full(len(layers), np.nan)
        mean[defined] = np.nanmean(values[score][:, defined], axis=0)
        axes.plot(places, mean, color=color, linewidth=2.0, marker="o", markersize=4.5)
        axes.set(xlim=(-0.3, len(layers) - 0.7), ylim=(low, high))
        axes.set_title(f"selectivity and {SCORE_NAMES[score]}", size=style.small, weight="bold", loc="left")
        axes.tick_params(labelleft=number == 0)
        axes.set_xticks(places, layers)
        if tilted:
            for label in axes.get_xticklabels():
                label.set(rotation=40, ha="right", rotation_mode="anchor")
    figure.axes[0].set_ylabel("Spearman ρ")
    text = f"{method_name(method)}; thin: {len(trainings)} trainings, thick: their mean"
    figure.text(0.99, 0.02, text, ha="right", va="bottom", size=style.small, color="#444444")
    return figure


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
                own = [
                    (one["spearman"], names.index(one["variant"]))
                    for one in rows
                    if (one["layer"], one["objective"], one["score"]) == (layer, objective, score)
                ]
                x, y = np.array(own, dtype=float).reshape(-1, 2).T
                # Side by side, so that equal values are both seen.
                y = y + 0.26 * (number - 1)
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
    labels = [SCORE_NAMES[score] for score in looks]
    figure.legend(
        handles, labels, loc="upper right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=style.small
    )
    figure.text(0.5, 0.05 / total, "Spearman ρ with selectivity; a mark a training", ha="center", va="bottom")
    return figure


def _value(layers: Table, layer: str, method: str, score: str) -> float:
    return float(correlation_of(layers, layer, method, "selectivity", score)["spearman"])


@styled
def spread(style: Style, units: Table, score: str = "rs") -> Figure:
    """Draw the median of RS and the range between its quartiles, by layer.

    Args:
        style: How it looks.
        units: Table of units.
        score: "rs", "rs_z" or "rs_q".
    """
    names, methods = layers_of(units), methods_of(units)
    longest = max(map(len, names)) * 0.6 * style.small / 72
    total = 1.9 + 0.7 * longest
    figure = Figure(figsize=(style.width, total))
    axes = figure.add_axes(relative_box((0.6, 0.35 + 0.7 * longest, style.width - 0.7, 1.2), style.width, total))
    for number, method in enumerate(methods):
        color, marker = style.look(number)
        for place, layer in enumerate(names):
            own = rows_of(units, layer)
            values = own[f"{score}_{method}"][~own["dead"]]
            values = values[np.isfinite(values)]
            if not len(values):
                continue
            x = place + (number - (len(methods) - 1) / 2) * 0.25
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
            axes.plot([x, x], [low, high], color=color, linewidth=3, alpha=0.45, solid_capstyle="butt")
            axes.plot(x, middle, color=color, marker=marker, markersize=4.5, linestyle="none")
    axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(-0.04, 1.04), ylabel=f"{SCORE_NAMES[score]}")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    handles = [
        Line2D([], [], color=color, marker=marker, linewidth=3, markersize=4.5)
        for color, marker in map(style.look, range(len(methods)))
    ]
    labels = [f"{method_name(method)}: median, quartiles" for method in methods]
    figure.legend(
        handles,
        labels,
        loc="upper right",
        bbox_to_anchor=(1, 1),
        ncols=max(1, len(methods)),
        frameon=False,
        fontsize=style.small,
        borderaxespad=0.1,
    )
    return figure


@styled
def stacked(style: Style, figures: Sequence[Figure]) -> bytes:
    """Return figures below one another as one PNG; they are as wide as the style says."""
    pictures = []
    for figure in figures:
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=style.dpi, metadata={"Software": None})
        pictures.append(Image.open(content).convert("RGB"))
    gap = round(0.15 * style.dpi)
    size = max(picture.width for picture in pictures), sum(picture.height + gap for picture in pictures) - gap
    whole, top = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height + gap
    content = io.BytesIO()
    whole.save(content, format="png", optimize=True)
    return content.getvalue()


def _legend(style: Style, methods: Sequence[str]) -> dict[str, Any]:
    """Return what a legend of the methods shows, in as many columns as the page holds."""
    handles = [
        Line2D([], [], color=color, marker=marker, linewidth=0.9, markersize=4.5)
        for color, marker in map(style.look, range(len(methods)))
    ]
    handles.append(Line2D([], [], color="#444444", marker="x", linestyle="none", markersize=4.5))
    labels = [f"{method_name(method)}, 95 % interval" for method in methods] + ["undefined: constant or missing"]
    widest = (max(map(len, labels)) * 0.6 + 4) * style.small / 72
    columns = max(1, min(len(labels), int(style.width / widest)))
    return {"handles": handles, "labels": labels, "ncols": columns, "borderaxespad": 0.1, "columnspacing": 1.2}


def _point(axes: Axes, x: float, found: Mapping[str, Any], color: str, marker: str) -> None:
    if math.isfinite(found["spearman"]):
        axes.plot([x, x], [found["ci_low"], found["ci_high"]], color=color, linewidth=0.9, solid_capstyle="butt")
        # Hollow where there is no interval.
        inside = color if math.isfinite(found["ci_low"]) else "white"
        axes.plot(x, found["spearman"], marker=marker, color=color, markerfacecolor=inside, markersize=4.5, zorder=3)
    else:
        axes.plot(x, -1.26, marker="x", color=color, markersize=4.5)


# --- images ----------------------------------------------------------------------------------------------------------


@styled
def substitutes(style: Style, units: Table, images: Mapping[tuple[str, str], UnitImages]) -> Figure:
    """Draw the most selective unit that has two substitutes, its image beside theirs (as Chen et al. 2018, Fig. 2).

    Args:
        style: How it looks.
        units: Table of units.
        images: The images of each layer and method. The method "iam" is preferred, then the others in the order of the
            table; a figure without any such unit says so.
    """
    methods = sorted(methods_of(units), key=lambda method: method != "iam")
    found = next(filter(None, (_with_substitutes(units, images, method) for method in methods)), None)
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


def _with_substitutes(
    units: Table, images: Mapping[tuple[str, str], UnitImages], method: str
) -> tuple[str, str, int, list[int]] | None:
    """Return layer, method, unit and two substitutes of the most selective unit that has them."""
    several = np.array([len(text.split()) >= 2 for text in units[f"substitutes_{method}"]], dtype=bool)
    shown = np.array([(layer, method) in images for layer in units["layer"].tolist()], dtype=bool)
    rows = np.flatnonzero(several & shown & ~units["dead"]).tolist()
    if not rows:
        return None

    def two(row: int) -> list[int]:
        """Return two substitutes, those with images first: of sampled targets not every substitute has one."""
        made = images[units["layer"][row], method].units
        found = [int(number) for number in units[f"substitutes_{method}"][row].split()]
        return sorted(found, key=lambda number: number not in made)[:2]

    seen = [row for row in rows if np.isin(two(row), images[units["layer"][row], method].units).all()]
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
    seeds = f", first of {len(made.images)} seeds" if len(made.images) > 1 else ""
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


def ranks_by_selectivity(own: Table) -> np.ndarray:
    """Return the place of each unit of a layer: most selective first, dead ones last."""
    order = np.lexsort((own["unit"], -np.nan_to_num(own["selectivity"], nan=-1.0), own["dead"]))
    return np.argsort(order)


# --- texts and measures ----------------------------------------------------------------------------------------------


def layer_title(layer: str, own: Table) -> str:
    """Return the name of a layer with its numbers of units and of dead ones."""
    dead = int(own["dead"].sum())
    return f"{layer} ({len(own['unit'])} units{f', {dead} dead' if dead else ''})"


def correlation_text(layers: Table, layer: str, method: str, x: str, y: str) -> str:
    """Return a correlation with its interval and number of units, or why there is none; it breaks only at spaces."""
    found = correlation_of(layers, layer, method, x, y)
    if not math.isfinite(found["spearman"]):
        return f"ρ undefined, {_readable(found['reason'], method)}"
    interval = f"[{_signed(found['ci_low'])},\u00a0{_signed(found['ci_high'])}]"
    interval = interval if math.isfinite(found["ci_low"]) else "(no interval)"
    return f"ρ\u00a0=\u00a0{_signed(found['spearman'])} {interval}, n\u00a0=\u00a0{found['used']}"


def _readable(reason: str, method: str) -> str:
    """Return a reason with the names of scores instead of those of columns."""
    for score, name in reversed(SCORE_NAMES.items()):
        reason = reason.replace(f"{score}_{method} ", f"{name} ")
    return reason.replace("ablation_loss ", "the rise of the loss ")


def _signed(value: float) -> str:
    # Adding 0 takes the sign from a zero.
    return f"{round(value, 2) + 0.0:.2f}".replace("-", MINUS)


def _rs_text(value: float, name: str = "RS") -> str:
    """Return RS with the decimals that tell a small one from none; it is not broken."""
    number = f"{value:.1g}" if 0 < value < 0.01 else f"{value:.2f}"
    return f"{name} {number}".replace(" ", "\u00a0")


def _unscored_text(own: Table, column: str) -> str:
    """Tell how many living units are not in the panel."""
    unscored = int((~np.isfinite(own[column] + own["selectivity"]) & ~own["dead"]).sum())
    return f", {unscored}\u00a0unscored" if unscored else ""


def _selectivity_footer(units: Table) -> str:
    texts = ["Darker marks: several units at one place."]
    if np.isfinite(units["selectivity_permuted"]).any():
        texts.append("Dashed: mean selectivity under permuted labels.")
    texts.append("Unscored: without RS or without selectivity.")
    return " ".join(texts)


def _living_mean(own: Table, column: str) -> float:
    values = own[column][~own["dead"]]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return limits that hold all values and 0, with a margin."""
    values = np.append(values[np.isfinite(values)], 0.0)
    margin = 0.06 * (np.ptp(values) or 1.0)
    return float(values.min() - margin), float(values.max() + margin)


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of at most so many characters."""
    # A name without spaces that is longer than a panel is broken rather than cut off.
    return "\n".join(textwrap.wrap(text, max(width, 1), break_on_hyphens=False)) or text


def relative_box(
    box: tuple[float, float, float, float], width: float, height: float
) -> tuple[float, float, float, float]:
    """Return a box (left, bottom, width, height) in inches as shares of the figure."""
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height
