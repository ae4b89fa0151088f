"""The schemas of all tables, found by the names of the modules that declare them, which end in `_columns`."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

from unitscope.errors import UserError
from unitscope.storage.columns import Schema

LIBRARY = Path(__file__).parents[1]


def declarations() -> list[ModuleType]:
    """Return the modules that declare columns, by name."""
    paths = sorted(LIBRARY.rglob("*_columns.py"))
    names = [".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts) for path in paths]
    return [importlib.import_module(name) for name in names]


def schemas() -> list[type[Schema]]:
    """Return the schemas of all tables, by the path of their first file."""
    classes = {
        value
        for module in declarations()
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Schema) and value is not Schema
    }
    return sorted(classes, key=lambda schema: schema.files)


def schema_of(path: str) -> type[Schema]:
    """Return the schema of a table by its path, such as results/digits/units.csv.

    Raises:
        UserError: No table of a study has such a path.
    """
    for schema in schemas():
        if any(matches_pattern(file, path) for file in schema.files):
            return schema
    raise UserError(f"{path} is not a table of a study. docs/tables.md lists the tables.")


def matches_pattern(pattern: str, path: str) -> bool:
    """Return whether a path matches a pattern with wildcards in braces."""
    literals = re.split(r"\{\w+\}", pattern)
    return re.fullmatch("[^/]+".join(map(re.escape, literals)), path) is not None
