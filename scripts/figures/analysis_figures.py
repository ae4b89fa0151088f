"""The figures of one analysis, from its tables, each as PNG and PDF."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unitscope.figures import (
    analysis_figures,
    drawing,
    inhibition_figures,
    removal_figures,
    scale_figures,
    training_figures,
)
from unitscope.figures.style import Style
from unitscope.storage.csv_tables import read_table
from unitscope.workflow import program

DRAWN: dict[str, dict[str, Callable[..., Any]]] = {
    "scale": {"scale": scale_figures.scale},
    "joint": {"joint": removal_figures.interactions},
    "cumulative": {"cumulative": removal_figures.curves},
    "natural": {
        "natural": lambda style, tables: analysis_figures.natural(style, *tables, score="rs"),
        "natural_z": lambda style, tables: analysis_figures.natural(style, *tables, score="rs_z"),
        "natural_q": lambda style, tables: analysis_figures.natural(style, *tables, score="rs_q"),
    },
    "importance": {"importance": lambda style, tables: analysis_figures.importance(style, *tables)},
    "inhibition": {"inhibition": lambda style, tables: inhibition_figures.inhibition(style, *tables)},
    "training_time": {"training_time": lambda style, tables: training_figures.training_time(style, *tables)},
    "nulls": {"nulls": lambda style, tables: analysis_figures.nulls(style, *tables)},
}
"""For each analysis, what draws each of its figures from its tables."""


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--of", choices=sorted(DRAWN), required=True, help="the analysis")
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="its tables (.csv), as the figure asks")
    program.add_settings(result, Style)
    result.add_argument("--output-dir", type=Path, required=True, help="folder to write to")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw one figure after the other."""
    style = arguments.settings
    tables = [read_table(path) for path in arguments.tables]
    for name, draw in DRAWN[arguments.of].items():
        drawing.save(style, draw(style, tables), arguments.output_dir / name)


if __name__ == "__main__":
    program.run(parser(), main)
