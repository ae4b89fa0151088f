"""Let Snakemake take a checkpoint that DVC's run cache has brought back.

Where a setting of a training was changed, reproduced, and set back, DVC restores the checkpoint, and Snakemake still
has the record of the other training: it would train again. DVC's lock file says whether the checkpoint that lies there
is that of today's settings, code and data set; only then is it taken.
"""

import argparse
import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from unitscope import console


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--network", nargs="+", required=True, help="networks whose checkpoints are in question")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Touch those that DVC vouches for."""
    stages = yaml.safe_load(Path("dvc.lock").read_text())["stages"] if Path("dvc.lock").is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run(["python", "scripts/study.py", "--output", folder], capture_output=True, check=False)
        if told.returncode:
            return
        files = [
            str(Path("data/checkpoints", f"{name}{ending}"))
            for name in arguments.network
            if all(vouched(stages.get(stage, {}), Path(folder)) for stage in made_by(name, Path(folder)))
            for ending in (".pt", ".json")
        ]
    if files:
        command = ["snakemake", "--touch", "--forceall", "--cores", "1", "--allowed-rules", "dataset", "checkpoint"]
        # As within a stage of DVC, where nothing is in question.
        within = {**os.environ, "DVC_STAGE": "accept"}
        subprocess.run([*command, "--", *files], env=within, capture_output=True, check=False)


def made_by(network: str, study: Path) -> list[str]:
    """Return the stages of a checkpoint and of its data set: Snakemake takes both for finished, or neither."""
    settings = json.loads((study / f"networks/{network}.json").read_text())["settings"]
    return [f"checkpoint@{network}", f"dataset@{settings['dataset']}"]


def vouched(stage: dict[str, Any], study: Path) -> bool:
    """Return whether all that a stage of dvc.lock was made from, and has made, is what lies there today.

    Args:
        stage: Its entry.
        study: Folder with today's settings and digests, in place of data/study.
    """
    files = [*stage.get("deps", []), *stage.get("outs", [])]
    return bool(files) and all(file["md5"] == md5(today(Path(file["path"]), study)) for file in files)


def today(path: Path, study: Path) -> Path:
    """Return where a dependency or output lies, as of today."""
    known = Path("data/study")
    return study / path.relative_to(known) if path.is_relative_to(known) else path


def md5(path: Path) -> str:
    """Return the checksum of a file; nothing where there is none."""
    if not path.is_file():
        return ""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


if __name__ == "__main__":
    console.run(parser(), main)
