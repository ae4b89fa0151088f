"""How the ledger gets into Snakemake, and what the Snakefile asks of Snakemake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import snakemake.workflow
from snakemake.common import parse_key_value_arg
from snakemake.io import _IOFile

from unitscope.workflow import ledger
from unitscope.workflow.snakemake_internals.flow_hooks import Hooks
from unitscope.workflow.snakemake_internals.ledger_persistence import LedgerPersistence
from unitscope.workflow.store import dvc_lock, links


def install(hooks: Hooks) -> None:
    """Put the ledger in the place of Snakemake's comparisons, for the workflow whose rules are being read.

    Args:
        hooks: What the flow says of jobs.
    """
    LedgerPersistence.hooks = hooks
    snakemake.workflow.FilePersistence = LedgerPersistence
    if not hasattr(_IOFile.is_newer, "by_ledger"):
        _IOFile.is_newer = _by_bytes(_IOFile.is_newer)


def _by_bytes(is_newer: Callable[..., Any]) -> Callable[..., Any]:
    """Return Snakemake's look at time stamps, which answers no where the ledger compares bytes."""

    async def by_bytes(self: Any, time: float) -> bool:
        persistence = self.rule.workflow.persistence
        compared = isinstance(persistence, LedgerPersistence) and persistence.compares
        if compared and not self.is_storage and self.rule.shellcmd:
            return False
        return bool(await is_newer(self, time))

    by_bytes.by_ledger = True  # type: ignore[attr-defined]
    return by_bytes


def config_arguments(workflow: Any) -> list[tuple[str, str]]:
    """Return the keys and values of `--config`, as they were written: Snakemake keeps no other trace of quotes.

    Processes that Snakemake starts are given the same words.
    """
    return [parse_key_value_arg(argument, "--config:") for argument in workflow.config_settings.config_args]


def is_to_be_recorded(workflow: Any) -> bool:
    """Return whether a finished call of the default study has looked at something that the lock files do not hold."""
    persistence = workflow.persistence
    default = [Path(file).resolve() for file in workflow.configfiles] == [Path("config.yaml").resolve()]
    if not default or not isinstance(persistence, LedgerPersistence):
        return default
    vouched = persistence.vouched()
    outside = links.links_out([path for run in vouched for path in run.outputs])
    runs = [run for run in vouched if not outside or not links.links_out(run.outputs)]
    rows = [row for run in runs for row in ledger.rows_of(run)]
    return bool(links.unreported(outside)) or not ledger.recorded(runs) or not dvc_lock.agrees(rows)
