"""Fetch the artifacts of this commit from DVC's remote, and give them to Snakemake as finished.

For a clone of a project whose dvc.lock is under version control. Nothing is given to Snakemake unless every artifact is
there, is what was stored, and belongs to the code and the config beside it.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from unitscope import console
from unitscope.errors import UserError

STUDY = Path("data/study")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return console.parser(__doc__)


def main(arguments: argparse.Namespace) -> None:
    """Pull, check, and touch."""
    if not Path("dvc.lock").is_file():
        raise UserError(
            "There is no dvc.lock, so nothing says which artifacts belong to this commit. Whoever has run the study "
            "commits it: `git add dvc.lock`, beside `dvc push`."
        )
    pulled = subprocess.run(["dvc", "pull"], capture_output=True, text=True, check=False)
    if pulled.returncode:
        run("python", "scripts/verify.py", "--fetched", why="The artifacts could not be fetched.")
        raise UserError(f"The artifacts could not be fetched: {(pulled.stdout + pulled.stderr).strip()}")
    run("python", "scripts/verify.py", why="The artifacts are not those that were stored.")
    if stale := stale_stages():
        raise UserError(
            "These stages of DVC do not belong to the code and the config that are here, so nothing is given to "
            f"Snakemake: {'; '.join(stale)}. Check out the commit that they were made with, or run `dvc repro`."
        )
    run("snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all", why="Snakemake did not take them.")
    console.log.info("everything is there: `snakemake` has nothing to do")


def stale_stages() -> list[str]:
    """Return the stages that `dvc repro` would run, each with what has changed."""
    status = json.loads(run("dvc", "status", "dvc.yaml", "--json", why="DVC does not know its own state.") or "{}")
    with tempfile.TemporaryDirectory() as folder:
        run("python", "scripts/study.py", "--output", folder, why="The study could not be told.")
        changed = {
            str(path)
            for path in {name.relative_to(top) for top in (Path(folder), STUDY) for name in top.rglob("*.json")}
            if content(Path(folder) / path) != content(STUDY / path)
        }
    # A comment or a docstring changes the stage `study` and nothing else.
    found = {stage: json.dumps(why) for stage, why in status.items() if stage != "study"}
    for path in sorted(changed):
        found.setdefault(f"study ({path})", "its settings or its code have changed")
    return [f"{stage}: {why}" for stage, why in found.items()]


def content(path: Path) -> bytes | None:
    """Return a file's content, None where there is no such file."""
    return path.read_bytes() if path.is_file() else None


def run(*command: str, why: str) -> str:
    """Run a command and return what it prints to its output; where it fails, say so in its own words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{why} `{' '.join(command)}` says: {(done.stdout + done.stderr).strip()}")
    return done.stdout


if __name__ == "__main__":
    console.run(parser(), main)
