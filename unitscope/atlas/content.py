"""What the atlas shows: every unit of an experiment, its scores, its images and its substitutes, as plain values.

Images are put into sheets, of which the page decodes those that are looked at. Reading artifacts belongs to
`scripts/figures/atlas.py`, putting the page together to `unitscope.atlas.page`.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unitscope.claims.verdicts import place
from unitscope.figures.pictures import COLUMNS, PER_SHEET, reduced, rgb, sheets
from unitscope.scores.exemplars import Exemplars
from unitscope.tables.unit_tables import Table, layers_of, method_name, methods_of, rows_of, two_decimals

ENLARGED = 64
"""Images up to this many pixels a side are shown enlarged, pixel by pixel."""

MOST_CLASSES = 20
"""Class means that are shown of a unit; of more classes than these, the strongest."""

DIGITS = 6
"""Significant digits of a number on the page."""

ACTIVATION_SCORES = {
    "mean": "mean activation",
    "std": "standard deviation of the activation",
    "positive_q99": "99th percentile of the positive activations",
    "max": "largest activation",
    "firing_rate": "share of images that excite the unit",
}
"""What activations.h5 says about a unit over the training images, by its name there."""

SCORE_NAMES = {
    "selectivity": "class selectivity",
    "selectivity_permuted": "class selectivity under permuted labels",
    "selectivity_half0": "class selectivity, first half of the test images",
    "selectivity_half1": "class selectivity, second half of the test images",
    "ablation_loss": "rise of the loss, clamped to 0",
    "ablation_accuracy": "drop of the accuracy, clamped to 0",
    "ablation_worst_class": "largest drop of one class, clamped to 0",
    "ablation_loss_mean": "rise of the loss, clamped to the mean",
    "ablation_accuracy_mean": "drop of the accuracy, clamped to the mean",
    "ablation_worst_class_mean": "largest drop of one class, clamped to the mean",
    "ablation_loss_half0": "rise of the loss, first half of the test images",
    "ablation_loss_half1": "rise of the loss, second half of the test images",
    "class_information": "class information, in bits",
    "class_information_permuted": "class information under permuted labels",
    "rs_natural": "RS on natural images",
    "rs_z_natural": "RS (z) on natural images",
    "rs_q_natural": "RS (q) on natural images",
}
METHOD_SCORES = {
    "rs": "RS",
    "rs_z": "RS (z)",
    "rs_q": "RS (q)",
    "ties": "ties",
    "seeds": "seeds used",
}
MAIN_SCORES = ("selectivity", "rs", "rs_z", "rs_q", "ablation_loss", "ablation_loss_mean", "activation_mean")
"""Scores that the table shows before more are asked for."""


@dataclass(frozen=True)
class Activity:
    """What real images say about the units of a layer.

    Attributes:
        scales: Each of `ACTIVATION_SCORES`, (units,).
        class_means: (classes, units), or None where the images have no classes.
    """

    scales: Mapping[str, np.ndarray]
    class_means: np.ndarray | None


@dataclass(frozen=True)
class Made:
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


@dataclass
class Album:
    """The sheets of a page, numbered in the order in which they were added.

    Attributes:
        pixels: Longest side of an image; larger ones are scaled down.
        sheets: What has been added, as WebP.
    """

    pixels: int
    sheets: list[bytes] = field(default_factory=list)

    def add(self, blocks: Iterable[np.ndarray], made: bool) -> dict[str, Any]:
        """Add images of one size.

        Args:
            blocks: Images (n, height, width, channels), `PER_SHEET` in each block but the last.
            made: Whether the images were made for units: those that are shown pixel by pixel are kept as they are,
                pixel by pixel too.

        Returns:
            Where they are found: the number of the first sheet, and how images lie on it.
        """
        blocks = iter(blocks)
        first = next(blocks)
        enlarged = max(first.shape[1:3]) <= min(ENLARGED, self.pixels)
        small = (reduced(rgb(block), self.pixels) for block in itertools.chain([first], blocks))
        found = sheets(small, exact=made and enlarged)
        place = {
            "sheet": len(self.sheets),
            "count": found.count,
            "perSheet": PER_SHEET,
            "columns": COLUMNS,
            "size": found.size,
            "cell": found.cell,
            "enlarged": enlarged,
        }
        self.sheets += found.files
        return place


def shown(exemplars: Iterable[Exemplars]) -> np.ndarray:
    """Return the rows of the data set that a page needs, each once, in the order in which units come upon them."""
    rows = np.concatenate([one.images.ravel() for one in exemplars] or [np.empty(0, dtype=np.int64)])
    found, first = np.unique(rows, return_index=True)
    return found[np.argsort(first)][found[np.argsort(first)] >= 0]


def relative_strength(responses: np.ndarray, units: np.ndarray, others: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return how strongly other units answer each target's image: the median over seeds of R[i, j] / R[i, i].

    Over the seeds in which unit i is not silent, as substitutes are ranked.

    Args:
        responses: (seeds, targets, units), R.
        units: (targets,).
        others: For each target, the units j.

    Returns:
        For each target, a number for each of its units j; NaN where the target is silent in all seeds.
    """
    result = []
    for row, (unit, wanted) in enumerate(zip(units.tolist(), others, strict=True)):
        own = responses[:, row, unit].astype(np.float64)
        speaks = own > 0
        ratios = responses[speaks, row][:, list(wanted)] / own[speaks, None]
        result.append(np.median(ratios, axis=0).tolist() if speaks.any() else [math.nan] * len(wanted))
    return result


