"""List the artifacts of earlier settings that no config asks for any more, and remove them with --yes.

Removed are files that jobs of this config wrote and that it no longer asks for, and those of configs that are gone.
Kept are files that another config owns or names, files that no job wrote, and files that have changed since.
"""

import argparse
import os
import subprocess

from unitscope.config.resolve import read
from unitscope.workflow import program
from unitscope.workflow.leftovers import leftovers, planned, remove


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.study_parser(__doc__)
    result.add_argument("--yes", action="store_true", help="remove the files instead of only listing them")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Compare what is there with what is asked for."""
    for path in arguments.config:
        read(path)
    config = os.path.relpath(arguments.config[0])
    default = [os.path.relpath(path) for path in arguments.config] == ["config.yaml"]
    asked = planned(*([] if default else ["--configfile", *map(str, arguments.config)]))
    found = leftovers(config, asked)
    for path in found.changed:
        print(f"kept: {path} has changed since a job wrote it")
    for path, size in found.files.items():
        print(f"{size / 1e6:10.3f} MB  {path}")
    total = f"{len(found.files)} files, {sum(found.files.values()) / 1e6:.3f} MB, belong to earlier settings"
    if not found.files:
        print(f"Nothing to remove: all artifacts are those that {config} or another config asks for.")
    elif not arguments.yes:
        print(f"{total}. Remove them with --yes (`make clean CLEAN=yes`).")
    else:
        remove(found.files)
        print(f"{total}: removed.")
        if default:
            # DVC records the folder of an experiment as a whole.
            subprocess.run(["python", "scripts/record.py"], check=False)


if __name__ == "__main__":
    program.run(parser(), main, in_project=True)
