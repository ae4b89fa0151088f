"""A number with its interval: what statistics return and claims are decided by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; NaN where either is undefined.

    Attributes:
        value: The number.
        low: Lower end of the interval.
        high: Upper end of the interval.
        reason: Why the number or its interval is undefined; empty where both are defined.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    reason: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any], value: str, low: str, high: str) -> "Estimate":
        """Return the estimate that three columns of a table's row hold; arguments are the names of the columns."""
        return cls(float(row[value]), float(row[low]), float(row[high]))

    def columns(self, value: str, low: str, high: str) -> dict[str, float]:
        """Return the number and the ends of its interval as columns of these names."""
        return {value: self.value, low: self.low, high: self.high}


def undefined(reason: str = "") -> Estimate:
    """Return the estimate of a number that is undefined for a reason."""
    return Estimate(np.nan, reason=reason)
