"""Bring files up to date with Snakemake, as a stage of DVC.

DVC says which stage is out of date, Snakemake which part of it, by the ledger. The stage succeeds only if every file is
fresh in the end, all of them read, and the config is still the one that DVC follows, so that DVC records nothing else;
made.lock vouches for them.
"""

import argparse
import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

from unitscope.config.config_files import read_all
from unitscope.errors import UserError
from unitscope.workflow import program
from unitscope.workflow.ledger import gate, write_lock
from unitscope.workflow.owners import Owners


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--config", type=Path, help="the config (.yaml), if it is not config.yaml")
    result.add_argument("--study", type=Path, default=Path("data/study"), help="what the stage `study` has written")
    result.add_argument("--target", nargs="+", required=True, help="files or target rules to bring up to date")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Run what is stale, then look at everything."""
    # Before Snakemake, to which a config may be code.
    read_all([arguments.config or Path("config.yaml")])
    study = ["--configfile", str(arguments.config)] if arguments.config else []
    command = ["snakemake", *study, "--cores", "all", "--resources", "gpu=1", "--", *arguments.target]
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    looked = gate(*study, "--", *arguments.target)
    if not looked.reasons and study_has_changed(arguments):
        looked.reasons.append("the config or the code has changed while the stage ran")
    if looked.reasons:
        raise UserError(f"DVC records nothing: {'; '.join(looked.reasons[:5])}. Then run `dvc repro` again.")
    write_lock(Owners().with_owners(looked.rows), keep=True)


def study_has_changed(arguments: argparse.Namespace) -> bool:
    """Return whether what DVC follows is no longer what the stage `study` has written."""
    of_config = ["--config", str(arguments.config), "--whole"] if arguments.config else []
    with tempfile.TemporaryDirectory() as folder:
        command = ["python", "scripts/study.py", *of_config, "--output", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return True
        tops = (Path(folder), arguments.study)
        names = {path.relative_to(top) for top in tops for path in top.rglob("*.json")}
        return not all((top / name).is_file() for top in tops for name in names) or any(
            not filecmp.cmp(tops[0] / name, tops[1] / name, shallow=False) for name in names
        )


if __name__ == "__main__":
    program.run(parser(), main, in_project=True)
