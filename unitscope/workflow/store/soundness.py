"""Whether the places that hold what DVC has recorded still do: this folder, DVC's cache, the remote store.

DVC trusts its cache once a file in it is read-only, and its index of a remote once a file was sent; a byte that a disk
has changed, or a file that somebody has deleted there, would pass for a result.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from unitscope.errors import UserError
from unitscope.workflow.store.dvc_cache import cache_path, keep
from unitscope.workflow.store.dvc_lock import REMEDY, Recorded


def is_sound(file: IO[bytes], md5: str) -> bool:
    """Return whether a file, opened for reading, has the content of an MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest() == md5.removesuffix(".dir")


def compare(path: Path, md5: str) -> None:
    """Read a file whole.

    Raises:
        UserError: It is not there, or its content is not what was recorded.
    """
    if not path.is_file():
        raise UserError(f"{path} is recorded in dvc.lock, but it is not there. Run `dvc pull`.")
    with open(path, "rb") as handle:
        digest = hashlib.file_digest(handle, "md5").hexdigest()
    if digest != md5:
        raise UserError(f"{path} is damaged: its MD5 is {digest}, dvc.lock says {md5}. {REMEDY}")


@dataclass
class Unsound:
    """What a place lacks or holds damaged, as "PATH is missing" or "PATH is damaged".

    Attributes:
        repaired: What has been put back.
        unrepaired: What has not.
    """

    repaired: list[str] = field(default_factory=list)
    unrepaired: list[str] = field(default_factory=list)


def unsound_in_cache(recorded: Recorded, repair: bool) -> Unsound:
    """Look whether DVC's cache holds what is recorded.

    Args:
        recorded: What it should hold.
        repair: Whether what it does not hold is put back from this folder, where that has it.
    """
    unsound = Unsound()
    for md5, path in recorded.objects().items():
        stored = cache_path(recorded.cache, md5)
        problem = _problem(stored, md5)
        repairable = bool(problem) and repair and not _problem(path, md5)
        if repairable:
            keep(path, stored)
        if problem:
            (unsound.repaired if repairable else unsound.unrepaired).append(f"{path} {problem}")
    return unsound


def _problem(path: Path, md5: str) -> str:
    try:
        with open(path, "rb") as file:
            return "" if is_sound(file, md5) else "is damaged"
    except OSError:
        return "is missing"


def unsound_in_store(recorded: Recorded, repair: bool, read: bool = True) -> Unsound:
    """Look whether the default remote holds what is recorded.

    Args:
        recorded: What it should hold.
        repair: Whether what it does not hold is put back from DVC's cache, where that has it.
        read: Whether contents are read; otherwise it is only looked whether they are there.
    """
    # It takes a second to import.
    from dvc.repo import Repo

    unsound = Unsound()
    with Repo() as repo:
        store = repo.cloud.get_remote_odb(None, "verify")
        for md5, path in recorded.objects().items():
            remote, local = store.oid_to_path(md5), cache_path(recorded.cache, md5)
            problem = "" if store.fs.exists(remote) else "is missing"
            if read and not problem:
                with store.fs.open(remote, "rb") as file:
                    problem = "" if is_sound(file, md5) else "is damaged"
            repairable = bool(problem) and repair and not _problem(local, md5)
            if repairable:
                # A store on a disk keeps its files read-only.
                if problem == "is damaged":
                    store.fs.remove(remote)
                store.fs.makedirs(store.fs.parent(remote), exist_ok=True)
                store.fs.put_file(str(local), remote)
            if problem:
                (unsound.repaired if repairable else unsound.unrepaired).append(f"{path} {problem}")
    return unsound


def missing(recorded: Iterable[tuple[Path, str]], cache: Path) -> list[str]:
    """Return the files that a cache does not have."""
    return [str(path) for path, md5 in recorded if not cache_path(cache, md5).is_file()]
