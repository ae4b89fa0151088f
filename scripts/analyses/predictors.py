"""What might foretell the cost of ablating each unit: activity, redundancy and weight norm: predictors.csv."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data.sampling import halves
from unitscope.probing.layer import Layer
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import console
from unitscope.scores.predictors import activity, redundancy, weight_norms
from unitscope.scores.predictors_columns import PredictorsTable
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.tables.table_access import stacked
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.network_parser(__doc__)
    result.add_argument("--activations", type=Path, required=True, help="activations.h5 of the experiment")
    result.add_argument("--output", type=Path, required=True, help="predictors.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Measure each layer in the order of the network, on all test images and on either half of them."""
    probe, _ = open_checkpoint(arguments.checkpoint, python=arguments.python)
    parts = []
    with open_hdf5(arguments.activations) as handle:
        half = halves(handle["labels"][:])
        layers = sorted(handle["layers"], key=lambda name: handle["layers"][name].attrs["depth"])
        with console.progress(len(layers), "predictors", "layers") as advance:
            for layer in layers:
                parts.append(measured(layer, handle["layers"][layer]["activations"][:], half, weights(probe[layer])))
                advance(1)
    write_table(arguments.output, stacked(parts), PredictorsTable)


def measured(layer: str, values: np.ndarray, half: np.ndarray, norms: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the columns of a layer, given activations (images, units), the half of each image, and weight norms."""
    units = values.shape[1]
    columns = {
        "layer": np.full(units, layer),
        "unit": np.arange(units),
        "weight_norm": np.full(units, np.nan) if norms is None else norms,
        **activity(values),
    }
    for number in (0, 1):
        half_values = values[half == number]
        scores = {**activity(half_values), "redundancy": redundancy(half_values)}
        columns |= {f"{name}_half{number}": column for name, column in scores.items()}
    return columns


def weights(layer: Layer) -> np.ndarray | None:
    """Return the weight norms of a layer, and say where they are not known."""
    norms = weight_norms(layer)
    if norms is None:
        console.log.warning(
            "The weights of %s cannot be told from what stands behind them: no weight norm.", layer.name
        )
    return norms


if __name__ == "__main__":
    program.run(parser(), main)
