"""Write the activations of an experiment's layers on real images, and their statistics, in one pass over the data."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from unitscope.data.datasets import Dataset, open_dataset
from unitscope.data.summaries import class_means, unit_blocks, unit_statistics
from unitscope.probing.activations import activations
from unitscope.probing.activations_settings import ActivationsJob
from unitscope.probing.opening import open_checkpoint
from unitscope.probing.probe import Probe
from unitscope.runtime import console, devices
from unitscope.storage.hdf5 import create_hdf5, new_hdf5
from unitscope.storage.records import read_json, sha256_of
from unitscope.workflow import program

CHUNK = 16
"""Units of a layer that lie together in the file."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--taps", type=Path, required=True, help="the layers (.json)")
    program.add_settings(result, ActivationsJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the activations go (.h5)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Run both splits through the network; keep the test split, summarize the training split."""
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    provenance = {
        "settings": asdict(arguments.settings),
        "checkpoint_sha256": sha256_of(arguments.checkpoint),
        "dataset_sha256": sha256_of(arguments.dataset),
    }
    taps = {tap["layer"]: tap for tap in read_json(arguments.taps)}
    scratch = arguments.output.with_name(f".{arguments.output.name}.training")
    try:
        with open_dataset(arguments.dataset) as dataset, create_hdf5(arguments.output, provenance) as out:
            out["labels"] = dataset.labels("test")
            out.attrs["classes"] = np.array(dataset.classes, dtype=h5py.string_dtype())
            groups = {layer: out.create_group(f"layers/{layer}") for layer in taps}
            for layer, group in groups.items():
                group.attrs.update({key: value for key, value in taps[layer].items() if key != "layer"})
            fill(probe, taps, dataset, "test", arguments.settings, groups, out.check)
            with new_hdf5(scratch) as training:
                training_groups = {layer: training.create_group(layer) for layer in taps}
                fill(probe, taps, dataset, "train", arguments.settings, training_groups, training.check)
                for layer, group in groups.items():
                    summarize(training_groups[layer]["activations"], group)
            if dataset.classes:
                labels = dataset.labels("test")
                for group in groups.values():
                    means = [class_means(block, labels, dataset.classes) for block in unit_blocks(group["activations"])]
                    group["class_means"] = np.concatenate(means, 1)
    finally:
        scratch.unlink(missing_ok=True)


def fill(
    probe: Probe,
    taps: dict[str, dict],
    dataset: Dataset,
    split: str,
    settings: ActivationsJob,
    groups: dict[str, h5py.Group],
    check: Callable[[], None],
) -> None:
    """Write the activations of a split, a batch at a time, into the data sets `activations` of the groups.

    What the file cannot take is told by `check`.
    """
    count = dataset.count(split)
    for layer, tap in taps.items():
        rows, columns = min(settings.batch, count), min(CHUNK, tap["units"])
        groups[layer].create_dataset("activations", (count, tap["units"]), np.float32, chunks=(rows, columns))
    batches = dataset.batches(split, settings.batch)
    first = 0
    with console.progress(count, f"activations, {split}", "images") as advance:
        for values in activations([probe[layer] for layer in taps], batches, settings.readout, settings.compile):
            size = len(next(iter(values.values())))
            for layer, array in values.items():
                groups[layer]["activations"][first : first + size] = array
            check()
            first += size
            advance(size)


def summarize(values: h5py.Dataset, group: h5py.Group) -> None:
    """Write the statistics of a layer's activations."""
    statistics = [asdict(unit_statistics(block)) for block in unit_blocks(values)]
    for name in statistics[0]:
        group[name] = np.concatenate([block[name] for block in statistics])


if __name__ == "__main__":
    program.run(parser(), main)
