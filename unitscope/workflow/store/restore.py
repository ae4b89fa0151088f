"""Fetch the artifacts of this commit from DVC's remote.

For a clone of a project whose dvc.lock and made.lock are under version control. Every file is read, and compared with
both: it has to be what was stored, and what today's code and config ask for.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from unitscope.errors import UserError
from unitscope.workflow.ledger import LOCK, gate
from unitscope.workflow.store.rwlock import LOCK_REMOVED, remove_broken_lock
from unitscope.workflow.store.verify import verify_fetched, verify_here


def restore() -> Iterator[str]:
    """Pull and check, and yield what is done.

    Raises:
        UserError: The artifacts cannot be fetched, or are not those of this commit.
    """
    if remove_broken_lock():
        yield LOCK_REMOVED
    for lock in (Path("dvc.lock"), LOCK):
        if not lock.is_file():
            raise UserError(
                f"There is no {lock}, so nothing says which artifacts belong to this commit. Whoever has run the study "
                f"commits it: `git add dvc.lock {LOCK}`, beside `dvc push`."
            )
    pulled = subprocess.run(["dvc", "pull"], capture_output=True, text=True, check=False)
    if pulled.returncode:
        try:
            verify_fetched()
        except UserError as error:
            raise UserError(f"The artifacts could not be fetched. {error}") from None
        raise UserError(f"The artifacts could not be fetched: {(pulled.stdout + pulled.stderr).strip()}")
    try:
        yield from verify_here()
    except UserError as error:
        raise UserError(f"The artifacts are not those that were stored. {error}") from None
    if reasons := gate().reasons:
        raise UserError(
            "The artifacts are here as they were stored, but not all are those of the code and the config that are "
            f"here: {'; '.join(reasons[:5])}. Check out the commit that they were made with, or run `snakemake` or "
            "`dvc repro`, which make again what differs."
        )
    yield "Every artifact is here: `snakemake` has nothing to do."
