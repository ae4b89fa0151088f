"""Files below a folder, through links, without going in circles."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

OF_SYSTEMS = ("@eaDir", "__MACOSX")
"""Folders that a disk station or an archive adds: they hold thumbnails and the like, no data."""


def entries_below(
    folder: str, enter: Callable[[str, str], None] = lambda name, real: None
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield all that is no folder below a folder, and folders not entered: of systems, and links that lead in circles.

    What is hidden, by a name that begins with a dot, is left out.

    Args:
        folder: The folder.
        enter: Called with the name below the folder and the real path of each linked folder before it is entered.

    Yields:
        Path below the folder, and entry.
    """
    start = os.path.realpath(folder)
    waiting = [(folder, "", start, frozenset({start}))]
    while waiting:
        directory, prefix, real, above = waiting.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if entry.name.startswith("."):
                    continue
                # An entry that links to itself raises when it is asked.
                if not (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()):
                    yield name, entry
                    continue
                if entry.name in OF_SYSTEMS:
                    yield name, entry
                    continue
                real_path = f"{real.rstrip('/')}/{entry.name}"
                if entry.is_symlink():
                    real_path = os.path.realpath(entry.path)
                    if real_path in above or f"{real}/".startswith(f"{real_path.rstrip('/')}/"):
                        yield name, entry
                        continue
                    enter(name, real_path)
                waiting.append((entry.path, f"{name}/", real_path, above | {real_path}))


def home_hint(path: Path) -> str:
    """Return a sentence about a path that begins with ~, which stands for no folder in a config."""
    return f" ~ is not expanded there: write {path.expanduser()}." if str(path).startswith("~/") else ""
