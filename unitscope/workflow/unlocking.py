"""Locks of a Snakemake and a DVC that were killed, which are removed once nothing of them runs any more.

A Snakemake that dies without a word leaves its lock, and its jobs run on. The lock says neither whose it is nor whether
that one lives; the processes that work in this folder do.
"""

import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from unitscope.errors import UserError
from unitscope.workflow.store.rwlock import LOCK_REMOVED, remove_broken_lock

LOCKS = Path(".snakemake/locks")
HOST = Path(".snakemake/unitscope_host")
"""Name of the machine on which jobs were started last, as the Snakefile writes it."""


def unlock() -> Iterator[str]:
    """Remove the locks of killed processes once their jobs have ended, and yield what is done.

    Raises:
        UserError: A Snakemake works in this folder, or one on another machine may.
    """
    if remove_broken_lock():
        yield LOCK_REMOVED
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return
    if HOST.is_file() and (host := HOST.read_text()) != platform.node():
        raise UserError(
            f"A Snakemake on {host} has locked this folder, and whether it lives cannot be seen from here. Run "
            "`make run` there, or, when you know that it has ended, `snakemake --unlock`."
        )
    if alive := snakemakes_here():
        raise UserError(
            f"Another Snakemake (process {alive[0].pid}) works in this folder. Wait for its end, or end it with "
            f"`kill {alive[0].pid}`: what is finished is kept."
        )
    if orphans := jobs_here():
        numbers = ", ".join(str(process.pid) for process in orphans)
        yield f"Jobs of a Snakemake that was killed still run (processes {numbers}). Waiting for their end."
        psutil.wait_procs(orphans)
    # Whoever has come in between is seen by Snakemake itself, which locks what it works on.
    if not snakemakes_here():
        subprocess.run(["snakemake", "--unlock", "--quiet", "all"], check=True)


def snakemakes_here() -> list[psutil.Process]:
    """Return the processes in this folder that are Snakemake."""
    return _working_here(lambda words: any(Path(word).name == "snakemake" for word in words[:3]))


def jobs_here() -> list[psutil.Process]:
    """Return the processes in this folder that run a program of scripts/; an editor that holds one open runs none."""
    scripts = Path("scripts").resolve()
    return _working_here(
        lambda words: (
            Path(words[0]).name.startswith("python")
            and any(word.endswith(".py") and Path(word).resolve().is_relative_to(scripts) for word in words[:3])
        )
    )


def _working_here(matches: Callable[[list[str]], bool]) -> list[psutil.Process]:
    here, processes = os.getcwd(), []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            # It has ended, or is hidden.
            continue
        if words and matches(words) and process.pid != os.getpid() and may_work_in(here, process):
            processes.append(process)
    return processes


def may_work_in(folder: str, process: psutil.Process) -> bool:
    """Return whether a process works in a folder, or whether, as somebody else's, it does not say."""
    try:
        return process.cwd() == folder
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
