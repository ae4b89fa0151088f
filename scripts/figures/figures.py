"""The figures of an experiment over all its layers, each as PNG and PDF."""

import argparse
from pathlib import Path

from unitscope.figures import depth_figures, drawing, score_figures, substitutes_figure, unit_images
from unitscope.runtime import console
from unitscope.storage.csv_tables import read_table
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.figure_parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--layers", type=Path, required=True, help="layers.csv of the experiment")
    result.add_argument("--images", type=Path, nargs="*", default=[], help="images/{layer}.{method}.h5 ...")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw one figure after the other."""
    style = arguments.settings
    units, layers = read_table(arguments.units, UnitsTable), read_table(arguments.layers, LayersTable)
    images = unit_images.read_images(substitutes_figure.shown(units, arguments.images))
    drawn = {
        "selectivity_rs": lambda: score_figures.selectivity_rs(style, units, layers, "rs"),
        "selectivity_rs_z": lambda: score_figures.selectivity_rs(style, units, layers, "rs_z"),
        "selectivity_rs_q": lambda: score_figures.selectivity_rs(style, units, layers, "rs_q"),
        "selectivity_rs_r": lambda: score_figures.selectivity_rs(style, units, layers, "rs_r"),
        "depth": lambda: depth_figures.depth(style, units, layers),
        "substitutes": lambda: substitutes_figure.substitutes(style, units, images),
        "ablation": lambda: score_figures.ablation(style, units, layers, "rs"),
        "ablation_rs_z": lambda: score_figures.ablation(style, units, layers, "rs_z"),
        "ablation_rs_q": lambda: score_figures.ablation(style, units, layers, "rs_q"),
        "ablation_rs_r": lambda: score_figures.ablation(style, units, layers, "rs_r"),
    }
    with console.progress(len(drawn), "figures", "figures") as advance:
        for name, draw in drawn.items():
            drawing.save(style, draw(), arguments.output_dir / name)
            advance(1)


if __name__ == "__main__":
    program.run(parser(), main)
