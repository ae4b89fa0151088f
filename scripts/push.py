"""Send the artifacts of this commit to DVC's remote, once all of them are vouched for and the cache holds them whole.

DVC itself sends what lies in its cache, damaged or not, and says "Everything is up to date" of a store that has lost a
file which it was sent once.
"""

import argparse
import subprocess

from unitscope import console
from unitscope.errors import UserError
from unitscope.ledger import gate, locked_rows
from unitscope.store import MENDED, Recorded, agrees, mend_lock, unsound_in_cache, unsound_in_store


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return console.parser(__doc__)


def main(arguments: argparse.Namespace) -> None:
    """Look, send, look again."""
    if mend_lock():
        print(MENDED)
    looked, locked = gate(), locked_rows()
    reasons = looked.reasons or [
        f"{row['path']} is not recorded" for row in looked.rows if locked.get(row["path"]) != row
    ]
    if not reasons and not agrees(looked.rows):
        reasons = ["dvc.lock and made.lock differ"]
    if reasons:
        raise UserError(
            f"Nothing is sent: {'; '.join(reasons[:5])}. Run `make run` first, and commit dvc.lock and made.lock."
        )
    recorded = Recorded()
    if problems := unsound_in_cache(recorded, repair=True).left:
        raise UserError(f"In DVC's cache {', '.join(problems)}. Run `dvc commit` or `make run`, which put it there.")
    done = subprocess.run(["dvc", "push"], check=False)
    if done.returncode:
        raise UserError("`dvc push` has failed; its own words are above.")
    if problems := unsound_in_store(recorded, repair=True, read=False).left:
        raise UserError(f"In the store {', '.join(problems)}, and could not be put back.")


if __name__ == "__main__":
    console.run(parser(), main)
