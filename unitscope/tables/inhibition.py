"""Inhibition: how many of a layer's units an image pushes below zero, where their nonlinearity silences them.

Chen et al. (2018) look at what excites units and name negative activations as future work. Behind a ReLU nothing is
seen of them; here pre-activations are read. Images that minimize a unit's own pre-activation are made by
`unitscope.maximization.maximize`, and RS of the minimum is scored by `unitscope.scores.substitution`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.randomness import generator
from unitscope.scores.score_names import RS_SCORES
from unitscope.stats.correlation import spearman
from unitscope.tables.table_access import Table, rows_of

SIGNED = "activations are signed: nothing is silenced below 0"
ALONE = "the unit is alone in its layer"
FAILED = "the unit is silent on its image, or, where that minimizes, not inhibited by it"


@dataclass(frozen=True)
class Inhibition:
    """How the other units of a layer answer the images of its targets.

    Attributes:
        inhibited: (targets,) share of the other units whose pre-activation is negative, mean over the seeds used; NaN
            where there are none.
        seeds: (targets,) number of seeds used.
    """

    inhibited: np.ndarray
    seeds: np.ndarray


def inhibition(preactivations: np.ndarray, responses: np.ndarray, units: np.ndarray) -> Inhibition:
    """Return the share of inhibited units on each target's image, #{j != i : P[i, j] < 0} / (N - 1).

    Args:
        preactivations: (seeds, targets, units), P[i, j]: unit j before its nonlinearity, read out, on unit i's image.
        responses: (seeds, targets, units), what RS compares (`unitscope.maximization.responses.compared`). A seed is
            used for a target where its own answer is above 0: where the image does what it was made for.
        units: (targets,) which unit each row was made for.
    """
    rows, count = np.arange(len(units)), preactivations.shape[-1]
    used = responses[:, rows, units] > 0
    negative = preactivations < 0
    others = negative.sum(-1) - negative[:, rows, units]
    seeds = used.sum(0)
    total = np.where(used, others, 0).sum(0)
    # A unit that is alone in its layer has no others.
    possible = seeds * (count - 1)
    share = np.divide(total, possible, out=np.full(len(units), np.nan), where=possible > 0)
    return Inhibition(share, seeds)


def inhibition_rows(
    inhibitions: Mapping[tuple[str, str], tuple[np.ndarray, Inhibition]],
    taps: Sequence[Mapping[str, Any]],
    experiment: str,
) -> Iterator[dict[str, Any]]:
    """Yield a row a target unit and method: experiment, layer, method, unit, seeds, inhibited, reason.

    Args:
        inhibitions: Target units and their inhibition, by layer and method.
        taps: A record a layer, with `layer` and `signed`. In a signed layer nothing is silenced: NaN, with the reason.
        experiment: Name of the experiment.
    """
    signed = {tap["layer"]: tap["signed"] for tap in taps}
    for (layer, method), (units, layer_inhibition) in inhibitions.items():
        for unit, seeds, share in zip(
            units.tolist(), layer_inhibition.seeds.tolist(), layer_inhibition.inhibited.tolist(), strict=True
        ):
            why = SIGNED if signed[layer] else "" if np.isfinite(share) else ALONE if seeds else FAILED
            yield {
                **{"experiment": experiment, "layer": layer, "method": method, "unit": unit, "seeds": seeds},
                **{"inhibited": np.nan if signed[layer] else share, "reason": why},
            }


def inhibition_correlations(
    table: Table, units: Table, taps: Sequence[Mapping[str, Any]], permutations: int, resamples: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the correlation of inhibition with selectivity and with each RS, a row a layer, method and score.

    Args:
        table: What `inhibition_rows` yields, as columns.
        units: The units table of the experiment.
        taps: A record a layer, with `layer`, `depth`, `kind` and `signed`.
        permutations: Shuffles for each p value.
        resamples: Bootstrap resamples for each interval.
        seed: Of both; every correlation draws from a seed of its own.

    Yields:
        The columns of layers.csv, x "inhibited", and `median`, the median share over living units. Dead units are left
        out, as targets; among the units that are inhibited they are counted.
    """
    for tap in taps:
        layer_units = rows_of(units, tap["layer"])
        for method in dict.fromkeys(table["method"].tolist()):
            inhibited = by_unit(table, tap["layer"], method, len(layer_units["unit"]))
            inhibited[layer_units["dead"]] = np.nan
            defined = inhibited[np.isfinite(inhibited)]
            for score in ("selectivity", *RS_SCORES):
                column = layer_units["selectivity" if score == "selectivity" else f"{score}_{method}"]
                random = generator(seed, tap["layer"], method, "inhibited", score)
                correlation = spearman(inhibited, column, permutations, resamples, random, ("inhibited", score))
                yield {
                    "experiment": str(layer_units["experiment"][0]),
                    **{key: tap[key] for key in ("layer", "depth", "kind")},
                    **{"method": method, "x": "inhibited", "y": score, "units": len(layer_units["unit"])},
                    **{"median": float(np.median(defined)) if len(defined) else np.nan, "used": correlation.used},
                    **correlation.columns("spearman", "ci_low", "ci_high"),
                    "p_value": correlation.p_value,
                    "reason": SIGNED if tap["signed"] else correlation.reason,
                }


def by_unit(table: Table, layer: str, method: str, units: int) -> np.ndarray:
    """Return the inhibited share of every unit of a layer (units,), NaN for those that are no targets."""
    rows = (table["layer"] == layer) & (table["method"] == method)
    result = np.full(units, np.nan)
    result[table["unit"][rows]] = table["inhibited"][rows]
    return result
