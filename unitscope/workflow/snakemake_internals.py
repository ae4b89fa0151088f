"""The one place that knows the inside of Snakemake: its persistence is asked what is fresh, and the ledger answers.

Written for Snakemake 9.27. Each hook has a test in tests/workflow/test_ledger.py that fails when Snakemake no longer
calls it. Snakemake compares a job with the metadata of the last job that wrote its outputs, whatever became of that
one, and does not look at outputs that lie behind present ones. The ledger compares bytes (see
`unitscope.workflow.ledger`).

Where it cannot, Snakemake's own comparison stays: artifacts in a bucket, rules without a shell command, and calls with
--rerun-triggers mtime.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import snakemake.workflow
from snakemake.common import parse_key_value_arg
from snakemake.exceptions import WorkflowError
from snakemake.io import WILDCARD_REGEX, _IOFile, is_flagged
from snakemake.logging import logger
from snakemake.persistence import NO_PARAMS_CHANGE, MetadataRecord, ParamsChange
from snakemake.persistence.file import FilePersistence
from snakemake.settings.types import RerunTrigger, SharedFSUsage
from snakemake_interface_storage_plugins.io import Mtime

from unitscope.errors import UserError
from unitscope.storage.contents import Contents, append_lines, read_lines, signature
from unitscope.storage.records import canonical_json
from unitscope.workflow import ledger
from unitscope.workflow.failures import Failure, told
from unitscope.workflow.ledger import Ledger, Run
from unitscope.workflow.owners import OWNERS, Owner, Owners, conflict
from unitscope.workflow.store import dvc_cache, dvc_lock, links, rwlock

SPECIAL = ("directory", "pipe", "service", "touch", "update", "before_update")
"""Flags of files that are more, or less, than their bytes."""
PROGRAM = re.compile(r"^python .*?/(\w+\.py)'?(?= )")
"""The program that a rule's command calls."""


class Error(WorkflowError):
    """A refusal, of which people are told the sentence alone.

    Snakemake takes the places that it shows below an error, in rules and modules, from where the error was raised.
    """

    __traceback__ = property(lambda self: None, lambda self, value: None)


class Stale(ParamsChange):
    """Why a job has to be executed, as Snakemake prints it."""

    def __init__(self, why: str, known: ParamsChange, files: set[Any]) -> None:
        super().__init__(known.only_old, known.only_new, files)
        self.why = why

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self.why}. {super().__str__()}" if self.only_old or self.only_new else self.why


