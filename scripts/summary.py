"""Print the short table at the end of a run, and where the figures are."""

import argparse
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from unitscope import artifacts, console, tables
from unitscope.answers import compared
from unitscope.ledger import locked_rows, other_versions
from unitscope.study import load_study

ROOT = Path(__file__).parent.parent
ANSWERS = ("responses", "preactivations")
BY_LAYER = (".sheet", ".responses")
"""Endings of figures that show one layer and method."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.study_parser(__doc__)
    result.add_argument("--results", type=Path, default=Path("results"), help="folder of the experiments' results")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Print a table for each experiment of the config."""
    for experiment, settings in load_study(ROOT, *arguments.config).experiments.items():
        folder = arguments.results / experiment
        units, layers = artifacts.read_table(folder / "units.csv"), artifacts.read_table(folder / "layers.csv")
        print(f"\n{experiment}\n")
        print(tables.summary(units, layers))
        print(rounding(folder / "images", settings))
        print("\nFigures (each beside its PDF):")
        for line in figures(folder / "figures"):
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
        with artifacts.open_hdf5(path) as file:
            units = file["units"][:]
            answers = compared({name: file[name][:] for name in ANSWERS}, recipe["minimize"])
            own = answers[:, np.arange(len(units)), units]
            moved.append(np.abs(file["rounding"][:])[own > 0])
    shifts = np.concatenate(moved) if moved else np.zeros(0)
    return (
        f"Rounding the images to 8 bits moved the RS of {(shifts > 0).sum()} of {len(shifts)} images, "
        f"by {shifts.max(initial=0):.3f} at most."
    )


def figures(folder: Path) -> list[str]:
    """Return the paths of the figures; those of single layers as one pattern for each kind."""
    found = sorted(folder.glob("*.png"))
    whole = [str(path) for path in found if not path.stem.endswith(BY_LAYER)]
    counts = {kind: sum(path.stem.endswith(kind) for path in found) for kind in BY_LAYER}
    return whole + [f"{folder}/*{kind}.png ({count})" for kind, count in counts.items() if count]


if __name__ == "__main__":
    console.run(parser(), main)
