"""How well RS and other scores foretell what ablation costs, and RS and selectivity given the rest.

Writes importance.csv, one row per layer and predictor, partial.csv (RS and selectivity), one row per layer, method and
score, and partial_loss.csv (RS and the loss), one row per layer, method, score and given score.
"""

import argparse
from pathlib import Path

from unitscope.data.sampling import balanced_sample
from unitscope.interventions.gradients_columns import GradientsTable
from unitscope.interventions.shapley_columns import ShapleyTable
from unitscope.scores.predictors_columns import PredictorsTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.storage.records import read_json
from unitscope.tables import importance
from unitscope.tables.importance_columns import ImportanceTable, PartialLossTable, PartialTable
from unitscope.tables.importance_settings import ImportanceJob
from unitscope.tables.table_access import stacked
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--predictors", type=Path, required=True, help="predictors.csv of the experiment")
    result.add_argument("--gradients", type=Path, nargs="+", required=True, help="gradients/{layer}.csv ...")
    result.add_argument("--shapley", type=Path, nargs="*", default=[], help="shapley/{layer}.csv ..., if computed")
    result.add_argument("--activations", type=Path, required=True, help="activations.h5 of the experiment")
    result.add_argument("--taps", type=Path, required=True, help="taps.json of the experiment")
    program.add_settings(result, ImportanceJob)
    result.add_argument("--output", type=Path, required=True, help="importance.csv to write")
    result.add_argument("--partial", type=Path, required=True, help="partial.csv to write")
    result.add_argument("--partial-loss", type=Path, required=True, help="partial_loss.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Ask each layer."""
    settings = arguments.settings
    units, measured = read_table(arguments.units, UnitsTable), read_table(arguments.predictors, PredictorsTable)
    taps = read_json(arguments.taps)
    with open_hdf5(arguments.activations) as activations:
        images = len(balanced_sample(activations["labels"][:], settings.images))
    table = importance.importance_table(
        units,
        measured,
        taps,
        settings,
        settings.resamples,
        gradients=stacked([read_table(path, GradientsTable) for path in arguments.gradients]),
        shapley=stacked([read_table(path, ShapleyTable) for path in arguments.shapley]) if arguments.shapley else None,
        images=images,
    )
    partial = importance.partial_table(units, measured, taps, settings.resamples, settings.seed)
    partial_loss = importance.partial_loss_table(units, measured, taps, settings.resamples, settings.seed)
    write_table(arguments.output, table, ImportanceTable)
    write_table(arguments.partial_loss, partial_loss, PartialLossTable)
    write_table(arguments.partial, partial, PartialTable)


if __name__ == "__main__":
    program.run(parser(), main)
