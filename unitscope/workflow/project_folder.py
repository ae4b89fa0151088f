"""The folder of the project, in which the flow runs, and the environment of its jobs."""

import os
from collections.abc import Mapping
from pathlib import Path

from unitscope.errors import UserError

ARTIFACTS = ("data", "logs", "results")
"""Folders that the rules write to."""


def job_environment(root: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that jobs are started with.

    Args:
        root: The project's folder.
        environment: The variables of this process.
    """
    return {
        # The library beside the rules, whatever is installed elsewhere.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH")])),
        # Threads that spin while they wait slow a busy machine down (measured: 74 s against 25 s for a training).
        "OMP_WAIT_POLICY": "PASSIVE",
        # Memory that is given back after every operation has to be cleared when it is fetched again (measured: ascents
        # take 1.2 times as long).
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
        # That of a notebook draws in the notebook, if its package is there at all.
        "MPLBACKEND": "agg",
    }


def refuse_wrong_folder(root: Path) -> None:
    """Refuse to run the flow outside of the project, or where a disk is not mounted.

    Raises:
        UserError: Which folder it is.
    """
    if not Path("scripts/data/dataset.py").is_file():
        raise UserError(
            f"The flow runs in the folder of the project. Give the command there, or with --directory {root}."
        )
    for place in ARTIFACTS:
        if Path(place).is_symlink() and not Path(place).exists():
            raise UserError(
                f"{place} is a link to {os.readlink(place)}, which is not there. Mount the disk that it lies on, or "
                "remove the link."
            )
