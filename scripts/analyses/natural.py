"""RS of every unit on its own top natural images, the test images that it answers most strongly: natural.csv."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.runtime import console
from unitscope.scores.natural import natural_substitution
from unitscope.scores.natural_columns import NaturalTable
from unitscope.scores.score_names import NATURAL_FORMS
from unitscope.scores.substitution import scales_of
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--activations", type=Path, required=True, help="activations.h5 of the experiment")
    result.add_argument("--output", type=Path, required=True, help="natural.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Score each layer in the order of the network."""
    columns: dict[str, list] = {name: [] for name in NaturalTable.names()}
    with open_hdf5(arguments.activations) as handle:
        for layer in sorted(handle["layers"], key=lambda name: handle["layers"][name].attrs["depth"]):
            group = handle["layers"][layer]
            values = group["activations"][:]
            by_block = natural_substitution(values, **scales_of(group, group.attrs["signed"]))
            columns["layer"] += [layer] * values.shape[1]
            columns["unit"] += range(values.shape[1])
            for score in NATURAL_FORMS:
                columns[f"{score}_natural"] += np.concatenate([getattr(block, score) for block in by_block]).tolist()
            columns["images_natural"] += np.concatenate([block.seeds for block in by_block]).tolist()
            console.log.info("%s: %d units", layer, values.shape[1])
    write_table(arguments.output, columns, NaturalTable)


if __name__ == "__main__":
    program.run(parser(), main)
