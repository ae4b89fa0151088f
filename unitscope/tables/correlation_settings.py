"""Settings of the table of correlations."""

from unitscope.settings import Count, section
from unitscope.stats.statistics_settings import StatisticsSettings


@section
class CorrelationsJob(StatisticsSettings):
    """Correlations, and the images that ablation losses are measured on."""

    images: Count | None
    """How many images of the test split; null takes all."""
