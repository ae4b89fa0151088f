"""Put tables of equal columns under one another."""

import argparse
from pathlib import Path

from unitscope import console
from unitscope.artifacts import read_table, write_table


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--tables", type=Path, nargs="+", required=True, help="the tables (.csv), in order")
    result.add_argument("--output", type=Path, required=True, help="where the whole goes (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read every table, write their rows in turn."""
    tables = [read_table(path) for path in arguments.tables]
    write_table(
        arguments.output, {name: [value for table in tables for value in table[name].tolist()] for name in tables[0]}
    )


if __name__ == "__main__":
    console.run(parser(), main)
