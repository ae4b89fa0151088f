"""Files opened for writing, never through a link: a link in the place of a file would redirect what is written.

Names of temporary files, logs and records are predictable, so that anybody who may write into their folder can put a
link there. Folders may be links: results may lie on another disk.
"""

import os
from pathlib import Path
from typing import IO, Any

from unitscope.errors import UserError


def new_file(path: Path, mode: str = "xb", buffering: int = -1) -> IO[Any]:
    """Open a new file in place of what has its name: a file left behind by a killed process, or a link.

    Args:
        path: Where it goes.
        mode: As for `open`, with "x".
        buffering: As for `open`.

    Raises:
        UserError: A folder has its name.
    """
    remove(path)
    return open(path, mode, buffering, opener=not_through_links)


def appended_file(path: Path, mode: str = "a", **options: Any) -> IO[Any]:
    """Open a file to append to it; a link that has its name is removed first, and what it leads to stays as it is.

    Args:
        path: The file.
        mode: As for `open`.
        **options: As for `open`.
    """
    if path.is_symlink():
        remove(path)
    return open(path, mode, opener=not_through_links, **options)


def remove(path: Path) -> None:
    """Remove a file or a link, if it is there.

    Raises:
        UserError: It is a folder.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if path.is_dir() and not path.is_symlink():
            raise UserError(f"{path} is a folder, where a file has to be written. Delete it and rerun.") from None
        raise


def not_through_links(path: str, flags: int) -> int:
    """Open a file that is no link: an `opener` for `open`.

    Raises:
        OSError: It is a link.
    """
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)
