"""Clamp each unit of a layer, to 0 and to its mean, and measure what the network loses on the test split."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data.datasets import open_dataset
from unitscope.data.moments_columns import MomentsTable
from unitscope.data.sampling import balanced_sample, halves, select_units
from unitscope.data.summaries import moments_of
from unitscope.interventions.ablation import ablation
from unitscope.interventions.ablation_settings import AblationJob
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import console, devices
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.tables.ablation_columns import AblationTable
from unitscope.workflow import program

SCORES = ("loss", "accuracy", "worst_class")
CLAMPS = ("", "_mean")
"""Clamped to 0, and to the mean; as the columns' names end."""
COLUMNS = {(score, clamp): f"ablation_{score}{clamp}" for clamp in CLAMPS for score in SCORES} | {
    (f"loss_half{half}", clamp): f"ablation_loss{clamp}_half{half}" for clamp in CLAMPS for half in (0, 1)
}
"""Names of the columns by score and clamp."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--moments", type=Path, required=True, help="mean of each unit's map (.csv)")
    result.add_argument("--layer", required=True, help="name of the layer")
    program.add_settings(result, AblationJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the losses go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Ablate every unit in both ways."""
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer = probe[arguments.layer]
    batch = arguments.settings.batch
    units = select_units(arguments.settings.units, layer.units)
    named = {"layer": [layer.name] * len(units), "unit": units}
    with open_dataset(arguments.dataset) as dataset:
        if not dataset.classes:
            console.log.warning("%s has no classes: ablation needs labels and is left out.", arguments.dataset)
            missing = np.full(len(units), np.nan)
            write_table(arguments.output, {**named, **dict.fromkeys(COLUMNS.values(), missing)}, AblationTable)
            return
        labels = dataset.labels("test")
        rows = balanced_sample(labels, arguments.settings.images)
        images = dataset.labelled("test", rows, batch)
        means, _ = moments_of(read_table(arguments.moments, MomentsTable), layer.name)
        values = [np.zeros(layer.units), means]
        clamps = dict(zip(CLAMPS, values, strict=True))
        half = halves(labels)[rows]
        lost = ablation(layer, images, clamps, half, units.tolist())
    scores = {column: getattr(lost[clamp], score) for (score, clamp), column in COLUMNS.items()}
    write_table(arguments.output, {**named, **scores}, AblationTable)


if __name__ == "__main__":
    program.run(parser(), main)
