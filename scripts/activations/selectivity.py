"""Selectivity of every unit and sparseness of every layer, from activations: selectivity.csv, sparseness.csv."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.data.labels import weaknesses
from unitscope.runtime import console
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.scores.selectivity_scores import layer_scores
from unitscope.scores.selectivity_settings import SelectivitySettings
from unitscope.scores.sparseness_columns import SparsenessTable
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--activations", type=Path, required=True, help="activations.h5 of the experiment")
    program.add_settings(result, SelectivitySettings)
    result.add_argument("--output", type=Path, required=True, help="selectivity.csv to write")
    result.add_argument("--sparseness", type=Path, required=True, help="sparseness.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Score each layer in the order of the network."""
    settings = arguments.settings
    columns: dict[str, list] = {name: [] for name in SelectivityTable.names()}
    sparseness: dict[str, list] = {name: [] for name in SparsenessTable.names()}
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
            scores = layer_scores(
                group["activations"],
                group["max"][:],
                labels,
                names,
                permutations=settings.permutations,
                seed=settings.seed,
                bins=settings.bins,
            )
            units = len(scores.columns["dead"])
            console.log.info("%s: %d units, %d dead", layer, units, scores.columns["dead"].sum())
            columns["layer"] += [layer] * units
            columns["unit"] += range(units)
            for name, values in scores.columns.items():
                columns[name] += values.tolist()
            sparseness["layer"].append(layer)
            sparseness["population_sparseness"].append(scores.population_sparseness)
    write_table(arguments.output, columns, SelectivityTable)
    write_table(arguments.sparseness, sparseness, SparsenessTable)


if __name__ == "__main__":
    program.run(parser(), main)
