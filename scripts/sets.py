"""Draw what is lost with sets of units: interactions with substitutes, and curves of cumulative ablation."""

import argparse
import json
from pathlib import Path

from unitscope import artifacts, console, figures, removals


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--joint", type=Path, nargs="*", default=[], help="joint/{layer}.{method}.csv ...")
    result.add_argument(
        "--cumulative", type=Path, nargs="*", default=[], help="curves of cumulative ablation (.csv) ..."
    )
    result.add_argument("--settings", type=json.loads, default={}, help="JSON: dpi, width, font_size, colors, colormap")
    result.add_argument("--output-dir", type=Path, required=True, help="folder to write to")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw what tables are given for."""
    style = figures.Style(**arguments.settings)
    for name, draw in (("joint", removals.interactions), ("cumulative", removals.curves)):
        if paths := getattr(arguments, name):
            tables = [artifacts.read_table(path) for path in paths]
            figures.save(style, draw(style, tables), arguments.output_dir / name)


if __name__ == "__main__":
    console.run(parser(), main)
