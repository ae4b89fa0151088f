"""Tables as CSV: written atomically, the same bytes for the same columns, with the columns of their schema."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from unitscope.errors import UserError
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.columns import Schema


def write_table(path: Path, columns: Mapping[str, Sequence[Any] | np.ndarray], schema: type[Schema]) -> None:
    """Write columns of equal length as CSV; floats in the shortest form that reads back as the same number.

    Raises:
        ValueError: The columns are not those that the schema declares, or a value is of another type.
    """
    typed, declared = schema.typed(columns), schema.resolve(list(columns))
    rows: list[str] = []
    # Cells with either character of this line ending are quoted, a name with a carriage return too.
    writer = csv.writer(SimpleNamespace(write=rows.append), lineterminator="\r\n")
    writer.writerow(typed)
    writer.writerows(zip(*(declared[name].cells(array) for name, array in typed.items()), strict=True))
    write_bytes(path, "".join(row.removesuffix("\r\n") + "\n" for row in rows).encode())


def read_table(path: Path, schema: type[Schema]) -> dict[str, np.ndarray]:
    """Read a CSV written by `write_table`: a mapping from column to array, typed as the schema declares.

    Raises:
        UserError: The file is missing, its rows differ in length, its columns are not those of the schema, or a cell is
            of another type.
    """
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            header, *rows = list(csv.reader(handle))
        declared = schema.resolve(header)
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
        return {name: declared[name].parse(column) for name, column in zip(header, columns, strict=True)}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Run the workflow, or give the path of an existing file.") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is not a whole table ({error}). Delete it and run again.") from error
