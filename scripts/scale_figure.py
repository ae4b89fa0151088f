"""The figure of what random scales of the units do to the scores, as PNG and PDF."""

import argparse
import json
from pathlib import Path

from unitscope import artifacts, console, figures, scale_figures


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = console.parser(__doc__)
    result.add_argument(
        "--scale", type=Path, nargs="+", required=True, help="scale/{layer}.csv ..., in the network's order"
    )
    result.add_argument("--settings", type=json.loads, default={}, help="JSON: dpi, width, font_size, colors, colormap")
    result.add_argument("--output-dir", type=Path, required=True, help="folder to write to")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw what the tables hold."""
    style = figures.Style(**arguments.settings)
    drawn = scale_figures.scale(style, [artifacts.read_table(path) for path in arguments.scale])
    figures.save(style, drawn, arguments.output_dir / "scale")


if __name__ == "__main__":
    console.run(parser(), main)
