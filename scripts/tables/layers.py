"""Correlations of the units' scores within each layer, with intervals and p values: layers.csv."""

import argparse
from pathlib import Path

from unitscope.runtime import console
from unitscope.scores.sparseness_columns import SparsenessTable
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.records import read_json
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.correlations import layer_correlations
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--taps", type=Path, required=True, help="taps.json of the experiment")
    result.add_argument("--sparseness", type=Path, nargs="?", help="sparseness.csv; without it it is NaN")
    result.add_argument(
        "--substitution", type=Path, nargs="*", default=[], help="substitution/{layer}.{method}.csv ..."
    )
    program.add_settings(result, StatisticsSettings)
    result.add_argument("--output", type=Path, required=True, help="layers.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Correlate layer by layer."""
    settings = arguments.settings
    table = layer_correlations(
        read_table(arguments.units, UnitsTable),
        read_json(arguments.taps),
        settings.permutations,
        settings.resamples,
        settings.seed,
        read_table(arguments.sparseness, SparsenessTable) if arguments.sparseness else None,
        [read_table(path, SubstitutionTable) for path in arguments.substitution],
    )
    undefined = sum(value != value for value in table["spearman"])
    console.log.info("%d correlations, %d of them undefined", len(table["spearman"]), undefined)
    write_table(arguments.output, table, LayersTable)


if __name__ == "__main__":
    program.run(parser(), main)
