"""Calls of Snakemake for a study."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

DEFAULT = Path("config.yaml")


def is_default(configs: Sequence[str | Path]) -> bool:
    """Return whether a study is that of config.yaml alone, which a plain `snakemake` reads without being told."""
    return [Path(path) for path in configs] == [DEFAULT]


def study_words(configs: Sequence[str | Path]) -> list[str]:
    """Return the words of Snakemake's command line that name a study."""
    return [] if is_default(configs) else ["--configfile", *map(str, configs)]


def run_words(configs: Sequence[str | Path], cores: str, gpus: int) -> list[str]:
    """Return the command that brings a study up to date.

    Args:
        configs: The config, and others that are laid over it.
        cores: How many processors jobs may use at the same time: a number, or `all`.
        gpus: How many jobs may use a GPU at the same time.
    """
    return ["snakemake", "--cores", cores, "--resources", f"gpu={gpus}", *study_words(configs)]


def call(command: Sequence[str]) -> int:
    """Run a command to its end, also after Ctrl-C or SIGTERM, which it handles itself; return its exit code."""
    process = subprocess.Popen(command)

    def forward(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    # A terminal sends Ctrl-C to the whole group. Ignored here by a function: a child inherits what is set to ignore.
    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None)}
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, forward)
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
