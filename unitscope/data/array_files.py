"""Data sets in one .npz or .h5 file, as Keras, MedMNIST and others write them: images, labels, perhaps a split.

What has one meaning is read; otherwise the message says what to change. Nothing is unpickled.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unitscope.data.array_containers import array_names, read_named
from unitscope.data.array_images import joined, joined_images
from unitscope.data.array_labels import as_labels, flat, split_numbers
from unitscope.data.array_names import conjoined, named_arrays
from unitscope.data.dataset_settings import ArraysSettings
from unitscope.data.labels import SPLITS
from unitscope.errors import UserError
from unitscope.runtime.console import log


@dataclass(frozen=True)
class Arrays:
    """Attributes as those of `datasets.Collection`: the images whole, and `split` None where the file has none."""

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]
    split: np.ndarray | None


def read_arrays(path: Path, settings: ArraysSettings) -> Arrays:
    """Read a file of arrays.

    Names, in any case: `images` or `x`, `labels` or `y`, optionally `split` and `classes` (`class_names`,
    `label_names`); or each split by itself: `x_train`, `train_images` and so on, with any name of a split that
    `labels.roles` understands. Other arrays are named in a warning.

    Args:
        path: An .npz or .h5 file.
        settings: Of the data set.

    Raises:
        UserError: An array is missing, or has no meaning, or several.
    """
    names = array_names(path)
    names_by_key, parts = named_arrays(path, names, settings)
    arrays = read_named(path, names_by_key)
    for part in parts.values():
        size, rows = (len(arrays[part[kind]]) if arrays[part[kind]].ndim else 0 for kind in ("images", "labels"))
        if "" not in parts and size != rows:
            raise UserError(
                f"{path}: {part['labels']} has {rows} rows, and {part['images']} has {size}. Give each image one label."
            )
    images = joined_images(path, {part["images"]: arrays[part["images"]] for part in parts.values()}, settings)
    labels = joined(path, {part["labels"]: flat(arrays[part["labels"]]) for part in parts.values()})
    where = f"{path}: {conjoined(part['labels'] for part in parts.values())}"
    labels, classes = as_labels(labels, len(images), where, settings.classes, arrays.get("classes"))
    if "" in parts:
        split = split_numbers(path, arrays.get("split"), len(images), settings)
        if split is not None and (split < 0).any():
            log.warning("%s: %d images of other splits are not read.", path, (split < 0).sum())
            images, labels, split = images[split >= 0], labels[split >= 0], split[split >= 0]
        return Arrays(images, labels, classes, None if split is None else split.astype(np.uint8))
    sizes = [len(arrays[part["images"]]) for part in parts.values()]
    split = np.repeat(np.array([SPLITS[name] for name in parts], np.uint8), sizes) if "test" in parts else None
    return Arrays(images, labels, classes, split)
