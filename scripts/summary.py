"""Print the short table at the end of a run, and where the figures are."""

import argparse
from pathlib import Path

import numpy as np

from unitscope import artifacts, console, tables
from unitscope.study import load_study

ROOT = Path(__file__).parent.parent
BY_LAYER = (".sheet", ".responses")
"""Endings of figures that show one layer and method."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument(
        "--config",
        type=Path,
        nargs="+",
        default=[Path("config.yaml")],
        help="the config (.yaml), and others that are laid over it",
    )
    result.add_argument("--results", type=Path, default=Path("results"), help="folder of the experiments' results")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Print a table for each experiment of the config."""
    for experiment in load_study(ROOT, *arguments.config).experiments:
        folder = arguments.results / experiment
        units, layers = artifacts.read_table(folder / "units.csv"), artifacts.read_table(folder / "layers.csv")
        print(f"\n{experiment}\n")
        print(tables.summary(units, layers))
        print(rounding(folder / "images"))
        print("\nFigures (each beside its PDF):")
        for line in figures(folder / "figures"):
            print(f"  {line}")
        print(f"\nEvery unit, to look at in a browser: {folder / 'atlas.html'}")


def rounding(folder: Path) -> str:
    """Say how far the rounding of images to 8 bits has moved RS."""
    moved = []
    for path in sorted(folder.glob("*.h5")):
        with artifacts.open_hdf5(path) as file:
            moved.append(np.abs(file["rounding"][:]).ravel())
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
