"""What a table of activations (images, units) is summed up to: each unit's scale, and its mean for each class.

Only numpy is needed. Running the network belongs to `unitscope.activations`; what is concluded from these numbers, to
`unitscope.selectivity` and `unitscope.substitution`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.errors import UserError

LEAST_POSITIVE = 20
"""A unit with fewer positive activations than this has no 99th percentile of them."""

MOMENTS = ("layer", "unit", "mean", "std", "spatial_mean")
"""Columns of a table of moments over the training split: of the activation as it is read out, and of the unit's map."""

BLOCK = 2**21
"""Activations of a layer that are read at a time: what bounds the memory, however many images there are."""


@dataclass(frozen=True)
class UnitStatistics:
    """What real images say about each unit's scale; every array is (units,).

    Attributes:
        mean: Mean activation.
        std: Standard deviation (population).
        positive_q99: 99th percentile of the positive activations, NaN below 20 of them.
        max: Largest activation.
        firing_rate: Share of images with a positive activation.
    """

    mean: np.ndarray
    std: np.ndarray
    positive_q99: np.ndarray
    max: np.ndarray
    firing_rate: np.ndarray


def unit_blocks(values: Any, block: int = BLOCK) -> Iterator[np.ndarray]:
    """Yield activations (images, units) by blocks of units, each with about `block` numbers.

    Args:
        values: An array, or a data set of an HDF5 file, of which whole chunks are read at once where that is possible.
        block: How many numbers.
    """
    images, units = values.shape
    width = max(1, block // images)
    chunk = (getattr(values, "chunks", None) or (1, 1))[1]
    width -= width % chunk if width > chunk else 0
    for first in range(0, units, width):
        yield values[:, first : first + width]


def unit_statistics(values: np.ndarray) -> UnitStatistics:
    """Return the statistics of activations (images, units)."""
    positive = np.where(values > 0, values, np.nan)
    count = (values > 0).sum(0)
    quantile = np.full(values.shape[1], np.nan)
    enough = count >= LEAST_POSITIVE
    if enough.any():
        quantile[enough] = np.nanquantile(positive[:, enough], 0.99, axis=0)
    return UnitStatistics(
        mean=values.mean(0, dtype=np.float64),
        # A constant unit has standard deviation 0, not the rounding error of its mean.
        std=np.where(np.ptp(values, axis=0) == 0, 0.0, values.std(0, dtype=np.float64)),
        positive_q99=quantile,
        max=values.max(0),
        firing_rate=count / len(values),
    )


def moments_of(moments: Mapping[str, np.ndarray], layer: str) -> dict[str, np.ndarray]:
    """Return what a table of moments says of a layer's units: `mean`, `std` and `spatial_mean`, each (units,).

    Args:
        moments: Columns `MOMENTS` over the units of all layers.
        layer: Name of the layer.

    Raises:
        UserError: The table has no unit of that layer.
    """
    own = moments["layer"] == layer
    if not own.any():
        known = ", ".join(dict.fromkeys(moments["layer"].tolist()))
        raise UserError(
            f"The table of moments has no layer {layer!r}; it has {known}. "
            "Run the workflow, so that the activations of all layers of the experiment are in it."
        )
    return {name: moments[name][own].astype(np.float64) for name in ("mean", "std", "spatial_mean")}


def class_means(activations: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return each unit's mean of max(activation, 0) over the images of each class.

    Negative values of signed layers count as 0: the paper analyses positive activations, and a signed mean would take
    selectivity out of [0, 1].

    Args:
        activations: (images, units).
        labels: (images,) class of each image, as its position in `classes`.
        classes: Names of the classes.

    Returns:
        (classes, units) in float64. Every class weighs the same afterwards, whatever its number of images.

    Raises:
        UserError: A class has no image, or a label lies outside `classes`.
    """
    return group_means(np.maximum(activations, 0), labels, class_sizes(labels, classes))


def class_sizes(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return the number of images of each class, (classes,), of which none may be empty."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise UserError(
            f"The labels run from {labels.min()} to {labels.max()}, but there are {len(classes)} classes, numbered "
            "from 0. Make the data set's labels positions in its list of class names."
        )
    sizes = np.bincount(labels, minlength=len(classes))
    if not sizes.all():
        empty = ", ".join(str(classes[int(i)]) for i in np.flatnonzero(sizes == 0))
        raise UserError(
            f"No image of the test split belongs to class {empty}, so its mean activation and with it the class "
            "selectivity are undefined. Add images of that class, raise the share of the test split, or remove the "
            "class from the data set."
        )
    return sizes


def group_means(values: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the mean of values (images, units) over each class of the given size, (classes, units)."""
    starts = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(values[np.argsort(labels, kind="stable")], starts, axis=0, dtype=np.float64)
    return sums / sizes[:, None]
