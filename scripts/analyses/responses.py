"""Distances between the units of a layer by their responses to all units' images, and their dendrogram."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.runtime import console
from unitscope.scores.response_columns import ResponsesTable
from unitscope.scores.response_distances import neighbourhoods
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--images", type=Path, required=True, help="images/{layer}.{method}.h5")
    result.add_argument("--output", type=Path, required=True, help="responses/{layer}.{method}.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Compare the columns of the layer's response matrix."""
    with open_hdf5(arguments.images) as images:
        layer, method = str(images.attrs["layer"]), str(images.attrs["method"])
        responses = images["responses"][:]
    neighbours, units = neighbourhoods(responses), responses.shape[-1]
    responding = (responses != 0).any((0, 1))
    console.log.info("%s %s: %d of %d units respond to an image", layer, method, responding.sum(), units)
    alone = "no other unit of the layer responds to an image"
    reasons = np.where(responding, alone if responding.sum() < 2 else "", "the unit responds to no image")
    named = {"layer": np.full(units, layer), "method": np.full(units, method), "unit": np.arange(units)}
    write_table(arguments.output, {**named, **vars(neighbours), "reason": reasons}, ResponsesTable)


if __name__ == "__main__":
    program.run(parser(), main)
