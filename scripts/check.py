"""Check a config before Snakemake reads it, to which a config may be code."""

import argparse
from pathlib import Path

from unitscope.workflow import program
from unitscope.workflow.study import load_study

ROOT = Path(__file__).parent.parent


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return program.study_parser(__doc__)


def main(arguments: argparse.Namespace) -> None:
    """Read the config and check its settings; networks are not built, so that layers are not looked at."""
    load_study(ROOT, *arguments.config, layers=False)


if __name__ == "__main__":
    program.run(parser(), main)
