"""Clamp each unit together with its substitutes, and with random units of their scale: who stands in for it."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data.datasets import open_dataset
from unitscope.data.sampling import balanced_sample, halves, sample_rows
from unitscope.interventions.joint import (
    Plan,
    activation_scales,
    interaction_rows,
    interaction_sums,
    needed_sets,
    plans,
)
from unitscope.interventions.joint_columns import InteractionsTable
from unitscope.interventions.joint_settings import JointJob
from unitscope.interventions.sets import ClampedSet, removal_by_batch
from unitscope.maximization.responses import compared_in
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import devices
from unitscope.scores.score_names import RS_SCORES
from unitscope.scores.selectivity import dead_units
from unitscope.scores.substitution import exceeding
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--activations", type=Path, required=True, help="activations on real images (.h5)")
    result.add_argument("--images", type=Path, required=True, help="the images and what answers them (.h5)")
    result.add_argument("--substitution", type=Path, required=True, help="RS and substitutes (.csv)")
    result.add_argument("--layer", required=True, help="name of the layer")
    result.add_argument("--method", required=True, help="name of the method")
    program.add_settings(result, JointJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the interactions go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Choose what is removed, measure the loss without it, and write a row a target unit."""
    settings, layer, method = arguments.settings, arguments.layer, arguments.method
    table = sample(read_table(arguments.substitution, SubstitutionTable), settings)
    with open_hdf5(arguments.activations) as activations:
        group = activations[f"layers/{layer}"]
        scales, dead = (
            activation_scales(group, group.attrs["signed"]),
            dead_units(group["max"][:], group["activations"][:]),
        )
    substitutes = [[int(number) for number in text.split()] for text in table["substitutes"].tolist()]
    listed = dict(zip(table["unit"].tolist(), substitutes, strict=True))
    exceeding = exceeding_each(arguments.images)
    target_plans = plans(listed, exceeding, scales, settings.controls, (settings.seed, layer, method))
    sums, images, without = measured(arguments, target_plans)
    silent = dict(zip(table["unit"].tolist(), np.isnan(table["rs"].astype(float)).tolist(), strict=True))

    def why(unit: int) -> str:
        if dead[unit]:
            return "dead: no image excites the unit"
        return "silent on its own image" if silent[unit] else without

    interactions = interaction_rows(target_plans, sums, images, scales, why)
    copied_columns = ("substitutes", *RS_SCORES)
    rows = [
        {"layer": layer, "method": method, **{name: table[name][place] for name in copied_columns}, **row}
        for place, row in enumerate(interactions)
    ]
    write_table(arguments.output, InteractionsTable.of_rows(rows), InteractionsTable)


def sample(table: dict[str, np.ndarray], settings: JointJob) -> dict[str, np.ndarray]:
    """Return the rows of the selected units: all, or a random sample of them."""
    rows = sample_rows(len(table["unit"]), settings.most_units, ("joint", "units", settings.seed))
    return {name: column[rows] for name, column in table.items()}


def exceeding_each(path: Path) -> dict[int, list[int]]:
    """Return all units that exceed each target on its own image, by its number."""
    with open_hdf5(path) as images:
        units, responses = images["units"][:], compared_in(images)
    speaks = responses[:, np.arange(len(units)), units] > 0
    exceeded = exceeding(responses, units, speaks)
    return {int(unit): np.flatnonzero(row).tolist() for unit, row in zip(units, exceeded, strict=True)}


def measured(arguments: argparse.Namespace, target_plans: list[Plan]) -> tuple[list[np.ndarray], np.ndarray, str]:
    """Return `interaction_sums` over all images, the number of images of either half (2,), and why there are none.

    Every set is removed once, however many units need it.
    """
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer = probe[arguments.layer]
    sets = needed_sets(target_plans)
    # Of no image yet.
    sums = interaction_sums(target_plans, lambda members: np.zeros((2, 0)), np.zeros(0, np.int64))
    with open_dataset(arguments.dataset) as dataset:
        if not dataset.classes:
            return sums, np.zeros(2), "the data set has no classes"
        labels = dataset.labels("test")
        rows = balanced_sample(labels, arguments.settings.images)
        half, seen = halves(labels)[rows], 0
        images = dataset.labelled("test", rows, arguments.settings.batch)
        clamped = [ClampedSet(units, np.zeros(layer.units)) for units in sets]
        for part in removal_by_batch(layer, images, clamped, compare=True):
            batch_halves = half[seen : seen + len(part.labels)]
            seen += len(part.labels)
            # (sets, 2, images)
            damage = np.stack([part.loss - part.loss[0], part.margin[0] - part.margin], axis=1)
            added = interaction_sums(
                target_plans, lambda members, damage=damage: damage[sets[tuple(sorted(members))]], batch_halves
            )
            sums = [before + more for before, more in zip(sums, added, strict=True)]
    return sums, np.bincount(half, minlength=2), ""


if __name__ == "__main__":
    program.run(parser(), main)
