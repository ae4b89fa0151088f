"""Score how many units of a layer could stand in for each unit: representative substitution, raw and scale-free."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.maximization.responses import compared_in
from unitscope.scores.substitution import ascent_failures, scales_of, substitution
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--images", type=Path, required=True, help="the layer's images and responses (.h5)")
    result.add_argument(
        "--activations", type=Path, nargs="?", help="activations on real images (.h5), for rs_z and rs_q"
    )
    result.add_argument("--output", type=Path, required=True, help="where the scores go (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read the response matrix and the units' scales, write a row a target unit."""
    with open_hdf5(arguments.images) as images:
        layer, method = images.attrs["layer"], images.attrs["method"]
        minimize = bool(images.attrs.get("minimize", False))
        units, responses = images["units"][:], compared_in(images)
        maximizes_activation = images.attrs["objective"] == "am" and not minimize
    scales: dict[str, np.ndarray] = {}
    # Real images have told the scales of activations, not those of pre-activations.
    if arguments.activations and not minimize:
        with open_hdf5(arguments.activations) as activations:
            group = activations[f"layers/{layer}"]
            scales = scales_of(group, group.attrs["signed"])
    scores = substitution(responses, units, **scales)
    failures = ascent_failures(responses, units) if maximizes_activation else np.nan
    columns = {"layer": layer, "method": method, "unit": units, **vars(scores), "ascent_failures": failures}
    rows = len(units)
    write_table(
        arguments.output,
        {name: _column(columns[name], rows) for name in SubstitutionTable.names()},
        SubstitutionTable,
    )


def _column(values: Any, rows: int) -> Sequence[Any] | np.ndarray:
    """Return values as a column: lists of units as text, a single value in every row."""
    if isinstance(values, list):
        return [" ".join(map(str, numbers)) for numbers in values]
    return values if isinstance(values, np.ndarray) else [values] * rows


if __name__ == "__main__":
    program.run(parser(), main)
