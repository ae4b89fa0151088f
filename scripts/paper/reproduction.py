"""The page with the paper's figures and claims, from the tables of all experiments: README.md, fig*.png, tables."""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from unitscope.claims.claims_columns import ClaimsTable
from unitscope.data.datasets import open_dataset
from unitscope.data.labels import SPLITS
from unitscope.figures import drawing, unit_images
from unitscope.figures.style import Style
from unitscope.paper import page_figures, page_tables, sensitivity_figure
from unitscope.paper.claim_rows import OTHER_SCORES, claim_rows, verdict_rows
from unitscope.paper.page_columns import MemoryTable, SensitivityTable
from unitscope.paper.results import Result
from unitscope.paper.sensitivity import accuracies_by_epochs, by_length, sensitivity_ranges, sensitivity_rows
from unitscope.scores.score_names import method_name
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.records import read_json
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.table_access import methods_of
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program

STYLE = Style(dpi=130)


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument(
        "--experiments",
        type=json.loads,
        required=True,
        help='JSON: [{"name", "entry", "network", "claims"}, ...]',
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
    result.add_argument("--memory", type=Path, required=True, help="what the jobs took (.csv)")
    result.add_argument(
        "--sizes", type=Path, nargs="?", help="what they took at the full sizes, measured before (.csv)"
    )
    result.add_argument("--template", type=Path, required=True, help="the page without its values (.jinja)")
    result.add_argument("--output-dir", type=Path, required=True, help="folder to write to")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Draw the figures, copy the small tables, and write the page."""
    results = {one["name"]: read(arguments, one) for one in arguments.experiments}
    trainings = {
        name: [result for result in results.values() if result.entry == training.entry]
        for name, training in results.items()
    }
    sensitivity = sensitivity_of(arguments)
    draw_figures(arguments, results, trainings)
    copy_tables(arguments, results)
    if sensitivity:
        write_sensitivity(arguments.output_dir, sensitivity)
    page = environment().from_string(arguments.template.read_text(encoding="utf-8"))
    text = page.render(contents(arguments, results, trainings, sensitivity))
    write_bytes(arguments.output_dir / "README.md", text.encode())


def sensitivity_of(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the correlations of each compared variant."""
    names = dict.fromkeys(one["experiment"] for one in arguments.sensitivity)
    layers = {name: read_table(arguments.results / name / "layers.csv", LayersTable) for name in names}
    return sensitivity_rows(arguments.sensitivity, layers)


def draw_figures(
    arguments: argparse.Namespace,
    results: Mapping[str, Result],
    trainings: Mapping[str, list[Result]],
) -> None:
    """Draw the paper's figures that the study can show."""
    images = unit_images.read_images(arguments.images)
    for figure, name in arguments.figures.items():
        picture = page_figures.draw(STYLE, figure, results[name], trainings[name], images)
        write_bytes(arguments.output_dir / f"{figure}.png", picture)


def copy_tables(arguments: argparse.Namespace, names: Iterable[str]) -> None:
    """Put the small tables beside the page."""
    for name in names:
        for table in ("units.csv", "layers.csv", "claims.csv"):
            content = (arguments.results / name / table).read_bytes()
            write_bytes(arguments.output_dir / name / table, content)


def write_sensitivity(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table and the figure of the sensitivity study."""
    table = SensitivityTable.of_rows({name: row[name] for name in SensitivityTable.names()} for row in rows)
    write_table(folder / "sensitivity.csv", table, SensitivityTable)
    write_bytes(folder / "sensitivity.png", drawing.stacked(STYLE, [sensitivity_figure.sensitivity(STYLE, rows)]))


def contents(
    arguments: argparse.Namespace,
    results: Mapping[str, Result],
    trainings: Mapping[str, list[Result]],
    sensitivity: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what the page says, by the names that its template gives them."""
    every = list(results.values())
    claims = claim_rows(every)
    networks = {one["network"] for one in arguments.sensitivity if one["epochs"] is not None}
    records = {name: read_json(arguments.checkpoints / f"{name}.json") for name in networks}
    return {
        "config": arguments.config,
        "full": arguments.full,
        "reductions": arguments.reductions,
        "networks": page_tables.network_rows(every, {path.stem: sizes(path) for path in arguments.datasets}),
        "claims": claims,
        "verdicts": verdict_rows(claims),
        "other": OTHER_SCORES,
        "figures": [
            page_figures.caption(figure, results[name], trainings[name], claims)
            for figure, name in sorted(arguments.figures.items())
        ],
        "sensitivity": sensitivity_ranges(sensitivity),
        "ascents": by_length(sensitivity, "steps"),
        "schedules": by_length(sensitivity, "epochs"),
        "reached": accuracies_by_epochs(arguments.sensitivity, records),
        "trainings": page_tables.training_ranges(every),
        "methods": list(dict.fromkeys(method for result in every for method in methods_of(result.units))),
        "layers": page_tables.layer_rows(every),
        "memory": page_tables.memory_table(read_table(arguments.memory, MemoryTable)),
        "sizes": page_tables.memory_table(read_table(arguments.sizes, MemoryTable)) if arguments.sizes else None,
    }


def read(arguments: argparse.Namespace, named: Mapping[str, Any]) -> Result:
    """Return what is known of an experiment."""
    folder = arguments.results / named["name"]
    return Result(
        named["name"],
        named["entry"],
        read_table(folder / "units.csv", UnitsTable),
        read_table(folder / "layers.csv", LayersTable),
        read_table(folder / "claims.csv", ClaimsTable),
        read_json(arguments.checkpoints / f"{named['network']}.json"),
        {claim: where["layers"] for claim, where in named["claims"].items()},
    )


def sizes(path: Path) -> dict[str, int]:
    """Return how many classes a data set has, and how many images each of its splits."""
    with open_dataset(path) as dataset:
        return {"classes": len(dataset.classes), **{split: dataset.count(split) for split in SPLITS}}


def environment() -> jinja2.Environment:
    """Return what turns the template into Markdown: an unknown name is an error, a value cannot leave its cell."""
    jinja_environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    jinja_environment.filters |= {
        "cell": cell,
        "lines": lambda texts: "<br>".join(map(cell, texts)),
        "value": lambda value: cell(json.dumps(value)) if value is not None else "-",
        "method_name": method_name,
        "by_method": lambda values, methods, score=None: ", ".join(
            values.get((method, score) if score else method, "-") for method in methods
        ),
    }
    return jinja_environment


def cell(value: Any) -> str:
    """Return a value as text that stays within a cell of a Markdown table."""
    text = str(value).replace("\\", "\\\\")
    for mark in "|<>`*_[]":
        text = text.replace(mark, {"<": "&lt;", ">": "&gt;"}.get(mark, f"\\{mark}"))
    return " ".join(text.split())


if __name__ == "__main__":
    program.run(parser(), main)
