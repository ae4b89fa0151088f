"""Checksums of files, remembered by what the operating system reports of them, so that each content is read once.

A file whose size, modification time, change time and inode are those of an earlier look has the content of that look.
The change time is part of it because no program can set it: a byte that was changed under a kept modification time
is noticed. What a disk loses without telling the operating system is found only by reading (`trust=False`).
"""

import contextlib
import errno
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Any

from unitscope.errors import UserError
from unitscope.new_files import appended_file, new_file

Signature = tuple[int, int, int, int]
"""Size in bytes, modification time and change time in nanoseconds, inode."""

STEP = 20_000_000
COARSE_STEP = 2_000_000_000
"""Nanoseconds within which a second change may leave the times as they are: of kernel ticks, and of whole seconds."""


class Contents:
    """The SHA-256 of files by path, kept in a file of its own.

    Args:
        file: Where checksums are kept; None keeps none.
        trust: Whether checksums of earlier processes are believed. Otherwise every file is read, once per process.
    """

    def __init__(self, file: Path | None, trust: bool = True) -> None:
        self._file = file
        self._checksums: dict[str, tuple[Signature, str]] = {}
        self._new: dict[str, tuple[Signature, str]] = {}
        lines = 0
        for row in read_lines(file) if file and trust else ():
            # What is no such row was damaged, or is of another edition.
            with contextlib.suppress(ValueError, TypeError):
                path, (size, modified, changed, inode), sha256 = row
                self._checksums[path] = (size, modified, changed, inode), sha256
                lines += 1
        if file and lines > 2 * len(self._checksums) + 1000:
            self._compact(file)

    def sha256(self, path: str, stat: os.stat_result | None = None) -> str:
        """Return the hexadecimal SHA-256 of the file that a path leads to, or an empty text if there is none.

        Args:
            path: The file, or a link to it.
            stat: What `os.stat` has just returned for it, where that is at hand.

        Raises:
            UserError: The file may not be read.
        """
        try:
            status = stat or os.stat(path)
            if not S_ISREG(status.st_mode):
                # A pipe or a device would be read for ever.
                return ""
            current = signature(status)
            entry = self._checksums.get(path)
            return (
                entry[1] if entry is not None and entry[0] == current else self._read(path, current, hashlib.sha256())
            )
        except OSError as error:
            return _absent(path, error)

    def sha256_and_md5(self, path: str) -> tuple[str, str]:
        """Return both checksums of a file, reading it once; empty texts if there is no such file."""
        md5 = hashlib.md5(usedforsecurity=False)
        try:
            return self._read(path, signature(os.stat(path)), hashlib.sha256(), md5), md5.hexdigest()
        except OSError as error:
            return _absent(path, error), ""

    def _read(self, path: str, before: Signature, sha256: Any, *more_digests: Any) -> str:
        # Only if no later change can carry the same times.
        may_remember = settled(before[2])
        with open(path, "rb", buffering=0) as file:
            buffer = bytearray(2**18)
            while count := file.readinto(buffer):
                for digest in (sha256, *more_digests):
                    digest.update(memoryview(buffer)[:count])
            after = signature(os.fstat(file.fileno()))
        if after == before and may_remember:
            self._checksums[path] = self._new[path] = before, sha256.hexdigest()
        return str(sha256.hexdigest())

    def save(self) -> None:
        """Add to the file what was read since the last call, if it can be written: what is forgotten is read again."""
        if self._file and self._new:
            with contextlib.suppress(OSError):
                append_lines(self._file, ([path, *entry] for path, entry in self._new.items()))
            self._new = {}

    def _compact(self, file: Path) -> None:
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            with new_file(temporary, "xb", 0):
                pass
            append_lines(temporary, ([path, *entry] for path, entry in self._checksums.items()))
            os.replace(temporary, file)


def settled(changed: int) -> bool:
    """Return whether no later change can carry the change time of a file (nanoseconds)."""
    return time.time_ns() - changed > (STEP if changed % 1_000_000_000 else COARSE_STEP)


def _absent(path: str, error: OSError) -> str:
    """Return the checksum of no file where an error says that there is none.

    Raises:
        UserError: The file may not be read.
    """
    # Links in a circle lead to no file either.
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError) or error.errno == errno.ELOOP:
        return ""
    if isinstance(error, PermissionError):
        raise UserError(f"{path}: permission denied. Fix the permissions and rerun.") from None
    raise error


def signature(stat: os.stat_result) -> Signature:
    """Return what the operating system tells of a file's content."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def read_lines(path: Path) -> Iterator[list[Any]]:
    """Yield the lists in a file of one JSON list per line, if there is one; lines that are none are passed over."""
    try:
        content = path.read_bytes()
    except OSError:
        return
    for line in content.split(b"\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            # Cut off by a kill, or no line of ours.
            continue
        if isinstance(row, list):
            yield row


def append_lines(path: Path, rows: Iterable[Any]) -> None:
    """Append lists to such a file in one write, on lines of their own whatever the file ends with."""
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = path.is_symlink() or not path.exists()
    with appended_file(path, "ab+", buffering=0) as file:
        if is_new:
            # As Snakemake's own records: a group may share the folder.
            os.fchmod(file.fileno(), 0o664)
        end = file.seek(0, os.SEEK_END)
        cut_off = end and os.pread(file.fileno(), 1, end - 1) != b"\n"
        remaining = memoryview(b"\n" * bool(cut_off) + text.encode())
        while remaining:
            remaining = remaining[file.write(remaining) :]
