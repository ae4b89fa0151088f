"""Artifacts on disk: written whole or not at all, the same bytes for the same inputs, versioned and checked when read.

HDF5 for arrays, CSV for tables, JSON for records. What is inside which file is decided by its writer in `scripts/`;
tensors of checkpoints belong to `unitscope.networks.checkpoints`.
"""

import contextlib
import csv
import hashlib
import json
import logging
import os
import re
import shutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import h5py
import numpy as np

from unitscope.errors import UserError
from unitscope.new_files import new_file, not_through_links, remove

log = logging.getLogger("unitscope")

FORMAT_VERSION = 1
"""Of every HDF5 artifact and record; raised when a layout changes in a way that readers notice."""

TEXT_COLUMNS = ("experiment", "network", "layer", "kind", "method", "x", "y", "reason", "substitutes", "top_class")
"""Columns that hold names, whatever they look like: "3" is a layer of an `nn.Sequential`."""
TEXT_OF_METHODS = "substitutes_"
"""What the name of such a column begins with that there is for each method."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` on success, delete it on any failure.

    The temporary name is a function of `path`, so that the next run removes what a killed process left behind. Create
    the file by `new_file`, which follows no link; a link at `path` itself is replaced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    remove(temporary)
    try:
        yield temporary
        with open(temporary, "rb+", opener=not_through_links) as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary, new_file(temporary) as file:
        file.write(content)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


# --- HDF5 ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def create_hdf5(path: Path, made_from: Mapping[str, Any]) -> Iterator["WrittenHDF5"]:
    """Yield a new HDF5 file that appears at `path` once the block ends without an error.

    Args:
        path: Where the file shall appear.
        made_from: Settings and checksums of the inputs, kept as attributes of the file: text and numbers as they are,
            everything else as JSON.
    """
    with replacing(path) as temporary, new_hdf5(temporary) as handle:
        handle.attrs["format_version"] = FORMAT_VERSION
        for key, value in sorted(made_from.items()):
            handle.attrs[key] = value if isinstance(value, str | int | float) else canonical_json(value)
        yield handle


@contextlib.contextmanager
def new_hdf5(path: Path) -> Iterator["WrittenHDF5"]:
    """Yield a new HDF5 file, whole once the block ends without an error.

    Raises:
        OSError: The disk is full, or cannot be written for another reason.
    """
    with new_file(path, "x+b", buffering=0) as file:
        held = _HeldFile(cast(FileIO, file))
        with WrittenHDF5(held) as handle:
            yield handle
        held.check()


class WrittenHDF5(h5py.File):
    """An HDF5 file that is being written; `check` raises what has kept HDF5 from writing so far."""

    def __init__(self, held: "_HeldFile") -> None:
        super().__init__(held, "w", libver="v110")
        self.check = held.check


class _HeldFile:
    """A file for HDF5 that holds in memory what the disk does not take, and tells of it when it is asked.

    HDF5 writes when it pleases, also while objects are given up, where an error is lost; and with a file that it could
    not write it crashes.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self._held: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise what has kept the disk from taking something."""
        if self._error is not None:
            raise self._error

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer: memoryview) -> int:
        first = self._file.tell()
        view = memoryview(buffer).cast("B")
        done = 0
        while count := self._file.readinto(view[done:]):
            done += count
        for place, content in self._held:
            low, high = max(place, first), min(place + len(content), first + len(view))
            if low < high:
                view[low - first : high - first] = content[low - place : high - place]
                done = max(done, high - first)
        return done

    def write(self, content: memoryview) -> int:
        place, left = self._file.tell(), memoryview(content).cast("B")
        try:
            while left and self._error is None:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = error
        if left:
            self._held.append((place + len(content) - len(left), bytes(left)))
        return len(content)

    def truncate(self, size: int) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size

    def flush(self) -> None:
        """Do nothing: what is written is with the operating system."""


class DamagedHeapError(OSError):
    """Texts of an HDF5 file cannot be read."""


class ReadFile(FileIO):
    """A file for HDF5 that refuses what HDF5 2.0 would read for ever.

    Texts lie in global heaps: lists of objects, each with its length, and free space as object 0. Where damage has left
    that without a length, HDF5 stays at it.

    Raises:
        DamagedHeapError: Such a heap is read.
    """

    _START = b"GCOL\x01\0\0\0"
    """The signature and the version of a heap, before its size of 8 bytes."""
    _HEADER = 16
    """Bytes before a heap's objects, and before each object's content."""
    _MOST = 8192
    """Bytes read at once up to which a heap may begin there: HDF5 asks for its first 4,096, and then for all of it."""

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer from the present place; return the number of bytes."""
        place, size = self.tell(), memoryview(buffer).nbytes
        if size <= self._MOST:
            margin = len(self._START) - 1
            start = max(0, place - margin)
            around = os.pread(self.fileno(), place - start + size + margin, start)
            for found in re.finditer(self._START, around):
                self._check_heap(start + found.start())
        return super().readinto(buffer)

    def _check_heap(self, place: int) -> None:
        """Go through a heap as HDF5 does ("Global Heap" in its file format specification)."""
        size = int.from_bytes(os.pread(self.fileno(), 8, place + len(self._START)), "little")
        heap = os.pread(self.fileno(), min(size, os.fstat(self.fileno()).st_size - place), place)
        at = self._HEADER
        while at + self._HEADER <= len(heap):
            number, length = (int.from_bytes(heap[at + low : at + high], "little") for low, high in ((0, 2), (8, 16)))
            if number == length == 0:
                raise DamagedHeapError(f"the texts at byte {place} are damaged")
            # Free space counts its own header; other contents are filled up to whole eights.
            at += self._HEADER + -(-length // 8) * 8 if number else length


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield an HDF5 artifact, opened for reading.

    Raises:
        UserError: The file is missing, cut off, not HDF5, or of another format version; or a data set that the block
            asks for is not in it.
    """
    path = Path(path)
    remedy = "Delete it and run again: Snakemake makes it anew."
    with contextlib.ExitStack() as opened:
        try:
            handle = opened.enter_context(h5py.File(opened.enter_context(ReadFile(path)), "r"))
        except FileNotFoundError:
            raise UserError(f"{path} does not exist. Run the workflow, or give the path of an existing file.") from None
        except OSError as error:
            raise UserError(
                f"{path} cannot be read as HDF5, it may be cut off or damaged ({error}). {remedy}"
            ) from error
        try:
            if elsewhere := lies_elsewhere(handle):
                raise UserError(f"{path}: {elsewhere} lies in another file, where nothing is read. {remedy}")
            version = handle.attrs.get("format_version")
            if not np.array_equal(version, FORMAT_VERSION):
                raise UserError(
                    f"{path} has format_version {version}, this program reads version {FORMAT_VERSION}. {remedy}"
                )
            yield handle
        except Exception as error:
            if not _is_of_hdf5(error):
                raise
            raise UserError(f"{path} lacks something that belongs there, or is damaged ({error}). {remedy}") from error


def _is_of_hdf5(error: Exception) -> bool:
    """Return whether reading an HDF5 file has failed: an error of h5py's, of whatever type, that has no number.

    Those of a full disk and of other files have one, and mean what they say.
    """
    if isinstance(error, UserError) or getattr(error, "errno", None) is not None:
        return False
    if isinstance(error, DamagedHeapError):
        return True
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return "h5py" in Path(frames[-1]).parts


def lies_elsewhere(file: h5py.File) -> str:
    """Return the name of what HDF5 would read from another file than this one; empty where there is nothing."""
    found = ""

    def look(name: str, link: Any) -> str | None:
        nonlocal found
        item = file.get(name) if isinstance(link, h5py.HardLink) else None
        outside = isinstance(item, h5py.Dataset) and (item.is_virtual or item.external)
        if isinstance(link, h5py.ExternalLink) or outside:
            found = name
        return found or None

    file.visititems_links(look)
    return found


# --- tables ----------------------------------------------------------------------------------------------------------


def write_table(path: Path, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    """Write columns of equal length as CSV; floats in the shortest form that reads back as the same number."""
    rows: list[str] = []
    # Cells with either character of this line ending are quoted, a name with a carriage return too.
    writer = csv.writer(SimpleNamespace(write=rows.append), lineterminator="\r\n")
    writer.writerow(columns)
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    writer.writerows(zip(*plain, strict=True))
    write_bytes(path, "".join(row.removesuffix("\r\n") + "\n" for row in rows).encode())


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Read a CSV written by `write_table`: a mapping from column to array of integers, floats, booleans or text.

    Raises:
        UserError: The file is missing or its rows differ in length.
    """
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            header, *rows = list(csv.reader(handle))
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
        return {name: _typed(name, column) for name, column in zip(header, columns, strict=True)}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Run the workflow, or give the path of an existing file.") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is not a whole table ({error}). Delete it and run again.") from error


