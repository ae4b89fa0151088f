"""Columns of the claims and their verdicts."""

from unitscope.storage.columns import Schema, integer, number, text
from unitscope.storage.common_columns import Common


class ClaimsTable(Schema, files=["results/{experiment}/claims.csv", "results/{entry}.training/claims.csv"]):
    """One row per claim, layer, method and score that it is tested on."""

    experiment = Common.experiment
    claim = text()
    """Name of the claim: C1 to C20 are the paper's, those with A belong to analyses."""
    source = text()
    """Where the paper makes the claim, or the analysis that it belongs to."""
    layer = Common.layer
    method = Common.method
    score = Common.score
    statistic = text()
    """What was computed, and what the claim predicts of it."""
    effect = number("1")
    """Value of the statistic, in its unit."""
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    level = number("share")
    """Confidence level of the interval."""
    n = integer("count")
    """Number of units, layers, trainings, images or draws of scales that the row is based on."""
    p_value = Common.p_value
    p_holm = number("1")
    """P value after Holm's correction over the rows that belong to one figure of the paper."""
    holds = text()
    """Whether the row agrees with the claim: yes, no or open."""
    verdict = text()
    """Verdict on all rows of the claim with this score: supported, contradicted or inconclusive."""
    note = text()
    """Remark needed to read the row; empty if there is none."""
