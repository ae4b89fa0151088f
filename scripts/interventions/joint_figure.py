"""Draw the interactions of units and their substitutes: figure joint."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, removal_figures
from unitscope.interventions.joint_columns import InteractionsTable
from unitscope.storage.csv_tables import read_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="joint/{layer}.{method}.csv ...")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    tables = [read_table(path, InteractionsTable) for path in arguments.tables]
    figure = removal_figures.interactions(arguments.settings, tables)
    drawing.save(arguments.settings, figure, arguments.output_dir / "joint")


if __name__ == "__main__":
    program.run(parser(), main)
