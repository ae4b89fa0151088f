"""Send the artifacts of this commit to DVC's remote, once all of them are vouched for and the cache holds them whole.

DVC itself sends what lies in its cache, damaged or not, and says "Everything is up to date" of a store that has lost a
file which it was sent once.
"""

import subprocess
from collections.abc import Iterator

from unitscope.errors import UserError
from unitscope.workflow.ledger import gate, locked_rows, vouches
from unitscope.workflow.leftovers import leftovers, planned
from unitscope.workflow.store.dvc_lock import Recorded, agrees
from unitscope.workflow.store.rwlock import LOCK_REMOVED, remove_broken_lock
from unitscope.workflow.store.soundness import unsound_in_cache, unsound_in_store


def push() -> Iterator[str]:
    """Look, send, look again, and yield what is done.

    Raises:
        UserError: Not every artifact is vouched for and whole, or DVC fails.
    """
    if remove_broken_lock():
        yield LOCK_REMOVED
    planned_files = planned()
    folders = tuple({"/".join(path.split("/")[:2]) + "/" for path in planned_files if path.startswith("results/")})
    # DVC records the folder of an experiment as a whole.
    if stale := [path for path in leftovers("config.yaml", planned_files).files if path.startswith(folders)]:
        raise UserError(
            f"Nothing is sent: {stale[0]} and {len(stale) - 1} other files belong to earlier settings of config.yaml. "
            "List them with `make clean`, and remove them with `make clean CLEAN=yes`."
        )
    gate_state, locked = gate(), locked_rows()
    reasons = gate_state.reasons or [
        f"{row['path']} is not recorded" for row in gate_state.rows if not vouches(locked, row)
    ]
    if not reasons and not agrees(gate_state.rows):
        reasons = ["dvc.lock and made.lock differ"]
    if reasons:
        raise UserError(
            f"Nothing is sent: {'; '.join(reasons[:5])}. Run `make run` first, and commit dvc.lock and made.lock."
        )
    recorded = Recorded()
    if problems := unsound_in_cache(recorded, repair=True).unrepaired:
        raise UserError(f"In DVC's cache {', '.join(problems)}. Run `dvc commit` or `make run`, which put it there.")
    done = subprocess.run(["dvc", "push"], check=False)
    if done.returncode:
        raise UserError("`dvc push` has failed; its own words are above.")
    if problems := unsound_in_store(recorded, repair=True, read=False).unrepaired:
        raise UserError(f"In the store {', '.join(problems)}, and could not be put back.")
