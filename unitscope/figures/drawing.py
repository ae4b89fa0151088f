"""What all figures share: for print, for the colour-blind, equal bytes each time.

Colours are Okabe and Ito's, methods differ by marker as well, and the number of units stands beside every correlation.
Nothing is computed in figures that a table could hold: scores and correlations come from
`unitscope.tables.unit_tables`.
"""

import functools
import io
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import matplotlib
import numpy as np
from fontTools.subset import Options
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from PIL import Image

from unitscope.errors import UserError
from unitscope.figures.style import Style
from unitscope.storage.atomic_writes import write_bytes
from unitscope.tables.unit_tables import RS_NAMES, Table, correlation_of, two_decimals

GREY = "#767676"
MINUS = "\N{MINUS SIGN}"

PAGE_HEIGHT = 9.5
"""Inches that panels are fitted into, as long as they stay readable."""

NARROWEST_PANEL = 1.1
"""Inches of the page's width that a panel takes, below which fewer stand side by side."""

MOST_PIXELS = 25_000_000
"""Of a sheet: above it the resolution is lowered, so that a layer of thousands of units can still be opened."""

SCORE_NAMES = RS_NAMES

P = ParamSpec("P")
R = TypeVar("R")


def check(style: Style) -> None:
    """Refuse colours that Matplotlib does not know.

    Raises:
        UserError: Which, and what is allowed.
    """
    for color in style.colors:
        if not is_color_like(color):
            raise UserError(
                f"figures.colors holds {color!r}, which is no colour. Use a name such as 'navy' or a code such as "
                "'#0072B2'."
            )
    if style.colormap not in matplotlib.colormaps:
        raise UserError(
            f"figures.colormap is {style.colormap!r}, which Matplotlib does not have. Use a diverging one: PuOr_r, "
            "RdBu_r, BrBG or coolwarm."
        )


def styled(draw: Callable[Concatenate[Style, P], R]) -> Callable[Concatenate[Style, P], R]:
    """Run a function under the settings of its first argument, whatever the caller's own are."""

    @functools.wraps(draw)
    def drawn(style: Style, *args: P.args, **kwargs: P.kwargs) -> R:
        check(style)
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(style.parameters())  # type: ignore[arg-type]
            return draw(style, *args, **kwargs)

    return drawn


@styled
def save(style: Style, figure: Figure, path: Path) -> None:
    """Write a figure as `path`.png and `path`.pdf, without dates and versions in them."""
    pixels = figure.get_figwidth() * figure.get_figheight() * style.dpi**2
    dpi = style.dpi * min(1.0, math.sqrt(MOST_PIXELS / pixels))
    with _fonts_of_outlines():
        for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=dpi, metadata=metadata)
            write_bytes(path.with_name(f"{path.name}.{kind}"), content.getvalue())


@contextmanager
def _fonts_of_outlines() -> Iterator[None]:
    """Leave out of embedded fonts what only shapes a text: Matplotlib has placed each letter, and no viewer reads it.

    Cutting these tables takes half of the time of a PDF.
    """
    usual = Options._drop_tables_default
    Options._drop_tables_default = [*usual, "GDEF", "GPOS", "GSUB"]
    try:
        yield
    finally:
        Options._drop_tables_default = usual


@styled
def stacked(style: Style, figures: Sequence[Figure]) -> bytes:
    """Return figures of one width below one another as one PNG."""
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
    return two_decimals(value).replace("-", MINUS)


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of at most so many characters."""
    # A name without spaces that is longer than a panel is broken rather than cut off.
    return "\n".join(textwrap.wrap(text, max(width, 1), break_on_hyphens=False)) or text


def relative_box(
    box: tuple[float, float, float, float], width: float, height: float
) -> tuple[float, float, float, float]:
    """Return a box (left, bottom, width, height) in inches as shares of the figure."""
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


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


def ranks_by_selectivity(own: Table) -> np.ndarray:
    """Return the place of each unit of a layer: most selective first, dead ones last."""
    order = np.lexsort((own["unit"], -np.nan_to_num(own["selectivity"], nan=-1.0), own["dead"]))
    return np.argsort(order)
