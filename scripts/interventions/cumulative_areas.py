"""Join the areas of cumulative ablation of all layers into one table."""

import argparse
from pathlib import Path

from unitscope.storage.csv_tables import read_table, write_table
from unitscope.tables.table_access import stacked
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="the tables (.csv), in order")
    result.add_argument("--output", type=Path, required=True, help="where the whole goes (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read every table, write their rows in turn."""
    write_table(arguments.output, stacked([read_table(path) for path in arguments.tables]))


if __name__ == "__main__":
    program.run(parser(), main)
