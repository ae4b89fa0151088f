"""Snakemake's persistence, which is asked what is fresh, with the ledger in the place of its comparisons.

Written for Snakemake 9.27. Each hook has a test in tests/workflow/test_ledger.py that fails when Snakemake no longer
calls it; tests/workflow/test_internals.py holds each name of Snakemake's that this package uses.

Where the ledger cannot compare, Snakemake's own comparison stays: artifacts in a bucket, rules without a shell command,
and calls with --rerun-triggers mtime.
"""

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.persistence import NO_PARAMS_CHANGE, MetadataRecord, ParamsChange
from snakemake.persistence.file import FilePersistence
from snakemake.settings.types import RerunTrigger

from unitscope.errors import UserError
from unitscope.storage.contents import Contents, append_lines, signature
from unitscope.workflow import ledger
from unitscope.workflow.ledger import Ledger, Run
from unitscope.workflow.snakemake_internals.bringing_back import BringingBack
from unitscope.workflow.snakemake_internals.flow_hooks import Hooks
from unitscope.workflow.snakemake_internals.freshness import Freshness, has_key
from unitscope.workflow.snakemake_internals.job_notes import JobNotes
from unitscope.workflow.snakemake_internals.ownership import Ownership
from unitscope.workflow.snakemake_internals.refusals import Error
from unitscope.workflow.snakemake_internals.told_before_and_after import (
    log_failures,
    log_other_code,
    refuse_cut_off_plans,
)
from unitscope.workflow.store import rwlock


class Stale(ParamsChange):
    """Why a job has to be executed, as Snakemake prints it."""

    def __init__(self, why: str, changes: ParamsChange, files: set[Any]) -> None:
        super().__init__(changes.only_old, changes.only_new, files)
        self.why = why

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self.why}. {super().__str__()}" if self.only_old or self.only_new else self.why


