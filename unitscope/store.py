"""What DVC has recorded, and whether the places that hold it still do: this folder, DVC's cache, the remote store.

DVC trusts its cache once a file in it is read-only, and its index of a remote once a file was sent; a byte that a disk
has changed, or a file that somebody has deleted there, would pass for a result.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import yaml

from unitscope.errors import UserError

REMEDY = (
    "Delete it here and from the cache (.dvc/cache/files/md5) and fetch it anew from a store that holds it whole, or "
    "run `dvc repro --force` for the stage that makes it."
)


class Recorded:
    """The artifacts that dvc.lock records for the stages of dvc.yaml.

    Attributes:
        cache: Folder of DVC's cache.
    """

    def __init__(self, lock: Path = Path("dvc.lock")) -> None:
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
        # Stages that have been taken out of the config stay in the lock file.
        names = told("dvc", "stage", "list", "--name-only").split()
        self._outs = [out for name in names for out in stages.get(name, {}).get("outs", [])]
        self.cache = Path(told("dvc", "cache", "dir").strip())

    def files(self) -> Iterator[tuple[Path, str]]:
        """Yield each file, those within folders one by one, and its MD5.

        Raises:
            UserError: The list of a folder's files is not in the cache, or damaged.
        """
        for out in self._outs:
            if out["md5"].endswith(".dir"):
                for entry in self._listing(out):
                    yield Path(out["path"], entry["relpath"]), entry["md5"]
            else:
                yield Path(out["path"]), out["md5"]

    def objects(self) -> dict[str, Path]:
        """Return what DVC stores by MD5 (with .dir where it is the list of a folder's files), each with its path."""
        return {md5: path for path, md5 in self.files()} | {
            out["md5"]: Path(out["path"]) for out in self._outs if out["md5"].endswith(".dir")
        }

    def _listing(self, out: dict[str, Any]) -> list[dict[str, str]]:
        path = place(self.cache, out["md5"])
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"The list of the files in {out['path']} is not in DVC's cache ({error}). {REMEDY}"
            ) from None
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != out["md5"].removesuffix(".dir"):
            raise UserError(f"The list of the files in {out['path']} is damaged in DVC's cache ({path}). {REMEDY}")
        return list(json.loads(content))


def told(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def place(cache: Path, md5: str) -> Path:
    """Return where a cache keeps a content."""
    return cache / "files/md5" / md5[:2] / md5[2:]


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
        found = hashlib.file_digest(handle, "md5").hexdigest()
    if found != md5:
        raise UserError(f"{path} is damaged: its MD5 is {found}, dvc.lock says {md5}. {REMEDY}")


def unsound_in_cache(recorded: Recorded, repair: bool) -> list[str]:
    """Return what DVC's cache lacks or holds damaged, as "PATH is missing" or "PATH is damaged".

    Args:
        recorded: What it should hold.
        repair: Whether it is put back from this folder, where that has it; what is put back is not returned.
    """
    problems = []
    for md5, path in recorded.objects().items():
        stored = place(recorded.cache, md5)
        problem = _problem(stored, md5)
        if problem and repair and not _problem(path, md5):
            stored.parent.mkdir(parents=True, exist_ok=True)
            stored.unlink(missing_ok=True)
            shutil.copyfile(path, stored)
            stored.chmod(0o444)
        elif problem:
            problems.append(f"{path} {problem}")
    return problems


def _problem(path: Path, md5: str) -> str:
    try:
        with open(path, "rb") as file:
            return "" if is_sound(file, md5) else "is damaged"
    except OSError:
        return "is missing"


def unsound_in_store(recorded: Recorded, repair: bool, read: bool = True) -> list[str]:
    """Return what the default remote lacks or holds damaged, in the words of `unsound_in_cache`.

    Args:
        recorded: What it should hold.
        repair: Whether it is put back from DVC's cache, where that has it; what is put back is not returned.
        read: Whether contents are read; otherwise it is only looked whether they are there.
    """
    # It takes a second to import.
    from dvc.repo import Repo

    problems = []
    with Repo() as repo:
        store = repo.cloud.get_remote_odb(None, "verify")
        for md5, path in recorded.objects().items():
            remote, local = store.oid_to_path(md5), place(recorded.cache, md5)
            problem = "" if store.fs.exists(remote) else "is missing"
            if read and not problem:
                with store.fs.open(remote, "rb") as file:
                    problem = "" if is_sound(file, md5) else "is damaged"
            if problem and repair and not _problem(local, md5):
                # A store on a disk keeps its files read-only.
                if store.fs.exists(remote):
                    store.fs.remove(remote)
                store.fs.makedirs(store.fs.parent(remote), exist_ok=True)
                store.fs.put_file(str(local), remote)
            elif problem:
                problems.append(f"{path} {problem}")
    return problems


def missing(recorded: Iterable[tuple[Path, str]], cache: Path) -> list[str]:
    """Return the files that a cache does not have."""
    return [str(path) for path, md5 in recorded if not place(cache, md5).is_file()]
