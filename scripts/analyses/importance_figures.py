"""Draw how well scores predict the ablation loss: figure importance."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, importance_figures
from unitscope.storage.csv_tables import read_table
from unitscope.tables.importance_columns import ImportanceTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--importance", type=Path, required=True, help="importance.csv of the experiment")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    figure = importance_figures.importance(arguments.settings, read_table(arguments.importance, ImportanceTable))
    drawing.save(arguments.settings, figure, arguments.output_dir / "importance")


if __name__ == "__main__":
    program.run(parser(), main)
