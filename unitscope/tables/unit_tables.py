"""The tables of an experiment: `units.csv`, a row a unit with every score, and `layers.csv`, a row a correlation.

Scores are joined here by layer and unit, and paired for correlation. Computing scores belongs to
`unitscope.scores.selectivity`, `unitscope.scores.substitution` and `unitscope.interventions.ablation`; reading and
writing tables to `unitscope.storage.csv_tables`, drawing to `unitscope.figures.drawing`.
"""

import itertools
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.errors import UserError
from unitscope.randomness import generator
from unitscope.stats.correlation import spearman

Table = Mapping[str, np.ndarray]
"""Columns of equal length by name."""

METHOD_NAMES = {"am": "AM", "iam": "IAM", "iam_z": "IAM (z)"}
RS_SCORES = ("rs", "rs_z", "rs_q")
RS_NAMES = {"rs": "RS", "rs_z": "RS (z)", "rs_q": "RS (q)"}
ABLATION_SCORES = tuple(
    f"ablation_{effect}{clamp}" for clamp in ("", "_mean") for effect in ("loss", "accuracy", "worst_class")
)
SELECTIVITY_EXTRAS = ("selectivity_permuted", "selectivity_half0", "selectivity_half1")
ABLATION_HALVES = ("ablation_loss_half0", "ablation_loss_half1")
INFORMATION = ("class_information", "class_information_permuted")
NATURAL_SCORES = ("rs_natural", "rs_z_natural", "rs_q_natural")
"""Columns that stand at the end of the units table, in this order; the last where RS on natural images is asked for."""

REAL, MINIMIZED, START, PERMUTED, UNTRAINED = "none", "minimized", "start", "permuted", "untrained"
"""Which null a row of the nulls table is of; "none" is the real thing."""


def units_table(
    experiment: str,
    network: str,
    taps: Sequence[Mapping[str, Any]],
    selectivity: Table | None,
    substitutions: Iterable[Table],
    ablations: Iterable[Table],
    natural: Table | None = None,
) -> dict[str, np.ndarray]:
    """Join the scores of all units of an experiment, by layer and unit, never by the order of rows.

    Args:
        experiment: Name of the experiment.
        network: Name of its network.
        taps: A record a layer, with `layer`, `depth` and `units`.
        selectivity: Columns layer, unit, dead, selectivity, top_class, `SELECTIVITY_EXTRAS` and `INFORMATION`; None
            where there are no images: then nothing is known to be dead.
        substitutions: Tables with the columns layer, method, unit, rs, rs_z, rs_q, ties, seeds, substitutes. Methods
            keep the order in which they come.
        ablations: Tables with the columns layer, unit, `ABLATION_SCORES` and `ABLATION_HALVES`.
        natural: Columns layer, unit and `NATURAL_SCORES`; None where RS on natural images was not asked for: then these
            columns are not there.

    Returns:
        The columns of units.csv, every unit of every layer in the order of `taps`. A unit that a step did not treat has
        NaN in its columns, 0 seeds and no substitutes.

    Raises:
        UserError: A table names a layer or unit that the taps do not have.
    """
    join = _Join(taps)
    layers = [np.full(tap["units"], tap["layer"]) for tap in taps]
    table: dict[str, np.ndarray] = {
        "experiment": np.full(join.total, experiment),
        "network": np.full(join.total, network),
        "layer": np.concatenate(layers) if layers else np.empty(0, dtype=str),
        "depth": np.repeat([tap["depth"] for tap in taps], [tap["units"] for tap in taps]).astype(np.int64),
        "unit": np.concatenate([np.arange(tap["units"]) for tap in taps] or [np.empty(0, dtype=np.int64)]),
        "dead": np.zeros(join.total, dtype=bool),
        "selectivity": np.full(join.total, np.nan),
        "top_class": np.full(join.total, "", dtype=object),
    }
    last = {name: np.full(join.total, np.nan) for name in (*SELECTIVITY_EXTRAS, *ABLATION_HALVES, *INFORMATION)}
    if selectivity is not None:
        rows = join.rows(selectivity)
        for name in ("dead", "selectivity", "top_class"):
            table[name][rows] = selectivity[name]
        for name in (*SELECTIVITY_EXTRAS, *INFORMATION):
            last[name][rows] = selectivity[name]
    for substitution in substitutions:
        rows = join.rows(substitution)
        for method in dict.fromkeys(substitution["method"].tolist()):
            own = substitution["method"] == method
            for score in (*RS_SCORES, "ties"):
                table.setdefault(f"{score}_{method}", np.full(join.total, np.nan))
            table.setdefault(f"seeds_{method}", np.zeros(join.total, dtype=np.int64))
            table.setdefault(f"substitutes_{method}", np.full(join.total, "", dtype=object))
            for score in (*RS_SCORES, "ties", "seeds", "substitutes"):
                table[f"{score}_{method}"][rows[own]] = substitution[score][own]
    for score in ABLATION_SCORES:
        table[score] = np.full(join.total, np.nan)
    for ablation in ablations:
        rows = join.rows(ablation)
        for score in ABLATION_SCORES:
            table[score][rows] = ablation[score]
        for score in ABLATION_HALVES:
            last[score][rows] = ablation[score]
    if natural is not None:
        rows = join.rows(natural)
        for score in NATURAL_SCORES:
            last[score] = np.full(join.total, np.nan)
            last[score][rows] = natural[score]
    return {**table, **last}


def columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return records as the columns of a table; `names` are those of a table that may have no rows."""
    return {name: np.array([row[name] for row in rows]) for name in names or rows[0]}


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


def layer_correlations(
    units: Table, taps: Sequence[Mapping[str, Any]], permutations: int, resamples: int, seed: int
) -> dict[str, list[Any]]:
    """Correlate the scores of units within each layer; dead units are left out.

    Args:
        units: The units table of one experiment.
        taps: A record a layer, with `layer`, `depth`, `kind` and `units`.
        permutations: Shuffles for each p value.
        resamples: Bootstrap resamples for each interval.
        seed: Each correlation draws from a seed of its own, made of this, the layer, the method and the two scores, so
            that one layer more changes no other row.

    Returns:
        The columns of layers.csv: experiment, layer, depth, kind, method ("am:iam" between two methods, empty where
        none is involved), x, y, units (of the layer), used, spearman, ci_low, ci_high, p_value, reason (why a value is
        NaN).
    """
    rows = []
    for tap in taps:
        table = rows_of(units, tap["layer"])
        alive = ~table["dead"]
        for method, x, y, x_column, y_column in _pairs(methods_of(units), NATURAL_SCORES[0] in units):
            result = spearman(
                table[x_column][alive],
                table[y_column][alive],
                permutations,
                resamples,
                generator(seed, tap["layer"], method, x, y),
                (x_column, y_column),
            )
            rows.append(
                {
                    "experiment": table["experiment"][0],
                    **{key: tap[key] for key in ("layer", "depth", "kind")},
                    "method": method,
                    "x": x,
                    "y": y,
                    "units": tap["units"],
                    "used": result.used,
                    **result.columns("spearman", "ci_low", "ci_high"),
                    "p_value": result.p_value,
                    "reason": result.reason,
                }
            )
    names = (
        *("experiment", "layer", "depth", "kind", "method", "x", "y", "units", "used"),
        *("spearman", "ci_low", "ci_high", "p_value", "reason"),
    )
    return {name: [row[name] for row in rows] for name in names}


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


class _Join:
    """Row numbers in the units table of (layer, unit)."""

    def __init__(self, taps: Sequence[Mapping[str, Any]]) -> None:
        starts = np.cumsum([0, *(tap["units"] for tap in taps)])
        self.total = int(starts[-1])
        self._places = {tap["layer"]: (int(start), tap["units"]) for tap, start in zip(taps, starts, strict=False)}

    def rows(self, table: Table) -> np.ndarray:
        rows = np.empty(len(table["unit"]), dtype=np.int64)
        for layer in dict.fromkeys(table["layer"].tolist()):
            if layer not in self._places:
                raise UserError(
                    f"A table of scores names layer {layer}, which is not tapped in this experiment (tapped are "
                    f"{', '.join(self._places)}). Pass tables of this experiment only."
                )
            start, units = self._places[layer]
            own = table["layer"] == layer
            if not ((table["unit"][own] >= 0) & (table["unit"][own] < units)).all():
                raise UserError(
                    f"A table of scores names unit {table['unit'][own].max()} of layer {layer}, which has {units} "
                    "units, numbered from 0. Pass tables of this experiment only."
                )
            rows[own] = start + table["unit"][own]
        return rows


def _pairs(methods: Sequence[str], natural: bool) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield method, x, y and the columns of x and y in the units table, which may hold RS on natural images."""
    for method in methods:
        for score in RS_SCORES:
            yield method, "selectivity", score, "selectivity", f"{score}_{method}"
    for score in ("ablation_loss", "ablation_loss_mean", "ablation_accuracy", "ablation_accuracy_mean"):
        yield "", "selectivity", score, "selectivity", score
    for method in methods:
        for x, y in itertools.product(RS_SCORES, ("ablation_loss", "ablation_loss_mean", "ablation_accuracy")):
            yield method, x, y, f"{x}_{method}", y
    for first, second in itertools.combinations(methods, 2):
        for score in RS_SCORES:
            yield f"{first}:{second}", score, score, f"{score}_{first}", f"{score}_{second}"
    for method in methods:
        for score in RS_SCORES:
            yield method, "class_information", score, "class_information", f"{score}_{method}"
    for score in ("selectivity", "ablation_loss"):
        yield "", "class_information", score, "class_information", score
    for x, y in zip(NATURAL_SCORES, RS_SCORES, strict=True) if natural else ():
        yield "", "selectivity", x, "selectivity", x
        for method in methods:
            yield method, x, y, x, f"{y}_{method}"
