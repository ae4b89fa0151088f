"""Write Snakemake's report of a study, once every artifact in it is fresh."""

import argparse
import subprocess
import sys
from pathlib import Path

from unitscope.config.config_files import read_all
from unitscope.errors import UserError
from unitscope.workflow import program
from unitscope.workflow.ledger import gate


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.study_parser(__doc__)
    result.add_argument("--output", type=Path, default=Path("report.html"), help="where the report goes (.html)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Look, then let Snakemake write."""
    # Before Snakemake, to which a config may be code.
    read_all(arguments.config)
    default = arguments.config == [Path("config.yaml")]
    study = [] if default else ["--configfile", *map(str, arguments.config)]
    if reasons := gate(*study).reasons:
        raise UserError(f"No report is written of what is not fresh: {'; '.join(reasons[:5])}. Run `make run` first.")
    sys.exit(subprocess.run(["snakemake", *study, "--report", str(arguments.output)], check=False).returncode)


if __name__ == "__main__":
    program.run(parser(), main, in_project=True)
