"""Finished pieces of an unfinished job, kept for its rerun."""

import contextlib
import hashlib
import logging
import re
import shutil
from pathlib import Path
from typing import Any

from unitscope.new_files import new_file
from unitscope.storage.atomic_writes import replacing
from unitscope.storage.records import canonical_json

log = logging.getLogger("unitscope")


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
