"""Print the short table at the end of a run, and where the figures are."""

import argparse
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.config.registry import BY_LAYER, layer_figures, overviews
from unitscope.maximization.responses import compared
from unitscope.storage.csv_tables import read_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.tables import unit_tables
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program
from unitscope.workflow.ledger import locked_rows, other_versions
from unitscope.workflow.study import load_study

ROOT = Path(__file__).parent.parent
ANSWERS = ("responses", "preactivations")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.study_parser(__doc__)
    result.add_argument("--results", type=Path, default=Path("results"), help="folder of the experiments' results")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Print a table for each experiment of the config."""
    study = load_study(ROOT, *arguments.config)
    for experiment, settings in study.experiments.items():
        folder = arguments.results / experiment
        units, layers = read_table(folder / "units.csv", UnitsTable), read_table(folder / "layers.csv", LayersTable)
        print(f"\n{experiment}\n")
        print(unit_tables.summary(units, layers))
        print(rounding(folder / "images", settings))
        print("\nFigures (each beside its PDF):")
        for line in figures(folder / "figures", settings, study.networks[settings["network"]]["dataset"]):
            print(f"  {line}")
        print(f"\nEvery unit, to look at in a browser: {folder / 'atlas.html'}")
    for line in other_versions(locked_rows().values()):
        print(f"\n{line}.")


def rounding(folder: Path, experiment: Mapping[str, Any]) -> str:
    """Say how far the rounding of images to 8 bits has moved RS; a unit that is silent on its image has none."""
    moved = []
    for layer, (method, recipe) in product(experiment["layers"], experiment["methods"].items()):
        path = folder / f"{layer}.{method}.h5"
        if not path.is_file():
            # Artifacts may be kept elsewhere.
            continue
        with open_hdf5(path) as file:
            units = file["units"][:]
            answers = compared({name: file[name][:] for name in ANSWERS}, recipe["minimize"])
            own = answers[:, np.arange(len(units)), units]
            moved.append(np.abs(file["rounding"][:])[own > 0])
    shifts = np.concatenate(moved) if moved else np.zeros(0)
    return (
        f"Rounding the images to 8 bits moved the RS of {(shifts > 0).sum()} of {len(shifts)} images, "
        f"by {shifts.max(initial=0):.3f} at most."
    )


def figures(folder: Path, experiment: Mapping[str, Any], dataset: str | None) -> list[str]:
    """Return the paths of an experiment's figures; those of single layers as one pattern for each kind."""
    there = {path.stem for path in folder.glob("*.png")}
    whole = [f"{folder / name}.png" for name in sorted(overviews(experiment, dataset)) if name in there]
    counts = {
        kind: sum(name.endswith(f".{kind}") for name in layer_figures(experiment) if name in there) for kind in BY_LAYER
    }
    return whole + [f"{folder}/*.{kind}.png ({count})" for kind, count in counts.items() if count]


if __name__ == "__main__":
    program.run(parser(), main)
