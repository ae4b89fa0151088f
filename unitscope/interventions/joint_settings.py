"""Settings of the joint ablation."""

from unitscope.settings import Count, Seed, section


@section
class JointSettings:
    """Clamping of units together with their substitutes (analysis joint), on the images of the ablation, to 0."""

    controls: Count = 10
    """Random sets, of the size and activation scale of a unit's substitutes, that they are compared with."""
    most_units: Count | None = None
    """At most so many target units of a layer, a random sample; null takes all."""
    seed: Seed = 0
    """Of the control sets and the sample."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class JointJob(JointSettings):
    """The joint ablation of one layer."""

    images: Count | None
    """How many images of the test split; null takes all."""
    batch: Count
    """Images at a time."""
