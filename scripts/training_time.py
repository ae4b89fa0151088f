"""Join the tables of a training's checkpoints, a row an epoch, layer, method and score, and draw them over epochs."""

import argparse
import json
from pathlib import Path

from unitscope import artifacts, console, figures, training_figures
from unitscope.training_time import joined, training_rows


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--units", type=Path, nargs="+", required=True, help="units.csv of each checkpoint")
    result.add_argument("--layers", type=Path, nargs="+", required=True, help="layers.csv of each, in the same order")
    result.add_argument("--records", type=Path, nargs="+", required=True, help="its training record (.json), likewise")
    result.add_argument("--style", type=json.loads, default={}, help="JSON: dpi, width, font_size, colors, colormap")
    result.add_argument("--output", type=Path, required=True, help="training.csv to write")
    result.add_argument("--figure", type=Path, required=True, help="the figure (.png), with a .pdf beside it")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Join and draw."""
    files = zip(arguments.units, arguments.layers, arguments.records, strict=True)
    table = joined(
        row
        for units, layers, record in files
        for row in training_rows(artifacts.read_table(units), artifacts.read_table(layers), artifacts.read_json(record))
    )
    artifacts.write_table(arguments.output, table)
    style = figures.Style(**arguments.style)
    figures.save(style, training_figures.training_time(style, table), arguments.figure.with_suffix(""))


if __name__ == "__main__":
    console.run(parser(), main)
