"""Labelled image sets: kept as one HDF5 artifact, read back in batches.

Every source becomes the same: uint8 images, a label and a split for each, names of the classes. Where they come from is
for `unitscope.data.raw_data`; what is computed on them belongs to the modules above.
"""

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from unitscope.data.decoding import Decoder
from unitscope.data.labels import SPLITS
from unitscope.errors import UserError
from unitscope.runtime.console import log, progress
from unitscope.storage.hdf5 import create_hdf5, open_hdf5
from unitscope.storage.records import canonical_json

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
        settings: Returns the settings as they were applied, once all images have been read.
        index: Reads every image once and returns arrays (images,) to stand in the artifact instead of the pixels; None
            where the pixels are stored.
        attributes: What reading an index needs to know.
        warn: Says what reading the images has told; called once all have been read.
    """

    labels: np.ndarray
    split: np.ndarray
    classes: list[str]
    images: Callable[[np.ndarray], np.ndarray]
    settings: Callable[[], Mapping[str, Any]]
    index: Callable[[], dict[str, np.ndarray]] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    warn: Callable[[], None] = lambda: None


# --- the artifact ----------------------------------------------------------------------------------------------------


def write_dataset(path: Path, collection: Collection) -> None:
    """Write a data set: the training split, then the test split; pixels a block at a time, or the index of a folder.

    Its attribute `settings` holds the settings as they were applied: without those that no image was subject to.
    """
    order = np.argsort(collection.split, kind="stable")
    count = len(order)
    applied = collection.settings()
    with create_hdf5(path, {"settings": applied, **collection.attributes}) as out:
        out.attrs["classes"] = np.array(collection.classes, dtype=h5py.string_dtype())
        out["labels"], out["split"] = collection.labels[order], collection.split[order]
        if collection.index is not None:
            for name, array in collection.index().items():
                out[name] = array[order]
            _finish(out, collection, applied)
            return
        with progress(count, "data set", "images") as advance:
            for first in range(0, count, ROWS):
                block = collection.images(order[first : first + ROWS])
                if not first:
                    rows = min(count, max(1, CHUNK // block[0].size))
                    shape = block.shape[1:]
                    images = out.create_dataset("images", (count, *shape), np.uint8, chunks=(rows, *shape))
                images[first : first + len(block)] = block
                out.check()
                advance(len(block))
        _finish(out, collection, applied)


def _finish(out: h5py.File, collection: Collection, applied: Mapping[str, Any]) -> None:
    """Rewrite the settings where reading the images has told more, and warn of what it has told."""
    if (updated := collection.settings()) != applied:
        out.attrs["settings"] = canonical_json(updated)
    collection.warn()


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
            read = {**self.settings, "resize": resize, "crop": crop, "mode": file.attrs["mode"]}
            self._decode = Decoder.of(Path(file.attrs["root"]), read)
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

    def mean_image(self, size: int) -> np.ndarray:
        """Return the mean training image (channels, height, width) in [0, 1], read `size` images at a time."""
        total = sum(batch.sum(0, dtype=np.float64) for batch in self.batches("train", size))
        return np.moveaxis(total / self.count("train") / 255, -1, 0)

    def examples(self) -> np.ndarray:
        """Return two images of the test split, its first and its last, uint8 (2, height, width, channels)."""
        return self.take("test", np.array([0, self.count("test") - 1]))

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
    expected = {"labels": (1, "iu"), "split": (1, "iu"), **({"images": (4, "u")} if stored else {"paths": (1, "O")})}
    if not stored:
        expected["sha256"] = (1, "O")
    for name, (dimensions, kinds) in expected.items():
        if name not in arrays:
            return f"it has no array {name!r}"
        array = arrays[name]
        if array.ndim != dimensions or array.dtype.kind not in kinds or len(array) != len(arrays["labels"]):
            return f"{name} is {array.dtype} of shape {array.shape}"
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
