"""What is said, or refused, before the jobs of a call begin and after they have ended."""

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from snakemake.logging import logger

from unitscope.workflow.failures import Failure, failure_report
from unitscope.workflow.snakemake_internals.freshness import Freshness, has_key
from unitscope.workflow.snakemake_internals.refusals import Error


def log_other_code(due: Collection[Any], freshness: Freshness, record_of: Callable[[Any], Any]) -> None:
    """Say what is computed again because the code has changed, and how long that took, before it begins.

    Args:
        due: Jobs that will be executed.
        freshness: Looks up jobs in the ledger.
        record_of: Returns what Snakemake has written down of a file.
    """
    due = [job for job in due if job.output]
    other = Counter(job.rule.name for job in due if has_key(job) and freshness.is_of_other_code(job))
    if not other:
        return
    records = [record_of(f) for job in due for f in list(job.output)[:1]]
    times = [record.endtime - record.starttime for record in records if record and record.endtime]
    took = (
        f"the last time these took {_duration(sum(times))}, one after another"
        if len(times) == len(records)
        else "`make plan` says how long that takes"
    )
    rule_counts = ", ".join(f"{rule} ({count})" for rule, count in sorted(other.items()))
    logger.info(
        f"Other code than today's wrote the results of {rule_counts}. With what is made from them, {len(due)} jobs are "
        f"computed again: {took}."
    )


def _duration(seconds: float) -> str:
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"


def refuse_cut_off_plans(workflow: Any, dag: Any, freshness: Freshness) -> None:
    """Refuse to take for a source file what a rule writes.

    Snakemake does so where an input of the job that would write it is missing.
    """
    if workflow.dag_settings.allowed_rules:
        return
    patterns = [(rule.name, f) for rule in workflow.rules for f in rule.output]
    cut_off = set()
    for job in dag.jobs:
        written = {f for files in freshness.before(job).values() for f in files}
        leaves = [f for f in job.input if f not in written and not f.is_storage]
        cut_off |= {(str(f), name) for f in leaves for name, pattern in patterns if pattern.match(str(f))}
    for path, rule in sorted(cut_off)[:1]:
        raise Error(
            f"{path} is there, but a file that rule {rule} would write it from is missing, so that nothing tells "
            "whether it is fresh. Bring that file back, or correct its path."
        )


def log_failures(workflow: Any, dag: Any, lower: Callable[[Any], str]) -> None:
    """List what failed, behind all that Snakemake has printed meanwhile.

    Args:
        workflow: Snakemake's workflow.
        dag: Its graph of jobs.
        lower: Returns the sentence that names the setting to lower where a job runs out of memory.
    """
    scheduler = getattr(workflow, "scheduler", None)
    if scheduler is None or not scheduler.failed or scheduler._user_kill or not workflow.is_main_process:
        return
    failed = [job for group in scheduler.failed for job in (group if group.is_group() else [group])]
    failures = [
        Failure(
            " ".join([job.rule.name, *(f"{name}={value}" for name, value in job.wildcards.items())]),
            Path(job.log[0]) if job.log else None,
            lower(job),
        )
        for job in sorted(failed, key=lambda job: str(job.output))
    ]
    unfinished = [job for job in dag.needrun_jobs() if job.output and job not in failed]
    logger.error(failure_report(failures, len(unfinished), scheduler.keepgoing))
