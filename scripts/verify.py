"""Read artifacts whole, and hold them against the checksums in dvc.lock.

DVC trusts its cache once a file in it is read-only; a byte that a disk has changed would pass for a result.
"""

import argparse
import hashlib
import json
import subprocess
from collections.abc import Iterator
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
    result.add_argument("--only", nargs="+", type=Path, help="the artifacts to read; by default all")
    result.add_argument("--fetched", action="store_true", help="look whether the cache has them, and read nothing")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Compare each file."""
    cache = Path(told("dvc", "cache", "dir").strip())
    artifacts = recorded(Path("dvc.lock"), cache)
    if arguments.fetched:
        missing = [str(path) for path, md5 in artifacts if not stored(cache, md5).is_file()]
        if missing:
            raise UserError(f"The store lacks these files, or holds them damaged: {', '.join(missing)}.")
        return
    for path, md5 in artifacts:
        if arguments.only is None or path in arguments.only:
            compare(path, md5)


def told(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def recorded(lock: Path, cache: Path) -> Iterator[tuple[Path, str]]:
    """Yield each output that a dvc.lock names for the stages of today, those within folders one by one, and its MD5.

    Raises:
        UserError: The list of a folder's files is not in the cache, or damaged.
    """
    if not lock.is_file():
        return
    stages = yaml.safe_load(lock.read_text())["stages"]
    for name in told("dvc", "stage", "list", "--name-only").split():
        for out in stages.get(name, {}).get("outs", []):
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
