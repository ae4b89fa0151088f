"""DVC's cache: where it is, and the contents in it."""

import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from unitscope.new_files import new_file
from unitscope.storage.atomic_writes import replacing


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


def cache_path(folder: Path, md5: str) -> Path:
    """Return where a cache keeps a content."""
    return folder / "files/md5" / md5[:2] / md5[2:]


def stored(md5: str, sha256: str) -> Path | None:
    """Return where DVC's cache holds a content, if it does and the content is undamaged."""
    path = cache_path(cache_folder(), md5)
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