class LedgerPersistence(FilePersistence):
    """Snakemake's metadata on disk, with the ledger in the place of its comparisons."""

    refuse: Callable[[Any], str] = staticmethod(lambda job: "")
    """Returns why a job that is due cannot be executed here; an empty text for most."""
    source: Callable[[Any], str] = staticmethod(lambda job: "")
    """Returns the digest of the raw data that a job reads, as they are now."""
    lower: Callable[[Any], str] = staticmethod(lambda job: "")
    """Returns the sentence that names the setting to lower where a job runs out of memory."""
    settings: Callable[[Any], Any] = staticmethod(lambda job: {})
    """Returns the settings of a job by which its artifacts are told from those of another config."""
    equal_today: Callable[[Any, str], bool] = staticmethod(lambda job, config: False)
    """Returns whether another config describes the same as this one for a job."""
    takeover = False
    """Whether this config may overwrite what another one owns, and owns it from then on."""
    checks: Collection[str] = ()
    """Rules that find mistakes of a config in the first minute: where one fails, nothing else begins."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._workflow = self.dag.workflow
        self._gate = os.environ.get(ledger.GATE)
        self.contents = Contents(ledger.CONTENTS, trust=not self._gate)
        try:
            self.ledger = Ledger()
        except UserError as error:
            raise Error(str(error)) from None
        self.owners = Owners()
        # Further configs are laid over the first, which names the study.
        self._config = os.path.relpath([*map(str, self._workflow.configfiles), "the command line"][0])
        self._started: dict[Any, Any] = {}
        self._settled: dict[Any, bool] = {}
        # By path: the SHA-256, where DVC's cache holds it, and why it is brought back.
        self._restored: dict[str, tuple[str, Path, str]] = {}
        self._jobs_restored: list[Any] = []
        self._undetermined: set[Any] = set()
        self._locked = False
        # Reached by successful jobs alone; `finished` by failed ones too.
        self._finish, self.dag.finish = self.dag.finish, self._note_and_finish
        self._update_needrun, self.dag.update_needrun = self.dag.update_needrun, self._decide
        self.lock: Callable[[], Any] = self._watched(self.lock)
        # Snakemake would read all inputs of every job once more; `finished` writes down what is remembered here.
        self.max_checksum_file_size = 0

    # --- what is fresh -----------------------------------------------------------------------------------------------

    @property
    def compares(self) -> bool:
        """Whether Snakemake asks for more than time stamps."""
        return RerunTrigger.PARAMS in self._workflow.rerun_triggers

    def _has_key(self, job: Any) -> bool:
        files = [*job.input, *job.output]
        plain = not any(f.is_storage or any(is_flagged(f, flag) for flag in SPECIAL) for f in files)
        return bool(plain and job.output and job.rule.shellcmd)

    def answers_for(self, job: Any) -> bool:
        """Return whether the ledger decides about a job."""
        return self.compares and self._has_key(job)

    def _content(self, path: str) -> str:
        """Return the SHA-256 of a file, or of what is about to be brought back to its place."""
        try:
            return self._restored[path][0] if path in self._restored else self.contents.sha256(path)
        except UserError as error:
            raise Error(str(error)) from None

    def _command(self, job: Any) -> list[Any]:
        params = {name or str(place): value for place, (name, value) in enumerate(job.params._allitems())}
        # A program counts by its name, so that it may be moved; the keys of earlier versions stay valid.
        command = PROGRAM.sub(r"python scripts/\1", job.rule.shellcmd)
        return [command, params, list(map(str, job.output))]

    def _inputs(self, job: Any) -> list[tuple[str, str]]:
        """Return what each input counts by: the SHA-256 of its content, an empty text while it is not there.

        A temporary input counts by the key of the job that writes it, so that it need not be there.
        """
        producers = {f: producer for producer, files in self._before_it(job).items() for f in files}
        inputs = []
        for f in job.input:
            producer = producers.get(f)
            if f.is_ancient:
                continue
            if producer is not None and f in producer.temp_output and self.fresh(producer):
                inputs.append((str(f), self.key(producer) or ""))
            else:
                inputs.append((str(f), self._content(str(f))))
        return inputs

    def key(self, job: Any) -> str | None:
        """Return the digest of all that a job's outputs are written from; None while an input is not there."""
        inputs = self._inputs(job)
        return _digest([*self._command(job), inputs]) if all(content for _, content in inputs) else None

    def _before_it(self, job: Any) -> Mapping[Any, Any]:
        """Return the jobs that write a job's inputs, each with the files."""
        return self.dag.dependencies.get(job, {})

    def _run(self, job: Any) -> Run | None:
        """Return the run under today's key that wrote the bytes which lie there; temporary outputs may be gone."""
        key = self.key(job)
        present = {str(f): self._content(str(f)) for f in job.output}
        expected = {path: sha256 for path, sha256 in present.items() if sha256 or path not in job.temp_output}
        for run in self.ledger.runs(key) if key else ():
            if all(run.outputs.get(path, ("",))[0] == sha256 != "" for path, sha256 in expected.items()):
                return run
        return None

    def fresh(self, job: Any) -> bool:
        """Return whether the outputs of a job are those of today's settings, code and inputs."""
        gone = all(f in job.temp_output and not self._content(str(f)) for f in job.output)
        return gone or self._run(job) is not None

    def _why(self, job: Any) -> str:
        """Return why a job's outputs are not fresh."""
        for path, content in self._inputs(job):
            if not content:
                return f"{path}, from which it is written, is not there"
        for f in map(str, job.output):
            content, runs = self._content(f), self.ledger.runs_of(f)
            if not content:
                return f"{f} is not there" + (f" (if a colleague has stored it: dvc pull {f})" if runs else "")
            if not any(run.outputs[f][0] == content for run in runs):
                return (
                    f"{f} holds bytes that no job has written here: it was edited, damaged, or brought from elsewhere"
                )
        return f"{job.output[0]} was written with other settings, code or inputs"

    def vouched(self) -> list[Run]:
        """Return the run that wrote the outputs of each job of the plan which need not be executed."""
        jobs = [job for job in self.dag.jobs if self.answers_for(job)]
        runs = [self._run(job) for job in jobs if not set(job.output) <= job.temp_output]
        return [run for run in runs if run is not None]

    # --- Snakemake's questions ---------------------------------------------------------------------------------------

    def metadata(self, target: Any) -> MetadataRecord | None:
        """Return what Snakemake has written down of a file, or, as for one that came from elsewhere, what it would."""
        known = super().metadata(target)
        if known is None and self.contents.sha256(str(target)):
            writers = (job for job in self.dag.jobs if target in job.output and self.answers_for(job))
            for job in filter(self.fresh, writers):
                time = os.stat(target).st_mtime
                return MetadataRecord(rule=job.rule.name, job_hash=hash(job), starttime=time, endtime=time)
        return known

    def has_metadata(self, job: Any) -> bool:
        """Return whether a job can be compared."""
        return True if self.answers_for(job) or not job.output else super().has_metadata(job)

    def has_outdated_metadata(self, job: Any) -> bool:
        """Return whether a job cannot be compared."""
        return False if self.answers_for(job) else super().has_outdated_metadata(job)

    def code_changed(self, job: Any, file: Any = None) -> Any:
        """Return nothing: the command is part of the key."""
        return self._no_change(file) if self.answers_for(job) else super().code_changed(job, file)

    def input_changed(self, job: Any, file: Any = None) -> Any:
        """Return nothing: the inputs are part of the key."""
        return self._no_change(file) if self.answers_for(job) else super().input_changed(job, file)

    def software_stack_changed(self, job: Any, file: Any = None) -> Any:
        """Return nothing: another environment writes other bytes under the same key, and both are known."""
        return self._no_change(file) if self.answers_for(job) else super().software_stack_changed(job, file)

    @staticmethod
    def _no_change(file: Any) -> Any:
        return False if file is not None else iter(())

    def params_changed(self, job: Any, file: Any = None) -> Any:
        """Asked for every job that is not due for another reason: the ledger's answer."""
        if not self.answers_for(job):
            return super().params_changed(job, file)
        if job in self._undetermined or self._settle(job):
            return NO_PARAMS_CHANGE
        known = super().params_changed(job, file)
        return Stale(self._why(job), known or NO_PARAMS_CHANGE, {file} if file is not None else set(job.output))

    async def _decide(self, *arguments: Any, **named: Any) -> None:
        """Let Snakemake decide what is due.

        Behind a job that is due it asks no further, though it does not execute what reads that job's output as ancient
        and may be stale for another reason. So it is shown a plan without these edges.
        """
        whole = self.dag.depending
        self.dag.depending = defaultdict(dict)
        for job, readers in whole.items():
            self.dag.depending[job] = {
                reader: files for reader, files in readers.items() if not all(f.is_ancient for f in files)
            }
        self._settled = {job: True for job, settled in self._settled.items() if settled}
        # Behind a checkpoint that Snakemake has not looked at yet, inputs are not known; it decides once more.
        waiting = [job for job in self.dag.jobs if any(f.flags.get("checkpoint_target") for f in job.input)]
        self._undetermined = set(self.dag.bfs(self.dag.depending, *waiting)) if waiting else set()
        try:
            await self._update_needrun(*arguments, **named)
        finally:
            self.dag.depending = whole

    async def incomplete(self, job: Any) -> list[Any]:
        """Look for files to bring back, before anything is decided. Whether a job was cut off, its bytes tell."""
        if not self.answers_for(job):
            return await super().incomplete(job)
        self._settle(job)
        return []

    # --- brought back before written again ---------------------------------------------------------------------------

    def _settle(self, job: Any) -> bool:
        """Return whether a job and all before it are fresh, after bringing back what is known and stored."""
        if not self.answers_for(job):
            # Snakemake decides.
            return True
        if job not in self._settled:
            before = [each for each, files in self._before_it(job).items() if not all(f.is_ancient for f in files)]
            self._settled[job] = all(map(self._settle, before)) and (self.fresh(job) or self._bring_back(job))
        return self._settled[job]

    def _bring_back(self, job: Any) -> bool:
        """Bring back a job's outputs, if DVC's cache holds those of a run under today's key."""
        executes = self._workflow.executor_plugin is not None and self._workflow.is_main_process
        key = self.key(job)
        if not executes or self._workflow.touch or self._gate or key is None:
            return False
        present = {path: self._content(path) for path in map(str, job.output)}
        for run in self.ledger.runs(key):
            wrong = {
                path: (sha256, dvc_cache.stored(md5, sha256))
                for path, (sha256, md5) in run.outputs.items()
                if present.get(path) != sha256 and (present.get(path) or path not in job.temp_output)
            }
            places = {path: (sha256, place) for path, (sha256, place) in wrong.items() if place is not None}
            if len(places) == len(wrong) and not self._conflict(job):
                for path, (sha256, place) in places.items():
                    why = "held other bytes" if present[path] else "was not there"
                    self._restored[path] = sha256, place, why
                    if self._workflow.dryrun:
                        logger.info(f"{path} {why}: would be brought back from DVC's cache.")
                self._seen_by_snakemake(job, places)
                self._jobs_restored.append(job)
                if self._locked:
                    self._copy_back()
                return True
        return False

    def _seen_by_snakemake(self, job: Any, places: Mapping[str, Any]) -> None:
        """Let Snakemake take files for there before they are: it has looked already."""
        for f in job.output:
            if str(f) in places:
                self._workflow.iocache.exists_local[f] = True
                self._workflow.iocache.mtime[f] = Mtime(local=0.0)

    def _copy_back(self) -> None:
        """Bring files back, once nobody else works here, and say so. What they replace is kept if a job has written it.

        Raises:
            WorkflowError: Some cannot be brought back; the others have been.
        """
        failures = {}
        for path, (_, place, why) in self._restored.items():
            content = self.contents.sha256(path)
            try:
                for run in self.ledger.runs_of(path) if content else ():
                    kept = dvc_cache.place(dvc_cache.cache_folder(), run.outputs[path][1])
                    if run.outputs[path][0] == content and not kept.exists():
                        dvc_cache.keep(Path(path), kept)
                dvc_cache.bring_back(path, place)
            except OSError as error:
                failures[path] = f"{path} cannot be brought back from DVC's cache ({error.strerror or error})"
            else:
                logger.info(f"{path} {why}: brought back from DVC's cache.")
        self._restored.clear()
        for job in self._jobs_restored:
            if not failures.keys() & set(map(str, job.output)):
                self._note_owner(job)
        self._jobs_restored.clear()
        if failures:
            more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
            reasons = "; ".join(list(failures.values())[:3])
            raise Error(f"{reasons}{more}. Fix that, and give the same command again.")

    # --- owners ------------------------------------------------------------------------------------------------------

    def _claim(self, job: Any) -> Owner:
        """Return this config with the settings of a job."""
        return Owner(self._config, canonical_json(self.settings(job)))

    def _conflict(self, job: Any) -> str:
        """Return why a job may not overwrite what lies at its outputs; an empty text for most."""
        if self.takeover:
            return ""
        present = [str(f) for f in job.output if self._content(str(f))]
        return next(filter(None, (self._conflict_at(path, job) for path in present)), "")

    def _conflict_at(self, path: str, job: Any) -> str:
        owner = self.owners.of(path)
        return conflict(path, owner, self._claim(job), partial(self.equal_today, job)) if owner else ""

    def _note_owner(self, job: Any) -> None:
        """Write down who owns a job's outputs: this config, unless another one with equal settings does already."""
        claim = self._claim(job)
        for path in map(str, job.output):
            owner = self.owners.of(path)
            shared = owner is not None and not self._conflict_at(path, job)
            try:
                self.owners.note([path], Owner(owner.config if owner and shared else self._config, claim.settings))
            except OSError as error:
                logger.warning(f"{OWNERS} cannot be written ({error}): {path} has no owner yet.")

    def _adopt(self) -> None:
        """Own the fresh artifacts that no config owns, such as those of a config that was renamed."""
        for job in filter(self._has_key, self.dag.jobs):
            if any(self.owners.of(str(f)) is None for f in job.output) and self._run(job) is not None:
                self._note_owner(job)

    # --- what jobs write ---------------------------------------------------------------------------------------------

    def started(self, job: Any, external_jobid: str | None = None) -> None:
        """Remember what a job is executed with."""
        super().started(job, external_jobid)
        if not self._has_key(job):
            return
        # Snakemake would write through it.
        if job.benchmark and os.path.islink(job.benchmark):
            os.unlink(job.benchmark)
        if not self._workflow.is_main_process:
            self._write_note(job, f"{platform.node()}-{os.getpid()}")
        elif (key := self.key(job)) is not None:
            self._started[job] = key, self._signatures(job)
            if self._elsewhere(job):
                self._write_note(job, "planned")

    def _signatures(self, job: Any) -> list[Any]:
        """Return what the system tells of a job's inputs: a change that is set back shows in it."""
        return [signature(os.stat(f)) for f in job.input if not f.is_ancient and os.path.exists(f)]

    async def finished(self, job: Any) -> None:
        """Write Snakemake's own record, with the checksums by which calls that look at time stamps are spared work."""
        await super().finished(job)
        if job.rule.name in self.checks and not all(map(os.path.exists, job.output)):
            self._workflow.scheduler.keepgoing = False
        self._clear_cache()
        if self._workflow.is_main_process and self._has_key(job):
            checksums = {str(f): f"sha256:{self.contents.sha256(str(f))}" for f in job.input}
            for key in map(self._get_key, job.output):
                if record := self._read_record(key):
                    record.input_checksums = checksums
                    self._write_record(key, record)

    async def _note_and_finish(self, job: Any, *arguments: Any, **named: Any) -> Any:
        executed = self._workflow.is_main_process and not self._workflow.touch and not self._workflow.dryrun
        for each in (job if job.is_group() else [job]) if executed else ():
            if self._has_key(each):
                self._note_outputs(each)
        return await self._finish(job, *arguments, **named)

    def _note_outputs(self, job: Any) -> None:
        """Take a job's outputs into the ledger, if nothing that they were written from has changed meanwhile."""
        key = self.key(job)
        if self._elsewhere(job):
            notes = self._notes(job)
            # Of a job whose inputs came after it had been submitted, that of the process which executed it alone.
            same = any(name != "planned" for name in notes) and set(notes.values()) == {self._plan(job)}
            same = same and self._started.get(job, (key,))[0] == key
            self._drop_notes(job)
        else:
            same = self._started.get(job) == (key, self._signatures(job))
        self._started.pop(job, None)
        source = getattr(job.params, "source", "")
        if key is None or not same or source != self.source(job):
            logger.warning(
                f"What {', '.join(job.output)} was written from has changed meanwhile. It will be written again by the "
                "next call."
            )
            return
        try:
            outputs = {str(f): self.contents.sha256_and_md5(str(f)) for f in job.output}
            self.ledger.note(Run(key, outputs, source, ledger.versions(), getattr(job.params, "code", "")))
            self._note_owner(job)
        except OSError as error:
            logger.warning(
                f"{ledger.LEDGER} cannot be written ({error}): the next call will write {job.output[0]} again."
            )
        self.contents.save()

    # --- jobs in other processes -------------------------------------------------------------------------------------

    def _elsewhere(self, job: Any) -> bool:
        """Whether a job is executed by another Snakemake, on a cluster, that shares this folder."""
        shared = SharedFSUsage.PERSISTENCE in self._workflow.storage_settings.shared_fs_usage
        return shared and not self._workflow.local_exec and not job.is_local

    def _plan(self, job: Any) -> str:
        """Return a digest like the key, for a process that knows this job alone: temporary inputs count by name."""
        temporary = [f for rule in self._workflow.rules for f in rule.output if is_flagged(f, "temp")]
        inputs = [
            [str(f), "" if any(pattern.match(str(f)) for pattern in temporary) else self._content(str(f))]
            for f in job.input
            if not f.is_ancient
        ]
        return _digest([*self._command(job), inputs])

    def _note(self, job: Any) -> Path:
        """Return the folder in which both processes write down what a job is executed with, each in its own file."""
        return ledger.FOLDER / "jobs" / _digest(list(map(str, job.output)))

    def _write_note(self, job: Any, name: str) -> None:
        append_lines(self._note(job) / name, [[self._plan(job)]])

    def _notes(self, job: Any) -> dict[str, str]:
        files = self._note(job).iterdir() if self._note(job).is_dir() else ()
        return {file.name: row[0] for file in files for row in read_lines(file)}

    def _drop_notes(self, job: Any) -> None:
        for name in self._notes(job):
            (self._note(job) / name).unlink(missing_ok=True)

    # --- around a call -----------------------------------------------------------------------------------------------

    def _watched(self, lock: Callable[[], Any]) -> Callable[[], Any]:
        @contextlib.contextmanager
        def watched() -> Iterator[None]:
            try:
                with lock():
                    self._locked = True
                    self._before()
                    yield
                self._after()
            except WorkflowError:
                self._tell_of_failures()
                raise
            finally:
                self.contents.save()

        return watched

    def _before(self) -> None:
        """Stop what should not begin."""
        due = list(self.dag.needrun_jobs())
        if not self._workflow.is_main_process:
            for job in filter(self._has_key, due):
                if all(os.path.exists(f) for f in job.input):
                    self._write_note(job, f"{platform.node()}-{os.getpid()}")
                    if len(set(self._notes(job).values())) > 1:
                        raise Error(
                            f"Settings, code or inputs of {job.output[0]} have changed since the run began. Give the "
                            "same command again: it follows them."
                        )
            return
        self._refuse_cut_off_plans()
        if not self._workflow.touch:
            order = {rule: place for place, rule in enumerate(self._workflow.rules)}
            for job in sorted(filter(self._has_key, due), key=lambda job: (order[job.rule], str(job.output))):
                if reason := self._conflict(job):
                    raise Error(reason)
        self._tell_of_other_code(due)
        if not self._workflow.dryrun and not self._workflow.touch:
            for reason in sorted(filter(None, map(self.refuse, due)))[:1]:
                raise Error(reason)
            for job in filter(self._has_key, due):
                self._drop_notes(job)
            if rwlock.mend_lock():
                logger.info(rwlock.MENDED)
            self._copy_back()

    def _tell_of_other_code(self, due: Collection[Any]) -> None:
        """Say what is computed again because the code has changed, and how long that took, before it begins."""
        due = [job for job in due if job.output]
        other = Counter(job.rule.name for job in due if self._has_key(job) and self._is_of_other_code(job))
        if not other:
            return
        records = [super(LedgerPersistence, self).metadata(f) for job in due for f in list(job.output)[:1]]
        times = [record.endtime - record.starttime for record in records if record and record.endtime]
        took = (
            f"the last time these took {_duration(sum(times))}, one after another"
            if len(times) == len(records)
            else "`make plan` says how long that takes"
        )
        what = ", ".join(f"{rule} ({count})" for rule, count in sorted(other.items()))
        logger.info(
            f"Other code than today's wrote the results of {what}. With what is made from them, {len(due)} jobs are "
            f"computed again: {took}."
        )

    def _is_of_other_code(self, job: Any) -> bool:
        """Return whether what lies there is of other code than today's; before there was a ledger, all is."""
        contents = {str(f): self._content(str(f)) for f in job.output}
        if not all(contents.values()):
            return False
        runs = [run for f, sha256 in contents.items() for run in self.ledger.runs_of(f) if run.outputs[f][0] == sha256]
        if not self.ledger:
            return True
        return bool(runs) and getattr(job.params, "code", "") not in {run.code for run in runs}

    def _refuse_cut_off_plans(self) -> None:
        """Refuse to take for a source file what a rule writes.

        Snakemake does so where an input of the job that would write it is missing.
        """
        if self._workflow.dag_settings.allowed_rules:
            return
        patterns = [(rule.name, f) for rule in self._workflow.rules for f in rule.output]
        cut_off = set()
        for job in self.dag.jobs:
            written = {f for files in self._before_it(job).values() for f in files}
            leaves = [f for f in job.input if f not in written and not f.is_storage]
            cut_off |= {(str(f), name) for f in leaves for name, pattern in patterns if pattern.match(str(f))}
        for path, rule in sorted(cut_off)[:1]:
            raise Error(
                f"{path} is there, but a file that rule {rule} would write it from is missing, so that nothing tells "
                "whether it is fresh. Bring that file back, or correct its path."
            )

    def _tell_of_failures(self) -> None:
        """List what failed, behind all that Snakemake has printed meanwhile."""
        scheduler = getattr(self._workflow, "scheduler", None)
        if scheduler is None or not scheduler.failed or scheduler._user_kill or not self._workflow.is_main_process:
            return
        failed = [job for group in scheduler.failed for job in (group if group.is_group() else [group])]
        failures = [
            Failure(
                " ".join([job.rule.name, *(f"{name}={value}" for name, value in job.wildcards.items())]),
                Path(job.log[0]) if job.log else None,
                self.lower(job),
            )
            for job in sorted(failed, key=lambda job: str(job.output))
        ]
        unfinished = [job for job in self.dag.needrun_jobs() if job.output and job not in failed]
        logger.error(told(failures, len(unfinished), scheduler.keepgoing))

    def _after(self) -> None:
        if not self._workflow.is_main_process or self._workflow.touch:
            return
        if not self._workflow.dryrun:
            self._adopt()
        if self._gate:
            ledger.append_runs(Path(self._gate), self.vouched())
            append_lines(Path(self._gate), (["stale", why] for why in self._reasons()))
        elif not self._workflow.dryrun and not len(self.dag) and not self._workflow.execution_settings.no_hooks:
            # Snakemake calls it after jobs alone.
            self._workflow._onsuccess(self._workflow.logger_manager.get_logfile())

    def _reasons(self) -> list[str]:
        """Return why jobs are due, those that are due only because of others left out where there are any."""
        reasons = {job: self.dag.reason(job) for job in self.dag.needrun_jobs(exclude_finished=False)}
        own = [reason.params_changed.why for reason in reasons.values() if isinstance(reason.params_changed, Stale)]
        return own or [f"{job.rule.name}: {reason}" for job, reason in reasons.items()]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()


