"""Let DVC record what a finished call of Snakemake has brought up to date, and let made.lock vouch for it.

Runs after every successful call. It records nothing inside DVC (whose own stage does that), outside a DVC repository,
or unless every file of config.yaml is fresh: all of them are read, and no checksum of an earlier look is believed.
"""

import argparse
import os
import subprocess
from pathlib import Path

from unitscope import console
from unitscope.console import log
from unitscope.ledger import gate, write_lock
from unitscope.store import agrees


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return console.parser(__doc__)


def main(arguments: argparse.Namespace) -> None:
    """Commit to DVC, where that is right."""
    if "DVC_STAGE" in os.environ or not Path(".dvc").is_dir() or not Path(".git").exists():
        return
    # What DVC follows first, so that a config which is edited meanwhile closes the gate.
    if not ran("python", "scripts/study.py", "--output", "data/study"):
        return
    looked = gate()
    for reason in looked.reasons:
        if "belongs to earlier settings" in reason:
            log.warning("%s.", reason)
    if looked.reasons or not ran("dvc", "commit", "--force", "dvc.yaml"):
        return
    if agrees(looked.rows):
        write_lock(looked.rows)
    else:
        log.warning("Something has changed while DVC recorded it. The next call records it again.")


def ran(*command: str) -> bool:
    """Run a command; return whether it succeeded, and say so where it did not: the results themselves are there."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        log.warning("The results are there, but DVC has not recorded them: %s: %s", " ".join(command), done.stdout)
    return done.returncode == 0


if __name__ == "__main__":
    console.run(parser(), main)
