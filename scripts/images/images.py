"""Make the image that each unit of a layer likes best, by one method, and record how the whole layer answers it."""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from unitscope.data.datasets import open_dataset
from unitscope.data.moments_columns import MomentsTable
from unitscope.data.sampling import select_units
from unitscope.data.summaries import moments_of
from unitscope.maximization.images_settings import ImagesJob
from unitscope.maximization.maximize import maximize
from unitscope.maximization.recipe import Recipe
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import devices
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.csv_tables import read_table
from unitscope.storage.hdf5 import create_hdf5
from unitscope.storage.records import sha256_of
from unitscope.storage.scratch import Scratch
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, nargs="?", help="the data set (.h5), for the start 'mean'")
    result.add_argument("--moments", type=Path, nargs="?", help="mean and spread of each unit (.csv), for iam_z")
    result.add_argument("--layer", required=True, help="name of the layer")
    result.add_argument("--method", required=True, help="name of the method")
    program.add_settings(result, Recipe, "recipe")
    program.add_settings(result, ImagesJob)
    result.add_argument("--files", type=Path, nargs="*", default=[], help="files that your function reads, if any")
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--scratch", type=Path, help="folder for finished batches, so that a rerun goes on from them")
    result.add_argument(
        "--substitutes", type=Path, help="substitution/{layer}.{method}.csv: images of its substitutes, not of targets"
    )
    result.add_argument(
        "--block", type=int, nargs=2, metavar=("NUMBER", "SIZE"), help="of the targets only this block, counted from 0"
    )
    result.add_argument("--output", type=Path, required=True, help="where the images go (.h5)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Climb for every target unit and every seed."""
    device = devices.pick(arguments.device)
    probe, _ = open_checkpoint(arguments.checkpoint, device, python=arguments.python)
    layer = probe[arguments.layer]
    settings, recipe = arguments.settings, arguments.recipe
    devices.warn_of_slow_bfloat16(device, recipe.precision)
    provenance = {
        "layer": arguments.layer,
        "method": arguments.method,
        **asdict(recipe),
        **asdict(settings),
        "checkpoint_sha256": sha256_of(arguments.checkpoint),
    }
    scale = mean_image = None
    if arguments.dataset:
        provenance["dataset_sha256"] = sha256_of(arguments.dataset)
        with open_dataset(arguments.dataset) as dataset:
            mean_image = dataset.mean_image(settings.batch)
    if arguments.moments:
        provenance["moments_sha256"] = sha256_of(arguments.moments)
        scale = moments_of(read_table(arguments.moments, MomentsTable), arguments.layer)
    units = select_units(settings.units, layer.units)
    if arguments.substitutes:
        units = substitutes_of(arguments.substitutes, units)
        provenance["units"] = units.tolist()
    if arguments.block:
        number, size = provenance["block"] = arguments.block
        units = units[number * size : (number + 1) * size]
    files = [sha256_of(file) for file in arguments.files]
    scratch = Scratch(arguments.scratch, [provenance, arguments.code, device.type, files])
    generated = maximize(
        layer,
        units,
        recipe,
        seeds=settings.seeds,
        readout=settings.readout,
        batch=settings.batch,
        compile=settings.compile,
        scale=scale,
        mean_image=mean_image,
        scratch=scratch,
    )
    with create_hdf5(arguments.output, provenance) as out:
        for name, array in vars(generated).items():
            out[name] = array
    scratch.clear()


def substitutes_of(path: Path, targets: np.ndarray) -> np.ndarray:
    """Return the units, ascending, that a table of substitution names as substitutes and that are no targets."""
    named = {int(number) for text in read_table(path, SubstitutionTable)["substitutes"] for number in text.split()}
    return np.array(sorted(named - set(targets.tolist())), np.int64)


if __name__ == "__main__":
    program.run(parser(), main)
