"""Bring files up to date with Snakemake, as a stage of DVC.

DVC says which stage is out of date, Snakemake which part of it, by the ledger. The stage succeeds only if every file is
fresh in the end, all of them read, so that DVC records nothing else; made.lock vouches for them.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from unitscope import console
from unitscope.errors import UserError
from unitscope.ledger import vouched_rows, write_lock


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--config", type=Path, help="the config (.yaml), if it is not config.yaml")
    result.add_argument("--target", nargs="+", required=True, help="files or target rules to bring up to date")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Run what is stale, then look at everything."""
    study = ["--configfile", str(arguments.config)] if arguments.config else []
    command = ["snakemake", *study, "--cores", "all", "--resources", "gpu=1", "--", *arguments.target]
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    rows = vouched_rows(*study, "--", *arguments.target)
    if rows is None:
        raise UserError(
            f"Something that {' and '.join(arguments.target)} is made from has changed meanwhile, so DVC records "
            "nothing. Run `dvc repro` again."
        )
    write_lock(rows, keep=True)


if __name__ == "__main__":
    console.run(parser(), main)
