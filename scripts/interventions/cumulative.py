"""Remove more and more units of a layer, or of all layers at once, by each score and at random."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.data.datasets import open_dataset
from unitscope.data.moments_columns import MomentsTable
from unitscope.data.sampling import balanced_sample
from unitscope.data.summaries import moments_of
from unitscope.interventions.cumulative import (
    Key,
    Part,
    area_rows,
    areas,
    counts,
    curve_rows,
    missing_rows,
    orders,
    resampled,
)
from unitscope.interventions.cumulative_columns import AreasTable, CurvesTable
from unitscope.interventions.cumulative_removal import cumulative_removal, joint_removal
from unitscope.interventions.cumulative_settings import CumulativeJob
from unitscope.interventions.sets import Performance
from unitscope.probing.layer import Layer
from unitscope.probing.opening import open_checkpoint
from unitscope.runtime import devices
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--moments", type=Path, nargs="?", help="mean of each unit's map (.csv), to clamp to it")
    result.add_argument("--selectivity", type=Path, required=True, help="selectivity of all units (.csv)")
    result.add_argument("--substitution", type=Path, nargs="*", default=[], help="RS by layer and method (.csv) ...")
    result.add_argument("--layers", nargs="+", required=True, help="the layer, or all that lose units together")
    program.add_settings(result, CumulativeJob)
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the curves go (.csv)")
    result.add_argument("--areas", type=Path, required=True, help="where the areas under them go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Measure every order at every point, then write curves and areas."""
    settings = arguments.settings
    probe, _ = open_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layers = lost_together([probe[name] for name in arguments.layers], probe.layers)
    units = {layer.name: layer.units for layer in layers}
    scores = scores_of(arguments, units)
    removal_orders, missing = orders(scores, units, settings.orders, settings.seed)
    steps = [
        {name: counts(count, settings.points)[step] for name, count in units.items()} for step in range(settings.points)
    ]
    removed = np.array([sum(step.values()) for step in steps])
    scored = {
        name: int(sum(np.isfinite(values).sum() for values in by_layer.values())) for name, by_layer in scores.items()
    }
    where = arguments.layers[0] if len(arguments.layers) == 1 else ""
    curves: list[dict[str, Any]] = []
    sums: list[dict[str, Any]] = []
    with open_dataset(arguments.dataset) as dataset:
        if not dataset.classes:
            missing = {key[:2]: "the data set has no classes" for key in removal_orders} | missing
        for part in (Part(where, clamp) for clamp in settings.clamps):
            if dataset.classes:
                rows = balanced_sample(dataset.labels("test"), settings.images)
                images = dataset.labelled("test", rows, settings.batch)
                values = {name: np.zeros(count) for name, count in units.items()}
                if part.clamp == "mean":
                    moments = read_table(arguments.moments, MomentsTable)
                    values = {name: moments_of(moments, name)[0] for name in units}
                performance = measured(layers, images, values, removal_orders, steps)
                height = {"accuracy": performance.correct.astype(np.float64), "loss": performance.loss}
                means = (each.mean(-1) for each in height.values())
                curves += curve_rows(part, list(removal_orders), *means, removed, sum(units.values()))
                share = removed / sum(units.values())
                by_image = {measure: areas(share, each) for measure, each in height.items()}
                draws = resampled(len(rows), settings.resamples, settings.seed)
                sums += area_rows(part, list(removal_orders), by_image, scored, draws)
            curves += missing_rows(part, missing, CurvesTable)
            sums += missing_rows(part, missing, AreasTable)
    write_table(arguments.output, CurvesTable.of_rows(curves), CurvesTable)
    write_table(arguments.areas, AreasTable.of_rows(sums), AreasTable)


def lost_together(layers: list[Layer], probe_layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that lose units: of several, all but the network's last.

    Its units are the classes; without one of them its images are lost, whatever the rest of the network does.
    """
    last = max(layer.depth for layer in probe_layers)
    return [layer for layer in layers if layer.depth != last] if len(layers) > 1 else layers


def scores_of(arguments: argparse.Namespace, units: dict[str, int]) -> dict[str, dict[str, np.ndarray]]:
    """Return the scores by column and layer, (units,); NaN for a unit that has none."""
    score_names = arguments.settings.scores
    by_column: dict[str, dict[str, np.ndarray]] = {}
    tables = [("", read_table(arguments.selectivity, SelectivityTable))] if "selectivity" in score_names else []
    tables += [("rs", read_table(path, SubstitutionTable)) for path in arguments.substitution]
    for kind, table in tables:
        names = ["selectivity"] if not kind else [score for score in score_names if score != "selectivity"]
        for layer, count in units.items():
            in_layer = table["layer"] == layer
            for name in names if in_layer.any() else []:
                column = f"{name}_{table['method'][in_layer][0]}" if kind else name
                values = np.full(count, np.nan)
                values[table["unit"][in_layer]] = table[name][in_layer]
                by_column.setdefault(column, {})[layer] = values
    return by_column


def measured(
    layers: list[Layer],
    images: Any,
    values: dict[str, np.ndarray],
    removal_orders: dict[Key, dict[str, np.ndarray]],
    steps: list[dict[str, int]],
) -> Performance:
    """Return loss and correctness, (orders, points, images)."""
    if len(layers) > 1:
        return joint_removal(layers, images, values, list(removal_orders.values()), steps)
    (layer,) = layers
    name = layer.name
    lists = [order[name].tolist() for order in removal_orders.values()]
    return cumulative_removal(layer, images, values[name], lists, [step[name] for step in steps])


if __name__ == "__main__":
    program.run(parser(), main)
