"""Files of images below a folder: the formats that are read, and where names and links may lead."""

import os
from pathlib import Path

from unitscope.errors import UserError, printable

FORMATS = {
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""Suffixes of the formats that are read, by Pillow's names; a file may be of any of these, whichever suffix it has.

Pillow knows more, and would have Ghostscript run a file of PostScript.
"""
IMAGE_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes}


def read(path: Path) -> bytes:
    """Return the content of an image file.

    Raises:
        UserError: It cannot be read.
    """
    try:
        if not path.is_file() and path.exists():
            # A pipe or a device would be read for ever.
            raise UserError(f"{printable(path)} is no regular file. Replace or remove it.")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be read as an image ({error}). Replace or remove it.") from error


def inside(root: Path, name: str, links: str = "inside") -> Path:
    """Return the path of a name below a folder.

    Args:
        root: The folder.
        name: Relative to it.
        links: "inside" refuses links that lead out of the folder, "anywhere" allows them.

    Raises:
        UserError: The name leads out of the folder: it is absolute, holds "..", or follows a link to elsewhere.
    """
    path = root / name
    try:
        within = path.resolve().is_relative_to(root.resolve())
    # A zero byte, a name that is too long, links in a circle.
    except (ValueError, OSError, RuntimeError) as error:
        raise UserError(f"{name!r} is no name of a file below the folder {root} ({error}).") from error
    if os.path.isabs(name) or ".." in Path(name).parts:
        raise UserError(f"{name!r} leads out of the folder {root}. Only files below it are read.")
    if path.is_symlink() and not path.exists():
        raise UserError(leads_nowhere(root, name))
    if not within and links != "anywhere":
        raise UserError(leads_out(root, name))
    return path


def leads_out(root: Path, name: str) -> str:
    """Return the sentence about a link that leads out of a folder."""
    cure = "To follow such links, set datasets.NAME.links: anywhere."
    return f"{name!r} is a link that leads out of the folder {root}. {cure}"


def leads_nowhere(root: Path, name: str) -> str:
    """Return the sentence about a link to a file that is not there."""
    target = os.readlink(root / name)
    return f"{name!r} in {root} is a link to {target!r}, and there is no such file. Restore it, or remove the link."
