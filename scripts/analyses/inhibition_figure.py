"""Draw the share of units that an image inhibits: figure inhibition."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, inhibition_figures
from unitscope.storage.csv_tables import read_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--inhibition", type=Path, required=True, help="inhibition.csv of the experiment")
    result.add_argument("--layers", type=Path, required=True, help="inhibition_layers.csv of the experiment")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    tables = [read_table(path) for path in (arguments.units, arguments.inhibition, arguments.layers)]
    figure = inhibition_figures.inhibition(arguments.settings, *tables)
    drawing.save(arguments.settings, figure, arguments.output_dir / "inhibition")


if __name__ == "__main__":
    program.run(parser(), main)