# --- what the page is told -------------------------------------------------------------------------------------------


def content(
    units: Table,
    layers: Table,
    taps: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    activity: Mapping[str, Activity],
    made: Mapping[tuple[str, str], Made],
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
        made: Images by layer and method.
        natural: The natural images, or None without a data set.
        curves: Tables of cumulative ablation, one a layer and one of all layers together.
    """
    methods = methods_of(units)
    names = layers_of(units)
    records = {tap["layer"]: tap for tap in taps}
    columns = _columns(units, activity)
    defined = {key: column for key, column in columns.items() if np.isfinite(column).any()}
    return {
        "experiment": str(units["experiment"][0]),
        "network": str(units["network"][0]),
        "classes": list(classes),
        "hasImages": bool(activity),
        "methods": [{"key": method, "name": method_name(method)} for method in methods],
        "scores": [{"key": key, "name": _score_name(key, methods), "main": _is_main(key, methods)} for key in defined],
        "missing": [_score_name(key, methods) for key in columns if key not in defined],
        "units": {
            "layer": [names.index(layer) for layer in units["layer"].tolist()],
            "unit": units["unit"].tolist(),
            "dead": units["dead"].tolist(),
            "top": [_position(classes, name) for name in units["top_class"].tolist()],
            "scores": {key: plain(column) for key, column in defined.items()},
        },
        "layers": [
            _layer(units, records[name], activity.get(name), natural, {m: made.get((name, m)) for m in methods})
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


def _columns(units: Table, activity: Mapping[str, Activity]) -> dict[str, np.ndarray]:
    """Return every numeric score of every unit, in the order of the table, what real images say last."""
    places = ("depth", "unit")
    columns = {name: column for name, column in units.items() if column.dtype.kind in "if" and name not in places}
    for score in ACTIVATION_SCORES if activity else ():
        columns[f"activation_{score}"] = np.concatenate(
            [np.asarray(activity[layer].scales[score], dtype=np.float64) for layer in layers_of(units)]
        )
    return columns


def _split(key: str, methods: Sequence[str]) -> tuple[str, str]:
    """Return the score and the method of a column; the method is empty where there is none."""
    for score, method in itertools.product(METHOD_SCORES, methods):
        if key == f"{score}_{method}":
            return score, method
    return key, ""


def _score_name(key: str, methods: Sequence[str]) -> str:
    score, method = _split(key, methods)
    if method:
        return f"{METHOD_SCORES[score]}, {method_name(method)}"
    if key.startswith("activation_"):
        return ACTIVATION_SCORES[key.removeprefix("activation_")]
    return SCORE_NAMES.get(key, key)


def _is_main(key: str, methods: Sequence[str]) -> bool:
    return _split(key, methods)[0] in MAIN_SCORES


def _position(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else -1


def _layer(
    units: Table,
    tap: Mapping[str, Any],
    activity: Activity | None,
    natural: Natural | None,
    made: Mapping[str, Made | None],
) -> dict[str, Any]:
    own = rows_of(units, tap["layer"])
    return {
        "name": tap["layer"],
        "depth": int(tap["depth"]),
        "kind": tap["kind"],
        "units": int(tap["units"]),
        "signed": bool(tap["signed"]),
        "dead": int(own["dead"].sum()),
        "classMeans": None if activity is None else _class_means(activity.class_means),
        "exemplars": None if natural is None else _exemplars(natural, tap["layer"]),
        "methods": {method: _method(own, method, one) for method, one in made.items() if one is not None},
    }


def _class_means(means: np.ndarray | None) -> dict[str, Any] | None:
    """Return for each unit its mean activation by class: of all classes, or of the strongest by their numbers."""
    if means is None or not len(means):
        return None
    if len(means) <= MOST_CLASSES:
        return {"classes": None, "means": [plain(column) for column in means.T]}
    strongest = np.argsort(-means, axis=0, kind="stable")[:MOST_CLASSES].T
    found = np.take_along_axis(means.T, strongest, axis=1)
    return {"classes": strongest.tolist(), "means": [plain(row) for row in found]}


def _exemplars(natural: Natural, layer: str) -> dict[str, Any]:
    """Return for each unit the numbers of its natural images among those that the page holds, and its answers."""
    number = {row: place for place, row in enumerate(natural.rows.tolist())}
    own = natural.exemplars[layer]
    return {
        "images": [[number[row] for row in rows if row >= 0] for rows in own.images.tolist()],
        "activations": [plain(values[np.isfinite(values)]) for values in own.activations],
    }


def _natural(natural: Natural | None) -> dict[str, Any] | None:
    if natural is None or not len(natural.rows):
        return None
    return {"rows": natural.rows.tolist(), "labels": natural.labels.tolist(), "place": dict(natural.place)}


def _method(own: Table, method: str, made: Made) -> dict[str, Any]:
    listed = [[int(j) for j in str(own[f"substitutes_{method}"][unit]).split()] for unit in made.units.tolist()]
    return {
        "units": made.units.tolist(),
        "targets": made.targets,
        "seeds": list(made.seeds),
        "place": dict(made.place),
        "substitutes": listed,
        "strength": [plain(np.array(row)) for row in relative_strength(made.responses(), made.units, listed)],
    }


def _correlations(layers: Table, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Return every correlation with the columns of the units table that it is of."""
    rows = []
    for row in range(len(layers["layer"])):
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
                "reason": str(layers["reason"][row])
                .replace(x, _score_name(x, methods))
                .replace(y, _score_name(y, methods)),
            }
        )
    return rows


