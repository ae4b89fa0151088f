"""Write mean and spread of every unit of a network over the training images, in one pass for all its layers.

All layers, whichever an experiment looks at: a further one there leaves this file, and what is made from it, as it is.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from unitscope.data.datasets import open_dataset
from unitscope.data.moments_columns import MomentsTable
from unitscope.data.summaries import mean_and_std
from unitscope.probing.activations import activations
from unitscope.probing.activations_settings import ActivationsSettings
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import console, devices
from unitscope.storage.csv_tables import write_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--readout", required=True, help="mean, max or center")
    program.add_settings(result, ActivationsSettings)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the moments go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Run the training split through the network."""
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    units = {layer.name: layer.units for layer in probe.layers}
    settings = arguments.settings
    with open_dataset(arguments.dataset) as dataset:
        batches = dataset.batches("train", settings.batch)
        activation_batches = activations(probe.layers, batches, arguments.readout, settings.compile)
        with console.progress(dataset.count("train"), "moments", "images") as advance:
            mean, std = mean_and_std(side_by_side(activation_batches, advance))
    counts = list(units.values())
    named = {"layer": np.repeat(list(units), counts), "unit": np.concatenate([np.arange(count) for count in counts])}
    write_table(arguments.output, {**named, "mean": mean, "std": std}, MomentsTable)


def side_by_side(batches: Iterable[dict[str, np.ndarray]], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    """Yield the activations of all layers as one array (images, units) a batch, and say how many images are done."""
    for layers in batches:
        values = np.concatenate(list(layers.values()), 1)
        yield values
        advance(len(values))


if __name__ == "__main__":
    program.run(parser(), main)
