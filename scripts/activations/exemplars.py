"""The test images that every unit answers most strongly, by their rows in the data set: exemplars.h5."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data import summaries
from unitscope.errors import UserError
from unitscope.runtime import console
from unitscope.scores import exemplars
from unitscope.storage.hdf5 import create_hdf5, open_hdf5
from unitscope.workflow import program

TEST = 1
"""Number of the test split in a data set."""


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--activations", type=Path, required=True, help="activations.h5 of the experiment")
    result.add_argument("--dataset", type=Path, required=True, help="the data set that they were made from (.h5)")
    result.add_argument("--output", type=Path, required=True, help="exemplars.h5 to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Look through each layer, a block of units at a time."""
    with open_hdf5(arguments.activations) as source:
        provenance = {"dataset_sha256": source.attrs["dataset_sha256"], "count": exemplars.EXEMPLARS}
        rows = rows_of_test(arguments.dataset, source["labels"][:])
        with create_hdf5(arguments.output, provenance) as out:
            for layer in sorted(source["layers"], key=lambda name: source["layers"][name].attrs["depth"]):
                values = source["layers"][layer]["activations"]
                by_block = [exemplars.strongest(block) for block in summaries.unit_blocks(values)]
                images = np.concatenate([block.images for block in by_block])
                group = out.create_group(f"layers/{layer}")
                group["images"] = np.where(images >= 0, rows[images], -1)
                group["activations"] = np.concatenate([block.activations for block in by_block])
                console.log.info("%s: %d units", layer, len(images))


def rows_of_test(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return the rows of the data set that the activations' rows stand for: its test split, in stored order.

    Args:
        path: The data set.
        labels: (images,) of the activations.

    Raises:
        UserError: The activations were made from another data set.
    """
    with open_hdf5(path) as file:
        rows = np.flatnonzero(file["split"][:] == TEST)
        if not np.array_equal(file["labels"][:][rows], labels):
            raise UserError(
                f"{path} is not the data set that the activations were made from: the labels of its test split are "
                "others. Pass the one that the experiment's network names, or make the activations anew."
            )
    return rows


if __name__ == "__main__":
    program.run(parser(), main)
