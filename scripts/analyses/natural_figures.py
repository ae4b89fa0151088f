"""Draw RS on natural images against RS on synthetic ones: figures natural, natural_z and natural_q."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, natural_figures
from unitscope.storage.csv_tables import read_table
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--layers", type=Path, required=True, help="layers.csv of the experiment")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw a figure for each form of RS."""
    units, layers = read_table(arguments.units, UnitsTable), read_table(arguments.layers, LayersTable)
    for name, score in (("natural", "rs"), ("natural_z", "rs_z"), ("natural_q", "rs_q")):
        figure = natural_figures.natural(arguments.settings, units, layers, score)
        drawing.save(arguments.settings, figure, arguments.output_dir / name)


if __name__ == "__main__":
    program.run(parser(), main)
