"""What lies below a folder of images: images, other files, hidden folders, links."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unitscope.data.dataset_settings import ImageFolderSettings
from unitscope.data.image_files import IMAGE_SUFFIXES, leads_nowhere, leads_out
from unitscope.errors import UserError, printable
from unitscope.runtime.console import log
from unitscope.storage.walking import OF_SYSTEMS, entries_below


@dataclass
class Tree:
    """Files below a folder, relative to the root: images, and what is not read; and whether there are links."""

    images: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    linked: bool = False


def entry_names(folder: Path) -> list[str]:
    """Return the names in a folder, without hidden ones and folders of systems, sorted."""
    return sorted(name for name in os.listdir(folder) if not name.startswith(".") and name not in OF_SYSTEMS)


def walked(root: Path, place: str, links: str) -> Tree:
    """Return the files below `root/place`, without hidden ones; links are followed, circles end.

    What is no regular file, such as a pipe, is not read.
    """
    tree = Tree(linked=os.path.islink(root / place))
    real_root = os.path.realpath(root)
    prefix = f"{place}/" if place else ""

    def enter(name: str, real: str) -> None:
        tree.linked = True
        if links != "anywhere" and not f"{real}/".startswith(f"{real_root.rstrip('/')}/"):
            raise UserError(leads_out(root, name))

    if links != "anywhere" and not f"{os.path.realpath(root / place)}/".startswith(f"{real_root.rstrip('/')}/"):
        raise UserError(leads_out(root, place))
    for below, entry in entries_below(str(root / place), lambda name, real: enter(f"{prefix}{name}", real)):
        _check_name(root, f"{prefix}{below}")
        is_image = is_image_name(entry.name)
        if is_image and entry.is_symlink():
            tree.linked = True
            is_image = os.path.isfile(entry.path)
            if not os.path.exists(entry.path):
                raise UserError(leads_nowhere(root, f"{prefix}{below}"))
        else:
            is_image = is_image and entry.is_file()
        (tree.images if is_image else tree.skipped).append(f"{prefix}{below}")
    for names in (tree.images, tree.skipped):
        names.sort(key=lambda name: name.split("/"))
    return tree


def _check_name(root: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise UserError(f"{root}: the name of the file {shown} is not UTF-8. Rename it.") from None


def loose_images(place: str, tree: Tree) -> list[str]:
    """Return the images of a part in none of its folders."""
    depth = len(place) + 1 if place else 0
    return [name for name in tree.images if "/" not in name[depth:]]


def first_few(names: Iterable[str]) -> str:
    """Return the first names of files as a list to be copied into a config."""
    names = [printable(name) for name in names]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def warn_of_hidden(root: Path, place: str, settings: ImageFolderSettings) -> None:
    """Name hidden folders with images where the folders of splits or classes lie: they may be meant as some."""
    names = os.listdir(root / place)
    hidden = sorted(name for name in names if name.startswith(".") and _holds_images(root / place / name, settings))
    # Beside images that are in no folder, it may only be a program's: thumbnails and the like.
    if hidden and not any(
        is_image_name(name) and os.path.isfile(root / place / name) for name in entry_names(root / place)
    ):
        log.warning(
            "%s: hidden folders with images are not read: %s. Where they are classes or splits, rename them without "
            "the dot.",
            *(printable(root / place), first_few(hidden)),
        )


def _holds_images(folder: Path, settings: ImageFolderSettings) -> bool:
    """Return whether what is not hidden below a folder holds an image; a folder that cannot be read holds none."""
    if not folder.is_dir() or (folder.is_symlink() and settings.links != "anywhere"):
        return False
    try:
        return any(is_image_name(name) for name, _ in entries_below(str(folder)))
    except OSError:
        return False


def is_image_name(name: str) -> bool:
    """Return whether a file is read as an image, by its suffix."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def warn_of_skipped(root: Path, skipped: Sequence[str]) -> None:
    """Name files of a folder that are not read, with the formats that are."""
    if not skipped:
        return
    suffixes = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in skipped)
    kinds = ", ".join(
        f"{count} {printable(suffix)}" for suffix, count in sorted(suffixes.items(), key=lambda item: -item[1])[:6]
    )
    examples = ", ".join(map(printable, skipped[:3])) + (", ..." if len(skipped) > 3 else "")
    log.warning(
        "%s: files that are not read: %d (%s): %s. Formats that are read: %s.",
        *(root, len(skipped), kinds, examples, ", ".join(sorted(IMAGE_SUFFIXES))),
    )
