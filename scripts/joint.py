"""Clamp each unit together with its substitutes, and with random units of their scale: who stands in for it."""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np

from unitscope import console, devices
from unitscope.artifacts import open_hdf5, read_table, write_table
from unitscope.datasets import ahead, open_dataset
from unitscope.layers import tap
from unitscope.networks import load_checkpoint
from unitscope.randomness import generator
from unitscope.removal import removal
from unitscope.sampling import balanced_sample, halves
from unitscope.understudies import MATCHED, against_controls, control_sets, interaction, scale_ratio


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.network_parser(__doc__)
    result.add_argument("--dataset", type=Path, required=True, help="the data set (.h5)")
    result.add_argument("--activations", type=Path, required=True, help="activations on real images (.h5)")
    result.add_argument("--substitution", type=Path, required=True, help="RS and substitutes (.csv)")
    result.add_argument("--layer", required=True, help="name of the layer")
    result.add_argument("--method", required=True, help="name of the method")
    result.add_argument(
        "--settings", type=json.loads, required=True, help='{"controls", "seed", "most_units", "images", "batch"}'
    )
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument("--output", type=Path, required=True, help="where the interactions go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Measure the loss without every set that is needed, once, and combine the losses."""
    settings = arguments.settings
    table = sample(read_table(arguments.substitution), settings)
    scales, dead = scales_of(arguments.activations, arguments.layer)
    sets: dict[tuple[int, ...], int] = {(): 0}
    plans = []
    for unit, text in zip(table["unit"].tolist(), table["substitutes"].tolist(), strict=True):
        chosen = [int(number) for number in text.split()]
        name = (settings["seed"], arguments.layer, arguments.method, unit)
        draws = [generator("joint", *name, draw) for draw in range(settings["controls"])]
        controls = control_sets(unit, chosen, scales, draws)
        plans.append((unit, chosen, controls))
        for members in ([], *([chosen] if chosen else []), *controls):
            for wanted in (members, [unit, *members]):
                sets.setdefault(tuple(sorted(wanted)), len(sets))
    rises, half = losses(arguments, list(sets))
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for row, (unit, chosen, controls) in enumerate(plans):

        def rise(members: list[int]) -> np.ndarray:
            return rises[sets[tuple(sorted(members))]]

        found = interaction(rise([unit]), rise(chosen), rise([unit, *chosen])) if chosen else np.full(len(half), np.nan)
        random = np.array([interaction(rise([unit]), rise(c), rise([unit, *c])).mean() for c in controls])
        compared = against_controls(float(found.mean()), random)
        values = {
            "layer": arguments.layer,
            "method": arguments.method,
            "unit": unit,
            "substitutes": table["substitutes"][row],
            **{score: float(table[score][row]) for score in ("rs", "rs_z", "rs_q")},
            "loss_unit": float(rise([unit]).mean()),
            "loss_set": float(rise(chosen).mean()) if chosen else np.nan,
            "loss_joint": float(rise([unit, *chosen]).mean()) if chosen else np.nan,
            "interaction": float(found.mean()),
            "interaction_half0": float(found[half == 0].mean()) if (half == 0).any() else np.nan,
            "interaction_half1": float(found[half == 1].mean()) if (half == 1).any() else np.nan,
            "controls": len(controls),
            "control_mean": compared.mean,
            "control_sd": compared.sd,
            "p_value": compared.p_value,
            "scale_ratio": scale_ratio(chosen, controls, scales),
            "reason": reason(bool(dead[unit]), float(table["rs"][row]), chosen, scale_ratio(chosen, controls, scales)),
        }
        for name in COLUMNS:
            columns[name].append(values[name])
    write_table(arguments.output, columns)


COLUMNS = (
    *("layer", "method", "unit", "substitutes", "rs", "rs_z", "rs_q", "loss_unit", "loss_set", "loss_joint"),
    *("interaction", "interaction_half0", "interaction_half1", "controls", "control_mean", "control_sd", "p_value"),
    *("scale_ratio", "reason"),
)


def reason(dead: bool, rs: float, chosen: list[int], ratio: float) -> str:
    """Say why a unit's row is not complete; an empty text where it is."""
    if dead:
        return "dead: no image excites the unit"
    if np.isnan(rs):
        return "silent on its own image"
    if not chosen:
        return "no substitutes"
    if np.isnan(ratio):
        return "no control: too few other units in the layer, or a substitute is silent on real images"
    return "" if 1 / MATCHED <= ratio <= MATCHED else "no units of the substitutes' scale for a control"


def sample(table: dict[str, np.ndarray], settings: dict[str, object]) -> dict[str, np.ndarray]:
    """Return the rows of the units that are asked: all, or a random sample of them."""
    most, rows = settings["most_units"], len(table["unit"])
    if most is None or rows <= int(str(most)):
        return table
    kept = np.sort(generator("joint", "units", int(str(settings["seed"]))).choice(rows, int(str(most)), replace=False))
    return {name: column[kept] for name, column in table.items()}


def scales_of(path: Path, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return each unit's activation scale over the training split, and whether it is dead, (units,).

    The scale is the mean positive activation; of a signed layer, whose mean is none, the standard deviation.
    """
    with open_hdf5(path) as activations:
        group = activations[f"layers/{layer}"]
        scales = group["std"][:] if group.attrs["signed"] else group["mean"][:]
        most = np.maximum(group["max"][:], group["activations"][:].max(0, initial=-np.inf))
    return scales.astype(np.float64), most <= 0


def losses(arguments: argparse.Namespace, sets: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rise of the loss (sets, images) without each set, and the half of each image (images,)."""
    module, record = load_checkpoint(arguments.checkpoint, devices.pick(arguments.device), python=arguments.python)
    layer = tap(module, arguments.layer, record["input"])
    batch = arguments.settings["batch"]
    with open_dataset(arguments.dataset) as dataset:
        if not dataset.classes:
            console.log.warning("%s has no classes: removal needs labels and is left out.", arguments.dataset)
            return np.full((len(sets), 1), np.nan), np.zeros(1, np.int64)
        labels = dataset.labels("test")
        rows = balanced_sample(labels, arguments.settings["images"])
        parts = np.split(rows, range(batch, len(rows), batch))
        images = zip(ahead(partial(dataset.take, "test"), parts), (labels[part] for part in parts), strict=True)
        found = removal(module, layer.layer, layer.kind, images, np.zeros(layer.units), sets)
    return found.loss - found.loss[0], halves(labels)[rows]


if __name__ == "__main__":
    console.run(parser(), main)
