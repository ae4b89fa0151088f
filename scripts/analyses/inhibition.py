"""Tell how many units of a layer the image of each unit inhibits: inhibition.csv, and its correlations."""

import argparse
from dataclasses import asdict
from pathlib import Path

from unitscope.maximization.answers import compared_in
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.storage import artifacts
from unitscope.tables.inhibition import inhibition, inhibition_correlations, inhibition_rows
from unitscope.tables.unit_tables import columns
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
    units, taps = artifacts.read_table(arguments.units), artifacts.read_json(arguments.taps)
    made = {}
    for path in arguments.images:
        with artifacts.open_hdf5(path) as file:
            targets, answers = file["units"][:], compared_in(file)
            found = inhibition(file["preactivations"][:], answers, targets)
            made[str(file.attrs["layer"]), str(file.attrs["method"])] = targets, found
    rows = columns(list(inhibition_rows(made, taps, str(units["experiment"][0]))))
    correlations = columns(list(inhibition_correlations(rows, units, taps, **asdict(arguments.settings))))
    artifacts.write_table(arguments.output, rows)
    artifacts.write_table(arguments.layers, correlations)


if __name__ == "__main__":
    program.run(parser(), main)
