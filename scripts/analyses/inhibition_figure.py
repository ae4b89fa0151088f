"""Draw the share of units that an image inhibits: figure inhibition."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, inhibition_figures
from unitscope.storage.csv_tables import read_table
from unitscope.tables.inhibition_columns import InhibitionLayersTable, InhibitionTable
from unitscope.tables.unit_columns import UnitsTable
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
    units, inhibited = read_table(arguments.units, UnitsTable), read_table(arguments.inhibition, InhibitionTable)
    correlations = read_table(arguments.layers, InhibitionLayersTable)
    figure = inhibition_figures.inhibition(arguments.settings, units, inhibited, correlations)
    drawing.save(arguments.settings, figure, arguments.output_dir / "inhibition")


if __name__ == "__main__":
    program.run(parser(), main)