def _cumulative(curves: Table, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Return the curves of a table of cumulative ablation, one for each clamp, score and direction.

    The random orders are one of them: their mean, and the lowest and highest of them at each fraction.
    """
    measured = np.isfinite(curves["fraction"])
    keys = zip(*(curves[name][measured].tolist() for name in ("clamp", "score", "direction")), strict=True)
    found = []
    for clamp, score, direction in dict.fromkeys(keys):
        own = measured & (curves["clamp"] == clamp) & (curves["score"] == score) & (curves["direction"] == direction)
        draws = np.unique(curves["draw"][own])
        accuracy = np.stack([curves["accuracy"][own & (curves["draw"] == draw)] for draw in draws])
        found.append(
            {
                # Empty where they are removed from all layers together.
                "layer": str(curves["layer"][own][0]),
                "clamp": clamp,
                "score": _score_name(score, methods),
                "direction": direction,
                "fraction": plain(curves["fraction"][own & (curves["draw"] == draws[0])]),
                "accuracy": plain(accuracy.mean(0)),
                "low": plain(accuracy.min(0)) if len(draws) > 1 else None,
                "high": plain(accuracy.max(0)) if len(draws) > 1 else None,
            }
        )
    return found


def claim_groups(claims: Table, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the claims of an experiment, each with its text, its verdict by score, and its rows as text.

    Args:
        claims: The claims table.
        texts: What each claim says.
    """
    groups = []
    for name in sorted(set(claims["claim"].tolist()), key=place):
        own = {column: values[claims["claim"] == name] for column, values in claims.items()}
        rows = [{column: values[row] for column, values in own.items()} for row in range(len(own["claim"]))]
        groups.append(
            {
                "name": name,
                "source": str(own["source"][0]),
                "text": texts.get(name, ""),
                "verdicts": _verdicts(own),
                "rows": [
                    {
                        "layer": row["layer"],
                        "method": method_name(row["method"]),
                        "score": METHOD_SCORES.get(row["score"], row["score"]),
                        "statistic": row["statistic"],
                        "effect": _number(row["effect"]),
                        "interval": _interval(row),
                        "n": row["n"],
                        "holds": row["holds"],
                        "note": row["note"],
                    }
                    for row in rows
                ],
            }
        )
    return groups


def _verdicts(own: Table) -> list[dict[str, Any]]:
    """Return each verdict on a claim with the scores that it holds under, and the layer where layers differ."""
    of_score: dict[str, set[str]] = {}
    for score, verdict in zip(own["score"].tolist(), own["verdict"].tolist(), strict=True):
        of_score.setdefault(score, set()).add(verdict)
    found: dict[str, list[str]] = {}
    for layer, score, verdict in zip(*(own[name].tolist() for name in ("layer", "score", "verdict")), strict=True):
        words = [METHOD_SCORES.get(score, score)] + ([layer] if len(of_score[score]) > 1 else [])
        found.setdefault(verdict, []).append(" in ".join(word for word in words if word))
    return [
        {"verdict": verdict, "scores": [word for word in dict.fromkeys(scores) if word]}
        for verdict, scores in found.items()
    ]


def _number(value: float) -> str:
    return two_decimals(value).replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else "undefined"


def _interval(row: Mapping[str, Any]) -> str:
    if not (math.isfinite(row["ci_low"]) and math.isfinite(row["ci_high"])):
        return "none"
    return f"{_number(row['ci_low'])} to {_number(row['ci_high'])} ({100 * row['level']:.0f} %)"
