"""What the outputs of a job are written from, and whether the bytes that are there were written from it.

Snakemake compares a job with the metadata of the last job that wrote its outputs, whatever became of that one, and does
not look at outputs that lie behind present ones. The ledger compares bytes (see `unitscope.workflow.ledger`).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from snakemake.io import is_flagged

from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.workflow.ledger import Ledger, Run
from unitscope.workflow.snakemake_internals.refusals import Error

SPECIAL = ("directory", "pipe", "service", "touch", "update", "before_update")
"""Flags of files that are more, or less, than their bytes."""
PROGRAM = re.compile(r"^python .*?/(\w+\.py)'?(?= )")
"""The program that a rule's command calls."""


class Freshness:
    """Looks up jobs in the ledger.

    Args:
        dag: Snakemake's graph of jobs.
        contents: Remembers checksums.
        ledger: All runs that are known here.

    Attributes:
        expected: SHA-256 of files that are about to be brought back, by path.
    """

    def __init__(self, dag: Any, contents: Contents, ledger: Ledger) -> None:
        self._dag = dag
        self.contents = contents
        self.ledger = ledger
        self.expected: dict[str, str] = {}

    def content(self, path: str) -> str:
        """Return the SHA-256 of a file, or of what is about to be brought back to its place."""
        try:
            return self.expected[path] if path in self.expected else self.contents.sha256(path)
        except UserError as error:
            raise Error(str(error)) from None

    def before(self, job: Any) -> Mapping[Any, Any]:
        """Return the jobs that write a job's inputs, each with the files."""
        return self._dag.dependencies.get(job, {})

    def _inputs(self, job: Any) -> list[tuple[str, str]]:
        """Return what each input counts by: the SHA-256 of its content, an empty text while it is not there.

        A temporary input counts by the key of the job that writes it, so that it need not be there.
        """
        producers = {f: producer for producer, files in self.before(job).items() for f in files}
        inputs = []
        for f in job.input:
            producer = producers.get(f)
            if f.is_ancient:
                continue
            if producer is not None and f in producer.temp_output and self.is_fresh(producer):
                inputs.append((str(f), self.key(producer) or ""))
            else:
                inputs.append((str(f), self.content(str(f))))
        return inputs

    def key(self, job: Any) -> str | None:
        """Return the digest of all that a job's outputs are written from; None while an input is not there."""
        inputs = self._inputs(job)
        return digest([*command(job), inputs]) if all(content for _, content in inputs) else None

    def run(self, job: Any) -> Run | None:
        """Return the run under today's key that wrote the bytes which lie there; temporary outputs may be gone."""
        key = self.key(job)
        present = {str(f): self.content(str(f)) for f in job.output}
        expected = {path: sha256 for path, sha256 in present.items() if sha256 or path not in job.temp_output}
        for run in self.ledger.runs(key) if key else ():
            if all(run.outputs.get(path, ("",))[0] == sha256 != "" for path, sha256 in expected.items()):
                return run
        return None

    def is_fresh(self, job: Any) -> bool:
        """Return whether the outputs of a job are those of today's settings, code and inputs."""
        gone = all(f in job.temp_output and not self.content(str(f)) for f in job.output)
        return gone or self.run(job) is not None

    def why(self, job: Any) -> str:
        """Return why a job's outputs are not fresh."""
        for path, content in self._inputs(job):
            if not content:
                return f"{path}, from which it is written, is not there"
        for f in map(str, job.output):
            content, runs = self.content(f), self.ledger.runs_of(f)
            if not content:
                return f"{f} is not there" + (f" (if a colleague has stored it: dvc pull {f})" if runs else "")
            if not any(run.outputs[f][0] == content for run in runs):
                return (
                    f"{f} holds bytes that no job has written here: it was edited, damaged, or brought from elsewhere"
                )
        return f"{job.output[0]} was written with other settings, code or inputs"

    def is_of_other_code(self, job: Any) -> bool:
        """Return whether what lies there is of other code than today's; before there was a ledger, all is."""
        contents = {str(f): self.content(str(f)) for f in job.output}
        if not all(contents.values()):
            return False
        runs = [run for f, sha256 in contents.items() for run in self.ledger.runs_of(f) if run.outputs[f][0] == sha256]
        if not self.ledger:
            return True
        return bool(runs) and getattr(job.params, "code", "") not in {run.code for run in runs}


def has_key(job: Any) -> bool:
    """Return whether the bytes of a job's files and its command say all: not in a bucket, not without a command."""
    files = [*job.input, *job.output]
    plain = not any(f.is_storage or any(is_flagged(f, flag) for flag in SPECIAL) for f in files)
    return bool(plain and job.output and job.rule.shellcmd)


def command(job: Any) -> list[Any]:
    """Return what a job does, whatever its inputs are."""
    params = {name or str(index): value for index, (name, value) in enumerate(job.params._allitems())}
    # A program counts by its name, so that it may be moved; the keys of earlier versions stay valid.
    text = PROGRAM.sub(r"python scripts/\1", job.rule.shellcmd)
    return [text, params, list(map(str, job.output))]


def digest(value: Any) -> str:
    """Return the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()
