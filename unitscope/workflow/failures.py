"""What is said of jobs that failed: which, why, and what to lower where memory ran out."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KILLED = "It was killed without a message, as happens where memory runs out."
NO_MEMORY = "not enough memory"


@dataclass(frozen=True)
class Failure:
    """A job that failed.

    Attributes:
        job: Its rule, and what it was about.
        log: Its log file; None if it has none.
        lower: The sentence that names the setting to lower where memory ran out; may be empty.
    """

    job: str
    log: Path | None
    lower: str


def reason(log: Path | None) -> str:
    """Return why a job failed, by the message that ends its log."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace") if log else ""
    except OSError:
        text = ""
    # At the start of a line: a traceback follows, whose last line names an error as well.
    message = f"\n{text}".partition("\nError: ")[2]
    return " ".join(message.partition("\n\n")[0].split()) or KILLED


def failure_report(failures: Sequence[Failure], waiting: int, went_on: bool = True) -> str:
    """Return the last lines of a call in which jobs failed.

    Args:
        failures: The jobs.
        waiting: How many jobs were not started.
        went_on: Whether everything that does not depend on them was done.
    """
    count = "1 job failed" if len(failures) == 1 else f"{len(failures)} jobs failed"
    not_started = (", {} that depend on that were not started" if went_on else ", {} were not started").format(waiting)
    outcome = "Everything else is done and kept." if went_on else "What was finished is kept."
    lines = [f"{count}{not_started if waiting else ''}. {outcome}"]
    for failure in failures:
        why = reason(failure.log)
        memory = why == KILLED or NO_MEMORY in why
        where = f"The log is {failure.log}." if failure.log else ""
        text = " ".join(filter(None, [f"{failure.job}:", why, failure.lower if memory else "", where]))
        lines += textwrap.wrap(text, 100, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join([*lines, "Then give the same command again: it does what is left."])


def error_of(output: str) -> str:
    """Return the message of the error with which a call of Snakemake ended, without its places in rules."""
    lines = [line for line in output.splitlines() if line.strip()]
    starts = [index for index, line in enumerate(lines) if re.match(r"\s*(\w+\.)*\w*(Error|Exception)\b", line)]
    body = [line.strip() for line in (lines[starts[-1] :] if starts else lines[-1:]) if not line.startswith("  File ")]
    # The kind of the error stands in a line of its own, or before the message.
    first = re.sub(r"^(\w+\.)*\w*(Error|Exception)( in (rule|file) .*)?:\s*", "", body[0]) if body else ""
    return " ".join(filter(None, [first, *body[1:]]))
