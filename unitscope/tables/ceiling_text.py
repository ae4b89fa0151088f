"""What reliabilities say of a correlation with an ablation loss, in words."""

import math
from collections.abc import Mapping
from typing import Any

from unitscope.stats.reliabilities import TESTABLE

LOSSES = ("ablation_loss", "ablation_loss_mean")
"""Scores whose reliability grows with the number of images of the ablation."""


def ceiling_of(row: Mapping[str, Any]) -> float:
    """Return the ceiling of a correlation with an ablation loss; NaN for another one, or where it is not known.

    Args:
        row: A row of `LayersTable`, or of a table of correlations without reliabilities.
    """
    return float(row["ceiling"]) if row["y"] in LOSSES and "ceiling" in row else math.nan


def why_untestable(row: Mapping[str, Any]) -> str:
    """Return that the absence of a correlation with an ablation loss cannot be tested; an empty text where it can.

    A correlation whose interval excludes 0 has been detected: noise of the scores cannot create one.

    Args:
        row: As `ceiling_of` takes it.
    """
    if not ceiling_of(row) >= 0 or not row["reliability_y"] < TESTABLE or row["ci_low"] > 0 or row["ci_high"] < 0:
        return ""
    needed = row["images_needed"]
    images = f" ({_rounded(needed)} needed)" if math.isfinite(needed) else ""
    return f"not testable with this number of images{images}"


def _rounded(images: float) -> str:
    """Return a number of images with two digits: it is an estimate."""
    return f"{float(f'{images:.2g}'):.0f}"
