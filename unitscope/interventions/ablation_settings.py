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
class AblationJob(AblationSettings):
    """The ablation of one layer."""

    units: Literal["all"] | Units = "all"  # type: ignore[assignment]
    """Which units are clamped: all, or the targets, as the experiment names them."""
    batch: Count = 250
    """Images at a time."""
