"""Settings of class selectivity."""

from typing import Annotated

from annotated_types import Ge

from unitscope.settings import Count, Integer, Seed, section


@section
class SelectivitySettings:
    """Class selectivity."""

    permutations: Count = 20
    """Draws of permuted labels that the bias is estimated from."""
    seed: Seed = 0
    """Of the permutations."""
    bins: Annotated[Integer, Ge(2)] = 10
    """Bins of a unit's activation, of equal numbers of images, that class information is counted over."""
