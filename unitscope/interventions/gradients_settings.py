"""Settings of the effects that gradients predict."""

from unitscope.settings import Count, section


@section
class GradientsSettings:
    """First-order effects and integrated gradients of units (analysis importance), on the images of the ablation."""

    nodes: Count = 16
    """Nodes of the numerical integral of integrated gradients; the table contains its completeness error."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class GradientsJob(GradientsSettings):
    """The gradients of one layer."""

    images: Count | None
    """How many images of the test split; null takes all."""
    batch: Count
    """Images at a time."""
