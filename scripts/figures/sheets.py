"""A layer's figures, each as PNG and PDF: for every method all images on a sheet, and the response matrix."""

import argparse
from pathlib import Path

from unitscope.errors import UserError
from unitscope.figures import drawing, sheet_figures, unit_images
from unitscope.runtime import console
from unitscope.storage.csv_tables import read_table
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--layer", required=True, help="name of the layer")
    result.add_argument("--images", type=Path, nargs="+", required=True, help="images/{layer}.{method}.h5 of the layer")
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw two figures for each method."""
    style = arguments.settings
    units = read_table(arguments.units, UnitsTable)
    with console.progress(2 * len(arguments.images), f"sheets of {arguments.layer}", "figures") as advance:
        for (layer, method), images in unit_images.read_images(arguments.images).items():
            if layer != arguments.layer:
                raise UserError(
                    f"--images holds layer {layer}, but --layer is {arguments.layer}. Pass files of one layer."
                )
            for kind, draw in (("sheet", sheet_figures.sheet), ("responses", sheet_figures.responses)):
                figure = draw(style, units, layer, method, images)
                drawing.save(style, figure, arguments.output_dir / f"{layer}.{method}.{kind}")
                advance(1)


if __name__ == "__main__":
    program.run(parser(), main)
