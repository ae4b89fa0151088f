"""The page with the paper's figures and claims, from the tables of all experiments: README.md, fig*.png, tables."""

import argparse
import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from unitscope import artifacts, console, figures, image_figures, reproduction, score_figures
from unitscope.datasets import SPLITS, open_dataset
from unitscope.tables import columns, method_name, methods_of

OF_ANALYSES = {
    "scale": ("scale", "scale_figure"),
    "natural": ("natural", "natural_figures"),
    "importance": ("predictors", "importance", "importance_figures"),
    "reliability": ("reliability", "nulls_figures"),
    "joint": ("joint", "joint_summary", "joint_figure"),
    "cumulative": ("cumulative", "cumulative_together", "cumulative_areas", "cumulative_figure"),
    "graph": ("graph", "graphs"),
    "inhibition": ("inhibition", "inhibition_figure"),
}
"""The rules of each analysis; some are run where an experiment asks for the analysis alone."""

OF_ALL = (
    *("taps", "moments", "activations", "selectivity", "exemplars", "images", "images_joined", "substitution"),
    *("substitute_images", "ablation", "units", "layers", "metrics", "claims", "figures", "sheets", "atlas"),
)
"""The rules of every experiment."""

MEMORY = ("rule", "experiment", "jobs", "peak_mib", "seconds")
"""Columns of the table of what jobs took."""

STYLE = figures.Style(dpi=130)

LENGTHS = ("network", "steps", "epochs")
"""Of a compared variant, what the page alone asks for: its name says the same."""


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = console.parser(__doc__)
    result.add_argument(
        "--experiments",
        type=json.loads,
        required=True,
        help='JSON: [{"name", "entry", "network", "claims", "readout", "layers", "methods", "analyses"}, ...]',
    )
    result.add_argument("--results", type=Path, required=True, help="folder of the experiments' results")
    result.add_argument("--checkpoints", type=Path, required=True, help="folder of the networks' records")
    result.add_argument("--datasets", type=Path, nargs="*", default=[], help="the networks' data sets (.h5)")
    result.add_argument("--images", type=Path, nargs="*", default=[], help="images/{layer}.{method}.h5 that are shown")
    result.add_argument("--figures", type=json.loads, required=True, help='JSON: {"fig1": experiment, ...}')
    result.add_argument(
        "--reductions", type=json.loads, required=True, help="JSON: settings that differ from the full ones"
    )
    result.add_argument(
        "--sensitivity",
        type=json.loads,
        default=[],
        help='JSON: [{"experiment", "network", "method", "objective", "variant", "steps", "epochs"}, ...]',
    )
    result.add_argument("--config", required=True, help="how the config is called")
    result.add_argument(
        "--full", nargs="?", const="", default="", help="how the config that this one reduces is called"
    )
    result.add_argument("--logs", type=Path, required=True, help="folder of the benchmark files, where there are any")
    result.add_argument(
        "--sizes", type=Path, nargs="?", help="memory.csv of the study at the full sizes, measured before"
    )
    result.add_argument("--template", type=Path, required=True, help="the page without its values (.jinja)")
    result.add_argument("--output-dir", type=Path, required=True, help="folder to write to")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figures, copy the small tables, and write the page."""
    results = {one["name"]: read(arguments, one) for one in arguments.experiments}
    trainings = {
        name: [result for result in results.values() if result.entry == own.entry] for name, own in results.items()
    }
    sensitivity = sensitivity_of(arguments)
    draw_figures(arguments, results, trainings)
    copy_tables(arguments, results)
    measured = memory(arguments.logs, results.values(), arguments.experiments)
    artifacts.write_table(arguments.output_dir / "memory.csv", columns(measured, MEMORY))
    if sensitivity:
        write_sensitivity(arguments.output_dir, sensitivity)
    page = environment().from_string(arguments.template.read_text(encoding="utf-8"))
    text = page.render(contents(arguments, results, trainings, sensitivity, measured))
    artifacts.write_bytes(arguments.output_dir / "README.md", text.encode())


def sensitivity_of(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the correlations of each compared variant."""
    names = dict.fromkeys(one["experiment"] for one in arguments.sensitivity)
    layers = {name: artifacts.read_table(arguments.results / name / "layers.csv") for name in names}
    return reproduction.sensitivity_rows(arguments.sensitivity, layers)


