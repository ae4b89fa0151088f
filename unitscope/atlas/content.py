"""What the atlas shows: every unit of an experiment, its scores, its images and its substitutes, as plain values.

Images are put into sheets, of which the page decodes those that are looked at. Reading artifacts belongs to
`scripts/figures/atlas.py`, putting the page together to `unitscope.atlas.page`.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.atlas.page_scores import METHOD_SCORES, Activity, is_main, score_columns, score_name
from unitscope.scores.exemplars import Exemplars
from unitscope.scores.score_names import RS_NAMES, method_name
from unitscope.scores.strength import relative_strength
from unitscope.tables.ceiling_text import ceiling_of, why_untestable
from unitscope.tables.table_access import Table, layers_of, methods_of, rows_of

MOST_CLASSES = 20
"""Class means that are shown of a unit; of more classes than these, the strongest."""
DIGITS = 6
"""Significant digits of a number on the page."""


@dataclass(frozen=True)
class GeneratedImages:
    """What was made for units of a layer by one method: its targets, and behind them substitutes that are none.

    Attributes:
        units: (units with an image,).
        targets: How many of them are targets.
        seeds: Numbers of the noise that an image was made from, in the order of the images.
        place: Where the images lie, as `Album.add` returned it: all units of the first seed, then of the next.
        responses: Reads (seeds, units with an image, units), R: those of all layers at once may be too many.
    """

    units: np.ndarray
    targets: int
    seeds: Sequence[int]
    place: Mapping[str, Any]
    responses: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Natural:
    """The natural images that the page shows: each one once, however many units it excites.

    Attributes:
        rows: (images,) rows of the data set, in the order of the images.
        labels: (images,) class of each, -1 where there is none.
        place: Where the images lie, as `Album.add` returned it.
        exemplars: For each layer, the rows that its units answer most strongly.
    """

    rows: np.ndarray
    labels: np.ndarray
    place: Mapping[str, Any]
    exemplars: Mapping[str, Exemplars]


def content(
    units: Table,
    layers: Table,
    taps: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    activity: Mapping[str, Activity],
    generated: Mapping[tuple[str, str], GeneratedImages],
    natural: Natural | None,
    curves: Sequence[Table] = (),
) -> dict[str, Any]:
    """Return all that the page shows, as plain values that JSON can hold; what is undefined is None.

    Args:
        units: The units table of one experiment.
        layers: Its table of correlations.
        taps: A record a layer, with `layer`, `depth`, `kind`, `units` and `signed`.
        classes: Names of the classes; none where the images have no labels, or there are none.
        activity: What real images say, by layer; empty without a data set.
        generated: Images by layer and method.
        natural: The natural images, or None without a data set.
        curves: Tables of cumulative ablation, one a layer and one of all layers together.
    """
    methods = methods_of(units)
    names = layers_of(units)
    records = {tap["layer"]: tap for tap in taps}
    columns = score_columns(units, activity)
    defined = {key: column for key, column in columns.items() if np.isfinite(column).any()}
    return {
        "experiment": str(units["experiment"][0]),
        "network": str(units["network"][0]),
        "classes": list(classes),
        "hasImages": bool(activity),
        "forms": [{"key": score, "name": name} for score, name in RS_NAMES.items()],
        "methods": [{"key": method, "name": method_name(method)} for method in methods],
        "scores": [{"key": key, "name": score_name(key, methods), "main": is_main(key, methods)} for key in defined],
        "missing": [score_name(key, methods) for key in columns if key not in defined],
        "units": {
            "layer": [names.index(layer) for layer in units["layer"].tolist()],
            "unit": units["unit"].tolist(),
            "dead": units["dead"].tolist(),
            "top": [_position(classes, name) for name in units["top_class"].tolist()],
            "detected": [_position(classes, name) for name in units["auc_class"].tolist()],
            "scores": {key: plain(column) for key, column in defined.items()},
        },
        "layers": [
            _layer(units, records[name], activity.get(name), natural, {m: generated.get((name, m)) for m in methods})
            for name in names
        ],
        "natural": _natural(natural),
        "correlations": _correlations(layers, methods),
        "cumulative": [one for table in curves for one in _cumulative(table, methods)],
    }


def plain(values: np.ndarray) -> list[Any]:
    """Return numbers as JSON holds them: integers as they are, others to `DIGITS` digits, None where undefined."""
    if values.dtype.kind in "iu":
        return values.tolist()
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()]


def _position(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else -1


def _layer(
    units: Table,
    tap: Mapping[str, Any],
    activity: Activity | None,
    natural: Natural | None,
    generated: Mapping[str, GeneratedImages | None],
) -> dict[str, Any]:
    layer_units = rows_of(units, tap["layer"])
    return {
        "name": tap["layer"],
        "depth": int(tap["depth"]),
        "kind": tap["kind"],
        "units": int(tap["units"]),
        "signed": bool(tap["signed"]),
        "dead": int(layer_units["dead"].sum()),
        "classMeans": None if activity is None else _class_means(activity.class_means),
        "exemplars": None if natural is None else _exemplars(natural, tap["layer"]),
        "methods": {method: _method(layer_units, method, one) for method, one in generated.items() if one is not None},
    }


def _class_means(means: np.ndarray | None) -> dict[str, Any] | None:
    """Return for each unit its mean activation by class: of all classes, or of the strongest by their numbers."""
    if means is None or not len(means):
        return None
    if len(means) <= MOST_CLASSES:
        return {"classes": None, "means": [plain(column) for column in means.T]}
    strongest = np.argsort(-means, axis=0, kind="stable")[:MOST_CLASSES].T
    strongest_means = np.take_along_axis(means.T, strongest, axis=1)
    return {"classes": strongest.tolist(), "means": [plain(row) for row in strongest_means]}


def _exemplars(natural: Natural, layer: str) -> dict[str, Any]:
    """Return for each unit the numbers of its natural images among those that the page holds, and its answers."""
    number = {row: place for place, row in enumerate(natural.rows.tolist())}
    exemplars = natural.exemplars[layer]
    return {
        "images": [[number[row] for row in rows if row >= 0] for rows in exemplars.images.tolist()],
        "activations": [plain(values[np.isfinite(values)]) for values in exemplars.activations],
    }


def _natural(natural: Natural | None) -> dict[str, Any] | None:
    if natural is None or not len(natural.rows):
        return None
    return {"rows": natural.rows.tolist(), "labels": natural.labels.tolist(), "place": dict(natural.place)}


def _method(layer_units: Table, method: str, generated: GeneratedImages) -> dict[str, Any]:
    units = generated.units.tolist()
    listed = [[int(j) for j in str(layer_units[f"substitutes_{method}"][unit]).split()] for unit in units]
    responses = generated.responses()
    pairs = (
        (responses[:, row, unit].astype(np.float64), responses[:, row, others])
        for row, (unit, others) in enumerate(zip(units, listed, strict=True))
    )
    return {
        "units": units,
        "targets": generated.targets,
        "seeds": list(generated.seeds),
        "place": dict(generated.place),
        "substitutes": listed,
        "strength": [plain(relative_strength(*pair)) for pair in pairs],
    }


def _correlations(layers: Table, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Return every correlation with the columns of the units table that it is of."""
    rows = []
    for row in range(len(layers["layer"])):
        record = {name: column[row].item() for name, column in layers.items()}
        first, _, second = str(layers["method"][row]).partition(":")
        x, y = (
            f"{score}_{method}" if method and score in METHOD_SCORES else score
            for score, method in ((str(layers["x"][row]), first), (str(layers["y"][row]), second or first))
        )
        numbers = np.array([layers[name][row] for name in ("spearman", "ci_low", "ci_high", "p_value")], np.float64)
        names = ("spearman", "low", "high", "p")
        rows.append(
            {
                "layer": str(layers["layer"][row]),
                "x": x,
                "y": y,
                **dict(zip(names, plain(numbers), strict=True)),
                "n": int(layers["used"][row]),
                "ceiling": plain(np.array([ceiling_of(record)]))[0],
                "untestable": why_untestable(record),
                "reason": _with_names(str(layers["reason"][row]), {key: score_name(key, methods) for key in (x, y)}),
            }
        )
    return rows


