"""How far RS and selectivity can be trusted, and their relation where there is none to be found.

Writes reliability.csv and nulls.csv, a row a layer, method and score (and null).
"""

import argparse
from pathlib import Path

import h5py
import numpy as np

from unitscope.scores.substitution import scales_of
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.storage.records import read_json
from unitscope.tables import reliability
from unitscope.tables.reliability import ScoresBySeed
from unitscope.tables.reliability_columns import NullsTable, ReliabilityTable
from unitscope.tables.reliability_settings import ReliabilityJob
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--taps", type=Path, required=True, help="taps.json of the experiment")
    result.add_argument("--activations", type=Path, required=True, help="activations.h5 of the experiment")
    result.add_argument("--images", type=Path, nargs="+", required=True, help="images/{layer}.{method}.h5 ...")
    result.add_argument("--untrained", type=Path, nargs="?", help="units.csv of the untrained network's experiment")
    program.add_settings(result, ReliabilityJob)
    result.add_argument("--output", type=Path, required=True, help="reliability.csv to write")
    result.add_argument("--nulls", type=Path, required=True, help="nulls.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Score all images again, seed by seed, and compare."""
    settings = arguments.settings
    units, taps = read_table(arguments.units, UnitsTable), read_json(arguments.taps)
    untrained = read_table(arguments.untrained, UnitsTable) if arguments.untrained else None
    with open_hdf5(arguments.activations) as handle:
        by_method = dict(scores_by_seed(path, handle) for path in arguments.images)
        permuted = permuted_of(handle, settings)
    seeds = {"resamples": settings.resamples, "seed": settings.seed}
    reliabilities = reliability.reliability_table(units, taps, by_method, **seeds)
    nulls = reliability.nulls_table(units, taps, by_method, permuted, untrained, **seeds)
    write_table(arguments.output, reliabilities, ReliabilityTable)
    write_table(arguments.nulls, nulls, NullsTable)


def scores_by_seed(path: Path, activations: h5py.File) -> tuple[tuple[str, str], ScoresBySeed]:
    """Return layer and method of a file of images, and how the layer answers them."""
    with open_hdf5(path) as images:
        layer = str(images.attrs["layer"])
        group = activations[f"layers/{layer}"]
        scores = ScoresBySeed.of(
            images["units"][:],
            images["responses"][:],
            images["start_responses"][:],
            scales_of(group, group.attrs["signed"]),
            images["preactivations"][:] if images.attrs.get("minimize", False) else None,
        )
        return (layer, str(images.attrs["method"])), scores


def permuted_of(activations: h5py.File, settings: ReliabilityJob) -> dict[str, np.ndarray]:
    """Return the selectivity (draws, units) of each layer under permuted labels; none where there are no classes."""
    labels, classes = activations["labels"][:], len(activations.attrs["classes"])
    if classes < 2:
        return {}
    draws, seed = settings.permutations, settings.seed
    return {
        layer: reliability.permuted_draws(group["activations"][:], labels, classes, draws, seed)
        for layer, group in activations["layers"].items()
    }


if __name__ == "__main__":
    program.run(parser(), main)
