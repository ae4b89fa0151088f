"""Claims of the paper and of the analyses, with effects, intervals and verdicts: claims.csv."""

import argparse
import json
from pathlib import Path

import numpy as np

from unitscope.claims.analysis_claims import EVIDENCE, analysis_claims_table
from unitscope.claims.analysis_results import AnalysisResults
from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.evidence import Evidence
from unitscope.errors import UserError
from unitscope.runtime import console
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.storage.records import read_json
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.table_access import stacked
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program

try:
    from unitscope.paper.paper_claims import paper_claims_table
except ModuleNotFoundError:
    # Only a study of the paper asks its claims.
    paper_claims_table = None  # type: ignore[assignment]


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--experiment", required=True, help="name of the experiment")
    result.add_argument("--units", type=Path, nargs="+", required=True, help="units.csv of it and of those compared")
    result.add_argument("--layers", type=Path, nargs="+", required=True, help="layers.csv of the same, in this order")
    result.add_argument("--records", type=Path, nargs="+", required=True, help="records of their networks (.json)")
    result.add_argument("--datasets", type=Path, nargs="+", required=True, help="their data sets (.h5)")
    result.add_argument(
        "--claims", type=json.loads, required=True, help='JSON: {"C1": {"layers": [...], "experiments": [...]}, ...}'
    )
    program.add_settings(result, StatisticsSettings)
    result.add_argument(
        "--analyses",
        type=json.loads,
        default={},
        help='JSON: {"scale": ["am", "iam"], ...}: analyses, and the methods that their claims are asked of',
    )
    result.add_argument(
        "--evidence",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "TABLE"),
        help="name of what an analysis has written, and its tables (.csv); once for each",
    )
    result.add_argument("--output", type=Path, required=True, help="claims.csv to write")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Answer one claim after the other."""
    files = zip(arguments.units, arguments.layers, arguments.records, arguments.datasets, strict=True)
    experiments = [evidence(*paths) for paths in files]
    settings = arguments.settings
    table = analysis_claims_table(analysis_results(arguments, experiments[0]))
    if arguments.claims:
        if paper_claims_table is None:
            raise UserError("experiments.NAME.claims are those of the paper, and unitscope.paper is not here.")
        of_the_paper = paper_claims_table(
            arguments.claims,
            {one.name: one for one in experiments},
            arguments.experiment,
            settings.resamples,
            settings.seed,
        )
        table = stacked([of_the_paper, table])
    verdicts = zip(*(table[name] for name in ("claim", "score", "verdict")), strict=True)
    for claim, score, verdict in dict.fromkeys(verdicts):
        console.log.info("%s of %s: %s", claim, score, verdict)
    write_table(arguments.output, table, ClaimsTable)


def evidence(units: Path, layers: Path, record: Path, dataset: Path) -> Evidence:
    """Return what is known of one experiment."""
    table = read_table(units, UnitsTable)
    with open_hdf5(dataset) as file:
        images = int((file["split"][:] == 1).sum())
    accuracy = read_json(record).get("test", {}).get("accuracy", np.nan)
    return Evidence(str(table["experiment"][0]), table, read_table(layers, LayersTable), accuracy, images)


def analysis_results(arguments: argparse.Namespace, experiment: Evidence) -> AnalysisResults:
    """Return what the analyses of the experiment have written."""
    tables = {
        name: stacked([read_table(Path(path), EVIDENCE[name]) for path in paths])
        for name, *paths in arguments.evidence
        if paths
    }
    settings = arguments.settings
    return AnalysisResults(
        experiment.name,
        arguments.analyses,
        {"units": experiment.units, "layers": experiment.layers, **tables},
        settings.resamples,
        settings.seed,
    )


if __name__ == "__main__":
    program.run(parser(), main)
