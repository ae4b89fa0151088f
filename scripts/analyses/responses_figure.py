"""Draw the dendrograms of the units by their responses: figure dendrogram."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, response_figures
from unitscope.scores.response_columns import ResponsesTable
from unitscope.storage.csv_tables import read_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="responses/{layer}.{method}.csv ...")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    tables = [read_table(path, ResponsesTable) for path in arguments.tables]
    figure = response_figures.dendrograms(arguments.settings, tables)
    drawing.save(arguments.settings, figure, arguments.output_dir / "dendrogram")


if __name__ == "__main__":
    program.run(parser(), main)
