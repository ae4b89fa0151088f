"""Atomic writes: a file appears whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from unitscope.new_files import new_file, not_through_links, remove


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
