"""Every score of every unit of an experiment in one table: units.csv.

Layer, method and unit of a row are read from the columns inside the tables, never from the names of files.
"""

import argparse
from pathlib import Path

from unitscope.runtime import console
from unitscope.scores.natural_columns import NaturalTable
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.records import read_json
from unitscope.tables.ablation_columns import AblationTable
from unitscope.tables.table_access import methods_of
from unitscope.tables.unit_columns import UnitsTable
from unitscope.tables.unit_tables import units_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--experiment", required=True, help="name of the experiment")
    result.add_argument("--network", required=True, help="name of its network")
    result.add_argument("--taps", type=Path, required=True, help="taps.json of the experiment")
    result.add_argument("--selectivity", type=Path, nargs="?", help="selectivity.csv; without it selectivity is NaN")
    result.add_argument(
        "--substitution", type=Path, nargs="*", default=[], help="substitution/{layer}.{method}.csv ..."
    )
    result.add_argument("--ablation", type=Path, nargs="*", default=[], help="ablation/{layer}.csv ...")
    result.add_argument("--natural", type=Path, nargs="?", help="natural.csv, where RS on natural images was asked for")
    result.add_argument("--output", type=Path, required=True, help="units.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read the tables and join them."""
    table = units_table(
        arguments.experiment,
        arguments.network,
        read_json(arguments.taps),
        read_table(arguments.selectivity, SelectivityTable) if arguments.selectivity else None,
        [read_table(path, SubstitutionTable) for path in arguments.substitution],
        [read_table(path, AblationTable) for path in arguments.ablation],
        read_table(arguments.natural, NaturalTable) if arguments.natural else None,
    )
    console.log.info("%d units, methods: %s", len(table["unit"]), ", ".join(methods_of(table)))
    write_table(arguments.output, table, UnitsTable)


if __name__ == "__main__":
    program.run(parser(), main)
