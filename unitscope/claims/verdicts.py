"""What a test of a claim says: where its interval lies, the verdict of its parts, and its row of claims.csv."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.stats.estimate import Estimate


@dataclass(frozen=True)
class Part:
    """What a claim says of one layer and method, and what was found.

    Attributes:
        layer: The layer; empty where the statistic is of several.
        method: The method, or empty.
        statistic: What was computed, and what is predicted of it.
        estimate: The effect and its interval.
        n: Number of units, layers, trainings or images that it rests on.
        holds: "yes", "no" or "open".
        level: Of the interval.
        p_value: Two-sided, where there is one.
        note: What has to be known to read it.
    """

    layer: str
    method: str
    statistic: str
    estimate: Estimate
    n: int
    holds: str
    level: float = 0.95
    p_value: float = np.nan
    note: str = ""


def above(estimate: Estimate, bound: float = 0.0) -> str:
    """Return whether an interval lies above a bound: "yes", "no" (wholly below it), or "open"."""
    return "yes" if estimate.low > bound else "no" if estimate.high < bound else "open"


def below(estimate: Estimate, bound: float = 0.0) -> str:
    """Return whether an interval lies below a bound: "yes", "no" (wholly above it), or "open"."""
    return "yes" if estimate.high < bound else "no" if estimate.low > bound else "open"


def at_most(estimate: Estimate, bound: float) -> str:
    """Return whether an interval does not exceed a bound: "yes", "no" (wholly above it), or "open"."""
    return "yes" if estimate.high <= bound else "no" if estimate.low > bound else "open"


def at_least(estimate: Estimate, bound: float) -> str:
    """Return whether an interval does not fall below a bound: "yes", "no" (wholly below it), or "open"."""
    return "yes" if estimate.low >= bound else "no" if estimate.high < bound else "open"


def within(estimate: Estimate, bounds: tuple[float, float]) -> str:
    """Return whether an interval lies between two bounds: "yes", "no" (wholly outside), or "open"."""
    low, high = bounds
    if estimate.low > low and estimate.high < high:
        return "yes"
    return "no" if estimate.low > high or estimate.high < low else "open"


VERDICTS = SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"


def all_hold(parts: Sequence[Part]) -> str:
    """Return the verdict of a claim that says something of every layer named."""
    holds = [part.holds for part in parts]
    if "no" in holds:
        return CONTRADICTED
    return SUPPORTED if holds and set(holds) == {"yes"} else INCONCLUSIVE


def any_holds(parts: Sequence[Part]) -> str:
    """Return the verdict of a claim that something exists."""
    holds = [part.holds for part in parts]
    if "yes" in holds:
        return SUPPORTED
    return CONTRADICTED if holds and set(holds) == {"no"} else INCONCLUSIVE


def record(experiment: str, claim: str, source: str, score: str, part: Part, verdict: str) -> dict[str, Any]:
    """Return a part as a row of claims.csv, its p value not yet corrected for others."""
    return {
        **{"experiment": experiment, "claim": claim, "source": source, "layer": part.layer, "method": part.method},
        **{"score": score, "statistic": part.statistic},
        **part.estimate.columns("effect", "ci_low", "ci_high"),
        **{
            "level": part.level,
            "n": part.n,
            "p_value": part.p_value,
            "p_holm": np.nan,
            "holds": part.holds,
            "verdict": verdict,
        },
        "note": part.note,
    }


def place(claim: str) -> tuple[bool, int]:
    """Return what claims are sorted by: those of the paper first, each kind by its number."""
    return not claim.startswith("C"), int(claim[1:])
