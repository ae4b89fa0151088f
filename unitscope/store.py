"""DVC's store: what dvc.lock says of the artifacts, held against the files themselves.

DVC trusts its cache once a file in it is read-only, and a remote unless it is told to verify; a byte that a disk has
changed would pass for a result.
"""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError

from unitscope.errors import UserError

REMEDY = (
    "Delete it here and from the cache (.dvc/cache/files/md5) and fetch it anew from a store that holds it whole, or "
    "run `dvc repro --force` for the stage that makes it."
)


def recorded(repo: Any) -> Iterator[tuple[Path, str]]:
    """Yield each file that dvc.lock names as an output, those within folders one by one, and its MD5.

    Args:
        repo: DVC's repository; paths are relative to its root.

    Raises:
        UserError: The list of a folder's files is not in the cache, or damaged.
    """
    for out in repo.index.outs:
        path = Path(str(out.fs_path)).relative_to(repo.root_dir)
        if not out.hash_info:
            continue
        try:
            found = out.get_obj()
        except (DvcException, ObjectFormatError, OSError, ValueError) as error:
            raise UserError(f"The list of the files in {path} is damaged in DVC's cache ({error}). {REMEDY}") from None
        if isinstance(found, Tree):
            for key, _, hash_info in found:
                yield path.joinpath(*key), hash_info.value
        else:
            yield path, out.hash_info.value


def not_in_cache(root: Path) -> list[Path]:
    """Return the artifacts that DVC has recorded and its cache lacks, such as those that it has found damaged."""
    with Repo(str(root)) as repo:
        return [path for path, md5 in recorded(repo) if not repo.cache.local.exists(md5)]


def check_content(root: Path, only: Collection[Path] | None = None) -> None:
    """Read the artifacts that DVC has recorded, whole.

    Args:
        root: The project's folder.
        only: Those to read, relative to it; None reads all.

    Raises:
        UserError: One is missing, or its content is not what was recorded.
    """
    with Repo(str(root)) as repo:
        for path, md5 in recorded(repo):
            if only is not None and path not in only:
                continue
            if not (root / path).is_file():
                raise UserError(f"{path} is recorded in dvc.lock, but it is not there. Run `dvc pull`.")
            with open(root / path, "rb") as handle:
                found = hashlib.file_digest(handle, "md5").hexdigest()
            if found != md5:
                raise UserError(f"{path} is damaged: its MD5 is {found}, dvc.lock says {md5}. {REMEDY}")
