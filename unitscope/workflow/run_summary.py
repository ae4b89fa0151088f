"""The short table at the end of a run, and where the figures are."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.config.registry import BY_LAYER, layer_figures, overviews
from unitscope.config.resolve import Study
from unitscope.maximization.responses import compared
from unitscope.storage.csv_tables import read_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.tables import summary_text
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow.ledger import locked_rows, other_versions

RESPONSES = ("responses", "preactivations")


def summary(study: Study, results: Path) -> Iterator[str]:
    """Yield a table for each experiment of a study, and where its figures are.

    Args:
        study: The study, which has been run.
        results: Folder of the experiments' results.
    """
    for experiment, settings in study.experiments.items():
        folder = results / experiment
        units, layers = read_table(folder / "units.csv", UnitsTable), read_table(folder / "layers.csv", LayersTable)
        yield f"\n{experiment}\n"
        yield summary_text.summary(units, layers)
        yield rounding(folder / "images", settings)
        yield "\nFigures (each beside its PDF):"
        for line in figures(folder / "figures", settings, study.networks[settings["network"]]["dataset"]):
            yield f"  {line}"
        yield f"\nEvery unit, to look at in a browser: {folder / 'atlas.html'}"
    for line in other_versions(locked_rows().values()):
        yield f"\n{line}."


def rounding(folder: Path, experiment: Mapping[str, Any]) -> str:
    """Say how far the rounding of images to 8 bits has moved RS; a unit that is silent on its image has none."""
    moved = []
    for layer, (method, recipe) in product(experiment["layers"], experiment["methods"].items()):
        path = folder / f"{layer}.{method}.h5"
        if not path.is_file():
            # Artifacts may be kept elsewhere.
            continue
        with open_hdf5(path) as file:
            units = file["units"][:]
            responses = compared({name: file[name][:] for name in RESPONSES}, recipe["minimize"])
            target_responses = responses[:, np.arange(len(units)), units]
            moved.append(np.abs(file["rounding"][:])[target_responses > 0])
    shifts = np.concatenate(moved) if moved else np.zeros(0)
    return (
        f"Rounding the images to 8 bits moved the RS of {(shifts > 0).sum()} of {len(shifts)} images, "
        f"by {shifts.max(initial=0):.3f} at most."
    )


def figures(folder: Path, experiment: Mapping[str, Any], dataset: str | None) -> list[str]:
    """Return the paths of an experiment's figures; those of single layers as one pattern for each kind."""
    present = {path.stem for path in folder.glob("*.png")}
    overview_paths = [f"{folder / name}.png" for name in sorted(overviews(experiment, dataset)) if name in present]
    counts = {
        kind: sum(name.endswith(f".{kind}") for name in layer_figures(experiment) if name in present)
        for kind in BY_LAYER
    }
    return overview_paths + [f"{folder}/*.{kind}.png ({count})" for kind, count in counts.items() if count]
