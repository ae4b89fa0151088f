"""Take away the locks of a Snakemake and a DVC that were killed, once nothing of them runs any more.

A Snakemake that dies without a word leaves its lock, and its jobs run on. The lock says neither whose it is nor whether
that one lives; the processes that work in this folder do.
"""

import argparse
import os
import platform
import subprocess
from pathlib import Path

import psutil

from unitscope.errors import UserError
from unitscope.workflow import program
from unitscope.workflow.store.rwlock import MENDED, mend_lock

LOCKS = Path(".snakemake/locks")
HOST = Path(".snakemake/unitscope_host")
"""Name of the machine on which jobs were started last, as the Snakefile writes it."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return program.parser(__doc__)


def main(arguments: argparse.Namespace) -> None:
    """Refuse where another Snakemake lives, wait for the jobs of a dead one, unlock."""
    if mend_lock():
        print(MENDED)
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return
    if HOST.is_file() and (host := HOST.read_text()) != platform.node():
        raise UserError(
            f"A Snakemake on {host} has locked this folder, and whether it lives cannot be seen from here. Run "
            "`make run` there, or, when you know that it has ended, `snakemake --unlock`."
        )
    if alive := working_here("snakemake"):
        raise UserError(
            f"Another Snakemake (process {alive[0].pid}) works in this folder. Wait for its end, or end it with "
            f"`kill {alive[0].pid}`: what is finished is kept."
        )
    if orphans := working_here("scripts/"):
        numbers = ", ".join(str(process.pid) for process in orphans)
        print(f"Jobs of a Snakemake that was killed still run (processes {numbers}). Waiting for their end.")
        psutil.wait_procs(orphans)
    # Whoever has come in between is seen by Snakemake itself, which locks what it works on.
    if not working_here("snakemake"):
        subprocess.run(["snakemake", "--unlock", "--quiet", "all"], check=True)


def may_work_in(folder: str, process: psutil.Process) -> bool:
    """Return whether a process works in a folder, or whether, as somebody else's, it does not say."""
    try:
        return process.cwd() == folder
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def working_here(program: str) -> list[psutil.Process]:
    """Return the processes in this folder that are Snakemake, or that run a script of a folder."""
    here, found = os.getcwd(), []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            # An editor that holds a script open runs none.
            python = bool(words) and Path(words[0]).name.startswith("python")
            named = any(
                python and word.startswith(program) if program.endswith("/") else Path(word).name == program
                for word in words[:3]
            )
        except psutil.Error:
            # It has ended, or is hidden.
            continue
        if named and process.pid != os.getpid() and may_work_in(here, process):
            found.append(process)
    return found


if __name__ == "__main__":
    program.run(parser(), main)
