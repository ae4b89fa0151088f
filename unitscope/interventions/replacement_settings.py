"""Settings of the replacement of units by predictions from their substitutes."""

from unitscope.settings import Count, Readout, Seed, section


@section
class ReplacementSettings:
    """Replacement of units by an affine prediction from their substitutes (analysis replacement)."""

    fitted: Count = 1000
    """Training images on which the predictions are fitted, as many of each class as may be."""
    most_units: Count | None = None
    """At most so many target units of a layer, a random sample; null takes all."""
    seed: Seed = 0
    """Of the control sets and the sample."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class ReplacementJob(ReplacementSettings):
    """The replacement of the units of one layer."""

    readout: Readout
    """How a unit's map becomes its activation."""
    images: Count | None
    """How many images of the test split; null takes all."""
    batch: Count
    """Images at a time."""
