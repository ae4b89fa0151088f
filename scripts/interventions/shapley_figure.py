"""Draw Shapley values of units against the loss of ablating each alone: figure shapley."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, shapley_figures
from unitscope.interventions.shapley_columns import ShapleyTable
from unitscope.storage.csv_tables import read_table
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--shapley", type=Path, nargs="+", required=True, help="shapley/{layer}.csv ...")
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    tables = [read_table(path, ShapleyTable) for path in arguments.shapley]
    figure = shapley_figures.shapley(arguments.settings, read_table(arguments.units, UnitsTable), tables)
    drawing.save(arguments.settings, figure, arguments.output_dir / "shapley")


if __name__ == "__main__":
    program.run(parser(), main)
