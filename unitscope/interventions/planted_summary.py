"""Summary of planted copies by layer: how well each score finds them, and how their replacement depends on correlation.

Works on the tables of `unitscope.interventions.planted`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.interventions.planted_scores import PLANTED_SCORES, RIVAL
from unitscope.randomness import generator
from unitscope.stats.bootstrap import bootstrap
from unitscope.stats.effects import slope
from unitscope.stats.estimate import Estimate, undefined

Columns = Mapping[str, np.ndarray]
"""Columns of equal length by name."""


def mean(values: np.ndarray) -> float:
    """Return the mean of values (units,)."""
    return float(values.mean())


def by_level(table: Columns) -> list[tuple[float, dict[str, np.ndarray]]]:
    """Return the rows of each planted correlation, the largest first; none of a layer without copies."""
    levels = sorted(set(table["planted"][np.isfinite(table["planted"])].tolist()), reverse=True)
    return [(level, {name: column[table["planted"] == level] for name, column in table.items()}) for level in levels]


def detection_rows(table: Columns, resamples: int, seed: int) -> list[dict[str, Any]]:
    """Return how well each score finds the copies of a layer: rows of `PlantedSummaryTable`.

    Args:
        table: The layer's rows, as `PlantedTable` describes them.
        resamples: Bootstrap resamples over units for each interval.
        seed: Of the resamples.
    """
    layer, method = str(table["layer"][0]), str(table["method"][0])
    named = {"layer": layer, "method": method}
    rows = []
    for level, part in by_level(table):
        for score in PLANTED_SCORES:
            name = ("planted", seed, layer, repr(level), score)
            areas, rival = part[f"auc_{score}"], part[f"auc_{RIVAL}"]
            area = _mean_of(areas, resamples, name)
            over = _mean_of(areas - rival, resamples, (*name, "over")) if score != RIVAL else undefined("the rival")
            finite = areas[np.isfinite(areas)]
            rows.append(
                {
                    **named,
                    **{"planted": level, "score": score, "used": len(finite)},
                    **area.columns("auc", "ci_low", "ci_high"),
                    "first": float((finite == 1).mean()) if len(finite) else np.nan,
                    **over.columns("over_correlation", "over_low", "over_high"),
                    "reason": area.reason or ("" if score == RIVAL else over.reason),
                }
            )
    return rows


def advantage_rows(table: Columns, resamples: int, seed: int) -> list[dict[str, Any]]:
    """Return whether the copies of a layer replace their originals: rows of `PlantedAdvantageTable`.

    The arguments are those of `detection_rows`.
    """
    layer, method = str(table["layer"][0]), str(table["method"][0])
    slopes = _mean_of(unit_slopes(table), resamples, ("planted", seed, layer, "slope"))
    rows = []
    for level, part in by_level(table):
        advantage = part["advantage"]
        kept = np.isfinite(advantage)
        estimate = _mean_of(advantage, resamples, ("planted", seed, layer, repr(level), "advantage"))
        means = {
            name: float(part[name][kept].mean()) if kept.any() else np.nan
            for name in ("correlation", "kl_copy", "kl_controls")
        }
        change = part["function_kl"][np.isfinite(part["function_kl"])]
        rows.append(
            {
                **{"layer": layer, "method": method, "planted": level, "used": int(kept.sum())},
                **means,
                **estimate.columns("advantage", "ci_low", "ci_high"),
                "positive": float((advantage[kept] > 0).mean()) if kept.any() else np.nan,
                "function_kl": float(change[0]) if len(change) else np.nan,
                **slopes.columns("slope", "slope_low", "slope_high"),
                "reason": estimate.reason,
            }
        )
    return rows


def unit_slopes(table: Columns) -> np.ndarray:
    """Return the least-squares slope of advantage on correlation of each copied unit; NaN with fewer than two copies.

    Args:
        table: The layer's rows, as `PlantedTable` describes them.
    """
    units = sorted(set(table["unit"][np.isfinite(table["unit"])].tolist()))
    parts = [table["unit"] == unit for unit in units]
    return np.array([slope(table["advantage"][part], table["correlation"][part]) for part in parts])


def _mean_of(values: np.ndarray, resamples: int, name: Sequence[str | int]) -> Estimate:
    """Return the mean of a value over the units that have it, with its bootstrap interval."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return undefined("no unit has it")
    return bootstrap(mean, finite, resamples=resamples, seed=generator(*name))
