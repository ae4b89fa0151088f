"""Pictures: images as people look at them, in colour, no larger than needed, many of one size on a sheet.

Arrays in, arrays and bytes out. Which images are shown, and what stands beside them, is for
`unitscope.figures.sheet_figures` and `unitscope.atlas.content`.
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

PER_SHEET = 256
"""Images on a sheet: few enough that one is decoded at once when a unit is looked at."""

COLUMNS = 16
"""Images in a row of a sheet."""

MACROBLOCK = 16
"""Pixels on a side of the squares that lossy WebP works on: an image that begins with one does not leak into others."""

QUALITY = 85
"""Of lossy WebP."""


@dataclass(frozen=True)
class Sheets:
    """Images of one size, `PER_SHEET` to a sheet, each found by its number.

    Attributes:
        files: The sheets, as WebP.
        size: (width, height) of an image.
        cell: (width, height) of what an image takes on its sheet.
        count: Number of images.
    """

    files: list[bytes]
    size: tuple[int, int]
    cell: tuple[int, int]
    count: int


def rgb(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width, channels), uint8 or float in [0, 1], as (n, height, width, 3) uint8.

    Images of other than 1 and 3 channels are shown in grey, by the mean over their channels.
    """
    if images.shape[-1] not in (1, 3):
        kind = images.dtype
        images = images.mean(axis=-1, keepdims=True)
        images = np.rint(images).astype(kind) if kind == np.uint8 else images
    if images.dtype != np.uint8:
        images = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def reduced(images: np.ndarray, side: int) -> np.ndarray:
    """Return images (n, height, width, 3) at no more than `side` pixels a side."""
    scale = side / max(images.shape[1:3])
    if scale >= 1:
        return images
    size = (max(1, round(images.shape[2] * scale)), max(1, round(images.shape[1] * scale)))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def sheets(blocks: Iterable[np.ndarray], exact: bool) -> Sheets:
    """Lay images out on sheets.

    Args:
        blocks: Images (n, height, width, 3) uint8, a sheet at a time: `PER_SHEET` in each block but the last.
        exact: Whether every pixel is kept as it is; otherwise sheets are a fraction of the size.

    Raises:
        ValueError: There is no image.
    """
    files, count, size, cell = [], 0, (0, 0), (0, 0)
    for block in blocks:
        size = (block.shape[2], block.shape[1])
        cell = size if exact else tuple(math.ceil(side / MACROBLOCK) * MACROBLOCK for side in size)  # type: ignore[assignment]
        files.append(_encoded(_laid_out(block, cell), exact))
        count += len(block)
    if not files:
        raise ValueError("sheets need an image")
    return Sheets(files, size, cell, count)


def _laid_out(images: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """Return images side by side, `COLUMNS` in a row, each repeating its edge to the end of its cell."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / COLUMNS)
    padded = np.pad(
        images,
        ((0, rows * COLUMNS - count), (0, cell[1] - height), (0, cell[0] - width), (0, 0)),
        mode="edge",
    )
    grid = padded.reshape(rows, COLUMNS, cell[1], cell[0], channels).swapaxes(1, 2)
    return grid.reshape(rows * cell[1], COLUMNS * cell[0], channels)


def _encoded(picture: np.ndarray, exact: bool) -> bytes:
    content = io.BytesIO()
    # The last pixel of every colour counts, or the size does.
    settings = {"lossless": True, "quality": 50} if exact else {"quality": QUALITY}
    Image.fromarray(picture).save(content, format="webp", method=4, **settings)
    return content.getvalue()
