"""Settings of the ablation of single units."""

from typing import Literal

from unitscope.settings import Batch, Count, Units, section


@section
class AblationSettings:
    """Clamping of single units."""

    units: Literal["all", "targets"] = "all"
    """Which units are clamped: all of a layer, or the targets that get an image."""
    images: Count | None = None
    """How many images of the test split, as many of each class as may be; null takes all."""
    batch: Batch = 250
    """Images at a time: a number, or one for each layer, by names or patterns."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class AblationJob:
    """What the ablation of one layer is told: nothing is left to be looked up."""

    units: Units
    """The units that are clamped."""
    images: Count | None
    """How many images of the test split; null takes all."""
    batch: Count
    """Images at a time."""
    threads: Count
    """Processors of the job."""
