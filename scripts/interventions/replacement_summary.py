"""Sum up the replacement of units: a row per layer, method and number of substitutes."""

import argparse
from pathlib import Path

from unitscope.interventions.replacement_columns import ReplacementSummaryTable, ReplacementTable
from unitscope.interventions.replacement_summary import summary_rows
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="*", default=[], help="replacement/{layer}.{method}.csv ...")
    program.add_settings(result, StatisticsSettings)
    result.add_argument("--output", type=Path, required=True, help="summary to write (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read every layer's table and write the means with their intervals."""
    settings, rows = arguments.settings, []
    for path in arguments.tables:
        rows += summary_rows(read_table(path, ReplacementTable), settings.resamples, settings.seed)
    write_table(arguments.output, ReplacementSummaryTable.of_rows(rows), ReplacementSummaryTable)


if __name__ == "__main__":
    program.run(parser(), main)
