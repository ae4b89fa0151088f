"""The replacement of units, summed up by layer, method and number of substitutes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unitscope.randomness import generator
from unitscope.stats.bootstrap import bootstrap
from unitscope.stats.estimate import Estimate, undefined

Table = Mapping[str, np.ndarray]


def summary_rows(table: Table, resamples: int, seed: int) -> list[dict[str, Any]]:
    """Return the rows of `ReplacementSummaryTable` of one layer and method.

    Args:
        table: The columns of `ReplacementTable`.
        resamples: Of the bootstrap over units.
        seed: Of the bootstrap.
    """
    rows = []
    for size in np.unique(table["size"]).tolist():
        of_size = {name: column[table["size"] == size] for name, column in table.items()}
        layer, method = str(of_size["layer"][0]), str(of_size["method"][0])
        rows.append(_row(of_size, resamples, (seed, "replacement", layer, method, size)))
    return rows


def _row(table: Table, resamples: int, seed: tuple[int | str, ...]) -> dict[str, Any]:
    advantage = table["advantage"].astype(float)
    used = np.isfinite(advantage)
    count = int(used.sum())
    reason = "" if count else "no unit has substitutes and control sets"
    effect = undefined(reason)
    if count:
        effect = bootstrap(mean, advantage[used], resamples=resamples, seed=generator(*seed, "advantage"))
    slope = slope_on_rs(advantage, table["rs_z"].astype(float), resamples, generator(*seed, "slope"))
    reasons = [reason or effect.reason, f"slope: {slope.reason}" if slope.reason and count else ""]
    return {
        **{name: table[name][0] for name in ("layer", "method", "size")},
        "units": len(advantage),
        "used": count,
        **effect.columns("advantage", "ci_low", "ci_high"),
        "better": float((advantage[used] > 0).mean()) if count else np.nan,
        **{name: _mean_of(table, name, used) for name in ("advantage_correlated", "advantage_natural")},
        "recovery": recovery(table, "kl_substitutes", used),
        **{f"recovery_{name}": recovery(table, f"kl_{name}", used) for name in ("controls", "correlated", "natural")},
        **slope.columns("slope", "slope_low", "slope_high"),
        "reason": "; ".join(filter(None, reasons)),
    }


def mean(values: np.ndarray) -> float:
    """Return the mean of values (units,)."""
    return float(values.mean())


def recovery(table: Table, column: str, used: np.ndarray) -> float:
    """Return 1 - (sum of a divergence) / (sum of that of the mean clamp) over the units used that have both."""
    replaced, clamped = table[column].astype(float), table["kl_mean"].astype(float)
    used = used & np.isfinite(replaced) & np.isfinite(clamped)
    total = clamped[used].sum()
    return float(1 - replaced[used].sum() / total) if total > 0 else np.nan


def slope_on_rs(advantage: np.ndarray, rs: np.ndarray, resamples: int, seed: np.random.Generator) -> Estimate:
    """Return the least-squares slope of advantage (units,) on RS (units,) with its bootstrap interval over units."""
    used = np.isfinite(advantage) & np.isfinite(rs)
    if used.sum() < 3 or np.ptp(rs[used]) == 0:
        return undefined(f"RS is the same for all of {int(used.sum())} units" if used.sum() > 2 else "too few units")
    return bootstrap(_slope, rs[used], advantage[used], resamples=resamples, seed=seed)


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    centred = x - x.mean()
    spread = float(centred @ centred)
    return float(centred @ y / spread) if spread > 0 else np.nan


def _mean_of(table: Table, name: str, used: np.ndarray) -> float:
    values = table[name].astype(float)[used]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan
