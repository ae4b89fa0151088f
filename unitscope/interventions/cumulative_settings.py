"""Settings of the cumulative ablation."""

from dataclasses import field
from typing import Annotated, Literal

from annotated_types import Ge

from unitscope.settings import Count, Distinct, Flag, Integer, Seed, section


@section
class CumulativeSettings:
    """Removal of more and more units (analysis cumulative)."""

    scores: Distinct[Literal["selectivity", "rs", "rs_z", "rs_q", "rs_r"]] = field(
        default_factory=lambda: ["selectivity", "rs", "rs_z"]
    )
    """By which units are removed, the lowest and the highest first; RS by every method."""
    orders: Count = 10
    """Random orders."""
    points: Annotated[Integer, Ge(2)] = 11
    """Fractions removed, 0 to 1, at which loss and accuracy are measured."""
    clamps: Distinct[Literal["zero", "mean"]] = field(default_factory=lambda: ["zero"])
    """What removed units are clamped to: 0, or their mean over the training split."""
    images: Count | None = 100
    """How many images of the test split, as many of each class as may be; null takes as many as the ablation."""
    together: Flag = True
    """Whether all layers but the network's last, whose units are the classes, also lose the same fraction of their
    units at once.
    """
    resamples: Count = 2000
    """Resamples of the bootstrap over images."""
    seed: Seed = 0
    """Of the random orders, of ties, and of the resamples."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class CumulativeJob(CumulativeSettings):
    """The cumulative ablation of one layer, or of several together."""

    batch: Count
    """Images at a time."""
