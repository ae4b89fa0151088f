"""Bring files up to date with Snakemake, as a stage of DVC: never silently stale.

DVC says which stage is out of date, Snakemake knows which part of it. Two things stand between them. Files that came
from DVC's cache carry no record of Snakemake's, so it would not see that a setting has changed since: they are made
anew. And files that other stages vouch for, such as a checkpoint from DVC's run cache, may carry the record of another
setting: they are taken as they are.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from unitscope import console


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--config", type=Path, help="the config (.yaml), if it is not config.yaml")
    result.add_argument("--given", nargs="+", default=[], help="files that other stages vouch for")
    result.add_argument("--target", nargs="+", required=True, help="files or target rules to bring up to date")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Accept what is given, force what has no record, and run the rest."""
    if arguments.given:
        if subprocess.run(["python", "scripts/verify.py", "--only", *arguments.given], check=False).returncode:
            sys.exit(1)
        # By force: what is up to date would be given no record.
        snakemake(
            "--touch",
            "--forceall",
            "--cores",
            "1",
            "--allowed-rules",
            "dataset",
            "checkpoint",
            "--",
            *arguments.given,
        )
    study = ["--configfile", str(arguments.config)] if arguments.config else []
    unrecorded = without_record(study, arguments.target)
    forced = ["--forcerun", *unrecorded] if unrecorded else []
    snakemake(*study, "--cores", "all", "--resources", "gpu=1", *forced, "--", *arguments.target)


def without_record(study: list[str], targets: list[str]) -> list[str]:
    """Return the outputs of a study that exist and that Snakemake has no record of making."""
    header, *rows = snakemake(*study, "--summary", "--", *targets, capture=True).splitlines()
    columns = header.split("\t")
    found = [dict(zip(columns, row.split("\t"), strict=False)) for row in rows]
    # A job without a record has no log either, which Snakemake writes as "-"; every rule here has a log.
    return [row["output_file"] for row in found if row["status"] != "missing" and row["log-file(s)"] == "-"]


def snakemake(*words: str, capture: bool = False) -> str:
    """Run Snakemake; where it fails, end with its exit code."""
    command = ["snakemake", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE if capture else None, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


if __name__ == "__main__":
    console.run(parser(), main)
