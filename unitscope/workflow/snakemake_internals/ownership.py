"""Which config may overwrite the outputs of a job, and who owns them then."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from snakemake.logging import logger

from unitscope.storage.records import canonical_json
from unitscope.workflow.owners import OWNERS, Owner, Owners, conflict
from unitscope.workflow.snakemake_internals.flow_hooks import Hooks
from unitscope.workflow.snakemake_internals.freshness import Freshness, has_key


class Ownership:
    """The claims of one config.

    Args:
        config: Path of its file, relative to the project.
        freshness: Looks up jobs in the ledger.
        hooks: What the flow says of jobs.
    """

    def __init__(self, config: str, freshness: Freshness, hooks: Hooks) -> None:
        self._config, self._freshness, self._hooks = config, freshness, hooks
        self._owners = Owners()

    def _claim(self, job: Any) -> Owner:
        """Return this config with the settings of a job."""
        return Owner(self._config, canonical_json(self._hooks.settings(job)))

    def conflict(self, job: Any) -> str:
        """Return why a job may not overwrite what lies at its outputs; an empty text for most."""
        if self._hooks.takeover:
            return ""
        present = [str(f) for f in job.output if self._freshness.content(str(f))]
        return next(filter(None, (self._conflict_at(path, job) for path in present)), "")

    def _conflict_at(self, path: str, job: Any) -> str:
        owner = self._owners.of(path)
        return conflict(path, owner, self._claim(job), partial(self._hooks.equal_today, job)) if owner else ""

    def note(self, job: Any) -> None:
        """Write down who owns a job's outputs: this config, unless another one with equal settings does already."""
        claim = self._claim(job)
        for path in map(str, job.output):
            owner = self._owners.of(path)
            shared = owner is not None and not self._conflict_at(path, job)
            try:
                self._owners.note([path], Owner(owner.config if owner and shared else self._config, claim.settings))
            except OSError as error:
                logger.warning(f"{OWNERS} cannot be written ({error}): {path} has no owner yet.")

    def adopt(self, jobs: Iterable[Any]) -> None:
        """Own the fresh artifacts that no config owns, such as those of a config that was renamed."""
        for job in filter(has_key, jobs):
            if any(self._owners.of(str(f)) is None for f in job.output) and self._freshness.run(job) is not None:
                self.note(job)
