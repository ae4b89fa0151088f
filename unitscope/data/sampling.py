"""Which units of a layer and which images of a test split are looked at, and which half each image belongs to.

Only numpy is needed. Images are taken by class, and the same ones each time. A score that is to predict another is
taken on one half of the images and the other score on the other, or noise that both share would look like a relation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unitscope.errors import UserError
from unitscope.randomness import generator
from unitscope.settings import Sample


def select_units(selection: Any, units: int) -> np.ndarray:
    """Return the target units, ascending.

    Args:
        selection: "all", a list of unit numbers, or a sample.
        units: Number of units of the layer.

    Raises:
        UserError: A unit that the layer does not have.
    """
    if selection == "all":
        return np.arange(units)
    if isinstance(selection, Mapping):
        selection = Sample(**selection)
    if isinstance(selection, Sample):
        count = min(selection.sample, units)
        return np.sort(generator("sample", selection.seed).choice(units, count, replace=False))
    numbers = np.unique(np.asarray(selection, dtype=np.int64))
    if len(numbers) == 0 or numbers[0] < 0 or numbers[-1] >= units:
        raise UserError(f"units is {selection}; this layer has the units 0 to {units - 1}.")
    return numbers


def sample_rows(rows: int, most: int | None, seed: tuple[int | str, ...]) -> np.ndarray:
    """Return the numbers of a random sample of rows, ascending; all of them where `most` is None or not fewer.

    Args:
        rows: Number of rows.
        most: Number of rows of the sample.
        seed: Name of the draw.
    """
    if most is None or rows <= most:
        return np.arange(rows)
    return np.sort(generator(*seed).choice(rows, most, replace=False))


def balanced_sample(labels: np.ndarray, images: int | None) -> np.ndarray:
    """Return the rows of a random sample of images, ascending, with as many of each class as may be.

    Args:
        labels: (all images,) class numbers.
        images: Number of images of the sample; None takes all.
    """
    if images is None or images >= len(labels):
        return np.arange(len(labels))
    shuffled, ranks = _ranks_in_class(labels)
    return np.sort(shuffled[np.argsort(ranks, kind="stable")[:images]])


def halves(labels: np.ndarray) -> np.ndarray:
    """Return the half, 0 or 1, that each image belongs to, (images,); each class is split evenly.

    A balanced sample holds as many of one half as of the other, but for an odd one in a class.

    Args:
        labels: (images,) class numbers of the whole split.
    """
    shuffled, ranks = _ranks_in_class(labels)
    result = np.empty(len(labels), np.int64)
    result[shuffled] = ranks % 2
    return result


def _ranks_in_class(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a random order of the images, and the place of each one in it among those of its class."""
    shuffled = generator("ablation", "images").permutation(len(labels))
    ranks = np.empty(len(labels), np.int64)
    for number in np.unique(labels):
        positions = np.flatnonzero(labels[shuffled] == number)
        ranks[positions] = np.arange(len(positions))
    return shuffled, ranks
