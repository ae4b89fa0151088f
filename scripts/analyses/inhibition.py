"""Tell how many units of a layer the image of each unit inhibits: inhibition.csv, and its correlations."""

import argparse
from dataclasses import asdict
from pathlib import Path

from unitscope.maximization.responses import compared_in
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.storage.records import read_json
from unitscope.tables.inhibition import inhibition, inhibition_correlations, inhibition_rows
from unitscope.tables.inhibition_columns import InhibitionLayersTable, InhibitionTable
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--images", type=Path, nargs="+", required=True, help="images/{layer}.{method}.h5 ...")
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--taps", type=Path, required=True, help="taps.json of the experiment")
    program.add_settings(result, StatisticsSettings)
    result.add_argument("--output", type=Path, required=True, help="inhibition.csv to write")
    result.add_argument("--layers", type=Path, required=True, help="inhibition_layers.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Count and correlate."""
    units, taps = read_table(arguments.units, UnitsTable), read_json(arguments.taps)
    inhibitions = {}
    for path in arguments.images:
        with open_hdf5(path) as file:
            targets, responses = file["units"][:], compared_in(file)
            layer_inhibition = inhibition(file["preactivations"][:], responses, targets)
            inhibitions[str(file.attrs["layer"]), str(file.attrs["method"])] = targets, layer_inhibition
    rows = InhibitionTable.of_rows(inhibition_rows(inhibitions, taps, str(units["experiment"][0])))
    correlations = inhibition_correlations(rows, units, taps, **asdict(arguments.settings))
    write_table(arguments.output, rows, InhibitionTable)
    write_table(arguments.layers, InhibitionLayersTable.of_rows(correlations), InhibitionLayersTable)


if __name__ == "__main__":
    program.run(parser(), main)
