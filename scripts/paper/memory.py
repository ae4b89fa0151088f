"""Read from logs and benchmark files what memory and time the jobs of each rule took."""

import argparse
import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unitscope.paper.page_columns import MemoryTable
from unitscope.storage.csv_tables import write_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument(
        "--experiments",
        type=json.loads,
        required=True,
        help='JSON: [{"name", "entry", "network", "dataset", "readout", "layers", "methods", "rules"}, ...]',
    )
    result.add_argument("--logs", type=Path, required=True, help="folder of the logs and benchmark files")
    result.add_argument("--output", type=Path, required=True, help="where the table goes (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Write a row a rule and entry of the config; what was not run here has none."""
    rows = peak_rows(arguments.logs, arguments.experiments)
    write_table(arguments.output, MemoryTable.of_rows(rows), MemoryTable)


def peak_rows(logs: Path, experiments: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the peak memory and the longest time of each rule's jobs that were measured here, by entry of the config.

    Args:
        logs: Folder of the logs and benchmark files.
        experiments: As the command line gives them.
    """
    jobs: dict[tuple[str, str], set[Path]] = {}
    for one in experiments:
        paths_by_rule = {
            "dataset": [logs / f"datasets/{one['dataset']}.tsv"],
            "checkpoint": [logs / f"checkpoints/{one['network']}.tsv"],
            **{rule: benchmarks(logs / one["name"], rule, one) for rule in one["rules"]},
        }
        for rule, paths in paths_by_rule.items():
            jobs.setdefault((rule, one["entry"]), set()).update(paths)
    rows = []
    for (rule, entry), paths in jobs.items():
        measured = [job for path in paths if path.exists() for job in jobs_of(path)]
        if measured:
            peak, longest = (math.ceil(max(values)) for values in zip(*measured, strict=True))
            took = {"jobs": len(measured), "peak_mib": peak, "seconds": longest}
            rows.append({"rule": rule, "experiment": entry, **took})
    return rows


def jobs_of(benchmark: Path) -> list[tuple[float, float]]:
    """Return the peak memory in MiB and the seconds of what a benchmark file tells of.

    Snakemake looks at a job now and then; what the kernel saw at most stands at the end of the job's log.
    """
    log = benchmark.with_suffix(".log")
    peaks = re.findall(rf"{program.PEAK_MEMORY}: (\d+) MiB", log.read_text(encoding="utf-8")) if log.exists() else []
    with benchmark.open() as file:
        jobs = [(row["max_rss"], row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    # Of a job that was over at once, Snakemake has seen nothing.
    sampled = [(0.0 if peak in ("-", "NA") else float(peak), float(seconds)) for peak, seconds in jobs]
    return [(max(peak, *map(float, peaks), 0.0), seconds) for peak, seconds in sampled]


def benchmarks(folder: Path, rule: str, experiment: Mapping[str, Any]) -> list[Path]:
    """Return where the benchmark files of a rule's jobs lie; other settings may have left further ones."""
    pairs = [f"{layer}.{method}" for layer in experiment["layers"] for method in experiment["methods"]]
    if rule == "images":
        blocks = [path for pair in pairs for path in folder.glob(f"images/{pair}.[0-9]*.tsv")]
        return [*(folder / f"images/{pair}.tsv" for pair in pairs), *blocks]
    if rule == "moments":
        return [folder / f"moments/{readout}.tsv" for readout in dict.fromkeys(("mean", experiment["readout"]))]
    endings = {"images_joined": "joined", "substitute_images": "substitutes"}
    if rule in endings:
        return [folder / f"images/{pair}.{endings[rule]}.tsv" for pair in pairs]
    # One job an experiment, a layer, or a layer and method.
    return [folder / f"{rule}.tsv", *(folder / f"{rule}/{part}.tsv" for part in [*experiment["layers"], *pairs])]


if __name__ == "__main__":
    program.run(parser(), main)
