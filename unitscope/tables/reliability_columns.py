"""Columns of the reliability of scores, and of their correlation under null models."""

from unitscope.storage.columns import Schema, number, text
from unitscope.storage.common_columns import Common

REAL, MINIMIZED, START, PERMUTED, UNTRAINED = "none", "minimized", "start", "permuted", "untrained"
"""Values of the column `null`; "none" is the network itself, "minimized" the images that minimize."""


class ReliabilityTable(Schema, files=["results/{experiment}/reliability.csv"]):
    """One row per layer, method and form of RS."""

    experiment = Common.experiment
    layer = Common.layer
    depth = Common.depth
    method = Common.method
    score = Common.score
    units = Common.units
    used = Common.used
    seeds = Common.seeds
    icc_single = number("1")
    """Intraclass correlation ICC(2,1): reliability of RS of one noise seed."""
    icc = number("1")
    """Intraclass correlation ICC(2,k): reliability of the mean RS over the seeds."""
    split_half = number("1")
    """Rank correlation of class selectivity on the two halves of the test images."""
    selectivity_reliability = number("1")
    """Reliability of class selectivity: split_half, stepped up by the Spearman-Brown formula."""
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    disattenuated = number("1")
    """Correlation of RS and selectivity corrected for their reliabilities; it may exceed 1."""
    disattenuated_low = number("1")
    """Lower end of its 95 % confidence interval."""
    disattenuated_high = number("1")
    """Upper end of its 95 % confidence interval."""
    reason = Common.reason
    icc_low = number("1")
    """Lower end of the 95 % confidence interval of icc."""
    icc_high = number("1")
    """Upper end of the 95 % confidence interval of icc."""


class NullsTable(Schema, files=["results/{experiment}/nulls.csv"]):
    """One row per layer, method, form of RS and null model: its correlation with class selectivity."""

    experiment = Common.experiment
    layer = Common.layer
    depth = Common.depth
    method = Common.method
    score = Common.score
    null = text()
    """Null model: start (start images), permuted (labels), untrained (network); none or minimized is no null model."""
    units = Common.units
    used = Common.used
    rs = number("share")
    """Mean of the score over the units used."""
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    reason = Common.reason
