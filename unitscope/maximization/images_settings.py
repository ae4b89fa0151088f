"""Settings of how the making of images is cut into jobs."""

from unitscope.settings import Batch, Count, Distinct, Flag, Readout, Seed, Units, section


@section
class ImagesSettings:
    """How the work of making images is cut."""

    batch: Batch = 32
    """Images that climb together, at most the layer's units; part of what makes results the same bit by bit. A number,
    or one for each layer, by names or patterns, so that a layer which takes too much memory gets a smaller one alone.
    """
    threads: Count = 1
    """Processors of a job; several jobs run at once."""
    compile: Flag = False
    """Whether torch.compile is used; it takes minutes first and gains on a GPU."""
    block: Count | None = None
    """Units of a layer that one job takes, so that the machines of a cluster share a layer; null is the whole layer.
    The results are the same bytes.
    """
    substitutes: Flag = True
    """Whether substitutes that are no targets get images too, for figures and the atlas to show."""


@section
class ImagesJob:
    """What the making of one layer's images is told: nothing is left to be looked up."""

    units: Units
    """Target units."""
    seeds: Distinct[Seed]
    """Numbers of the start noise."""
    readout: Readout
    """How a unit's map becomes its activation."""
    batch: Count
    """Images that climb together."""
    threads: Count
    """Processors of the job."""
    compile: Flag
    """Whether torch.compile is used."""