def _with_names(text: str, names: Mapping[str, str]) -> str:
    """Replace names of columns; only whole ones, as that of one method may begin like that of another."""
    return re.sub(r"[\w.-]+", lambda word: names.get(word[0], word[0]), text)


def _cumulative(curves: Table, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Return the curves of a table of cumulative ablation, one for each clamp, score and direction.

    The random orders are one of them: their mean, and the lowest and highest of them at each fraction.
    """
    measured = np.isfinite(curves["fraction"])
    keys = zip(*(curves[name][measured].tolist() for name in ("clamp", "score", "direction")), strict=True)
    records = []
    for clamp, score, direction in dict.fromkeys(keys):
        rows = measured & (curves["clamp"] == clamp) & (curves["score"] == score) & (curves["direction"] == direction)
        draws = np.unique(curves["draw"][rows])
        accuracy = np.stack([curves["accuracy"][rows & (curves["draw"] == draw)] for draw in draws])
        records.append(
            {
                # Empty where they are removed from all layers together.
                "layer": str(curves["layer"][rows][0]),
                "clamp": clamp,
                "score": score_name(score, methods),
                "direction": direction,
                "fraction": plain(curves["fraction"][rows & (curves["draw"] == draws[0])]),
                "accuracy": plain(accuracy.mean(0)),
                "low": plain(accuracy.min(0)) if len(draws) > 1 else None,
                "high": plain(accuracy.max(0)) if len(draws) > 1 else None,
            }
        )
    return records
