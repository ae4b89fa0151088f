"""Settings of the passes over real images."""

from unitscope.settings import Count, Flag, Readout, section


@section
class ActivationsSettings:
    """The passes over real images: for activations and for moments."""

    batch: Count = 250
    """Images at a time."""
    threads: Count = 8
    """Processors."""
    compile: Flag = False
    """Whether torch.compile is used; it takes minutes first and gains on a GPU."""


@section
class ActivationsJob(ActivationsSettings):
    """Activations of an experiment's layers."""

    readout: Readout
    """How a unit's map becomes its activation."""
