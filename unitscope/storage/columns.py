"""Columns of tables, each declared once: name, type, unit and meaning.

A table declares its columns in a module whose name ends in `_columns`, as fields of a `Schema`, in the order of the
file. The text below a field is its meaning in `docs/tables.md`; being a docstring, it belongs to no digest of code. A
column that several tables have is declared by one of them and reused by the others.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

Kind = Literal["integer", "integer or NaN", "number", "flag", "text"]
DTYPES = {"integer": np.int64, "integer or NaN": np.float64, "number": np.float64, "flag": np.bool_, "text": np.str_}
"""Type of the array that a table has in memory, by the kind of a column."""

METHOD = "{method}"
"""Placeholder for the name of a method in the name of a column."""


class Column:
    """A column of a table.

    Attributes:
        name: Its name in the file. One that ends in "_{method}" stands for a column per method.
        kind: Type of its cells: "integer", "integer or NaN", "number" (NaN where undefined), "flag" (True or False) or
            "text".
        unit: Unit of a number: "nats", "bits", "share" (0 to 1), "count", "index" (counted from 0), "1" if it has no
            dimension, ...; empty for flags and texts.
        required: Whether every file has it.
        is_per_method: Whether it stands for a column per method.
        declared: The column that this one was derived from; itself if it was declared directly.
    """

    def __init__(
        self,
        kind: Kind,
        unit: str = "",
        name: str = "",
        required: bool = True,
        is_per_method: bool = False,
        declared: "Column | None" = None,
    ) -> None:
        self.kind, self.unit, self.name, self.required = kind, unit, name, required
        self.is_per_method = is_per_method
        self.declared = declared or self

    def __set_name__(self, owner: type, name: str) -> None:
        name = f"{name}_{METHOD}" if self.is_per_method else name
        if self.name and self.name != name:
            raise TypeError(f"{owner.__name__} reuses the column {self.name} as {name}: name the field like the column")
        self.name = name

    def __repr__(self) -> str:
        return f"Column({self.name!r}, {self.kind!r}, {self.unit!r})"

    def optional(self) -> "Column":
        """Return this column, for a schema whose files may lack it."""
        if not self.name:
            # Declared as such: there is no other column that it is derived from.
            return Column(self.kind, self.unit, required=False)
        return Column(self.kind, self.unit, self.name, False, self.is_per_method, self.declared)

    def per_method(self) -> "Column":
        """Return one such column per method, named {column}_{method}."""
        return Column(self.kind, self.unit, "", self.required, True, self.declared)

    def of_method(self, method: str) -> str:
        """Return its name for a method."""
        return self.name.replace(METHOD, method)

    @property
    def missing(self) -> Any:
        """The value of a row for which nothing was computed: NaN, 0, False or an empty text."""
        return {"integer": 0, "flag": False, "text": ""}.get(self.kind, np.nan)

    def array(self, values: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return values as an array of the column's type.

        Raises:
            ValueError: A value is of another type.
        """
        array = np.asarray(values)
        if self.kind == "text":
            fits = all(isinstance(value, str) for value in values)
        elif self.kind == "integer or NaN":
            fits = array.dtype.kind in "iuf" and bool((np.isnan(array) | (array == np.round(array))).all())
        else:
            fits = array.dtype.kind in {"integer": "iu", "number": "iuf", "flag": "b"}[self.kind]
        if len(array) and not fits:
            raise ValueError(f"the column {self.name} is of type {self.kind}, not {values!r:.80}")
        return array.astype(DTYPES[self.kind])

    def cells(self, array: np.ndarray) -> list[Any]:
        """Return an array of the column's type as cells of a file."""
        if self.kind == "integer or NaN":
            return [value if np.isnan(value) else int(value) for value in array.tolist()]
        return array.tolist()

    def parse(self, cells: Sequence[str]) -> np.ndarray:
        """Return cells of a file as an array of the column's type.

        Raises:
            ValueError: A cell is not of the column's type.
        """
        texts = np.array(cells, dtype=str)
        if self.kind == "flag":
            if unknown := set(cells) - {"True", "False"}:
                raise ValueError(f"the column {self.name} has {min(unknown)!r}, neither True nor False")
            return texts == "True"
        try:
            array: np.ndarray = texts.astype(DTYPES[self.kind])
            return array if self.kind in ("integer", "text") else self.array(array)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"the column {self.name} is not of type {self.kind} ({error})") from None


