"""Let DVC record what a finished call of Snakemake has brought up to date, and let made.lock vouch for it.

Runs after every successful call. It records nothing inside DVC (whose own stage does that), outside a DVC repository,
or unless every file of config.yaml is fresh: all of them are read, and no checksum of an earlier look is believed.
"""

import os
import subprocess
from pathlib import Path

from unitscope.errors import UserError
from unitscope.runtime.console import log
from unitscope.storage.contents import append_lines
from unitscope.workflow.ledger import gate, write_lock
from unitscope.workflow.owners import Owners
from unitscope.workflow.store.dvc_lock import agrees, stages
from unitscope.workflow.store.links import REPORTED, links_out, unreported
from unitscope.workflow.store.stage_dependencies import STUDY, write_stage_dependencies


def record() -> None:
    """Commit to DVC, where that is right."""
    if "DVC_STAGE" in os.environ or not Path(".dvc").is_dir() or not Path(".git").exists():
        return
    # What DVC follows first, so that a config which is edited meanwhile closes the gate.
    try:
        write_stage_dependencies(Path.cwd(), Path("config.yaml"), STUDY)
    except UserError as error:
        log.warning("The results are there, but DVC has not recorded them: %s", error)
        return
    gate_state = gate()
    for reason in gate_state.reasons:
        if "belongs to earlier settings" in reason:
            log.warning("%s.", reason)
    if gate_state.reasons:
        return
    links = links_out([*(row["path"] for row in gate_state.rows), f"{STUDY}/x"])
    rows = [row for row in gate_state.rows if not links_out([row["path"]])] if links else gate_state.rows
    warn_of_links(unreported(links))
    here = [name for name, path in stages().items() if not links_out([path])] if links else ["dvc.yaml"]
    if not here or not ran("dvc", "commit", "--force", *here):
        return
    if agrees(rows):
        write_lock(Owners().with_owners(rows))
    else:
        log.warning("Something has changed while DVC recorded it. The next call records it again.")


def warn_of_links(links: dict[str, str]) -> None:
    """Say what DVC cannot record because it lies behind a link."""
    for link, target in sorted(links.items()):
        append_lines(REPORTED, [[link, target]])
        log.warning(
            "%s is a link to %s, outside of this folder. DVC records nothing that lies there, so it can be neither "
            "restored nor pushed. To have it recorded, make %s a folder again, and let DVC keep its copies on the "
            "other disk: dvc cache dir --local %s",
            *(link, target, link, Path(target).parent / "dvc-cache"),
        )


def ran(*command: str) -> bool:
    """Run a command; return whether it succeeded, and say so where it did not: the results themselves are there."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        log.warning("The results are there, but DVC has not recorded them: %s: %s", " ".join(command), done.stdout)
    return done.returncode == 0
