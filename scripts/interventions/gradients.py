"""Compute what gradients predict of the removal of each unit of a layer: first-order effects, integrated gradients."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data.datasets import open_dataset
from unitscope.data.sampling import balanced_sample, halves
from unitscope.interventions.gradients import gradient_effects
from unitscope.interventions.gradients_columns import GradientsTable
from unitscope.interventions.gradients_settings import GradientsJob
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import console, devices
from unitscope.storage.csv_tables import write_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--layer", required=True, help="name of the layer")
    program.add_settings(result, GradientsJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the effects go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Compute both effects of all units."""
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer, settings = probe[arguments.layer], arguments.settings
    columns = {"layer": [layer.name] * layer.units, "unit": np.arange(layer.units)}
    with open_dataset(arguments.dataset) as dataset:
        if not dataset.classes:
            console.log.warning("%s has no classes: effects on the loss are undefined.", arguments.dataset)
            missing = np.full(layer.units, np.nan)
            write_table(arguments.output, columns | dict.fromkeys(GradientsTable.names()[2:], missing), GradientsTable)
            return
        labels = dataset.labels("test")
        rows = balanced_sample(labels, settings.images)
        images = dataset.labelled("test", rows, settings.batch)
        effects = gradient_effects(layer, images, halves(labels)[rows], settings.nodes)
    for name, values in (("first_order", effects.first_order), ("integrated", effects.integrated)):
        columns |= {f"{name}{part}": row for part, row in zip(("", "_half0", "_half1"), values, strict=True)}
    error = effects.completeness_error
    console.log.info("%s: %d nodes, completeness error %.3g nats", layer.name, settings.nodes, error)
    columns["layer_loss"] = np.full(layer.units, effects.total[0])
    columns["completeness_error"] = np.full(layer.units, error)
    write_table(arguments.output, columns, GradientsTable)


if __name__ == "__main__":
    program.run(parser(), main)
