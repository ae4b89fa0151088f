"""Columns of what predicts the ablation loss, and of RS and selectivity given other scores."""

from unitscope.storage.columns import Schema, number, text
from unitscope.storage.common_columns import Common
from unitscope.tables.correlation_columns import LayersTable


class ImportanceTable(Schema, files=["results/{experiment}/importance.csv"]):
    """One row per layer and predictor of the ablation loss, and two per method for sets of predictors."""

    experiment = Common.experiment
    layer = Common.layer
    depth = Common.depth
    method = Common.method
    predictor = text()
    """Name of the predictor; all_but_rs and all are the sets without and with the four forms of RS."""
    units = Common.units
    used = Common.used
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    r2 = number("1")
    """Cross-validated R2 of a linear regression of the loss's ranks on the predictor's; below 0 it is no help."""
    reason = Common.reason
    reliability_x = LayersTable.reliability_x
    reliability_y = LayersTable.reliability_y
    ceiling = LayersTable.ceiling
    images_needed = LayersTable.images_needed


class PartialTable(Schema, files=["results/{experiment}/partial.csv"]):
    """One row per layer, method and form of RS: its correlation with class selectivity, given other scores."""

    experiment = Common.experiment
    layer = Common.layer
    depth = Common.depth
    method = Common.method
    score = Common.score
    units = Common.units
    used = Common.used
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    partial = number("1")
    """Partial rank correlation given the scores in given."""
    partial_low = number("1")
    """Lower end of its 95 % confidence interval."""
    partial_high = number("1")
    """Upper end of its 95 % confidence interval."""
    given = text()
    """Names of the scores that are given, separated by spaces."""
    reason = Common.reason


class PartialLossTable(Schema, files=["results/{experiment}/partial_loss.csv"]):
    """One row per layer, method, form of RS and given score: its correlation with the ablation loss, other halves."""

    experiment = Common.experiment
    layer = Common.layer
    depth = Common.depth
    method = Common.method
    score = Common.score
    units = Common.units
    used = Common.used
    spearman = Common.spearman
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    partial = PartialTable.partial
    partial_low = PartialTable.partial_low
    partial_high = PartialTable.partial_high
    given = PartialTable.given
    reason = Common.reason
