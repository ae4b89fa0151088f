"""Draw the correlation of RS and selectivity under null models: figure nulls."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, nulls_figures
from unitscope.storage.csv_tables import read_table
from unitscope.tables.reliability_columns import NullsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--nulls", type=Path, required=True, help="nulls.csv of the experiment")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    figure = nulls_figures.nulls(arguments.settings, read_table(arguments.nulls, NullsTable))
    drawing.save(arguments.settings, figure, arguments.output_dir / "nulls")


if __name__ == "__main__":
    program.run(parser(), main)
