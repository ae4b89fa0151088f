"""Paths of a study's artifacts: no two of them may share one, on any file system."""

from collections.abc import Iterable

from unitscope.errors import UserError


def refuse_collisions(written: Iterable[tuple[str, str]]) -> None:
    """Refuse a study in which two files have the same path, or one file has the path of another's folder.

    Paths that differ in upper and lower case alone are the same on macOS and Windows, where a study may be restored.

    Args:
        written: The path of each file, and the words by which a message names it.

    Raises:
        UserError: Two files collide.
    """
    files: dict[str, tuple[str, str]] = {}
    for path, words in written:
        other, first = files.setdefault(path.casefold(), (path, words))
        if first != words:
            where = path if path == other else f"{other} and {path}, which are one file on macOS and Windows,"
            raise UserError(_message(where, first, words))
    folders: dict[str, tuple[str, str]] = {}
    for folder, (path, words) in files.items():
        while (folder := folder.rpartition("/")[0]) and folder not in folders:
            folders[folder] = path, words
    for folder in sorted(folders.keys() & files.keys()):
        path, words = files[folder]
        file_inside, folder_words = folders[folder]
        raise UserError(_message(f"{path}, the folder of {file_inside},", words, folder_words))


def _message(where: str, first: str, second: str) -> str:
    return (
        f"{where} would be written by both {first} and {second}. Rename one of the two in the config, or leave it out."
    )
