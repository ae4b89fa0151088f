"""Columns of the correlations of scores within each layer."""

from unitscope.scores.sparseness_columns import SparsenessTable
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.columns import Schema, number
from unitscope.storage.common_columns import Common


class LayersTable(Schema, files=["results/{experiment}/layers.csv"]):
    """One row per layer, method and pair of scores, dead units left out; method is am:iam between two methods."""

    experiment = Common.experiment
    layer = Common.layer
    depth = Common.depth
    kind = Common.kind
    method = Common.method
    x = Common.x
    y = Common.y
    units = Common.units
    used = Common.used
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    p_value = Common.p_value
    reason = Common.reason
    population_sparseness = SparsenessTable.population_sparseness
    ascent_failures = SubstitutionTable.ascent_failures
    z_error = number("1")
    """Bootstrap standard error of Fisher's z of the correlation, for pooling over trainings."""
    reliability_x = number("1")
    """Reliability of x: split-half over the test images (Spearman-Brown), or ICC(2,k) over noise seeds."""
    reliability_y = number("1")
    """Reliability of y, likewise."""
    ceiling = number("1")
    """Largest correlation that the reliabilities allow, sqrt of their product; an unknown one counts as 1."""
    images_needed = number("count")
    """Number of test images for a reliability of 0.8 of an ablation loss y (Spearman-Brown)."""


class DepthTable(Schema, files=["results/{experiment}.depth.csv"]):
    """One row per layer, method and form of RS: its correlation with class selectivity, as DVC plots it."""

    layer = Common.layer
    method = Common.method
    score = Common.score
    spearman = number("1")
    """Spearman's rank correlation of the score and class selectivity."""
