"""Settings of correlations."""

from unitscope.settings import Count, Seed, section


@section
class StatisticsSettings:
    """Correlations."""

    permutations: Count = 10000
    """Draws of the permutation test."""
    resamples: Count = 2000
    """Resamples of the bootstrap interval."""
    seed: Seed = 0
    """Of both."""
