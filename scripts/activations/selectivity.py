"""Class selectivity and class information of every unit, from the activations of an experiment: selectivity.csv."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data import summaries
from unitscope.data.labels import weaknesses
from unitscope.runtime import console
from unitscope.scores import information, selectivity
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.scores.selectivity_settings import SelectivitySettings
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program

INFORMATION = ("class_information", "class_information_permuted")
"""Columns of class information, and of what it is for labels that mean nothing."""


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--activations", type=Path, required=True, help="activations.h5 of the experiment")
    program.add_settings(result, SelectivitySettings)
    result.add_argument("--output", type=Path, required=True, help="selectivity.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Score each layer in the order of the network."""
    columns: dict[str, list] = {name: [] for name in SelectivityTable.names()}
    with open_hdf5(arguments.activations) as handle:
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in handle.attrs["classes"]]
        labels = handle["labels"][:] if names else np.empty(0, dtype=np.int64)
        if len(names) < 2:
            console.log.warning(
                "%s has %d classes: selectivity compares classes and is left out.", arguments.activations, len(names)
            )
        else:
            for line in weaknesses(labels, names):
                console.log.warning("%s: %s", arguments.activations, line)
        for layer in sorted(handle["layers"], key=lambda name: handle["layers"][name].attrs["depth"]):
            group = handle["layers"][layer]
            values = group["activations"][:]
            units = values.shape[1]
            dead = selectivity.dead_units(group["max"][:], values)
            index, permuted, top = np.full(units, np.nan), np.full(units, np.nan), [""] * units
            by_half, bits = np.full((2, units), np.nan), np.full((2, units), np.nan)
            if len(names) >= 2:
                means = summaries.class_means(values, labels, names)
                index = np.where(dead, np.nan, selectivity.class_selectivity(means))
                top = [
                    names[best] if defined else ""
                    for best, defined in zip(selectivity.top_class(means), np.isfinite(index), strict=True)
                ]
                draws, seed = arguments.settings.permutations, arguments.settings.seed
                permuted = selectivity.permuted_selectivity(values, labels, names, draws, seed)
                by_half = selectivity.selectivity_by_half(values, labels, len(names))
                bins = arguments.settings.bins
                bits[0] = information.class_information(values, labels, len(names), bins)
                bits[1] = information.permuted_information(values, labels, len(names), bins, draws, seed)
            console.log.info("%s: %d units, %d dead", layer, units, dead.sum())
            columns["layer"] += [layer] * units
            columns["unit"] += range(units)
            columns["dead"] += dead.tolist()
            columns["selectivity"] += index.tolist()
            columns["top_class"] += top
            columns["selectivity_permuted"] += np.where(dead, np.nan, permuted).tolist()
            for half in (0, 1):
                columns[f"selectivity_half{half}"] += np.where(dead, np.nan, by_half[half]).tolist()
            for name, column_values in zip(INFORMATION, bits, strict=True):
                columns[name] += np.where(dead, np.nan, column_values).tolist()
    write_table(arguments.output, columns, SelectivityTable)


if __name__ == "__main__":
    program.run(parser(), main)
