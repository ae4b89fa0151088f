"""Settings of the ablation of single units."""

from dataclasses import field
from typing import Literal

from unitscope.settings import Batch, Count, Distinct, Units, section

ClampName = Literal["zero", "mean", "resample", "optimal"]


@section
class AblationSettings:
    """Replacement of the activations of single units."""

    units: Literal["all", "targets"] = "all"
    """Which units are replaced: all of a layer, or the targets that get an image."""
    clamps: Distinct[ClampName] = field(default_factory=lambda: ["zero", "mean"])
    """What replaces a unit's activation: zero, its mean, its map on another training image (resample), or the constant
    with the least loss on 500 training images (optimal)."""
    images: Count | None = None
    """How many images of the test split, as many of each class as may be; null takes all."""
    batch: Batch = 250
    """Images at a time: a number, or one for each layer, by names or patterns."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class AblationJob:
    """The ablation of one layer, with all settings resolved."""

    units: Units
    """The units that are replaced."""
    clamps: Distinct[ClampName]
    """What replaces a unit's activation."""
    images: Count | None
    """How many images of the test split; null takes all."""
    batch: Count
    """Images at a time."""
    threads: Count
    """Processors of the job."""
