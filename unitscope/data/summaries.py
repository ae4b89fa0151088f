"""What a table of activations (images, units) is summed up to: each unit's scale, and its mean for each class.

Only numpy is needed. Running the network belongs to `unitscope.probing.activations`; what is concluded from these
numbers, to `unitscope.scores.selectivity` and `unitscope.scores.substitution`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.errors import UserError

LEAST_POSITIVE = 20
"""A unit with fewer positive activations than this has no 99th percentile of them."""


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
        values: An array, or a data set of an HDF5 file, of which whole chunks are read, each once.
        block: How many numbers.
    """
    images, units = values.shape
    width = max(1, block // images)
    chunk = (getattr(values, "chunks", None) or (1, 1))[1]
    width = max(chunk, width - width % chunk)
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


def mean_and_std(batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and population standard deviation, both (units,), of activations in batches (images, units).

    Batches are merged as they come (Chan, Golub and LeVeque 1983), so that memory does not grow with the images.
    """
    count = 0
    mean = squares = low = high = np.zeros(0)
    for batch in batches:
        batch_mean, size = batch.mean(0, dtype=np.float64), len(batch)
        spread = ((batch - batch_mean) ** 2).sum(0, dtype=np.float64)
        if not count:
            count, mean, squares, low, high = size, batch_mean, spread, batch.min(0), batch.max(0)
            continue
        shift = batch_mean - mean
        mean = mean + shift * size / (count + size)
        squares = squares + spread + shift**2 * count * size / (count + size)
        low, high, count = np.minimum(low, batch.min(0)), np.maximum(high, batch.max(0)), count + size
    # A constant unit has standard deviation 0, not the rounding error of its mean.
    return mean, np.where(low == high, 0.0, np.sqrt(squares / max(count, 1)))


def moments_of(moments: Mapping[str, np.ndarray], layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation, both (units,), of a layer's units from a table of all units of a network.

    Args:
        moments: Columns `layer`, `unit`, `mean` and `std`.
        layer: Name of the layer.

    Raises:
        UserError: The table has no unit of that layer.
    """
    in_layer = moments["layer"] == layer
    if not in_layer.any():
        layer_names = ", ".join(dict.fromkeys(moments["layer"].tolist()))
        raise UserError(
            f"The table of moments has no layer {layer!r}; it has {layer_names}. It belongs to another network: run "
            "the workflow, or name the table of this one."
        )
    return moments["mean"][in_layer].astype(np.float64), moments["std"][in_layer].astype(np.float64)


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
    return group_sums(values, labels, sizes) / sizes[:, None]


def group_sums(values: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the sum of values (images, units) over each class of the given size, none of them 0, (classes, units)."""
    starts = np.cumsum(sizes) - sizes
    return np.add.reduceat(values[np.argsort(labels, kind="stable")], starts, axis=0, dtype=np.float64)
