"""Write Snakemake's report of a study, once every artifact in it is fresh."""

import argparse
import subprocess
import sys
from pathlib import Path

from unitscope import console
from unitscope.errors import UserError
from unitscope.ledger import vouched_rows


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.study_parser(__doc__)
    result.add_argument("--output", type=Path, default=Path("report.html"), help="where the report goes (.html)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Look, then let Snakemake write."""
    default = arguments.config == [Path("config.yaml")]
    study = [] if default else ["--configfile", *map(str, arguments.config)]
    if vouched_rows(*study) is None:
        raise UserError(
            "Not all artifacts are those of the config and the code that are here, so no report is written. Run "
            "`make run` first."
        )
    sys.exit(subprocess.run(["snakemake", *study, "--report", str(arguments.output)], check=False).returncode)


if __name__ == "__main__":
    console.run(parser(), main)
