"""Columns of tables: declared once, with a type, a unit and a meaning; each file has those of its schema."""

import re

import numpy as np
import pytest
from projects import ROOT, undeclared

from unitscope.config.table_schemas import matches_pattern, schema_of, schemas
from unitscope.errors import UserError
from unitscope.storage.columns import Schema, flag, integer, number, text
from unitscope.storage.common_columns import Common
from unitscope.workflow.table_reference import meanings, reference


class Scores(Schema, files=["scores/{layer}.csv"]):
    """One row per unit."""

    layer = Common.layer
    unit = Common.unit
    rs = number("share").per_method()
    seeds = integer("count").per_method()
    dead = flag()
    nearest = integer("index", or_nan=True)
    note = text().optional()


HEADER = ["layer", "unit", "rs_am", "seeds_am", "rs_z_am", "seeds_z_am", "dead", "nearest"]


def test_columns_per_method_follow_one_another_and_optional_ones_may_be_absent():
    assert list(Scores.resolve([*HEADER, "note"])) == [*HEADER, "note"]
    columns = Scores.resolve(HEADER)
    assert list(columns) == HEADER
    assert (
        columns["rs_z_am"] is Scores.rs and columns["seeds_z_am"] is Scores.seeds and columns["layer"] is Common.layer
    )
    assert list(Scores.header()) == ["layer", "unit", "dead", "nearest", "note"]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ([*HEADER, "year"], "the column year is not declared"),
        ([name for name in HEADER if name != "dead"], "the column dead is missing"),
        ([name for name in HEADER if name != "seeds_am"], "the column rs_am is not declared"),
        ([*HEADER[1:], "layer"], "the order of the columns is not layer, unit"),
        ([*HEADER, "dead"], "the order of the columns"),
    ],
)
def test_undeclared_headers_are_refused(header, problem):
    with pytest.raises(ValueError, match=problem):
        Scores.resolve(header)


@pytest.mark.parametrize(
    ("column", "values", "dtype"),
    [
        (integer("count"), [3, 4], np.int64),
        (integer("count"), np.array([3], np.int32), np.int64),
        (integer("index", or_nan=True), [3, np.nan], np.float64),
        (number("nats"), [3, 4], np.float64),
        (number("nats"), np.array([0.5, np.nan], np.float32), np.float64),
        (flag(), [True, np.bool_(False)], np.bool_),
        (text(), ["3", ""], np.str_),
        (text(), np.array(["3", "conv"], object), np.str_),
        *((column, [], dtype) for column, dtype in ((integer("1"), np.int64), (flag(), bool), (text(), np.str_))),
    ],
)
def test_values_round_trip_through_cells(column, values, dtype):
    array = column.array(values)
    assert array.dtype.type == np.dtype(dtype).type and array.tolist() == pytest.approx(list(values), nan_ok=True)
    cells = [str(cell) for cell in column.cells(array)]
    np.testing.assert_array_equal(column.parse(cells), array)


def test_integers_are_written_without_a_point_next_to_undefined_ones():
    column = integer("index", or_nan=True)
    assert [str(cell) for cell in column.cells(column.array([3.0, np.nan]))] == ["3", "nan"]


@pytest.mark.parametrize(
    ("column", "value", "cell"),
    [
        (integer("count"), 0.5, "0.5"),
        (integer("count"), np.nan, "nan"),
        (integer("count"), True, "99999999999999999999"),
        (integer("index", or_nan=True), 0.5, "0.5"),
        (number("nats"), True, "True"),
        (number("nats"), "0.5", "half"),
        (number("nats"), None, ""),
        (flag(), 1, "1"),
        (text(), 3, None),
    ],
)
def test_values_and_cells_of_another_type_are_refused(column, value, cell):
    with pytest.raises(ValueError, match=f"is of type {column.kind}"):
        column.array([value, value])
    if cell is not None:
        with pytest.raises(ValueError, match=r"is not of type|neither True nor False"):
            column.parse([cell])


def test_rows_become_the_declared_typed_columns():
    class Pairs(Schema, files=["pairs.csv"]):
        """One row per pair."""

        x = Common.x
        used = Common.used

    table = Pairs.of_rows([{"used": 3, "x": "rs"}, {"x": "1", "used": 4}])
    assert {name: column.tolist() for name, column in table.items()} == {"x": ["rs", "1"], "used": [3, 4]}
    assert {name: column.dtype.kind for name, column in Pairs.of_rows([]).items()} == {"x": "U", "used": "i"}
    for row in ({"x": "rs"}, {"x": "rs", "used": 3, "year": 2018}):
        with pytest.raises(ValueError, match=r"a row of Pairs differs from its columns in (used|year)"):
            Pairs.of_rows([row])


def test_a_column_has_the_same_name_in_all_tables():
    with pytest.raises((TypeError, RuntimeError)):

        class _(Schema, files=["a.csv"]):
            place = Common.layer


# --- the declarations ------------------------------------------------------------------------------------------------


def test_every_column_has_a_description_and_every_number_a_unit():
    meaning = meanings()
    for schema in schemas():
        assert (schema.__doc__ or "").startswith("One row per "), schema
        for column in schema.columns:
            assert meaning[column.declared].endswith("."), column
            assert bool(column.unit) == (column.kind not in ("flag", "text")), column


def test_schemas_are_in_the_modules_of_the_reference():
    elsewhere = [
        path.relative_to(ROOT)
        for folder in ("unitscope", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if not path.name.endswith("_columns.py") and re.search(r"^ *class \w+\(\s*Schema\b", path.read_text(), re.M)
    ]
    assert elsewhere == []


def test_table_reference_matches_the_schemas():
    assert (ROOT / "docs/tables.md").read_text() == reference(), "run `make schema`"


def test_declared_tables_equal_those_the_rules_write():
    rules = "\n".join(path.read_text() for path in sorted((ROOT / "rules").rglob("*.smk")))
    named = re.findall(r'"((?:results|\{PAPER\[\'folder\'\]\})/[^"]*\.csv)"', rules)
    named += [f"results/{{experiment}}/{name}.csv" for name in re.findall(r'\btable\("(\w+)"\)', rules)]
    # Whatever the wildcards are called there; the last is what `table` returns for any name.
    paths = {re.sub(r"\{+[^{}]*\}+", "x", path) for path in named} - {"results/x/x.csv"}
    files = [file for schema in schemas() for file in schema.files]
    assert [path for path in paths if not any(matches_pattern(file, path) for file in files)] == []
    # In one `expand` with its figure, where variants are compared.
    unmatched = [file for file in files if not any(matches_pattern(file, path) for path in paths)]
    assert unmatched == ["{folder}/sensitivity.csv"]


def test_tables_of_a_study_are_as_declared(finished):
    assert undeclared(finished.folder / "results") == set()


def test_the_schema_of_a_table_follows_from_its_path():
    assert schema_of("results/digits/units.csv").__name__ == "UnitsTable"
    with pytest.raises(UserError, match=r"results/digits/other\.csv is not a table of a study"):
        schema_of("results/digits/other.csv")
