"""Read artifacts whole, and hold them against the checksums in dvc.lock.

DVC trusts its cache once a file in it is read-only; a byte that a disk has changed would pass for a result.
"""

import argparse
import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from unitscope import console
from unitscope.errors import UserError

REMEDY = (
    "Delete it here and from the cache (.dvc/cache/files/md5) and fetch it anew from a store that holds it whole, or "
    "run `dvc repro --force` for the stage that makes it."
)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--only", nargs="+", type=Path, help="artifacts to read, no folders; by default all")
    result.add_argument("--fetched", action="store_true", help="look whether the cache has them, and read nothing")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Compare each file."""
    lock = Path("dvc.lock")
    stages = yaml.safe_load(lock.read_text())["stages"] if lock.is_file() else {}
    if arguments.only:
        for out in outs(stages.values()):
            if Path(out["path"]) in arguments.only:
                compare(Path(out["path"]), out["md5"])
        return
    # Stages that have been taken out of the config stay in the lock file.
    names = told("dvc", "stage", "list", "--name-only").split()
    cache = Path(told("dvc", "cache", "dir").strip())
    artifacts = list(files(outs(stages[name] for name in names if name in stages), cache))
    if not arguments.fetched:
        for path, md5 in artifacts:
            compare(path, md5)
    elif missing := [str(path) for path, md5 in artifacts if not stored(cache, md5).is_file()]:
        raise UserError(f"The store lacks these files, or holds them damaged: {', '.join(missing)}.")


def told(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def outs(stages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the outputs of stages of a dvc.lock."""
    for stage in stages:
        yield from stage.get("outs", [])


def files(outputs: Iterable[dict[str, Any]], cache: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of outputs, those within folders one by one, and its MD5.

    Raises:
        UserError: The list of a folder's files is not in the cache, or damaged.
    """
    for out in outputs:
        if out["md5"].endswith(".dir"):
            for entry in listing(out, cache):
                yield Path(out["path"], entry["relpath"]), entry["md5"]
        else:
            yield Path(out["path"]), out["md5"]


def listing(out: dict[str, Any], cache: Path) -> list[dict[str, str]]:
    """Return the files of a folder that is an output, as the cache lists them."""
    path = stored(cache, out["md5"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The list of the files in {out['path']} is not in DVC's cache ({error}). {REMEDY}") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != out["md5"].removesuffix(".dir"):
        raise UserError(f"The list of the files in {out['path']} is damaged in DVC's cache ({path}). {REMEDY}")
    return json.loads(content)


def stored(cache: Path, md5: str) -> Path:
    """Return where the cache keeps a content."""
    return cache / "files/md5" / md5[:2] / md5[2:]


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


if __name__ == "__main__":
    console.run(parser(), main)
