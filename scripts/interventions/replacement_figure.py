"""Draw the divergence with substitutes against that with control sets, by layer: figure replacement."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, replacement_figures
from unitscope.interventions.replacement_columns import ReplacementTable
from unitscope.storage.csv_tables import read_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="replacement/{layer}.{method}.csv ...")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    tables = [read_table(path, ReplacementTable) for path in arguments.tables]
    figure = replacement_figures.replacements(arguments.settings, tables)
    drawing.save(arguments.settings, figure, arguments.output_dir / "replacement")


if __name__ == "__main__":
    program.run(parser(), main)
