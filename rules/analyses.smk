# What the paper did not ask: each analysis has its rules here, and says in ANALYSES what it writes for an experiment.


def nothing(name):
    """Return no files: an analysis that only adds to what is there."""
    return []


ANALYSES = dict.fromkeys(
    ["scale", "importance", "joint", "cumulative", "reliability", "natural", "graph", "inhibition"], nothing
)