def _duration(seconds: float) -> str:
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"


def install(
    workflow: Any,
    refuse: Callable[[Any], str],
    source: Callable[[Any], str],
    lower: Callable[[Any], str] = lambda job: "",
    settings: Callable[[Any], Any] = lambda job: {},
    equal_today: Callable[[Any, str], bool] = lambda job, config: False,
    takeover: bool = False,
    checks: Collection[str] = (),
) -> None:
    """Put the ledger in the place of Snakemake's comparisons.

    Args:
        workflow: The workflow whose rules are being read.
        refuse: Returns why a job that is due cannot be executed here; an empty text for most.
        source: Returns the digest of the raw data that a job reads, as they are now; an empty text for most.
        lower: Returns the sentence that names the setting to lower where a job runs out of memory; may be empty.
        settings: Returns the settings of a job by which its artifacts are told from those of another config.
        equal_today: Returns whether another config describes the same as this one for a job.
        takeover: Whether this config may overwrite what another one owns.
        checks: Rules that find mistakes of a config in the first minute: where one fails, nothing else begins.
    """
    LedgerPersistence.refuse, LedgerPersistence.source = staticmethod(refuse), staticmethod(source)
    LedgerPersistence.lower, LedgerPersistence.checks = staticmethod(lower), checks
    LedgerPersistence.settings, LedgerPersistence.takeover = staticmethod(settings), takeover
    LedgerPersistence.equal_today = staticmethod(equal_today)
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


