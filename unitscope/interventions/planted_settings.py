"""Settings of the positive control with planted copies."""

from dataclasses import field
from typing import Annotated

from annotated_types import Ge, Le

from unitscope.settings import Count, Distinct, Number, Readout, Seed, section


@section
class PlantedSettings:
    """Copies of units that are planted into the network, to test whether RS finds them (analysis planted)."""

    correlations: Distinct[Annotated[Number, Ge(0), Le(1)]] = field(default_factory=lambda: [1.0, 0.9, 0.7, 0.5])
    """Correlations of the copies with their originals over training images; a network with copies for each."""
    units: Count = 16
    """At most so many units of a layer are copied, a random sample of those that are alive."""
    images: Count = 2000
    """At most so many training images, as many of each class as possible, over which correlations, scales and
    predictions are computed.
    """
    test_images: Count | None = 500
    """Test images on which replacement is measured, as many of each class as possible; null takes all."""
    seed: Seed = 0
    """Seed of the sample, the random filters and the control sets."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class PlantedJob(PlantedSettings):
    """The planted copies of one layer."""

    start_seed: Seed
    """Number of the start noise."""
    readout: Readout
    """How a unit's map becomes its activation."""
    batch: Count
    """Images that climb together."""
    test_batch: Count
    """Images at a time in all other passes."""
