"""Access to tables: rows of a layer, methods that have scores, one correlation, tables under one another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.errors import UserError
from unitscope.scores.score_names import RS_SCORES

METHOD_COLUMNS = (
    *("ties", "seeds", "exceeders"),
    *("substitutes", "substitutes_z", "substitutes_q", "substitutes_r"),
)
"""Columns of a units table that each method has beside the forms of RS."""

Table = Mapping[str, np.ndarray]
"""Columns of equal length by name."""


def stacked(several: Sequence[Table]) -> dict[str, np.ndarray]:
    """Return tables of equal columns under one another."""
    return {name: np.concatenate([table[name] for table in several]) for name in several[0]}


def methods_of(units: Table) -> list[str]:
    """Return the methods that have scores in a units table, in the order of its columns."""
    return [name.removeprefix("seeds_") for name in units if name.startswith("seeds_")]


def layers_of(units: Table) -> list[str]:
    """Return the layers of a units table, in the order of its rows."""
    return list(dict.fromkeys(units["layer"].tolist()))


def rows_of(units: Table, layer: str) -> dict[str, np.ndarray]:
    """Return the rows of one layer of a table."""
    in_layer = units["layer"] == layer
    return {name: column[in_layer] for name, column in units.items()}


def subset(units: Table, layers: Sequence[str], methods: Sequence[str]) -> dict[str, np.ndarray]:
    """Return a units table with the rows of some layers and the scores of some methods, in the order that it has."""
    rows = np.isin(units["layer"], layers)
    left_out = [method for method in methods_of(units) if method not in methods]
    unwanted = {f"{score}_{method}" for method in left_out for score in (*RS_SCORES, *METHOD_COLUMNS)}
    return {name: column[rows] for name, column in units.items() if name not in unwanted}


def correlation_by_depth(layers: Table) -> dict[str, np.ndarray]:
    """Return layer, method, score and Spearman of selectivity with each kind of RS, a row each, by depth."""
    rows = (layers["x"] == "selectivity") & np.isin(layers["y"], RS_SCORES) & (layers["method"] != "")
    columns = {name: layers[name][rows] for name in ("layer", "method", "y", "spearman")}
    columns["score"] = columns.pop("y")
    return {name: columns[name] for name in ("layer", "method", "score", "spearman")}


def correlation_of(layers: Table, layer: str, method: str, x: str, y: str) -> dict[str, Any]:
    """Return one row of a layers table as a record."""
    matches = (layers["layer"] == layer) & (layers["method"] == method) & (layers["x"] == x) & (layers["y"] == y)
    if not matches.any():
        raise UserError(
            f"The layers table has no correlation of {x} and {y} in layer {layer} with method {method!r}. It was made "
            "from another units table: make it again."
        )
    row = int(np.flatnonzero(matches)[0])
    return {name: column[row].item() for name, column in layers.items()}


def median_of(layer_units: Table, column: str) -> float:
    """Return the median of a score over the living units of a layer that have it; NaN if none has."""
    values = layer_units[column][~layer_units["dead"]]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else np.nan
