"""What DVC has recorded: dvc.lock, and the lists of files of folders, which are in DVC's cache."""

import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from unitscope.errors import UserError
from unitscope.workflow.store.dvc_cache import cache_folder, cache_path

LOCK = Path("dvc.lock")
REMEDY = (
    "Delete it here and from the cache (.dvc/cache/files/md5) and fetch it anew from a store that holds it whole, or "
    "run `dvc repro --force` for the stage that makes it."
)


class Recorded:
    """The artifacts that dvc.lock records for the stages of dvc.yaml.

    Attributes:
        cache: Folder of DVC's cache.
    """

    def __init__(self, lock: Path = LOCK) -> None:
        # Stages that have been taken out of the config stay in the lock file.
        names = stages()
        self._outs = [out for name, outs in locked_outs(lock).items() if name in names for out in outs]
        self.cache = Path(stdout_of("dvc", "cache", "dir").strip())

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
        is_valid = all(
            isinstance(out[key], str) for stage_outs in outs.values() for out in stage_outs for key in ("path", "md5")
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        is_valid = False
    if not is_valid:
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
    path = cache_path(folder, out["md5"])
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
        outs = [out for stage_outs in locked_outs(lock).values() for out in stage_outs]
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


def stages() -> dict[str, str]:
    """Return the stages of dvc.yaml, each with a path of what it writes."""
    kinds = {"study": "data/study/x", "dataset": "data/datasets/x", "checkpoint": "data/checkpoints/x"}
    names = stdout_of("dvc", "stage", "list", "--name-only").split()
    return {name: kinds.get(name.partition("@")[0], f"results/{name.partition('@')[2]}/x") for name in names}


def stdout_of(*command: str) -> str:
    """Return what a command prints.

    Raises:
        UserError: It failed.
    """
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"`{' '.join(command)}` has failed: {' '.join((done.stderr or done.stdout).split())}")
    return done.stdout
