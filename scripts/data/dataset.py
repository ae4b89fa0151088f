"""Bring a data set into one HDF5 artifact: images (or an index of a folder), labels and split."""

import argparse
import json
from pathlib import Path

from unitscope.data.datasets import write_dataset
from unitscope.data.raw_data import collect
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--settings", type=json.loads, required=True, help="the data set's settings, as JSON")
    result.add_argument("--output", type=Path, required=True, help="where the data set goes (.h5)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read the source and write the artifact."""
    write_dataset(arguments.output, collect(arguments.settings), arguments.settings)


if __name__ == "__main__":
    program.run(parser(), main)