class LedgerPersistence(FilePersistence):
    """Snakemake's metadata on disk, with the ledger in the place of its comparisons."""

    hooks = Hooks()
    """What the flow says of jobs; set before Snakemake makes the persistence."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._workflow = self.dag.workflow
        self._gate = os.environ.get(ledger.GATE)
        self.contents = Contents(ledger.CONTENTS, trust=not self._gate)
        try:
            self._freshness = Freshness(self.dag, self.contents, Ledger())
        except UserError as error:
            raise Error(str(error)) from None
        # Further configs are laid over the first, which names the study.
        config = os.path.relpath([*map(str, self._workflow.configfiles), "the command line"][0])
        self._ownership = Ownership(config, self._freshness, self.hooks)
        self._returns = BringingBack(
            self._workflow, self._freshness, self._ownership, self.decides_about, bool(self._gate)
        )
        self._notes = JobNotes(self._workflow, self._freshness)
        self._started: dict[Any, Any] = {}
        self._undetermined: set[Any] = set()
        # Reached by successful jobs alone; `finished` by failed ones too.
        self._finish, self.dag.finish = self.dag.finish, self._note_and_finish
        self._update_needrun, self.dag.update_needrun = self.dag.update_needrun, self._decide
        self.lock: Callable[[], Any] = self._watched(self.lock)
        # Snakemake would read all inputs of every job once more; `finished` writes down what is remembered here.
        self.max_checksum_file_size = 0

    # --- Snakemake's questions ---------------------------------------------------------------------------------------

    @property
    def compares(self) -> bool:
        """Whether Snakemake asks for more than time stamps."""
        return RerunTrigger.PARAMS in self._workflow.rerun_triggers

    def decides_about(self, job: Any) -> bool:
        """Return whether the ledger decides about a job."""
        return self.compares and has_key(job)

    def key(self, job: Any) -> str | None:
        """Return the digest of all that a job's outputs are written from; None while an input is not there."""
        return self._freshness.key(job)

    def metadata(self, target: Any) -> MetadataRecord | None:
        """Return what Snakemake has written down of a file, or, as for one that came from elsewhere, what it would."""
        record = super().metadata(target)
        if record is None and self.contents.sha256(str(target)):
            writers = (job for job in self.dag.jobs if target in job.output and self.decides_about(job))
            for job in filter(self._freshness.is_fresh, writers):
                time = os.stat(target).st_mtime
                return MetadataRecord(rule=job.rule.name, job_hash=hash(job), starttime=time, endtime=time)
        return record

    def has_metadata(self, job: Any) -> bool:
        """Return whether a job can be compared."""
        return True if self.decides_about(job) or not job.output else super().has_metadata(job)

    def has_outdated_metadata(self, job: Any) -> bool:
        """Return whether a job cannot be compared."""
        return False if self.decides_about(job) else super().has_outdated_metadata(job)

    def code_changed(self, job: Any, file: Any = None) -> Any:
        """Return nothing: the command is part of the key."""
        return self._no_change(file) if self.decides_about(job) else super().code_changed(job, file)

    def input_changed(self, job: Any, file: Any = None) -> Any:
        """Return nothing: the inputs are part of the key."""
        return self._no_change(file) if self.decides_about(job) else super().input_changed(job, file)

    def software_stack_changed(self, job: Any, file: Any = None) -> Any:
        """Return nothing: another environment writes other bytes under the same key, and both are known."""
        return self._no_change(file) if self.decides_about(job) else super().software_stack_changed(job, file)

    @staticmethod
    def _no_change(file: Any) -> Any:
        return False if file is not None else iter(())

    def params_changed(self, job: Any, file: Any = None) -> Any:
        """Asked for every job that is not due for another reason: the ledger's answer."""
        if not self.decides_about(job):
            return super().params_changed(job, file)
        if job in self._undetermined or self._returns.settle(job):
            return NO_PARAMS_CHANGE
        changes = super().params_changed(job, file)
        files = {file} if file is not None else set(job.output)
        return Stale(self._freshness.why(job), changes or NO_PARAMS_CHANGE, files)

    async def _decide(self, *arguments: Any, **named: Any) -> None:
        """Let Snakemake decide what is due.

        Behind a job that is due it asks no further, though it does not execute what reads that job's output as ancient
        and may be stale for another reason. So it is shown a plan without these edges.
        """
        depending = self.dag.depending
        self.dag.depending = defaultdict(dict)
        for job, readers in depending.items():
            self.dag.depending[job] = {
                reader: files for reader, files in readers.items() if not all(f.is_ancient for f in files)
            }
        self._returns.ask_again()
        # Behind a checkpoint that Snakemake has not looked at yet, inputs are not known; it decides once more.
        waiting = [job for job in self.dag.jobs if any(f.flags.get("checkpoint_target") for f in job.input)]
        self._undetermined = set(self.dag.bfs(self.dag.depending, *waiting)) if waiting else set()
        try:
            await self._update_needrun(*arguments, **named)
        finally:
            self.dag.depending = depending

    async def incomplete(self, job: Any) -> list[Any]:
        """Look for files to bring back, before anything is decided. Whether a job was cut off, its bytes tell."""
        if not self.decides_about(job):
            return await super().incomplete(job)
        self._returns.settle(job)
        return []

    def vouched(self) -> list[Run]:
        """Return the run that wrote the outputs of each job of the plan which need not be executed."""
        jobs = [job for job in self.dag.jobs if self.decides_about(job)]
        runs = [self._freshness.run(job) for job in jobs if not set(job.output) <= job.temp_output]
        return [run for run in runs if run is not None]

    # --- what jobs write ---------------------------------------------------------------------------------------------

    def started(self, job: Any, external_jobid: str | None = None) -> None:
        """Remember what a job is executed with."""
        super().started(job, external_jobid)
        if not has_key(job):
            return
        # Snakemake would write through it.
        if job.benchmark and os.path.islink(job.benchmark):
            os.unlink(job.benchmark)
        if not self._workflow.is_main_process:
            self._notes.write(job)
        elif (key := self.key(job)) is not None:
            self._started[job] = key, self._signatures(job)
            if self._notes.is_elsewhere(job):
                self._notes.write(job)

    def _signatures(self, job: Any) -> list[Any]:
        """Return what the system tells of a job's inputs: a change that is set back shows in it."""
        return [signature(os.stat(f)) for f in job.input if not f.is_ancient and os.path.exists(f)]

    async def finished(self, job: Any) -> None:
        """Write Snakemake's own record, with the checksums by which calls that look at time stamps are spared work."""
        await super().finished(job)
        if job.rule.name in self.hooks.checks and not all(map(os.path.exists, job.output)):
            self._workflow.scheduler.keepgoing = False
        self._clear_cache()
        if self._workflow.is_main_process and has_key(job):
            checksums = {str(f): f"sha256:{self.contents.sha256(str(f))}" for f in job.input}
            for key in map(self._get_key, job.output):
                if record := self._read_record(key):
                    record.input_checksums = checksums
                    self._write_record(key, record)

    async def _note_and_finish(self, job: Any, *arguments: Any, **named: Any) -> Any:
        executed = self._workflow.is_main_process and not self._workflow.touch and not self._workflow.dryrun
        for member in (job if job.is_group() else [job]) if executed else ():
            if has_key(member):
                self._note_outputs(member)
        return await self._finish(job, *arguments, **named)

    def _note_outputs(self, job: Any) -> None:
        """Take a job's outputs into the ledger, if nothing that they were written from has changed meanwhile."""
        key = self.key(job)
        if self._notes.is_elsewhere(job):
            same = self._notes.is_executed_as_planned(job) and self._started.get(job, (key,))[0] == key
            self._notes.drop(job)
        else:
            same = self._started.get(job) == (key, self._signatures(job))
        self._started.pop(job, None)
        source = getattr(job.params, "source", "")
        if key is None or not same or source != self.hooks.source(job):
            logger.warning(
                f"What {', '.join(job.output)} was written from has changed meanwhile. It will be written again by the "
                "next call."
            )
            return
        try:
            outputs = {str(f): self.contents.sha256_and_md5(str(f)) for f in job.output}
            run = Run(key, outputs, source, ledger.versions(), getattr(job.params, "code", ""))
            self._freshness.ledger.note(run)
            self._ownership.note(job)
        except OSError as error:
            logger.warning(
                f"{ledger.LEDGER} cannot be written ({error}): the next call will write {job.output[0]} again."
            )
        self.contents.save()

    # --- around a call -----------------------------------------------------------------------------------------------

    def _watched(self, lock: Callable[[], Any]) -> Callable[[], Any]:
        @contextlib.contextmanager
        def watched() -> Iterator[None]:
            try:
                with lock():
                    self._returns.be_alone()
                    self._before()
                    yield
                self._after()
            except WorkflowError:
                log_failures(self._workflow, self.dag, self.hooks.lower)
                raise
            finally:
                self.contents.save()

        return watched

    def _before(self) -> None:
        """Stop what should not begin."""
        due = list(self.dag.needrun_jobs())
        if not self._workflow.is_main_process:
            for job in filter(has_key, due):
                if all(os.path.exists(f) for f in job.input):
                    self._notes.write(job)
                    if self._notes.differ(job):
                        raise Error(
                            f"Settings, code or inputs of {job.output[0]} have changed since the run began. Give the "
                            "same command again: it follows them."
                        )
            return
        refuse_cut_off_plans(self._workflow, self.dag, self._freshness)
        if not self._workflow.touch:
            order = {rule: index for index, rule in enumerate(self._workflow.rules)}
            for job in sorted(filter(has_key, due), key=lambda job: (order[job.rule], str(job.output))):
                if reason := self._ownership.conflict(job):
                    raise Error(reason)
        log_other_code(due, self._freshness, super().metadata)
        if not self._workflow.dryrun and not self._workflow.touch:
            for reason in sorted(filter(None, map(self.hooks.refuse, due)))[:1]:
                raise Error(reason)
            for job in filter(has_key, due):
                self._notes.drop(job)
            if rwlock.remove_broken_lock():
                logger.info(rwlock.LOCK_REMOVED)
            self._returns.copy()

    def _after(self) -> None:
        if not self._workflow.is_main_process or self._workflow.touch:
            return
        if not self._workflow.dryrun:
            self._ownership.adopt(self.dag.jobs)
        if self._gate:
            ledger.append_runs(Path(self._gate), self.vouched())
            append_lines(Path(self._gate), (["stale", why] for why in self._reasons()))
        elif not self._workflow.dryrun and not len(self.dag) and not self._workflow.execution_settings.no_hooks:
            # Snakemake calls it after jobs alone.
            self._workflow._onsuccess(self._workflow.logger_manager.get_logfile())

    def _reasons(self) -> list[str]:
        """Return why jobs are due, those that are due only because of others left out where there are any."""
        reasons = {job: self.dag.reason(job) for job in self.dag.needrun_jobs(exclude_finished=False)}
        stale_reasons = [
            reason.params_changed.why for reason in reasons.values() if isinstance(reason.params_changed, Stale)
        ]
        return stale_reasons or [f"{job.rule.name}: {reason}" for job, reason in reasons.items()]
