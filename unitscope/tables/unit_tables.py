"""Parts of the tables of an experiment: rows of a layer, columns of a method, a correlation; and the summary of both.

The table of units is joined in `unitscope.tables.unit_join`, its scores are correlated in
`unitscope.tables.layer_correlations`.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.errors import UserError

Table = Mapping[str, np.ndarray]
"""Columns of equal length by name."""

METHOD_NAMES = {"am": "AM", "iam": "IAM", "iam_z": "IAM (z)"}
RS_SCORES = ("rs", "rs_z", "rs_q")
RS_NAMES = {"rs": "RS", "rs_z": "RS (z)", "rs_q": "RS (q)"}

REAL, MINIMIZED, START, PERMUTED, UNTRAINED = "none", "minimized", "start", "permuted", "untrained"
"""Which null a row of the nulls table is of; "none" is the real thing."""


def stacked(several: Sequence[Table]) -> dict[str, np.ndarray]:
    """Return tables of equal columns under one another."""
    return {name: np.concatenate([table[name] for table in several]) for name in several[0]}


def methods_of(units: Table) -> list[str]:
    """Return the methods that have scores in a units table, in the order of its columns."""
    return [name.removeprefix("seeds_") for name in units if name.startswith("seeds_")]


def method_name(method: str) -> str:
    """Return the name of a method as people read it."""
    return METHOD_NAMES.get(method, method)


def layers_of(units: Table) -> list[str]:
    """Return the layers of a units table, in the order of its rows."""
    return list(dict.fromkeys(units["layer"].tolist()))


def rows_of(units: Table, layer: str) -> dict[str, np.ndarray]:
    """Return the rows of one layer of a table."""
    own = units["layer"] == layer
    return {name: column[own] for name, column in units.items()}


def subset(units: Table, layers: Sequence[str], methods: Sequence[str]) -> dict[str, np.ndarray]:
    """Return a units table with the rows of some layers and the scores of some methods, in the order that it has."""
    rows = np.isin(units["layer"], layers)
    left_out = [method for method in methods_of(units) if method not in methods]
    unwanted = {f"{score}_{method}" for method in left_out for score in (*RS_SCORES, "ties", "seeds", "substitutes")}
    return {name: column[rows] for name, column in units.items() if name not in unwanted}


def correlation_by_depth(layers: Table) -> dict[str, np.ndarray]:
    """Return layer, method, score and Spearman of selectivity with each kind of RS, a row each, by depth."""
    wanted = (layers["x"] == "selectivity") & np.isin(layers["y"], RS_SCORES) & (layers["method"] != "")
    found = {name: layers[name][wanted] for name in ("layer", "method", "y", "spearman")}
    found["score"] = found.pop("y")
    return {name: found[name] for name in ("layer", "method", "score", "spearman")}


def correlation_of(layers: Table, layer: str, method: str, x: str, y: str) -> dict[str, Any]:
    """Return one row of a layers table as a record."""
    own = (layers["layer"] == layer) & (layers["method"] == method) & (layers["x"] == x) & (layers["y"] == y)
    if not own.any():
        raise UserError(
            f"The layers table has no correlation of {x} and {y} in layer {layer} with method {method!r}. It was made "
            "from another units table: make it again."
        )
    row = int(np.flatnonzero(own)[0])
    return {name: column[row].item() for name, column in layers.items()}


def median_of(own: Table, column: str) -> float:
    """Return the median of a score over the living units of a layer that have it; NaN if none has."""
    values = own[column][~own["dead"]]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else np.nan


def summary(units: Table, layers: Table) -> str:
    """Return a short table for people: by layer and form of RS, its median and its correlation with selectivity.

    Args:
        units: The units table of one experiment.
        layers: Its table of correlations.
    """
    methods = methods_of(units)
    lines = [["layer", "units", "dead", "selectivity", ""]]
    lines[0] += [method_name(method) for method in methods]
    lines[0] += [f"Spearman {method_name(method)} [95 %]" for method in methods]
    reasons: dict[str, list[str]] = {}
    for layer in layers_of(units):
        own = rows_of(units, layer)
        named = [layer, str(len(own["unit"])), str(own["dead"].sum()), f"{median_of(own, 'selectivity'):.2f}"]
        for score, name in RS_NAMES.items():
            line = [*(named if score == "rs" else [""] * len(named)), name]
            line += [f"{median_of(own, f'{score}_{method}'):.2f}" for method in methods]
            for method in methods:
                found = correlation_of(layers, layer, method, "selectivity", score)
                if found["reason"]:
                    reasons.setdefault(layer, []).append(found["reason"])
                line.append(_interval_text(found))
            lines.append(["-" if cell == "nan" else cell for cell in line])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *others = widths
    rows = [
        f"{line[0]:<{first}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], others, strict=True))
        for line in lines
    ]
    rows.insert(1, "-" * len(rows[0]))
    notes = [
        "selectivity and RS: medians over living units. Spearman: of RS and selectivity within the layer.",
        "RS = 0: nobody else answers the unit's image more strongly. It depends on units' scales; RS (z) and RS (q) do",
        "not, given the image.",
        *(textwrap.fill(f"{layer}: {'; '.join(why)}.", 110, subsequent_indent="  ") for layer, why in reasons.items()),
    ]
    return "\n".join([*rows, "", *notes])


def two_decimals(value: float) -> str:
    """Return a number for people, without a sign where it is rounded to zero."""
    # Adding 0 takes the sign from a zero.
    return f"{round(value, 2) + 0.0:.2f}"


def _interval_text(found: Mapping[str, Any]) -> str:
    if not np.isfinite(found["spearman"]):
        return "undefined"
    value, low, high = (two_decimals(found[key]) for key in ("spearman", "ci_low", "ci_high"))
    return f"{value} [no interval]" if low == "nan" else f"{value} [{low}, {high}]"
