"""Draw the scores of units under random scales: figure scale."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, scale_figures
from unitscope.interventions.scale_columns import ScaleTable
from unitscope.storage.csv_tables import read_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="scale/{layer}.csv ...")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    tables = [read_table(path, ScaleTable) for path in arguments.tables]
    figure = scale_figures.scale(arguments.settings, tables)
    drawing.save(arguments.settings, figure, arguments.output_dir / "scale")


if __name__ == "__main__":
    program.run(parser(), main)
