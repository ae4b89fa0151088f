"""What all figures share: for print, for the colour-blind, equal bytes each time.

Colours are Okabe and Ito's, methods differ by marker as well, and the number of units stands beside every correlation.
Nothing is computed in figures that a table could hold: scores and correlations come from tables.
"""

import functools
import io
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from unitscope.scores.score_names import RS_NAMES
from unitscope.storage.atomic_writes import write_bytes
from unitscope.tables.ceiling_text import ceiling_of, why_untestable
from unitscope.tables.number_text import interval, number, typeset
from unitscope.tables.table_access import Table, correlation_of

GREY = "#767676"
PAGE_HEIGHT = 9.5
"""Inches that panels are fitted into, as long as they stay readable."""
MOST_PIXELS = 25_000_000
"""Of a sheet: above it the resolution is lowered, so that a layer of thousands of units can still be opened."""
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
    canvas, top = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        canvas.paste(picture, (0, top))
        top += picture.height + gap
    content = io.BytesIO()
    canvas.save(content, format="png", optimize=True)
    return content.getvalue()


def layer_title(layer: str, layer_units: Table) -> str:
    """Return the name of a layer with its numbers of units and of dead ones."""
    dead = int(layer_units["dead"].sum())
    return f"{layer} ({len(layer_units['unit'])} units{f', {dead} dead' if dead else ''})"


def correlation_text(layers: Table, layer: str, method: str, x: str, y: str) -> str:
    """Return a correlation with its interval, ceiling and number of units, or why there is none.

    The ceiling is that of a correlation with an ablation loss. The text breaks only at spaces.
    """
    correlation = correlation_of(layers, layer, method, x, y)
    if not math.isfinite(correlation["spearman"]):
        return f"ρ undefined, {_readable(correlation['reason'], method)}"
    ends = interval(correlation["ci_low"], correlation["ci_high"], "(no interval)").replace(", ", ",\u00a0")
    text = f"ρ\u00a0=\u00a0{number(correlation['spearman'])} {ends}"
    if math.isfinite(limit := ceiling_of(correlation)):
        text += f", ceiling\u00a0{number(limit)}"
    untestable = why_untestable(correlation)
    return typeset(text) + f", n\u00a0=\u00a0{correlation['used']}" + (f", {untestable}" if untestable else "")


def _readable(reason: str, method: str) -> str:
    """Return a reason with the names of scores instead of those of columns."""
    for score, name in reversed(RS_NAMES.items()):
        reason = re.sub(rf"{score}_{re.escape(method)}(?![\w.-])", name, reason)
    return re.sub(r"ablation_loss(?!\w)", "the rise of the loss", reason)


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of at most so many characters."""
    # A name without spaces that is longer than a panel is broken rather than cut off.
    return "\n".join(textwrap.wrap(text, max(width, 1), break_on_hyphens=False)) or text


def relative_box(
    box: tuple[float, float, float, float], width: float, height: float
) -> tuple[float, float, float, float]:
    """Return a box (left, bottom, width, height) in inches as shares of the figure."""
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def tilt_names(axes: Axes) -> None:
    """Tilt the names along the horizontal axis, where they are too long to stand level."""
    for label in axes.get_xticklabels():
        label.set(rotation=40, ha="right", rotation_mode="anchor")


def ranks_by_selectivity(layer_units: Table) -> np.ndarray:
    """Return the place of each unit of a layer: most selective first, dead ones last."""
    order = np.lexsort((layer_units["unit"], -np.nan_to_num(layer_units["selectivity"], nan=-1.0), layer_units["dead"]))
    return np.argsort(order)
