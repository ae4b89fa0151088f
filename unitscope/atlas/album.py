"""The sheets of images of a page, and which natural images it needs."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unitscope.figures.pictures import COLUMNS, PER_SHEET, reduced, rgb, sheets
from unitscope.scores.exemplars import Exemplars

ENLARGED = 64
"""Images up to this many pixels a side are shown enlarged, pixel by pixel."""


@dataclass
class Album:
    """The sheets of a page, numbered in the order in which they were added.

    Attributes:
        pixels: Longest side of an image; larger ones are scaled down.
        sheets: What has been added, as WebP.
    """

    pixels: int
    sheets: list[bytes] = field(default_factory=list)

    def add(self, blocks: Iterable[np.ndarray], generated: bool) -> dict[str, Any]:
        """Add images of one size.

        Args:
            blocks: Images (n, height, width, channels), `PER_SHEET` in each block but the last.
            generated: Whether the images were made for units: those that are shown pixel by pixel are kept as they are,
                pixel by pixel too.

        Returns:
            Where they are found: the number of the first sheet, and how images lie on it.
        """
        blocks = iter(blocks)
        first = next(blocks)
        enlarged = max(first.shape[1:3]) <= min(ENLARGED, self.pixels)
        small = (reduced(rgb(block), self.pixels) for block in itertools.chain([first], blocks))
        new_sheets = sheets(small, exact=generated and enlarged)
        place = {
            "sheet": len(self.sheets),
            "count": new_sheets.count,
            "perSheet": PER_SHEET,
            "columns": COLUMNS,
            "size": new_sheets.size,
            "cell": new_sheets.cell,
            "enlarged": enlarged,
        }
        self.sheets += new_sheets.files
        return place


def shown(exemplars: Iterable[Exemplars]) -> np.ndarray:
    """Return the rows of the data set that a page needs, each once, in the order in which units come upon them."""
    rows = np.concatenate([one.images.ravel() for one in exemplars] or [np.empty(0, dtype=np.int64)])
    distinct_rows, first = np.unique(rows, return_index=True)
    return distinct_rows[np.argsort(first)][distinct_rows[np.argsort(first)] >= 0]
