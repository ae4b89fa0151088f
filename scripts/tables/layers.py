"""Correlations of the units' scores within each layer, with intervals and p values: layers.csv."""

import argparse
from pathlib import Path

import h5py
import numpy as np

from unitscope.data.sampling import balanced_sample
from unitscope.maximization.responses import compared_in
from unitscope.runtime import console
from unitscope.scores.sparseness_columns import SparsenessTable
from unitscope.scores.substitution import by_seed, scales_of
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.storage.records import read_json
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.correlation_settings import CorrelationsJob
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
    result.add_argument("--activations", type=Path, nargs="?", help="activations.h5, where there are real images")
    result.add_argument(
        "--images", type=Path, nargs="*", default=[], help="images/{layer}.{method}.h5 ..., where seeds are several"
    )
    program.add_settings(result, CorrelationsJob)
    result.add_argument("--output", type=Path, required=True, help="layers.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Correlate layer by layer."""
    settings, images, ratings = arguments.settings, None, {}
    if arguments.activations:
        with open_hdf5(arguments.activations) as activations:
            images = len(balanced_sample(activations["labels"][:], settings.images))
            ratings = dict(ratings_of(path, activations) for path in arguments.images)
    table = layer_correlations(
        read_table(arguments.units, UnitsTable),
        read_json(arguments.taps),
        settings.permutations,
        settings.resamples,
        settings.seed,
        read_table(arguments.sparseness, SparsenessTable) if arguments.sparseness else None,
        [read_table(path, SubstitutionTable) for path in arguments.substitution],
        images=images,
        ratings=ratings,
    )
    undefined = sum(value != value for value in table["spearman"])
    console.log.info("%d correlations, %d of them undefined", len(table["spearman"]), undefined)
    write_table(arguments.output, table, LayersTable)


def ratings_of(path: Path, activations: h5py.File) -> tuple[tuple[str, str], dict[str, np.ndarray]]:
    """Return layer and method of a file of images, and for each form of RS the counts of each seed (seeds, units)."""
    with open_hdf5(path) as images:
        layer, units = str(images.attrs["layer"]), images["units"][:]
        group = activations[f"layers/{layer}"]
        scales = {} if images.attrs.get("minimize", False) else scales_of(group, group.attrs["signed"])
        ratings = {}
        for score, exceeding in by_seed(compared_in(images), units, **scales).items():
            ratings[score] = np.full((len(exceeding.counts), len(group["mean"])), np.nan)
            ratings[score][:, units] = exceeding.counts
        return (layer, str(images.attrs["method"])), ratings


if __name__ == "__main__":
    program.run(parser(), main)
