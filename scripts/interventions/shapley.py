"""Estimate the Shapley value of each unit within its layer, from random orders in which the units are removed."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data.datasets import open_dataset
from unitscope.data.sampling import balanced_sample, halves
from unitscope.interventions.shapley import shapley
from unitscope.interventions.shapley_columns import ShapleyTable
from unitscope.interventions.shapley_settings import ShapleyJob
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import console, devices
from unitscope.storage.csv_tables import write_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--layer", required=True, help="name of the layer")
    program.add_settings(result, ShapleyJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the values go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Estimate the values of all units."""
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer, settings = probe[arguments.layer], arguments.settings
    columns = {"layer": [layer.name] * layer.units, "unit": np.arange(layer.units)}
    with open_dataset(arguments.dataset) as dataset:
        if not dataset.classes:
            console.log.warning("%s has no classes: Shapley values are undefined.", arguments.dataset)
            missing = dict.fromkeys(ShapleyTable.names()[2:-1], np.full(layer.units, np.nan))
            write_table(arguments.output, columns | missing | {"images": np.zeros(layer.units, int)}, ShapleyTable)
            return
        labels = dataset.labels("test")
        rows = balanced_sample(labels, settings.images)
        images = dataset.labelled("test", rows, settings.batch)
        result = shapley(layer, images, settings.permutations, (settings.seed,), halves(labels)[rows])
    console.log.info("%s: %d orders, %d sets of units", layer.name, result.permutations, result.evaluations)
    columns |= {"shapley": result.values, "shapley_low": result.low, "shapley_high": result.high}
    columns |= {f"shapley_half{half}": result.by_half[half] for half in (0, 1)}
    columns["images"] = np.full(layer.units, len(rows))
    write_table(arguments.output, columns, ShapleyTable)


if __name__ == "__main__":
    program.run(parser(), main)
