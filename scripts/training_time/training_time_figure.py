"""Draw scores and their correlation over the epochs of a training: figure training_time."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, training_figures
from unitscope.storage.csv_tables import read_table
from unitscope.tables.training_columns import TrainingTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--training", type=Path, required=True, help="training.csv of the entry")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    figure = training_figures.training_time(arguments.settings, read_table(arguments.training, TrainingTable))
    drawing.save(arguments.settings, figure, arguments.output_dir / "training_time")


if __name__ == "__main__":
    program.run(parser(), main)
