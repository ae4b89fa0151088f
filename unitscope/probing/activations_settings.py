"""Settings of the passes over real images."""

from unitscope.settings import Count, Flag, section


@section
class ActivationsSettings:
    """The passes over real images: for activations and for moments."""

    batch: Count = 250
    """Images at a time."""
    threads: Count = 8
    """Processors."""
    compile: Flag = False
    """Whether torch.compile is used; it takes minutes first and gains on a GPU."""