def files_of(
    workflow: Any, values: Callable[[Collection[str]], Iterable[Mapping[str, str]]]
) -> Iterator[tuple[str, str]]:
    """Yield the path of each file that the rules write for a study, and words that name the job.

    Where Snakemake reads other wildcards from a path than those that it was made from, it is yielded with those too.

    Args:
        workflow: The workflow, its rules read.
        values: Returns the values that wildcards of these names take together.
    """
    for rule in workflow.rules:
        if not rule.output:
            continue
        files = [*rule.output, *rule.log, *([rule.benchmark] if rule.benchmark else [])]
        patterns = [WILDCARD_REGEX.sub(r"{\g<name>}", str(file)) for file in files]
        for wildcards in values(rule.wildcard_names):
            paths = [pattern.format_map(wildcards) for pattern in patterns]
            parsed = rule.output[0].match(paths[0])
            # Else they are another rule's, by its constraints.
            if parsed is None:
                continue
            words = _words(rule, wildcards)
            yield from ((path, words) for path in paths)
            if parsed.groupdict() != wildcards:
                yield paths[0], _words(rule, parsed.groupdict())


def _words(rule: Any, wildcards: Mapping[str, str]) -> str:
    named = ", ".join(f"{name} {value!r}" for name, value in sorted(wildcards.items()))
    return f"{rule.name} ({named})" if named else str(rule.name)


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
    return bool(links.untold(outside)) or not ledger.recorded(runs) or not dvc_lock.agrees(rows)
