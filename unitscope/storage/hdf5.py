"""HDF5 artifacts: written atomically, the same bytes for the same inputs, versioned and checked when read."""

import contextlib
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np

from unitscope.errors import UserError
from unitscope.new_files import new_file
from unitscope.storage.atomic_writes import replacing
from unitscope.storage.records import FORMAT_VERSION, canonical_json


@contextlib.contextmanager
def create_hdf5(path: Path, attributes: Mapping[str, Any]) -> Iterator["WrittenHDF5"]:
    """Yield a new HDF5 file that appears at `path` once the block ends without an error.

    Args:
        path: Where the file shall appear.
        attributes: Settings and checksums of the inputs, kept as attributes of the file: text and numbers as they are,
            everything else as JSON.
    """
    with replacing(path) as temporary, new_hdf5(temporary) as handle:
        handle.attrs["format_version"] = FORMAT_VERSION
        for key, value in sorted(attributes.items()):
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

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

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
        for offset, content in self._held:
            low, high = max(offset, first), min(offset + len(content), first + len(view))
            if low < high:
                view[low - first : high - first] = content[low - offset : high - offset]
                done = max(done, high - first)
        return done

    def write(self, content: memoryview) -> int:
        offset, remaining = self._file.tell(), memoryview(content).cast("B")
        try:
            while remaining and self._error is None:
                remaining = remaining[self._file.write(remaining) :]
        except OSError as error:
            self._error = error
        if remaining:
            self._held.append((offset + len(content) - len(remaining), bytes(remaining)))
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
        offset, size = self.tell(), memoryview(buffer).nbytes
        if size <= self._MOST:
            margin = len(self._START) - 1
            start = max(0, offset - margin)
            around = os.pread(self.fileno(), offset - start + size + margin, start)
            for match in re.finditer(self._START, around):
                self._check_heap(start + match.start())
        return super().readinto(buffer)

    def _check_heap(self, offset: int) -> None:
        """Go through a heap as HDF5 does ("Global Heap" in its file format specification)."""
        size = int.from_bytes(os.pread(self.fileno(), 8, offset + len(self._START)), "little")
        heap = os.pread(self.fileno(), min(size, os.fstat(self.fileno()).st_size - offset), offset)
        at = self._HEADER
        while at + self._HEADER <= len(heap):
            number, length = (int.from_bytes(heap[at + low : at + high], "little") for low, high in ((0, 2), (8, 16)))
            if number == length == 0:
                raise DamagedHeapError(f"the texts at byte {offset} are damaged")
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
            if external := external_item(handle):
                raise UserError(f"{path}: {external} lies in another file, where nothing is read. {remedy}")
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


def external_item(file: h5py.File) -> str:
    """Return the name of what HDF5 would read from another file than this one; empty where there is nothing."""
    external = ""

    def look(name: str, link: Any) -> str | None:
        nonlocal external
        item = file.get(name) if isinstance(link, h5py.HardLink) else None
        outside = isinstance(item, h5py.Dataset) and (item.is_virtual or item.external)
        if isinstance(link, h5py.ExternalLink) or outside:
            external = name
        return external or None

    file.visititems_links(look)
    return external