def integer(unit: str, or_nan: bool = False) -> Column:
    """Declare a column of integers, or of integers and NaN where undefined."""
    return Column("integer or NaN" if or_nan else "integer", unit)


def number(unit: str) -> Column:
    """Declare a column of floating-point numbers, NaN where undefined."""
    return Column("number", unit)


def flag() -> Column:
    """Declare a column of True and False."""
    return Column("flag")


def text() -> Column:
    """Declare a column of texts, whatever they look like: "3" is a layer of an `nn.Sequential`."""
    return Column("text")


class Schema:
    """The columns of a table, as fields of a subclass in the order of the file; its docstring describes a row.

    Attributes:
        files: Paths of the files, with wildcards in braces.
        columns: The columns.
    """

    files: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[Column, ...]]

    def __init_subclass__(cls, files: Sequence[str]) -> None:
        cls.files = tuple(files)
        cls.columns = tuple(value for value in vars(cls).values() if isinstance(value, Column))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the columns, with {method} in those per method."""
        return tuple(column.name for column in cls.columns)

    @classmethod
    def blank(cls) -> dict[str, Any]:
        """Return a row for which nothing was computed: NaN, 0, False and empty texts."""
        return {column.name: column.missing for column in cls.columns}

    @classmethod
    def header(cls, methods: Iterable[str] = (), left_out: Iterable[str] = ()) -> dict[str, Column]:
        """Return the columns of a file by name.

        Args:
            methods: Methods of the columns per method; of columns that follow one another in the schema, those of a
                method do so in the file.
            left_out: Names of columns that the file lacks.
        """
        names: dict[str, Column] = {}
        methods = list(methods)
        for is_per_method, run in itertools.groupby(cls.columns, lambda column: column.is_per_method):
            columns = list(run)
            names |= (
                {column.of_method(method): column for method in methods for column in columns}
                if is_per_method
                else {column.name: column for column in columns}
            )
        left_out = set(left_out)
        return {name: column for name, column in names.items() if name not in left_out}

    @classmethod
    def resolve(cls, names: Sequence[str]) -> dict[str, Column]:
        """Return the column of each name in a file's header.

        Raises:
            ValueError: A column is missing, is not declared, or is not in its place.
        """
        present, exact = set(names), cls.header()
        per_method = [column for column in cls.columns if column.is_per_method]
        endings = dict.fromkeys(
            name.removeprefix(column.of_method(""))
            for name in names
            for column in per_method
            if name not in exact and name.startswith(column.of_method(""))
        )
        methods = [method for method in endings if {column.of_method(method) for column in per_method} <= present]
        absent = [column.name for column in cls.columns if not column.required and column.name not in present]
        expected = cls.header(methods, absent)
        if list(expected) != list(names):
            problems = [
                *(f"the column {name} is missing" for name in expected if name not in present),
                *(f"the column {name} is not declared" for name in names if name not in expected),
            ]
            raise ValueError("; ".join(problems) or f"the order of the columns is not {', '.join(expected)}")
        return expected

    @classmethod
    def typed(cls, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> dict[str, np.ndarray]:
        """Return columns as arrays of their types.

        Raises:
            ValueError: The columns are not those of the schema, or a value is of another type.
        """
        resolved = cls.resolve(list(columns))
        return {name: column.array(columns[name]) for name, column in resolved.items()}

    @classmethod
    def completed(cls, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return columns in the order of the schema; required ones that are not given are missing in all rows."""
        rows = len(next(iter(columns.values())))
        header = {column.name: column for column in cls.columns if column.required or column.name in columns}
        return cls.typed({name: columns.get(name, [column.missing] * rows) for name, column in header.items()})

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """Return rows, each with all columns, as the columns of a table; of no rows, empty ones.

        Raises:
            ValueError: A row lacks a column, has another one, or has a value of another type.
        """
        rows, names = list(rows), cls.names()
        for row in rows:
            if row.keys() != set(names):
                differing = ", ".join(sorted(row.keys() ^ set(names)))
                raise ValueError(f"a row of {cls.__name__} differs from its columns in {differing}")
        return cls.typed({name: [row[name] for row in rows] for name in names})
