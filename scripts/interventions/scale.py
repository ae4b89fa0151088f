"""Give the units of a layer other scales, which leaves the network's function as it is, and tell which scores move."""

import argparse
import contextlib
import json
from pathlib import Path

import numpy as np

from unitscope.data.datasets import open_dataset
from unitscope.data.sampling import balanced_sample, select_units
from unitscope.interventions import scale, unit_scales
from unitscope.interventions.rescaling import obstacle, recipes_to_remake
from unitscope.interventions.scale_columns import ScaleTable
from unitscope.interventions.scale_settings import ScaleJob
from unitscope.maximization.recipe import STARTS
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import console, devices
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--activations", type=Path, required=True, help="activations on real images (.h5)")
    result.add_argument("--images", type=Path, nargs="+", required=True, help="images/{layer}.{method}.h5 ...")
    result.add_argument("--layer", required=True, help="name of the layer")
    result.add_argument("--recipes", type=json.loads, required=True, help="the experiment's methods, as JSON")
    program.add_settings(result, ScaleJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the scores go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Score the layer's units at one scale after the other."""
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer, settings = probe[arguments.layer], arguments.settings
    # A unit is silent on an image that minimizes, and RS of the minimum is another thing.
    maximizing = [name for name, recipe in arguments.recipes.items() if not recipe["minimize"]]
    if reason := obstacle(layer) if maximizing else "none of the methods maximizes":
        console.log.info("%s is not rescaled: %s", layer.name, reason)
        write_table(arguments.output, scale.table(layer.name, [{"reason": reason}]), ScaleTable)
        return
    with open_hdf5(arguments.activations) as file:
        scales = unit_scales.Scales.of(file[f"layers/{layer.name}"])
    recipes = recipes_to_remake(arguments.recipes, settings.steps)
    with open_dataset(arguments.dataset) as dataset:
        labels = dataset.labels("test")
        rows = balanced_sample(labels, settings.images)
        sample = dataset.take("test", rows), labels[rows] if dataset.classes else np.empty(0, np.int64)
        needs_mean_image = any("real_images" in STARTS[recipe.start].flags for recipe in recipes.values())
        mean_image = dataset.mean_image(settings.batch) if needs_mean_image else None
    units, drawn = layer.units, (settings.seed, layer.name)
    draws = [(draw, unit_scales.unit_factors(*drawn, draw, units, settings.spread)) for draw in range(settings.draws)]
    targets = select_units(settings.units, units)
    how = {"readout": settings.readout, "batch": settings.batch}
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(open_hdf5(path)) for path in arguments.images]
        stored = {str(file.attrs["method"]): scale.Stored(file["units"][:], file["images"]) for file in files}
        maximizing_images = {method: images for method, images in stored.items() if method in maximizing}
        rescaling_rows = scale.kept(layer, maximizing_images, scales, draws, sample, **how)
    rescaling_rows += scale.regenerated(
        layer, targets, recipes, scales, draws[0], seed=settings.start_seed, mean_image=mean_image, **how
    )
    write_table(arguments.output, scale.table(layer.name, rescaling_rows), ScaleTable)


if __name__ == "__main__":
    program.run(parser(), main)
