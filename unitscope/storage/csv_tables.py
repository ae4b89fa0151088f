"""Tables as CSV: written atomically, the same bytes for the same columns, typed when read."""

import contextlib
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from unitscope.errors import UserError
from unitscope.storage.atomic_writes import write_bytes

TEXT_COLUMNS = ("experiment", "network", "layer", "kind", "method", "x", "y", "reason", "substitutes", "top_class")
"""Columns that hold names, whatever they look like: "3" is a layer of an `nn.Sequential`."""
TEXT_OF_METHODS = "substitutes_"
"""What the name of such a column begins with that there is for each method."""


def write_table(path: Path, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    """Write columns of equal length as CSV; floats in the shortest form that reads back as the same number."""
    rows: list[str] = []
    # Cells with either character of this line ending are quoted, a name with a carriage return too.
    writer = csv.writer(SimpleNamespace(write=rows.append), lineterminator="\r\n")
    writer.writerow(columns)
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    writer.writerows(zip(*plain, strict=True))
    write_bytes(path, "".join(row.removesuffix("\r\n") + "\n" for row in rows).encode())


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Read a CSV written by `write_table`: a mapping from column to array of integers, floats, booleans or text.

    Raises:
        UserError: The file is missing or its rows differ in length.
    """
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            header, *rows = list(csv.reader(handle))
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
        return {name: _typed(name, column) for name, column in zip(header, columns, strict=True)}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Run the workflow, or give the path of an existing file.") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is not a whole table ({error}). Delete it and run again.") from error


def _typed(name: str, column: Sequence[str]) -> np.ndarray:
    if name in TEXT_COLUMNS or name.startswith(TEXT_OF_METHODS):
        return np.array(column, dtype=str)
    if column and set(column) <= {"True", "False"}:
        return np.array(column) == "True"
    for kind in (np.int64, np.float64):
        with contextlib.suppress(ValueError, OverflowError):
            return np.array(column, dtype=str).astype(kind)
    return np.array(column, dtype=str)
