"""Join the tables of a training's checkpoints, a row an epoch, layer, method and score: training.csv."""

import argparse
from pathlib import Path

from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.records import read_json
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.training_columns import TrainingTable
from unitscope.tables.training_time import joined, training_rows
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--units", type=Path, nargs="+", required=True, help="units.csv of each checkpoint")
    result.add_argument("--layers", type=Path, nargs="+", required=True, help="layers.csv of each, in the same order")
    result.add_argument("--records", type=Path, nargs="+", required=True, help="its training record (.json), likewise")
    result.add_argument("--output", type=Path, required=True, help="training.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Join."""
    files = zip(arguments.units, arguments.layers, arguments.records, strict=True)
    table = joined(
        row
        for units, layers, record in files
        for row in training_rows(read_table(units, UnitsTable), read_table(layers, LayersTable), read_json(record))
    )
    write_table(arguments.output, table, TrainingTable)


if __name__ == "__main__":
    program.run(parser(), main)
