"""What is said while something runs: the log, and progress bars. And what this process has and may use."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

log = logging.getLogger("unitscope")

SECONDS_BETWEEN_LINES = 10.0
"""How often a running loop writes a line into its log file."""


@contextlib.contextmanager
def progress(total: int, label: str, unit: str, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show the progress of a loop: a bar on a terminal, a line now and then in the log.

    Args:
        total: Number of things to do.
        label: What is being done.
        unit: What is counted, in the plural.
        done: Number of things that an earlier, interrupted run has done already.

    Yields:
        A function to call with the number of things just done.
    """
    started = last = time.monotonic()
    finished = done
    with tqdm(
        total=total, initial=done, desc=label, unit=f" {unit}", leave=False, disable=not sys.stderr.isatty()
    ) as bar:

        def advance(count: int) -> None:
            nonlocal finished, last
            finished += count
            bar.update(count)
            now = time.monotonic()
            if now - last >= SECONDS_BETWEEN_LINES or finished == total:
                last = now
                rate = (finished - done) / max(now - started, 1e-9)
                seconds_left = (total - finished) / rate if rate else float("inf")
                log.info(
                    "%s: %d of %d %s, %.3g a second, %.0f s left", label, finished, total, unit, rate, seconds_left
                )

        yield advance


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in MiB: the kernel's number, which misses no peak."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        # The other number begins with what the process that started this one had.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) // 2**10
    # macOS counts bytes, others kibibytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
