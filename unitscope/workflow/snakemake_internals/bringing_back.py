"""Files that are brought back from DVC's cache before a job would write them again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snakemake.logging import logger
from snakemake_interface_storage_plugins.io import Mtime

from unitscope.workflow.snakemake_internals.freshness import Freshness
from unitscope.workflow.snakemake_internals.ownership import Ownership
from unitscope.workflow.snakemake_internals.refusals import Error
from unitscope.workflow.store import dvc_cache


class BringingBack:
    """Settles which jobs need not be executed.

    Args:
        workflow: Snakemake's workflow.
        freshness: Looks up jobs in the ledger.
        ownership: Says which outputs may be overwritten.
        decides: Returns whether the ledger decides about a job; else Snakemake does.
        looks_only: Whether this call is a look at everything, which brings nothing back.
    """

    def __init__(
        self,
        workflow: Any,
        freshness: Freshness,
        ownership: Ownership,
        decides: Callable[[Any], bool],
        looks_only: bool,
    ) -> None:
        self._workflow, self._freshness, self._ownership = workflow, freshness, ownership
        self._decides, self._looks_only = decides, looks_only
        self._settled: dict[Any, bool] = {}
        # By path: where DVC's cache holds it, and why it is brought back.
        self._cached: dict[str, tuple[Path, str]] = {}
        self._jobs: list[Any] = []
        self._alone = False

    def ask_again(self) -> None:
        """Forget which jobs have to be executed."""
        self._settled = {job: True for job, settled in self._settled.items() if settled}

    def settle(self, job: Any) -> bool:
        """Return whether a job and all before it are fresh, after bringing back what is known and stored."""
        if not self._decides(job):
            # Snakemake decides.
            return True
        if job not in self._settled:
            before = [
                earlier for earlier, fs in self._freshness.before(job).items() if not all(f.is_ancient for f in fs)
            ]
            fresh = all(map(self.settle, before)) and (self._freshness.is_fresh(job) or self._bring_back(job))
            self._settled[job] = fresh
        return self._settled[job]

    def _bring_back(self, job: Any) -> bool:
        """Bring back a job's outputs, if DVC's cache holds those of a run under today's key."""
        executes = self._workflow.executor_plugin is not None and self._workflow.is_main_process
        key = self._freshness.key(job)
        if not executes or self._workflow.touch or self._looks_only or key is None:
            return False
        present = {path: self._freshness.content(path) for path in map(str, job.output)}
        for run in self._freshness.ledger.runs(key):
            wrong = {
                path: (sha256, dvc_cache.stored(md5, sha256))
                for path, (sha256, md5) in run.outputs.items()
                if present.get(path) != sha256 and (present.get(path) or path not in job.temp_output)
            }
            cached = {
                path: (sha256, cache_file) for path, (sha256, cache_file) in wrong.items() if cache_file is not None
            }
            if len(cached) == len(wrong) and not self._ownership.conflict(job):
                for path, (sha256, cache_file) in cached.items():
                    why = "held other bytes" if present[path] else "was not there"
                    self._freshness.expected[path] = sha256
                    self._cached[path] = cache_file, why
                    if self._workflow.dryrun:
                        logger.info(f"{path} {why}: would be brought back from DVC's cache.")
                self._mark_present(job, cached)
                self._jobs.append(job)
                if self._alone:
                    self.copy()
                return True
        return False

    def _mark_present(self, job: Any, cached: Mapping[str, Any]) -> None:
        """Let Snakemake take files for there before they are: it has looked already."""
        for f in job.output:
            if str(f) in cached:
                self._workflow.iocache.exists_local[f] = True
                self._workflow.iocache.mtime[f] = Mtime(local=0.0)

    def be_alone(self) -> None:
        """Bring files back at once from now on: nobody else works here."""
        self._alone = True

    def copy(self) -> None:
        """Bring files back, once nobody else works here, and say so. What they replace is kept if a job has written it.

        Raises:
            WorkflowError: Some cannot be brought back; the others have been.
        """
        failures = {}
        for path, (cache_file, why) in self._cached.items():
            content = self._freshness.contents.sha256(path)
            try:
                for run in self._freshness.ledger.runs_of(path) if content else ():
                    backup = dvc_cache.cache_path(dvc_cache.cache_folder(), run.outputs[path][1])
                    if run.outputs[path][0] == content and not backup.exists():
                        dvc_cache.keep(Path(path), backup)
                dvc_cache.bring_back(path, cache_file)
            except OSError as error:
                failures[path] = f"{path} cannot be brought back from DVC's cache ({error.strerror or error})"
            else:
                logger.info(f"{path} {why}: brought back from DVC's cache.")
        self._cached.clear()
        self._freshness.expected.clear()
        for job in self._jobs:
            if not failures.keys() & set(map(str, job.output)):
                self._ownership.note(job)
        self._jobs.clear()
        if failures:
            more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
            reasons = "; ".join(list(failures.values())[:3])
            raise Error(f"{reasons}{more}. Fix that, and give the same command again.")
