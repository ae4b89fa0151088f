"""Fetch the artifacts of this commit from DVC's remote.

For a clone of a project whose dvc.lock and made.lock are under version control. Every file is read, and held against
both: it has to be what was stored, and what today's code and config ask for.
"""

import argparse
import subprocess
from pathlib import Path

from unitscope.errors import UserError
from unitscope.runtime import console
from unitscope.workflow import program
from unitscope.workflow.ledger import LOCK, gate
from unitscope.workflow.store.rwlock import MENDED, mend_lock


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return program.parser(__doc__)


def main(arguments: argparse.Namespace) -> None:
    """Pull and check."""
    if mend_lock():
        print(MENDED)
    for lock in (Path("dvc.lock"), LOCK):
        if not lock.is_file():
            raise UserError(
                f"There is no {lock}, so nothing says which artifacts belong to this commit. Whoever has run the study "
                f"commits it: `git add dvc.lock {LOCK}`, beside `dvc push`."
            )
    pulled = subprocess.run(["dvc", "pull"], capture_output=True, text=True, check=False)
    if pulled.returncode:
        run("python", "scripts/verify.py", "--fetched", why="The artifacts could not be fetched.")
        raise UserError(f"The artifacts could not be fetched: {(pulled.stdout + pulled.stderr).strip()}")
    run("python", "scripts/verify.py", why="The artifacts are not those that were stored.")
    if reasons := gate().reasons:
        raise UserError(
            "The artifacts are here as they were stored, but not all are those of the code and the config that are "
            f"here: {'; '.join(reasons[:5])}. Check out the commit that they were made with, or run `snakemake` or "
            "`dvc repro`, which make again what differs."
        )
    console.log.info("everything is there: `snakemake` has nothing to do")


def run(*command: str, why: str) -> str:
    """Run a command and return what it prints; where it fails, say so in its own words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{why} `{' '.join(command)}` says: {(done.stdout + done.stderr).strip()}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    program.run(parser(), main, in_project=True)
