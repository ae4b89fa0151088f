"""Join the images of blocks of units, as one job would have written them, byte for byte."""

import argparse
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np

from unitscope.errors import UserError
from unitscope.maximization.responses import Generated
from unitscope.storage.hdf5 import create_hdf5, open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--blocks", type=Path, nargs="+", required=True, help="the blocks, in order (.h5)")
    result.add_argument("--output", type=Path, required=True, help="where the images go (.h5)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read the blocks one by one, and write them as one."""
    with ExitStack() as opened:
        blocks = [opened.enter_context(open_hdf5(path)) for path in arguments.blocks]
        origins = [origin(file) for file in blocks]
        for path, block_origin in zip(arguments.blocks, origins, strict=True):
            if block_origin != origins[0]:
                raise UserError(f"{path} was made otherwise than {arguments.blocks[0]}. Delete both and run again.")
        with create_hdf5(arguments.output, origins[0]) as out:
            for field in fields(Generated):
                join(out, field.name, blocks)


def join(out: h5py.File, name: str, blocks: list[h5py.File]) -> None:
    """Write one array of all blocks; no more than a block's is held."""
    parts = [block[name] for block in blocks]
    if name == "steps":
        # Those of the recipe; all else is (targets, ...) or (seeds, targets, ...).
        out[name] = parts[0][:]
        return
    axis = 0 if name == "units" else 1
    ends = np.cumsum([part.shape[axis] for part in parts]).tolist()
    shape = (*parts[0].shape[:axis], ends[-1], *parts[0].shape[axis + 1 :])
    # Named when it is full, as an array that is written at once: the file is laid out alike.
    joined_array = out.create_dataset(None, shape, parts[0].dtype)
    for start, end, part in zip([0, *ends], ends, parts, strict=False):
        joined_array[(slice(None),) * axis + (slice(start, end),)] = part[:]
    out[name] = joined_array


def origin(file: h5py.File) -> dict[str, object]:
    """Return what a block was made from, as its attributes hold it, but for the block."""
    kept = {key: value for key, value in file.attrs.items() if key not in ("format_version", "block")}
    return {key: value if isinstance(value, str) else np.asarray(value).item() for key, value in kept.items()}


if __name__ == "__main__":
    program.run(parser(), main)
