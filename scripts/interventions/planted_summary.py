"""Summarize planted copies by layer: how well each score finds them, and whether they replace their originals."""

import argparse
from pathlib import Path

from unitscope.interventions.planted_columns import PlantedAdvantageTable, PlantedSummaryTable, PlantedTable
from unitscope.interventions.planted_summary import advantage_rows, detection_rows
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--planted", type=Path, nargs="*", default=[], help="planted/{layer}.csv ...")
    program.add_settings(result, StatisticsSettings)
    result.add_argument("--output", type=Path, required=True, help="output file of the detection (.csv)")
    result.add_argument("--advantage", type=Path, required=True, help="output file of the replacement (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read the rows of every layer and write both summaries."""
    tables = [read_table(path, PlantedTable) for path in arguments.planted]
    how = arguments.settings.resamples, arguments.settings.seed
    detections = [row for table in tables for row in detection_rows(table, *how)]
    replaced = [row for table in tables for row in advantage_rows(table, *how)]
    write_table(arguments.output, PlantedSummaryTable.of_rows(detections), PlantedSummaryTable)
    write_table(arguments.advantage, PlantedAdvantageTable.of_rows(replaced), PlantedAdvantageTable)


if __name__ == "__main__":
    program.run(parser(), main)
