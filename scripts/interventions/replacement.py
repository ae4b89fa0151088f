"""Replace each unit by its affine prediction from its substitutes, controls and rivals, and compare the outputs."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data.datasets import Dataset, open_dataset
from unitscope.data.sampling import balanced_sample, halves, sample_rows
from unitscope.interventions.replacement import (
    candidates,
    divergences,
    replacement_rows,
    training_statistics,
)
from unitscope.interventions.replacement_columns import ReplacementTable
from unitscope.interventions.replacement_settings import ReplacementJob
from unitscope.maximization.responses import compared_in
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import console, devices
from unitscope.scores.selectivity import dead_units
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--activations", type=Path, required=True, help="activations on real images (.h5)")
    result.add_argument("--images", type=Path, required=True, help="generated images and responses to them (.h5)")
    result.add_argument("--substitution", type=Path, required=True, help="RS (.csv)")
    result.add_argument("--layer", required=True, help="name of the layer")
    result.add_argument("--method", required=True, help="name of the method")
    program.add_settings(result, ReplacementJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="table to write (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Write a row per target unit and number of substitutes."""
    settings, method = arguments.settings, arguments.method
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer = probe[arguments.layer]
    table = read_table(arguments.substitution, SubstitutionTable)
    chosen = sample_rows(len(table["unit"]), settings.most_units, ("replacement", "units", settings.seed))
    with open_dataset(arguments.dataset) as dataset:
        if not dataset.classes:
            console.log.warning("%s has no classes: control sets need them, replacement is left out.", dataset)
            write_table(arguments.output, ReplacementTable.of_rows([]), ReplacementTable)
            return
        with open_hdf5(arguments.activations) as activations, open_hdf5(arguments.images) as images:
            group = activations[f"layers/{layer.name}"]
            units = images["units"][:][chosen]
            statistics = training_statistics(layer, training_batches(dataset, settings), settings.readout)
            several = candidates(
                units,
                np.asarray(compared_in(images))[:, chosen],
                statistics,
                (group["mean"][:], group["std"][:]),
                group["class_means"][:],
                group["firing_rate"][:],
                (settings.seed, layer.name, method),
            )
            dead = dead_units(group["max"][:], group["activations"][:])
        labels = dataset.labels("test")
        rows = balanced_sample(labels, settings.images)
        half = halves(labels)[rows]
        batches = dataset.labelled("test", rows, settings.batch)
        measured = divergences(layer, batches, several, statistics.moments, half)
    scores = {int(unit): (table["rs"][row], table["rs_z"][row]) for row, unit in enumerate(table["unit"].tolist())}
    silent = {unit: "silent on its own image" for unit, (rs, _) in scores.items() if np.isnan(rs)}
    why = silent | {int(unit): "dead: no image activates the unit" for unit in np.flatnonzero(dead)}
    unit_rows = replacement_rows(several, measured, np.bincount(half, minlength=2), statistics.moments, why)
    named = ("rs", "rs_z")
    write_table(
        arguments.output,
        ReplacementTable.of_rows(
            {"layer": layer.name, "method": method, **dict(zip(named, scores[row["unit"]], strict=True)), **row}
            for row in unit_rows
        ),
        ReplacementTable,
    )


def training_batches(dataset: Dataset, settings: ReplacementJob):
    """Return batches of the training images on which predictions are fitted."""
    rows = balanced_sample(dataset.labels("train"), settings.fitted)
    return (images for images, _ in dataset.labelled("train", rows, settings.batch))


if __name__ == "__main__":
    program.run(parser(), main)
