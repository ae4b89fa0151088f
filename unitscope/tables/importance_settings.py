"""Settings of what foretells the loss."""

from typing import Annotated

from annotated_types import Ge

from unitscope.settings import Count, Integer, Seed, section


@section
class ImportanceSettings:
    """What foretells the loss that a unit's ablation costs."""

    folds: Annotated[Integer, Ge(2)] = 5
    """Parts of a layer's units; each is foretold from the others."""
    repeats: Count = 20
    """How often the units are parted anew."""
    seed: Seed = 0
    """Of the parts."""


@section
class ImportanceJob(ImportanceSettings):
    """What foretells the loss, with intervals."""

    resamples: Count
    """Resamples of the bootstrap intervals."""
    images: Count | None
    """How many images of the test split the ablation takes; null takes all."""
