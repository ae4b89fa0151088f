"""What a training decides, by the tables of its checkpoints: claim A9, as a claims table of the entry."""

import argparse
import json
from pathlib import Path

from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.training_claim import training_claims_table
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.tables.training_columns import TrainingTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--training", type=Path, required=True, help="training.csv of the entry")
    result.add_argument("--methods", type=json.loads, required=True, help="JSON: the methods that maximize")
    result.add_argument("--output", type=Path, required=True, help="claims.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Compare the first and the last epoch."""
    training = read_table(arguments.training, TrainingTable)
    write_table(arguments.output, training_claims_table(training, arguments.methods), ClaimsTable)


if __name__ == "__main__":
    program.run(parser(), main)
