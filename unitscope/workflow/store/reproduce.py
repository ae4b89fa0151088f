"""Bring files up to date with Snakemake, as a stage of DVC.

DVC says which stage is out of date, Snakemake which part of it, by the ledger. The stage succeeds only if every file is
fresh in the end, all of them read, and the config is still the one that DVC follows, so that DVC records nothing else;
made.lock vouches for them.
"""

import filecmp
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from unitscope.config.config_files import read_all
from unitscope.errors import UserError
from unitscope.workflow.ledger import gate, write_lock
from unitscope.workflow.owners import Owners


def reproduce(targets: Sequence[str], config: Path | None, followed: Path) -> int:
    """Run what is stale, then look at everything.

    Args:
        targets: Files or target rules to bring up to date.
        config: The config; None for config.yaml.
        followed: What the stage `study` has written.

    Returns:
        The exit code of Snakemake.

    Raises:
        UserError: Not every file is fresh in the end, or the config is another than the one that DVC follows.
    """
    # Before Snakemake, to which a config may be code.
    read_all([config or Path("config.yaml")])
    study = ["--configfile", str(config)] if config else []
    command = ["snakemake", *study, "--cores", "all", "--resources", "gpu=1", "--", *targets]
    done = subprocess.run(command, check=False)
    if done.returncode:
        return done.returncode
    gate_state = gate(*study, "--", *targets)
    if not gate_state.reasons and has_changed(config, followed):
        gate_state.reasons.append("the config or the code has changed while the stage ran")
    if gate_state.reasons:
        raise UserError(f"DVC records nothing: {'; '.join(gate_state.reasons[:5])}. Then run `dvc repro` again.")
    write_lock(Owners().with_owners(gate_state.rows), keep=True)
    return 0


def has_changed(config: Path | None, followed: Path) -> bool:
    """Return whether what DVC follows is no longer what the stage `study` has written."""
    of_config = ["--config", str(config), "--whole"] if config else []
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, which has the code that is there now.
        command = [sys.executable, "-m", "unitscope", "study", *of_config, "--output", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return True
        tops = (Path(folder), followed)
        names = {path.relative_to(top) for top in tops for path in top.rglob("*.json")}
        return not all((top / name).is_file() for top in tops for name in names) or any(
            not filecmp.cmp(tops[0] / name, tops[1] / name, shallow=False) for name in names
        )
