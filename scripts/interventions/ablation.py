"""Replace the activation of each unit of a layer, and measure the damage on the test split, by class."""

import argparse
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from unitscope.data.datasets import Dataset, open_dataset
from unitscope.data.moments_columns import MomentsTable
from unitscope.data.sampling import balanced_sample, halves, select_units
from unitscope.data.summaries import moments_of
from unitscope.interventions.ablation import Clamp, Damage, ablation, clamp_to, resample
from unitscope.interventions.ablation_scores import score_columns
from unitscope.interventions.ablation_settings import AblationJob
from unitscope.interventions.donors import donor_rows
from unitscope.interventions.optimal_clamp import FITTED_IMAGES, optimal_constants
from unitscope.probing.activations import activations
from unitscope.probing.layer import Layer
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import console, devices
from unitscope.scores.preferred_classes import preferred_by_half
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import create_hdf5
from unitscope.storage.records import sha256_of
from unitscope.tables.ablation_columns import AblationTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--moments", type=Path, required=True, help="mean of each unit's map (.csv)")
    result.add_argument("--layer", required=True, help="name of the layer")
    program.add_settings(result, AblationJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="table of scores to write (.csv)")
    result.add_argument("--damage", type=Path, required=True, help="damage by clamp, unit and class to write (.h5)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Ablate every unit with each clamp."""
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer, settings = probe[arguments.layer], arguments.settings
    units = select_units(settings.units, layer.units)
    columns = {"layer": np.full(len(units), layer.name), "unit": units}
    damage: dict[str, Damage] = {}
    with open_dataset(arguments.dataset) as dataset:
        classes = dataset.classes
        if classes:
            mean, std = moments_of(read_table(arguments.moments, MomentsTable), layer.name)
            clamps: dict[str, Clamp] = {"zero": clamp_to(np.zeros(layer.units)), "mean": clamp_to(mean)}
            if "optimal" in settings.clamps:
                fitted = balanced_sample(dataset.labels("train"), FITTED_IMAGES)
                training = list(dataset.labelled("train", fitted, settings.batch))
                optimal = optimal_constants(layer, training, units.tolist(), mean, std)
                clamps["optimal"], columns["optimal_constant"] = clamp_to(optimal), optimal[units]
            clamps["resample"] = resample()
            labels = dataset.labels("test")
            rows = balanced_sample(labels, settings.images)
            half = halves(labels)[rows]
            clamps = {name: clamps[name] for name in settings.clamps}
            damage = measured(layer, dataset, clamps, rows, half, settings.batch, units)
            values = read_activations(layer, dataset, rows, settings.batch)[:, units]
            columns |= score_columns(damage, preferred_by_half(values, labels[rows], half))
        else:
            console.log.warning("%s has no classes: ablation needs labels and is left out.", arguments.dataset)
    provenance = {
        "layer": layer.name,
        "clamps": list(damage),
        "settings": asdict(settings),
        "checkpoint_sha256": sha256_of(arguments.checkpoint),
        "dataset_sha256": sha256_of(arguments.dataset),
    }
    with create_hdf5(arguments.damage, provenance) as out:
        out.attrs["classes"] = np.array(classes, dtype=h5py.string_dtype())
        out["units"] = units
        if damage:
            write_damage(out, list(damage.values()))
    write_table(arguments.output, AblationTable.completed(columns), AblationTable)


def measured(
    layer: Layer,
    dataset: Dataset,
    clamps: dict[str, Clamp],
    rows: np.ndarray,
    half: np.ndarray,
    batch: int,
    units: np.ndarray,
) -> dict[str, Damage]:
    """Return the damage of the units by clamp, on some rows of the test split, each of one half."""
    donors = donor_rows(dataset.count("train"), dataset.count("test"))[rows]
    parts = np.split(donors, range(batch, len(rows), batch)) if "resample" in clamps else []
    donated = (dataset.take("train", part) for part in parts)
    return ablation(layer, dataset.labelled("test", rows, batch), clamps, half, units.tolist(), donated)


def read_activations(layer: Layer, dataset: Dataset, rows: np.ndarray, batch: int) -> np.ndarray:
    """Return the activations (images, units) of a layer on some rows of the test split."""
    batches = (images for images, _ in dataset.labelled("test", rows, batch))
    return np.concatenate([values[layer.name] for values in activations([layer], batches)])


def write_damage(out: h5py.File, damage: list[Damage]) -> None:
    """Write the damage of all clamps, (clamps, units, classes), as sums over all images and over either half."""
    by_half = {name: np.stack([getattr(each, name) for each in damage], axis=1) for name in ("loss", "hits")}
    for name, values in by_half.items():
        out.create_dataset(name, data=values.sum(0), compression="gzip", shuffle=True)
        out.create_dataset(f"{name}_by_half", data=values, compression="gzip", shuffle=True)
    for name in ("images", "intact_loss", "intact_hits"):
        out[name] = getattr(damage[0], name)


if __name__ == "__main__":
    program.run(parser(), main)
