"""Draw the accuracy while more and more units are removed: figure cumulative."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, removal_figures
from unitscope.interventions.cumulative_columns import CurvesTable
from unitscope.storage.csv_tables import read_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument(
        "--tables", type=Path, nargs="+", required=True, help="cumulative/{layer}.csv ..., cumulative_of_all.csv"
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    tables = [read_table(path, CurvesTable) for path in arguments.tables]
    figure = removal_figures.curves(arguments.settings, tables)
    drawing.save(arguments.settings, figure, arguments.output_dir / "cumulative")


if __name__ == "__main__":
    program.run(parser(), main)
