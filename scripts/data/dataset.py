"""Bring a data set into one HDF5 artifact: images (or an index of a folder), labels and split."""

import argparse
from pathlib import Path

from unitscope.data.dataset_settings import DatasetSettings
from unitscope.data.datasets import write_dataset
from unitscope.data.raw_data import collect
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    program.add_settings(result, DatasetSettings)
    result.add_argument("--output", type=Path, required=True, help="where the data set goes (.h5)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read the source and write the artifact."""
    write_dataset(arguments.output, collect(arguments.settings))


if __name__ == "__main__":
    program.run(parser(), main)
