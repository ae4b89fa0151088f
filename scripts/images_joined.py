"""Join the images of blocks of units, as one job would have written them, byte for byte."""

import argparse
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np

from unitscope import console
from unitscope.artifacts import create_hdf5, open_hdf5
from unitscope.errors import UserError
from unitscope.visualization import Generated


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--blocks", type=Path, nargs="+", required=True, help="the blocks, in order (.h5)")
    result.add_argument("--output", type=Path, required=True, help="where the images go (.h5)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read all blocks, and write them as one."""
    origins, blocks = [], []
    for path in arguments.blocks:
        with open_hdf5(path) as file:
            origins.append(origin(file))
            blocks.append({field.name: file[field.name][:] for field in fields(Generated)})
    for path, found in zip(arguments.blocks, origins, strict=True):
        if found != origins[0]:
            raise UserError(f"{path} was made otherwise than {arguments.blocks[0]}. Delete both and run again.")
    with create_hdf5(arguments.output, origins[0]) as out:
        for name in blocks[0]:
            parts = [block[name] for block in blocks]
            # The steps are those of the recipe; all else is (targets, ...) or (seeds, targets, ...).
            out[name] = parts[0] if name == "steps" else np.concatenate(parts, 0 if name == "units" else 1)


def origin(file: h5py.File) -> dict[str, object]:
    """Return what a block was made from, as its attributes hold it, but for the block."""
    kept = {key: value for key, value in file.attrs.items() if key not in ("format_version", "block")}
    return {key: value if isinstance(value, str) else np.asarray(value).item() for key, value in kept.items()}


if __name__ == "__main__":
    console.run(parser(), main)
