"""Generated images of units as a notebook shows them: each unit's image and the course of its objective.

Arrays in, texts and bytes out; what is shown is put together by `unitscope.api`.
"""

import base64
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from unitscope.figures.drawing import styled
from unitscope.figures.pictures import rgb
from unitscope.figures.style import Style

THUMBNAIL = 128
"""Pixels on the longer side of an image in a notebook."""
CURVE = (THUMBNAIL, 36)
"""Width and height of a curve in a notebook, px."""
MOST = 48
"""Units that a notebook shows; more make a page slow."""
PIXELATED = 64
"""Side up to which an image is enlarged without interpolation, px."""


@dataclass(frozen=True)
class UnitView:
    """What is shown of a unit.

    Attributes:
        title: What stands above it.
        image: (height, width, channels), uint8 or float in [0, 1].
        steps: (points,) at which the objective was recorded.
        objective: (points,).
    """

    title: str
    image: np.ndarray
    steps: np.ndarray
    objective: np.ndarray


def enlarged(image: np.ndarray, size: int) -> Image.Image:
    """Return an image (height, width, channels) with `size` pixels on its longer side."""
    picture = Image.fromarray(rgb(image[None])[0])
    scale = size / max(picture.size)
    small = max(picture.size) <= PIXELATED
    resample = Image.Resampling.NEAREST if small and scale > 1 else Image.Resampling.LANCZOS
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), resample)


def sheet(images: np.ndarray, size: int) -> bytes:
    """Return images (n, height, width, channels) as one PNG, in rows, each with `size` pixels on its longer side."""
    pictures = [enlarged(image, size) for image in images]
    gap = 0 if len(pictures) == 1 else max(1, size // 32)
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].width + gap, pictures[0].height + gap
    canvas = Image.new("RGB", (columns * width - gap, rows * height - gap), "white")
    for number, picture in enumerate(pictures):
        canvas.paste(picture, (number % columns * width, number // columns * height))
    return _png(canvas)


def as_html(views: Sequence[UnitView], caption: str) -> str:
    """Return units side by side, each with its image above its objective; those beyond `MOST` are counted."""
    figures = "".join(
        f'<figure style="margin:0;width:{THUMBNAIL}px"><figcaption style="font-size:11px;overflow-wrap:anywhere">'
        f"{html.escape(view.title)}</figcaption>{image_html(view.image)}{_curve(view)}</figure>"
        for view in views[:MOST]
    )
    more = f"<p>and {len(views) - MOST} more units</p>" if len(views) > MOST else ""
    return (
        f'<div><p style="margin:0 0 4px">{html.escape(caption)}</p>'
        f'<div style="display:flex;flex-wrap:wrap;gap:10px">{figures}</div>{more}</div>'
    )


def image_html(image: np.ndarray, size: int = THUMBNAIL) -> str:
    """Return an image (height, width, channels) as an element that holds its own pixels."""
    content = base64.b64encode(_png(enlarged(image, size))).decode()
    return f'<img style="display:block;max-width:100%" src="data:image/png;base64,{content}" alt="">'


def _curve(view: UnitView) -> str:
    """Return the course of an objective as a line from its first to its last value."""
    (width, height), values = CURVE, view.objective.astype(np.float64)
    spread = np.ptp(values) or 1.0
    across = (view.steps - view.steps[0]) / max(int(np.ptp(view.steps)), 1) * (width - 4) + 2
    down = (height - 4) * (1 - (values - values.min()) / spread) + 2
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="objective by step">'
        f'<polyline points="{points}" fill="none" stroke="#0072B2" stroke-width="1.5"/></svg>'
        f'<div style="font-size:10px;color:#666">{values[0]:.3g} → {values[-1]:.3g}</div>'
    )


@styled
def as_png(style: Style, views: Sequence[UnitView], caption: str) -> bytes:
    """Return the same as a PNG: each unit's image above its objective, at most eight in a row."""
    shown = views[:MOST]
    columns = min(8, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(max(1.5 * columns, 3.0), 2.2 * rows + 0.4), layout="constrained")
    figure.suptitle(caption, size=style.font_size)
    for number, view in enumerate(shown):
        image, curve = (figure.add_subplot(2 * rows, columns, _place(number, half, columns)) for half in (0, 1))
        image.imshow(rgb(view.image[None])[0], interpolation="nearest")
        image.set_axis_off()
        image.set_title(view.title, size=style.small)
        curve.plot(view.steps, view.objective, color=style.colors[0], linewidth=1)
        curve.set_xlabel("step", size=style.small)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()


def _place(number: int, half: int, columns: int) -> int:
    """Return the place of the image (0) or curve (1) of a unit in a grid, from 1."""
    row, column = divmod(number, columns)
    return (2 * row + half) * columns + column + 1


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="png", optimize=True)
    return content.getvalue()
