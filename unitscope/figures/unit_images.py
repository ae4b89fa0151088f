"""Images of a layer's units and the layer's responses to them, as figures read them from artifacts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.figures.pictures import rgb
from unitscope.maximization.responses import compared_in
from unitscope.scores.strength import relative_strength
from unitscope.storage.hdf5 import open_hdf5


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
        """Return the strength of all units' responses to each target's image, (targets, units), relative to its own.

        NaN in the rows of units that are silent in all seeds.
        """
        result = np.empty(self.responses.shape[1:])
        for row, unit in enumerate(self.units):
            result[row] = relative_strength(self.responses[:, row, unit], self.responses[:, row])
        return result


def read_images(paths: Iterable[Path]) -> dict[tuple[str, str], UnitImages]:
    """Return what artifacts of images hold, by layer and method; several of one layer and method are joined.

    Raises:
        UserError: A file is missing, damaged, or holds something else.
    """
    by_key: dict[tuple[str, str], list[UnitImages]] = {}
    for path in paths:
        with open_hdf5(path) as handle:
            responses = compared_in(handle)
            unit_images = UnitImages(handle["units"][:], handle["images"][:1], responses)
            by_key.setdefault(layer_and_method(handle), []).append(unit_images)
    return {
        key: shards[0]
        if len(shards) == 1
        else UnitImages(
            np.concatenate([shard.units for shard in shards]),
            np.concatenate([shard.images for shard in shards], axis=1),
            np.concatenate([shard.responses for shard in shards], axis=1),
        )
        for key, shards in by_key.items()
    }


def layer_and_method(handle: Any) -> tuple[str, str]:
    """Return layer and method of an artifact of images."""
    return str(handle.attrs["layer"]), str(handle.attrs["method"])
