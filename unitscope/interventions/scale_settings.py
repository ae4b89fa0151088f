"""Settings of random scales."""

from typing import Annotated

from annotated_types import Ge, Le

from unitscope.settings import Count, Integer, Readout, Sample, Seed, Units, section


@section
class ScaleSettings:
    """Random scales of the units that leave the network's function as it is, and what they do to the scores."""

    draws: Count = 10
    """How often all units of a layer are given other scales."""
    spread: Annotated[Integer, Ge(1), Le(12)] = 3
    """Scales are powers of two, their exponents uniform among the whole numbers from -spread to spread."""
    units: Units = Sample(sample=8)
    """Units whose images are made anew on a rescaled network."""
    steps: Count | None = 64
    """Steps of those ascents, at most the method's own; null takes all of these."""
    images: Count = 100
    """Test images, as many of each class as may be, on which it is measured that the function stays."""
    seed: Seed = 0
    """Of the scales."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class ScaleJob(ScaleSettings):
    """The rescaling of one layer."""

    start_seed: Seed
    """Number of the start noise."""
    readout: Readout
    """How a unit's map becomes its activation."""
    batch: Count
    """Images at a time."""