def _typed(name: str, column: Sequence[str]) -> np.ndarray:
    if name in TEXT_COLUMNS or name.startswith(TEXT_OF_METHODS):
        return np.array(column, dtype=str)
    if column and set(column) <= {"True", "False"}:
        return np.array(column) == "True"
    for kind in (np.int64, np.float64):
        with contextlib.suppress(ValueError, OverflowError):
            return np.array(column, dtype=str).astype(kind)
    return np.array(column, dtype=str)


# --- records ---------------------------------------------------------------------------------------------------------


def write_json(path: Path, value: Any) -> None:
    """Write a record as indented JSON, keys in the order given."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a record written by `write_json`.

    Raises:
        UserError: The file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Run the workflow, or give the path of an existing file.") from None
    except ValueError as error:
        raise UserError(f"{path} is not a whole JSON record ({error}). Delete it and run again.") from error


# --- interrupted work ------------------------------------------------------------------------------------------------


class Scratch:
    """A folder for the finished pieces of an unfinished job, so that a rerun goes on where it was cut off.

    It lies outside the declared outputs, which Snakemake deletes when a job fails. `key` holds everything that the
    pieces depend on, settings and code included; pieces of any other key are deleted, never used. Each piece begins
    with a line of the key and its own checksum: one that a full disk has cut off, or a bad one has changed, is dropped.
    """

    def __init__(self, folder: Path | None, key: Any) -> None:
        self._key = hashlib.sha256(canonical_json(key).encode()).hexdigest()
        self.folder = None if folder is None else Path(folder) / self._key[:16]
        if folder is not None and Path(folder).is_dir():
            for other in Path(folder).iterdir():
                # Only what this class has made: the folder may be anybody's.
                if other != self.folder and re.fullmatch("[0-9a-f]{16}", other.name) and other.is_dir():
                    shutil.rmtree(other)

    def _first_line(self, content: bytes) -> bytes:
        return f"{self._key} {hashlib.sha256(content).hexdigest()}\n".encode()

    def load(self, name: str) -> bytes | None:
        """Return the piece of that name, or None where there is no sound one (or nothing is kept at all)."""
        if self.folder is None or not (self.folder / name).is_file():
            return None
        first_line, _, content = (self.folder / name).read_bytes().partition(b"\n")
        if first_line + b"\n" == self._first_line(content):
            return content
        log.warning("%s is damaged, and is dropped: the work goes on from what came before.", self.folder / name)
        (self.folder / name).unlink()
        return None

    def save(self, name: str, content: bytes) -> None:
        """Keep a piece, replacing one of the same name."""
        if self.folder is not None:
            with replacing(self.folder / name) as temporary, new_file(temporary) as file:
                file.write(self._first_line(content))
                file.write(content)

    def drop(self, name: str) -> None:
        """Forget a piece, if it is there."""
        if self.folder is not None:
            (self.folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget everything: the job is done."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.folder.parent.rmdir()
