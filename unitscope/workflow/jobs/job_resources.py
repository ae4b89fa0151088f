"""Processors and GPUs that the jobs of a study ask for."""

import platform
import shutil
import sys

from unitscope.config.resolve import Study


def gpus_per_job(study: Study, on_cluster: bool) -> int:
    """Return how many GPUs a job that can use one asks for.

    None where there is no GPU: `--resources gpu=1` would let one job run at a time. What this machine has says nothing
    of a cluster's; there `--resources gpu=0` takes the wish back.

    Args:
        study: The study, which names a device.
        on_cluster: Whether jobs run on other machines.
    """
    is_apple = sys.platform == "darwin" and platform.machine() == "arm64"
    may_have_one = any(map(shutil.which, ("nvidia-smi", "rocm-smi"))) or is_apple or on_cluster
    return int(study.device in ("cuda", "mps") or (study.device == "auto" and may_have_one))
