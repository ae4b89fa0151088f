"""What DVC has recorded, and whether the places that hold it still do: this folder, DVC's cache, the remote store.

DVC trusts its cache once a file in it is read-only, and its index of a remote once a file was sent; a byte that a disk
has changed, or a file that somebody has deleted there, would pass for a result.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

import yaml

from unitscope.errors import UserError
from unitscope.new_files import new_file
from unitscope.storage.atomic_writes import replacing
from unitscope.storage.contents import read_lines

LOCK = Path("dvc.lock")
TOLD = Path(".snakemake/unitscope/links")
"""File with the links out of this folder that were told of."""

MENDED = "DVC was killed while it wrote .dvc/tmp/rwlock, and would fail at it: the file is removed."
REMEDY = (
    "Delete it here and from the cache (.dvc/cache/files/md5) and fetch it anew from a store that holds it whole, or "
    "run `dvc repro --force` for the stage that makes it."
)


def mend_lock(folder: Path = Path(".dvc/tmp")) -> bool:
    """Take away what a DVC that was killed has left of its list of locks; return whether there was such a rest.

    DVC empties the file before it writes it, and every later call fails at an empty one. Whoever holds the lock beside
    it knows that no DVC is writing.
    """
    if not _is_cut_off(folder / "rwlock"):
        return False
    from dvc.lock import LockError, make_lock

    try:
        with make_lock(str(folder / "rwlock.lock"), tmp_dir=str(folder)):
            if _is_cut_off(folder / "rwlock"):
                (folder / "rwlock").unlink()
                return True
    except LockError:
        pass
    return False


def _is_cut_off(file: Path) -> bool:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


class Recorded:
    """The artifacts that dvc.lock records for the stages of dvc.yaml.

    Attributes:
        cache: Folder of DVC's cache.
    """

    def __init__(self, lock: Path = LOCK) -> None:
        # Stages that have been taken out of the config stay in the lock file.
        names = stages()
        self._outs = [out for name, outs in locked_outs(lock).items() if name in names for out in outs]
        self.cache = Path(told("dvc", "cache", "dir").strip())

    def files(self) -> Iterator[tuple[Path, str]]:
        """Yield each file, those within folders one by one, and its MD5.

        Raises:
            UserError: The list of a folder's files is not in the cache, or damaged.
        """
        for out in self._outs:
            if out["md5"].endswith(".dir"):
                for entry in listing(out, self.cache):
                    yield Path(out["path"], entry["relpath"]), entry["md5"]
            else:
                yield Path(out["path"]), out["md5"]

    def objects(self) -> dict[str, Path]:
        """Return what DVC stores by MD5 (with .dir where it is the list of a folder's files), each with its path."""
        return {md5: path for path, md5 in self.files()} | {
            out["md5"]: Path(out["path"]) for out in self._outs if out["md5"].endswith(".dir")
        }


def locked_outs(lock: Path = LOCK) -> dict[str, list[dict[str, Any]]]:
    """Return the outputs of each stage that a lock file of DVC's records.

    Raises:
        UserError: It is none, as with git's marks of a conflict.
    """
    if not lock.is_file():
        return {}
    try:
        stages = yaml.load(lock.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        outs = {name: stage.get("outs", []) for name, stage in stages.items()}
        whole = all(isinstance(out[key], str) for each in outs.values() for out in each for key in ("path", "md5"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        whole = False
    if not whole:
        raise UserError(
            f"{lock} is no whole lock file of DVC's; it may be damaged, or hold git's marks of a conflict. Resolve the "
            f"conflict, or take the file of the commit: git checkout {lock}."
        )
    return outs


def listing(out: Mapping[str, Any], folder: Path) -> list[dict[str, str]]:
    """Return the files of a folder that is an output, as the cache lists them.

    Raises:
        UserError: The list is not in the cache, or damaged.
    """
    path = place(folder, out["md5"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The list of the files in {out['path']} is not in DVC's cache ({error}). {REMEDY}") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != out["md5"].removesuffix(".dir"):
        raise UserError(f"The list of the files in {out['path']} is damaged in DVC's cache ({path}). {REMEDY}")
    return list(json.loads(content))


def agrees(rows: Iterable[Mapping[str, str]], lock: Path = LOCK) -> bool:
    """Return whether dvc.lock records the same contents as rows of made.lock, of those files that it records at all."""
    try:
        outs = [out for each in locked_outs(lock).values() for out in each]
    except UserError:
        outs = []
    if not outs:
        return False
    recorded: dict[str, str] = {out["path"]: out["md5"] for out in outs}
    folders = [out for out in outs if out["md5"].endswith(".dir") and out["path"].startswith("results/")]
    try:
        for out in folders:
            recorded |= {f"{out['path']}/{entry['relpath']}": entry["md5"] for entry in listing(out, cache_folder())}
    except UserError:
        return False
    covered = tuple(f"{out['path']}/" for out in folders)
    return all(
        recorded.get(row["path"]) == row["md5"]
        for row in rows
        if row["path"] in recorded or row["path"].startswith(covered)
    )


def links_out(paths: Iterable[str]) -> dict[str, str]:
    """Return the links by which paths lead out of this folder, each with its target.

    DVC records nothing behind them.
    """
    here, found = Path.cwd().resolve(), {}
    for folder in {parent for path in paths for parent in Path(path).parents}:
        if folder.is_symlink() and not (target := folder.resolve()).is_relative_to(here):
            found[str(folder)] = str(target)
    return found


def untold(links: Mapping[str, str]) -> dict[str, str]:
    """Return those links that nobody was told of yet."""
    return {link: target for link, target in links.items() if [link, target] not in read_lines(TOLD)}


def stages() -> dict[str, str]:
    """Return the stages of dvc.yaml, each with a path of what it writes."""
    kinds = {"study": "data/study/x", "dataset": "data/datasets/x", "checkpoint": "data/checkpoints/x"}
    names = told("dvc", "stage", "list", "--name-only").split()
    return {name: kinds.get(name.partition("@")[0], f"results/{name.partition('@')[2]}/x") for name in names}


def told(*command: str) -> str:
    """Return what a command prints.

    Raises:
        UserError: It failed.
    """
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"`{' '.join(command)}` has failed: {' '.join((done.stderr or done.stdout).split())}")
    return done.stdout


# --- DVC's cache -----------------------------------------------------------------------------------------------------


@cache
def cache_folder() -> Path:
    """Return the folder of DVC's cache, asking DVC, which takes a second, only where it may not be the usual one."""
    usual = Path(".dvc/cache")
    if not Path(".dvc").is_dir() or not _names_a_cache() or shutil.which("dvc") is None:
        return usual
    done = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else usual


def _names_a_cache() -> bool:
    """Return whether one of the files that DVC reads its settings from names a folder for the cache."""
    import platformdirs

    folders = (
        os.getenv("DVC_GLOBAL_CONFIG_DIR") or platformdirs.user_config_dir("dvc", "iterative"),
        os.getenv("DVC_SYSTEM_CONFIG_DIR") or platformdirs.site_config_dir("dvc", "iterative"),
    )
    files = [Path(".dvc/config"), Path(".dvc/config.local"), *(Path(folder, "config") for folder in folders)]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
    return any(re.search(r"(?m)^\s*dir\s*=", text) for text in texts)


def place(folder: Path, md5: str) -> Path:
    """Return where a cache keeps a content."""
    return folder / "files/md5" / md5[:2] / md5[2:]


def stored(md5: str, sha256: str) -> Path | None:
    """Return where DVC's cache holds a content, if it does and the content is undamaged."""
    path = place(cache_folder(), md5)
    try:
        with open(path, "rb") as file:
            return path if hashlib.file_digest(file, "sha256").hexdigest() == sha256 else None
    except OSError:
        return None


def bring_back(path: str, stored: Path) -> None:
    """Copy a file from DVC's cache to where it belongs."""
    _copy(stored, Path(path))


def keep(path: Path, target: Path) -> None:
    """Put a file into DVC's cache, as DVC does."""
    _copy(path, target)
    target.chmod(0o444)


def _copy(path: Path, target: Path) -> None:
    with replacing(target) as temporary, open(path, "rb") as source, new_file(temporary) as copy:
        shutil.copyfileobj(source, copy)


# --- what is whole ---------------------------------------------------------------------------------------------------


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


@dataclass
class Unsound:
    """What a place lacks or holds damaged, as "PATH is missing" or "PATH is damaged".

    Attributes:
        repaired: What has been put back.
        left: What has not.
    """

    repaired: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def unsound_in_cache(recorded: Recorded, repair: bool) -> Unsound:
    """Look whether DVC's cache holds what is recorded.

    Args:
        recorded: What it should hold.
        repair: Whether what it does not hold is put back from this folder, where that has it.
    """
    unsound = Unsound()
    for md5, path in recorded.objects().items():
        stored = place(recorded.cache, md5)
        problem = _problem(stored, md5)
        mends = bool(problem) and repair and not _problem(path, md5)
        if mends:
            keep(path, stored)
        if problem:
            (unsound.repaired if mends else unsound.left).append(f"{path} {problem}")
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
            remote, local = store.oid_to_path(md5), place(recorded.cache, md5)
            problem = "" if store.fs.exists(remote) else "is missing"
            if read and not problem:
                with store.fs.open(remote, "rb") as file:
                    problem = "" if is_sound(file, md5) else "is damaged"
            mends = bool(problem) and repair and not _problem(local, md5)
            if mends:
                # A store on a disk keeps its files read-only.
                if problem == "is damaged":
                    store.fs.remove(remote)
                store.fs.makedirs(store.fs.parent(remote), exist_ok=True)
                store.fs.put_file(str(local), remote)
            if problem:
                (unsound.repaired if mends else unsound.left).append(f"{path} {problem}")
    return unsound


def missing(recorded: Iterable[tuple[Path, str]], cache: Path) -> list[str]:
    """Return the files that a cache does not have."""
    return [str(path) for path, md5 in recorded if not place(cache, md5).is_file()]
