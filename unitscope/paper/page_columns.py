"""Columns of the tables next to the page of a study."""

from unitscope.storage.columns import Schema, integer, text
from unitscope.storage.common_columns import Common


class SensitivityTable(Schema, files=["{folder}/sensitivity.csv"]):
    """One row per variant of a method, training, layer and form of RS: its correlation with class selectivity."""

    experiment = Common.experiment
    method = Common.method
    objective = text()
    """Objective of the method."""
    variant = text()
    """What differs from the default of the objective; default for that itself."""
    layer = Common.layer
    score = Common.score
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    used = Common.used
    reason = Common.reason


class MemoryTable(Schema, files=["{folder}/memory.csv"]):
    """One row per rule and experiment, several trainings of one recipe together."""

    rule = text()
    """Name of the rule."""
    experiment = Common.experiment
    jobs = integer("count")
    """Number of jobs that were measured here."""
    peak_mib = integer("MiB")
    """Peak memory of the largest job."""
    seconds = integer("s")
    """Duration of the longest job."""
