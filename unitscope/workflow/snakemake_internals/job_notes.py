"""Notes by which two processes agree on what a job is executed with, as where a job runs on a cluster."""

import os
import platform
from pathlib import Path
from typing import Any

from snakemake.io import is_flagged
from snakemake.settings.types import SharedFSUsage

from unitscope.storage.contents import append_lines, read_lines
from unitscope.workflow.ledger import FOLDER
from unitscope.workflow.snakemake_internals.freshness import Freshness, command, digest

PLANNED = "planned"
"""Name of the note of the process that plans all jobs."""


class JobNotes:
    """The notes of jobs.

    Args:
        workflow: Snakemake's workflow.
        freshness: Looks up jobs in the ledger.
    """

    def __init__(self, workflow: Any, freshness: Freshness) -> None:
        self._workflow, self._freshness = workflow, freshness

    def is_elsewhere(self, job: Any) -> bool:
        """Return whether a job is executed by another Snakemake, on a cluster, that shares this folder."""
        shared = SharedFSUsage.PERSISTENCE in self._workflow.storage_settings.shared_fs_usage
        return shared and not self._workflow.local_exec and not job.is_local

    def _plan(self, job: Any) -> str:
        """Return a digest like the key, for a process that knows this job alone: temporary inputs count by name."""
        temporary = [f for rule in self._workflow.rules for f in rule.output if is_flagged(f, "temp")]
        inputs = [
            [str(f), "" if any(pattern.match(str(f)) for pattern in temporary) else self._freshness.content(str(f))]
            for f in job.input
            if not f.is_ancient
        ]
        return digest([*command(job), inputs])

    def _folder(self, job: Any) -> Path:
        """Return the folder in which both processes write down what a job is executed with, each in its own file."""
        return FOLDER / "jobs" / digest(list(map(str, job.output)))

    def write(self, job: Any) -> None:
        """Write down what a job is executed with by this process."""
        name = PLANNED if self._workflow.is_main_process else f"{platform.node()}-{os.getpid()}"
        append_lines(self._folder(job) / name, [[self._plan(job)]])

    def _read(self, job: Any) -> dict[str, str]:
        files = self._folder(job).iterdir() if self._folder(job).is_dir() else ()
        return {file.name: row[0] for file in files for row in read_lines(file)}

    def differ(self, job: Any) -> bool:
        """Return whether processes have written down different things."""
        return len(set(self._read(job).values())) > 1

    def is_executed_as_planned(self, job: Any) -> bool:
        """Return whether the process that executed a job had what is there now.

        Of a job whose inputs came after it had been submitted, that process alone has a note.
        """
        notes = self._read(job)
        return any(name != PLANNED for name in notes) and set(notes.values()) == {self._plan(job)}

    def drop(self, job: Any) -> None:
        """Remove the notes of a job."""
        for name in self._read(job):
            (self._folder(job) / name).unlink(missing_ok=True)
