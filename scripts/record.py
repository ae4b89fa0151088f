"""Let DVC record what a finished run of Snakemake has made, so that `dvc repro` computes nothing of it again.

Runs behind every successful Snakemake. It records nothing inside DVC (whose own stage does that), outside a DVC
repository, or while anything of config.yaml is still to be done: a commit would bless the stale result too.
"""

import argparse
import os
import subprocess
from pathlib import Path

from unitscope import console
from unitscope.console import log


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return console.parser(__doc__)


def main(arguments: argparse.Namespace) -> None:
    """Commit to DVC, where that is right."""
    if "DVC_STAGE" in os.environ or not Path(".dvc").is_dir() or not Path(".git").exists():
        return
    if "Nothing to be done" not in (run("snakemake", "-n") or ""):
        return
    if run("python", "scripts/study.py", "--output", "data/study"):
        run("dvc", "commit", "--force", "dvc.yaml")


def run(*command: str) -> str | None:
    """Run a command and return what it says; None, and a word, where it fails: the results themselves are there."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        log.warning("The results are there, but DVC has not recorded them: %s: %s", " ".join(command), done.stdout)
        return None
    return done.stdout or " "


if __name__ == "__main__":
    console.run(parser(), main)
