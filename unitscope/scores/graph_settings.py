"""Settings of substitution graphs."""

from unitscope.settings import Count, Seed, section


@section
class GraphSettings:
    """The substitution graph of a layer, of methods whose objective is iam."""

    permutations: Count = 999
    """Draws in which each target's substitutes are chosen at random."""
    strongest: Count | None = 20
    """How many edges of a target are written as GraphML, the strongest; the numbers count all of them. null writes all.
    """
    seed: Seed = 0
    """Of the draws."""
