"""Join the areas of cumulative ablation of all layers into one table."""

import argparse
from pathlib import Path

from unitscope.interventions.cumulative_columns import AreasTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.tables.table_access import stacked
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="cumulative_areas/{layer}.csv ...")
    result.add_argument("--output", type=Path, required=True, help="cumulative_areas.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read every table, write their rows in turn."""
    write_table(arguments.output, stacked([read_table(path, AreasTable) for path in arguments.tables]), AreasTable)


if __name__ == "__main__":
    program.run(parser(), main)
