"""JSON records, and what artifacts record about themselves and their inputs: format version, checksums."""

import hashlib
import json
from pathlib import Path
from typing import Any

from unitscope.errors import UserError
from unitscope.storage.atomic_writes import write_bytes

FORMAT_VERSION = 1
"""Of every HDF5 artifact and record; raised when a layout changes in a way that readers notice."""


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def write_json(path: Path, value: Any) -> None:
    """Write a record as indented JSON, keys in the order given."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a record written by `write_json`.

    Raises:
        UserError: The file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Run the workflow, or give the path of an existing file.") from None
    except ValueError as error:
        raise UserError(f"{path} is not a whole JSON record ({error}). Delete it and run again.") from error
