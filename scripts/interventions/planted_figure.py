"""Draw which scores find planted copies, and whether these replace their originals: figure planted."""

import argparse
from pathlib import Path

from unitscope.figures import drawing, planted_figures
from unitscope.interventions.planted_columns import PlantedAdvantageTable, PlantedSummaryTable, PlantedTable
from unitscope.storage.csv_tables import read_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="planted/{layer}.csv ...")
    result.add_argument("--summary", type=Path, required=True, help="planted.csv")
    result.add_argument("--advantage", type=Path, required=True, help="planted_advantage.csv")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figure."""
    tables = [read_table(path, PlantedTable) for path in arguments.tables]
    summary = read_table(arguments.summary, PlantedSummaryTable)
    advantage = read_table(arguments.advantage, PlantedAdvantageTable)
    figure = planted_figures.planted(arguments.settings, tables, summary, advantage)
    drawing.save(arguments.settings, figure, arguments.output_dir / "planted")


if __name__ == "__main__":
    program.run(parser(), main)
