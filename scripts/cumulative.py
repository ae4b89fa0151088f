"""Remove more and more units of a layer, or of all layers at once, by each score and at random."""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unitscope import console, devices
from unitscope.activations import activations
from unitscope.artifacts import read_table, write_table
from unitscope.cumulative import DIRECTIONS, area, areas, counts, order_by, random_order, resampled
from unitscope.datasets import ahead, open_dataset
from unitscope.layers import Tap, taps
from unitscope.networks import load_checkpoint
from unitscope.removal import Performance, cumulative_removal, joint_removal
from unitscope.sampling import balanced_sample

LEVEL = 0.95


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--selectivity", type=Path, required=True, help="selectivity of all units (.csv)")
    result.add_argument("--substitution", type=Path, nargs="*", default=[], help="RS by layer and method (.csv) ...")
    result.add_argument("--layers", nargs="+", required=True, help="the layer, or all that lose units together")
    result.add_argument("--settings", type=json.loads, required=True, help="JSON: scores, orders, points, clamps, ...")
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the curves go (.csv)")
    result.add_argument("--areas", type=Path, required=True, help="where the areas under them go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Measure every order at every point, then write curves and areas."""
    settings = arguments.settings
    module, record = load_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    known = {found.layer: found for found in taps(module, record["input"])}
    layers = lost_together([known[name] for name in arguments.layers], known)
    scores = scores_of(arguments, layers)
    orders, undefined = orders_of(layers, scores, settings)
    points = settings["points"]
    steps = [{layer.layer: counts(layer.units, points)[step] for layer in layers} for step in range(points)]
    where = arguments.layers[0] if len(arguments.layers) == 1 else ""
    curves, sums = Rows(CURVES), Rows(AREAS)
    with open_dataset(arguments.dataset) as dataset:
        for clamp in settings["clamps"]:
            if not dataset.classes:
                undefined = {**undefined, **{order[:2]: "the data set has no classes" for order in orders}}
            else:
                labels = dataset.labels("test")
                rows = balanced_sample(labels, settings["images"])
                parts = np.split(rows, range(settings["batch"], len(rows), settings["batch"]))
                images = zip(ahead(partial(dataset.take, "test"), parts), (labels[part] for part in parts), strict=True)
                values = {layer.layer: np.zeros(layer.units) for layer in layers}
                if clamp == "mean":
                    values = means_of(module, layers, dataset, settings["batch"])
                found = measured(module, layers, images, values, list(orders.values()), steps)
                removed = np.array([sum(step.values()) for step in steps])
                share = removed / sum(layer.units for layer in layers)
                write_curves(curves, where, clamp, list(orders), found, removed, share)
                write_areas(sums, where, clamp, list(orders), found, share, scores, settings)
            for (score, direction), reason in undefined.items():
                named = {"layer": where, "clamp": clamp, "score": score, "direction": direction, "reason": reason}
                curves.add(draw=-1, fraction=np.nan, removed=0, accuracy=np.nan, loss=np.nan, **named)
                sums.add(scored=0, **{name: np.nan for name in AREAS if "area" in name or "over" in name}, **named)
    write_table(arguments.output, curves.columns)
    write_table(arguments.areas, sums.columns)


CURVES = ("layer", "clamp", "score", "direction", "draw", "fraction", "removed", "accuracy", "loss", "reason")
AREAS = (
    *("layer", "clamp", "score", "direction", "scored"),
    *(f"{value}_{part}" for value in ("accuracy", "loss") for part in ("area", "area_low", "area_high")),
    *(f"{value}_{part}" for value in ("accuracy", "loss") for part in ("over", "over_low", "over_high")),
    "reason",
)
Order = tuple[str, str, int]
"""Score, direction, and number of the draw; -1 where the order is by a score."""


class Rows:
    """Rows of a table that grows."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.columns: dict[str, list[object]] = {name: [] for name in names}

    def add(self, **values: object) -> None:
        """Add a row; it has to have every column."""
        for name, column in self.columns.items():
            column.append(values[name])


def lost_together(layers: list[Tap], known: dict[str, Tap]) -> list[Tap]:
    """Return the layers that lose units: of several, all but the network's last.

    Its units are the classes; without one of them its images are lost, whatever the rest of the network does.
    """
    last = max(found.depth for found in known.values())
    return [layer for layer in layers if layer.depth != last] if len(layers) > 1 else layers


def scores_of(arguments: argparse.Namespace, layers: list[Tap]) -> dict[str, dict[str, np.ndarray]]:
    """Return the scores by column and layer, (units,); NaN for a unit that has none."""
    wanted = arguments.settings["scores"]
    found: dict[str, dict[str, np.ndarray]] = {}
    tables = [("", read_table(arguments.selectivity))] if "selectivity" in wanted else []
    tables += [("rs", read_table(path)) for path in arguments.substitution]
    for kind, table in tables:
        names = ["selectivity"] if not kind else [score for score in wanted if score != "selectivity"]
        for layer in layers:
            own = table["layer"] == layer.layer
            for name in names if own.any() else []:
                column = f"{name}_{table['method'][own][0]}" if kind else name
                values = np.full(layer.units, np.nan)
                values[table["unit"][own]] = table[name][own]
                found.setdefault(column, {})[layer.layer] = values
    return found


def orders_of(
    layers: list[Tap], scores: dict[str, dict[str, np.ndarray]], settings: dict[str, Any]
) -> tuple[dict[Order, dict[str, np.ndarray]], dict[tuple[str, str], str]]:
    """Return the orders, each with the units of every layer in it, and why a score gives none."""
    seed = settings["seed"]
    orders: dict[Order, dict[str, np.ndarray]] = {}
    undefined = {}
    shuffled = {layer.layer: random_order(layer.units, seed, layer.layer, "ties") for layer in layers}
    for name, by_layer in scores.items():
        varied = any(len(np.unique(values[np.isfinite(values)])) > 1 for values in by_layer.values())
        for direction in DIRECTIONS:
            if not varied:
                undefined[name, direction] = "the score is constant, or no unit has it"
                continue
            orders[name, direction, -1] = {
                layer: order_by(values, direction, shuffled[layer]) for layer, values in by_layer.items()
            }
    for draw in range(settings["orders"]):
        orders["random", "random", draw] = {
            layer.layer: random_order(layer.units, seed, layer.layer, draw) for layer in layers
        }
    return orders, undefined


def measured(
    module: Any,
    layers: list[Tap],
    images: Any,
    values: dict[str, np.ndarray],
    orders: list[dict[str, np.ndarray]],
    steps: list[dict[str, int]],
) -> Performance:
    """Return loss and correctness, (orders, points, images)."""
    if len(layers) > 1:
        return joint_removal(module, [layer.layer for layer in layers], images, values, orders, steps)
    (layer,) = layers
    name = layer.layer
    lists = [order[name].tolist() for order in orders]
    return cumulative_removal(module, name, layer.kind, images, values[name], lists, [step[name] for step in steps])


def means_of(module: Any, layers: list[Tap], dataset: Any, batch: int) -> dict[str, np.ndarray]:
    """Return each layer's mean activations (units,) over the training split and over space, whatever the readout is."""
    total = {layer.layer: np.zeros(layer.units) for layer in layers}
    for values in activations(module, list(total), dataset.batches("train", batch), "mean"):
        for layer in total:
            total[layer] += values[layer].sum(0, dtype=np.float64)
    return {layer: values / dataset.count("train") for layer, values in total.items()}


def write_curves(
    rows: Rows,
    where: str,
    clamp: str,
    orders: list[Order],
    found: Performance,
    removed: np.ndarray,
    share: np.ndarray,
) -> None:
    """Add a row for every order and point."""
    for number, (score, direction, draw) in enumerate(orders):
        for point in range(len(removed)):
            rows.add(
                layer=where,
                clamp=clamp,
                score=score,
                direction=direction,
                draw=draw,
                fraction=float(share[point]),
                removed=int(removed[point]),
                accuracy=float(found.correct[number, point].mean()),
                loss=float(found.loss[number, point].mean()),
                reason="",
            )


def write_areas(
    rows: Rows,
    where: str,
    clamp: str,
    orders: list[Order],
    found: Performance,
    share: np.ndarray,
    scores: dict[str, dict[str, np.ndarray]],
    settings: dict[str, Any],
) -> None:
    """Add a row for every score and direction, and one for the mean of all random orders."""
    images = found.loss.shape[-1]
    draws = resampled(images, settings["resamples"], settings["seed"])
    by_image = {"accuracy": areas(share, found.correct.astype(np.float64)), "loss": areas(share, found.loss)}
    random = [number for number, order in enumerate(orders) if order[0] == "random"]
    groups = {order[:2]: [number] for number, order in enumerate(orders) if order[0] != "random"}
    groups |= {("random", "random"): random} if random else {}
    for (score, direction), numbers in groups.items():
        values: dict[str, float] = {}
        for name, each in by_image.items():
            own = each[numbers].mean(0)
            for part, value in (("area", own), ("over", own - each[random].mean(0) if random else own * np.nan)):
                measure = area(value, draws, LEVEL)
                values |= {f"{name}_{part}": measure.value}
                values |= {f"{name}_{part}_low": measure.low, f"{name}_{part}_high": measure.high}
        by_layer = scores.get(score, {})
        rows.add(
            layer=where,
            clamp=clamp,
            score=score,
            direction=direction,
            scored=int(sum(np.isfinite(column).sum() for column in by_layer.values())),
            reason="",
            **values,
        )


if __name__ == "__main__":
    console.run(parser(), main)
