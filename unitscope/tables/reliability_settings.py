"""Settings of reliability."""

from unitscope.settings import Count, Seed, Text, section


@section
class ReliabilitySettings:
    """How far RS and selectivity can be trusted, and what is left of their relation where there is none."""

    permutations: Count = 100
    """Draws of permuted labels."""
    seed: Seed = 0
    """Of the draws."""
    untrained: Text | None = None
    """Experiment on the same network with training: {epochs: 0}, to be put beside; null for none."""


@section
class ReliabilityJob(ReliabilitySettings):
    """Reliability, with intervals."""

    resamples: Count
    """Resamples of the bootstrap intervals."""
