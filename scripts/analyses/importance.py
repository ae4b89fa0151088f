"""How well RS and other scores foretell what ablation costs, and RS and selectivity given the rest.

Writes importance.csv, a row a layer and predictor, and partial.csv, a row a layer, method and score.
"""

import argparse
from pathlib import Path

from unitscope.scores.predictors_columns import PredictorsTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.records import read_json
from unitscope.tables import importance
from unitscope.tables.importance_columns import ImportanceTable, PartialTable
from unitscope.tables.importance_settings import ImportanceJob
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--predictors", type=Path, required=True, help="predictors.csv of the experiment")
    result.add_argument("--taps", type=Path, required=True, help="taps.json of the experiment")
    program.add_settings(result, ImportanceJob)
    result.add_argument("--output", type=Path, required=True, help="importance.csv to write")
    result.add_argument("--partial", type=Path, required=True, help="partial.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Ask each layer."""
    settings = arguments.settings
    units, measured = read_table(arguments.units, UnitsTable), read_table(arguments.predictors, PredictorsTable)
    taps = read_json(arguments.taps)
    table = importance.importance_table(units, measured, taps, settings, settings.resamples)
    partial = importance.partial_table(units, measured, taps, settings.resamples, settings.seed)
    write_table(arguments.output, table, ImportanceTable)
    write_table(arguments.partial, partial, PartialTable)


if __name__ == "__main__":
    program.run(parser(), main)
