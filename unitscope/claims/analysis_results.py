"""The tables that the analyses of an experiment have written, as claims read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.claims.verdicts import Part, all_hold
from unitscope.stats.estimate import Estimate
from unitscope.tables.table_access import Table


@dataclass(frozen=True)
class AnalysisResults:
    """What the analyses of an experiment have written.

    Attributes:
        name: Name of the experiment.
        methods: For each analysis that it has, the methods whose RS it is asked of.
        tables: Tables by name: "units", "layers" and those of its analyses. A table of several files is stacked.
        resamples: Of each bootstrap.
        seed: Of each bootstrap.
    """

    name: str
    methods: Mapping[str, Sequence[str]]
    tables: Mapping[str, Table]
    resamples: int
    seed: int


def records(table: Table, **criteria: Any) -> list[dict[str, Any]]:
    """Return the rows of a table in which columns have the wanted values, as records."""
    mask = np.ones(len(next(iter(table.values()))), dtype=bool)
    for name, value in criteria.items():
        mask &= table[name] == value
    return [{name: column[row].item() for name, column in table.items()} for row in np.flatnonzero(mask)]


def why_no_interval(row: Mapping[str, Any], estimate: Estimate) -> str:
    """Return why an effect has no interval; a row's other reasons are not about it."""
    return "" if np.isfinite(estimate.low) else str(row["reason"])


def verdict(parts: Sequence[Part]) -> str:
    """Return the verdict over the parts that ask about anything: all of them hold, one does not, or neither."""
    return all_hold([part for part in parts if part.n])
