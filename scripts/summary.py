"""Print what an experiment found, in one short table, and where its figures lie."""

import argparse
from pathlib import Path

from unitscope import artifacts, console, tables

BY_LAYER = (".sheet", ".responses")


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = console.parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--layers", type=Path, required=True, help="layers.csv of the experiment")
    result.add_argument("--figures", type=Path, required=True, help="folder with its figures")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Print the table, then the paths."""
    units, layers = artifacts.read_table(arguments.units), artifacts.read_table(arguments.layers)
    print(f"Experiment {units['experiment'][0]}, network {units['network'][0]}\n")
    print(tables.summary(units, layers))
    found = sorted(arguments.figures.glob("*.png"))
    print("\nFigures (each beside its PDF):")
    for path in found:
        if not path.stem.endswith(BY_LAYER):
            print(f"  {path}")
    for kind in BY_LAYER:
        count = sum(path.stem.endswith(kind) for path in found)
        if count:
            print(f"  {arguments.figures}/*{kind}.png ({count}, one for each layer and method)")


if __name__ == "__main__":
    console.run(parser(), main)
