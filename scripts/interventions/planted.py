"""Plant copies of a layer's units into the network, and measure whether scores find them and whether they replace."""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from unitscope.data.datasets import Dataset, open_dataset
from unitscope.data.sampling import balanced_sample
from unitscope.interventions import planted
from unitscope.interventions.noisy_copies import noisy_copies
from unitscope.interventions.planted_columns import PlantedTable
from unitscope.interventions.planted_settings import PlantedJob
from unitscope.interventions.widening import obstacle
from unitscope.maximization.recipe import STARTS, Recipe
from unitscope.probing.opening import open_checkpoint
from unitscope.randomness import generator
from unitscope.runtime import console, devices
from unitscope.scores.selectivity import dead_units
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--activations", type=Path, required=True, help="activations on real images (.h5)")
    result.add_argument("--images", type=Path, required=True, help="images/{layer}.{method}.h5")
    result.add_argument("--layer", required=True, help="name of the layer")
    result.add_argument("--method", required=True, help="name of the method")
    program.add_settings(result, Recipe, "recipe")
    program.add_settings(result, PlantedJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="output file (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Plant copies at one correlation after the other."""
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer, settings, recipe = probe[arguments.layer], arguments.settings, arguments.recipe
    units = sampled(arguments.activations, layer.name, settings)
    reason = obstacle(layer) or ("" if len(units) else "no unit of the layer is alive")
    rows: list[dict] = [{"reason": reason}]
    if reason:
        console.log.info("%s gets no copies: %s", layer.name, reason)
    else:
        responses = self_responses(arguments.images, layer.units)
        with open_dataset(arguments.dataset) as dataset:
            data = measured_on(dataset, recipe, responses, settings)
            plantings = noisy_copies(
                layer,
                units,
                settings.correlations,
                lambda: (images for images, _ in data.train()),
                settings.seed,
            )
            names = ("seed", "start_seed", "readout", "batch")
            how = {name: getattr(settings, name) for name in names}
            rows = [
                row
                for level, planting in plantings.items()
                for row in planted.planted_rows(layer, level, planting, recipe, data, **how)
            ]
    write_table(arguments.output, planted.table(layer.name, arguments.method, rows), PlantedTable)


def sampled(path: Path, layer: str, settings: PlantedJob) -> list[int]:
    """Return a random sample of the units of a layer that are alive, ascending."""
    with open_hdf5(path) as file:
        group = file[f"layers/{layer}"]
        alive = np.flatnonzero(~dead_units(group["max"][:], group["activations"][:]) & (group["std"][:] > 0))
    draws = generator("planted", "units", settings.seed, layer)
    return sorted(draws.choice(alive, min(settings.units, len(alive)), replace=False).tolist())


def self_responses(path: Path, units: int) -> np.ndarray:
    """Return the response (units,) of each unit to its own image of the first seed; NaN where it has no image."""
    responses = np.full(units, np.nan)
    with open_hdf5(path) as file:
        targets = file["units"][:]
        responses[targets] = file["responses"][0][np.arange(len(targets)), targets]
    return responses


def measured_on(dataset: Dataset, recipe: Recipe, responses: np.ndarray, settings: PlantedJob) -> planted.PlantedData:
    """Return the images that are used."""
    rows = {
        "train": balanced_sample(dataset.labels("train"), settings.images),
        "test": balanced_sample(dataset.labels("test"), settings.test_images),
    }
    train, test = (partial(dataset.labelled, split, chosen, settings.test_batch) for split, chosen in rows.items())
    needs_mean_image = "real_images" in STARTS[recipe.start].flags
    mean_image = dataset.mean_image(settings.test_batch) if needs_mean_image else None
    return planted.PlantedData(train, test, len(rows["test"]), bool(dataset.classes), responses, mean_image)


if __name__ == "__main__":
    program.run(parser(), main)
