"""DVC's list of locks, which a DVC that was killed leaves empty."""

import json
from pathlib import Path

LOCK_REMOVED = "DVC was killed while it wrote .dvc/tmp/rwlock, and would fail at it: the file is removed."


def remove_broken_lock(folder: Path = Path(".dvc/tmp")) -> bool:
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
