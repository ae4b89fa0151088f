"""How the correlation of RS and selectivity depends on choices: variants of the methods and of the training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.scores.score_names import RS_SCORES
from unitscope.tables.number_text import number
from unitscope.tables.table_access import Table, correlation_of, layers_of


def sensitivity_rows(compared: Sequence[Mapping[str, str]], layers: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Return Spearman of RS and selectivity of each compared variant, training, layer and score.

    Args:
        compared: As `comparison.variants` gives it.
        layers: The table of correlations of each experiment.
    """
    rows = []
    for one in compared:
        table = layers[one["experiment"]]
        for layer in layers_of(table):
            for score in RS_SCORES:
                correlation = correlation_of(table, layer, one["method"], "selectivity", score)
                kept = ("spearman", "ci_low", "ci_high", "used", "reason")
                rows.append({**one, "layer": layer, "score": score, **{key: correlation[key] for key in kept}})
    return rows


def sensitivity_ranges(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a layer, objective and score: the default's mean over trainings, and the variants' extremes.

    A variant whose correlation is undefined in a training has no mean: it is counted apart, and is neither extreme.
    """
    ranges = []
    for place, every in _means_over_trainings(rows, "variant").items():
        means = {variant: mean for variant, mean in every.items() if np.isfinite(mean)}
        lowest, highest = (choose(means, key=means.__getitem__, default=None) for choose in (min, max))
        undefined = len(every) - len(means)
        ranges.append(
            {
                **dict(zip(PLACE, place, strict=True)),
                "default": number(means.get("default", np.nan)),
                "lowest": f"{number(means[lowest])} ({lowest})" if lowest else "-",
                "highest": f"{number(means[highest])} ({highest})" if highest else "-",
                "positive": f"{sum(value > 0 for value in means.values())} of {len(means)}"
                + (f", {undefined} undefined" if undefined else ""),
            }
        )
    return ranges


def by_length(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    """Return how Spearman of RS and selectivity goes on with the length of an ascent, or of a training.

    Args:
        rows: As `sensitivity_rows` gives them.
        key: "steps" or "epochs"; rows in which it is None differ in more than the length.

    Returns:
        lengths: ascending; rows: a row a layer, objective and score, with its mean over the trainings at each
        length, as text.
    """
    rows_with_length = [row for row in rows if row[key] is not None]
    lengths = sorted({row[key] for row in rows_with_length})
    return {
        "lengths": lengths,
        "rows": [
            {
                **dict(zip(PLACE, place, strict=True)),
                "means": [number(means[length]) if length in means else "-" for length in lengths],
            }
            for place, means in _means_over_trainings(rows_with_length, key).items()
        ],
    }


def accuracies_by_epochs(compared: Sequence[Mapping[str, Any]], records: Mapping[str, Any]) -> dict[int, list[str]]:
    """Return the test accuracies that trainings of each length reached, as text.

    Args:
        compared: As `comparison.variants` gives it.
        records: The training record of each network of which `epochs` is known.
    """
    networks = {one["network"]: one["epochs"] for one in compared if one["epochs"] is not None}
    by_epochs: dict[int, list[str]] = {}
    for network, epochs in networks.items():
        by_epochs.setdefault(epochs, []).append(f"{records[network]['test']['accuracy']:.1%}")
    return by_epochs


PLACE = ("layer", "objective", "score")
"""Where the variants of a sensitivity study are compared."""


def _means_over_trainings(rows: Sequence[Mapping[str, Any]], key: str) -> dict[tuple[str, ...], dict[Any, float]]:
    """Return the mean Spearman by place and then by a key of the rows; NaN where a training's is undefined."""
    values: dict[tuple[str, ...], dict[Any, list[float]]] = {}
    for row in rows:
        place = tuple(row[name] for name in PLACE)
        values.setdefault(place, {}).setdefault(row[key], []).append(float(row["spearman"]))
    return {
        place: {name: float(np.mean(correlations)) for name, correlations in by_name.items()}
        for place, by_name in values.items()
    }