def draw_figures(
    arguments: argparse.Namespace,
    results: Mapping[str, reproduction.Result],
    trainings: Mapping[str, list[reproduction.Result]],
) -> None:
    """Draw the paper's figures that the study can show."""
    images = image_figures.read_images(arguments.images)
    for figure, name in arguments.figures.items():
        picture = reproduction.draw(STYLE, figure, results[name], trainings[name], images)
        artifacts.write_bytes(arguments.output_dir / f"{figure}.png", picture)


def copy_tables(arguments: argparse.Namespace, names: Iterable[str]) -> None:
    """Put the small tables beside the page."""
    for name in names:
        for table in ("units.csv", "layers.csv", "claims.csv"):
            content = (arguments.results / name / table).read_bytes()
            artifacts.write_bytes(arguments.output_dir / name / table, content)


def write_sensitivity(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table and the figure of the sensitivity study."""
    table = {key: [row[key] for row in rows] for key in rows[0] if key not in LENGTHS}
    artifacts.write_table(folder / "sensitivity.csv", table)
    artifacts.write_bytes(folder / "sensitivity.png", figures.stacked(STYLE, [score_figures.sensitivity(STYLE, rows)]))


def contents(
    arguments: argparse.Namespace,
    results: Mapping[str, reproduction.Result],
    trainings: Mapping[str, list[reproduction.Result]],
    sensitivity: list[dict[str, Any]],
    measured: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what the page says, by the names that its template gives them."""
    every = list(results.values())
    claims = reproduction.claim_rows(every)
    networks = {one["network"] for one in arguments.sensitivity if one["epochs"] is not None}
    records = {name: artifacts.read_json(arguments.checkpoints / f"{name}.json") for name in networks}
    return {
        "config": arguments.config,
        "full": arguments.full,
        "reductions": arguments.reductions,
        "networks": reproduction.network_rows(every, {path.stem: sizes(path) for path in arguments.datasets}),
        "claims": claims,
        "verdicts": reproduction.verdict_rows(claims),
        "other": reproduction.OTHER_SCORES,
        "figures": [
            reproduction.caption(figure, results[name], trainings[name], claims)
            for figure, name in sorted(arguments.figures.items())
        ],
        "sensitivity": reproduction.sensitivity_ranges(sensitivity),
        "ascents": reproduction.by_length(sensitivity, "steps"),
        "schedules": reproduction.by_length(sensitivity, "epochs"),
        "reached": reproduction.accuracies_by_epochs(arguments.sensitivity, records),
        "trainings": reproduction.training_ranges(every),
        "methods": list(dict.fromkeys(method for result in every for method in methods_of(result.units))),
        "layers": reproduction.layer_rows(every),
        "memory": reproduction.memory_table(measured),
        "sizes": reproduction.memory_table(rows_in(arguments.sizes) if arguments.sizes else []),
    }


def read(arguments: argparse.Namespace, named: Mapping[str, Any]) -> reproduction.Result:
    """Return what is known of an experiment."""
    folder = arguments.results / named["name"]
    return reproduction.Result(
        named["name"],
        named["entry"],
        artifacts.read_table(folder / "units.csv"),
        artifacts.read_table(folder / "layers.csv"),
        artifacts.read_table(folder / "claims.csv"),
        artifacts.read_json(arguments.checkpoints / f"{named['network']}.json"),
        {claim: where["layers"] for claim, where in named["claims"].items()},
    )


def sizes(path: Path) -> dict[str, int]:
    """Return how many classes a data set has, and how many images each of its splits."""
    with open_dataset(path) as dataset:
        return {"classes": len(dataset.classes), **{split: dataset.count(split) for split in SPLITS}}


def memory(
    logs: Path, results: Iterable[reproduction.Result], experiments: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the peak memory and the longest time of each rule's jobs that were measured here, by entry of the config.

    Args:
        logs: Folder of the benchmark files.
        results: The experiments.
        experiments: As the command line gives them, in the same order.
    """
    jobs: dict[tuple[str, str], set[Path]] = {}
    for one, asked in zip(results, experiments, strict=True):
        found = {
            "dataset": [logs / f"datasets/{one.record['settings']['dataset']}.tsv"],
            "checkpoint": [logs / f"checkpoints/{asked['network']}.tsv"],
            **{rule: benchmarks(logs / one.name, rule, asked) for rule in measured_rules(asked["analyses"])},
        }
        for rule, paths in found.items():
            jobs.setdefault((rule, one.entry), set()).update(paths)
    rows = []
    for (rule, entry), paths in jobs.items():
        measured = [job for path in paths if path.exists() for job in jobs_of(path)]
        if measured:
            peak, longest = (math.ceil(max(values)) for values in zip(*measured, strict=True))
            rows.append(dict(zip(MEMORY, (rule, entry, len(measured), peak, longest), strict=True)))
    return rows


def jobs_of(benchmark: Path) -> list[tuple[float, float]]:
    """Return the peak memory in MiB and the seconds of what a benchmark file tells of.

    Snakemake looks at a job now and then; what the kernel saw at most stands at the end of the job's log.
    """
    log = benchmark.with_suffix(".log")
    said = re.findall(rf"{console.PEAK_MEMORY}: (\d+) MiB", log.read_text(encoding="utf-8")) if log.exists() else []
    with benchmark.open() as file:
        jobs = [(row["max_rss"], row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    # Of a job that was over at once, Snakemake has seen nothing.
    seen = [(0.0 if peak in ("-", "NA") else float(peak), float(seconds)) for peak, seconds in jobs]
    return [(max(peak, *map(float, said), 0.0), seconds) for peak, seconds in seen]


def measured_rules(analyses: Iterable[str]) -> list[str]:
    """Return the rules whose jobs an experiment with these analyses has, in the order of the flow."""
    return [*OF_ALL, *(rule for analysis in analyses for rule in OF_ANALYSES[analysis])]


def benchmarks(folder: Path, rule: str, asked: Mapping[str, Any]) -> list[Path]:
    """Return where the benchmark files of a rule's jobs lie; other settings may have left further ones."""
    pairs = [f"{layer}.{method}" for layer in asked["layers"] for method in asked["methods"]]
    if rule == "images":
        blocks = [path for pair in pairs for path in folder.glob(f"images/{pair}.[0-9]*.tsv")]
        return [*(folder / f"images/{pair}.tsv" for pair in pairs), *blocks]
    if rule == "moments":
        return [folder / f"moments/{readout}.tsv" for readout in dict.fromkeys(("mean", asked["readout"]))]
    endings = {"images_joined": "joined", "substitute_images": "substitutes"}
    if rule in endings:
        return [folder / f"images/{pair}.{endings[rule]}.tsv" for pair in pairs]
    # One job an experiment, a layer, or a layer and method.
    return [folder / f"{rule}.tsv", *(folder / f"{rule}/{part}.tsv" for part in [*asked["layers"], *pairs])]


def rows_in(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table of what jobs took."""
    table = artifacts.read_table(path)
    return [dict(zip(MEMORY, row, strict=True)) for row in zip(*(table[name].tolist() for name in MEMORY), strict=True)]


def environment() -> jinja2.Environment:
    """Return what turns the template into Markdown: an unknown name is an error, a value cannot leave its cell."""
    made = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    made.filters |= {
        "cell": cell,
        "lines": lambda texts: "<br>".join(map(cell, texts)),
        "value": lambda value: cell(json.dumps(value)) if value is not None else "-",
        "method_name": method_name,
        "by_method": lambda values, methods, score=None: ", ".join(
            values.get((method, score) if score else method, "-") for method in methods
        ),
    }
    return made


def cell(value: Any) -> str:
    """Return a value as text that stays within a cell of a Markdown table."""
    text = str(value).replace("\\", "\\\\")
    for mark in "|<>`*_[]":
        text = text.replace(mark, {"<": "&lt;", ">": "&gt;"}.get(mark, f"\\{mark}"))
    return " ".join(text.split())


if __name__ == "__main__":
    console.run(parser(), main)
