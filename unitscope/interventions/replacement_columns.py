"""Columns of the replacement of units by predictions from their substitutes."""

from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.columns import Schema, integer, number, text
from unitscope.storage.common_columns import Common


class ReplacementTable(Schema, files=["results/{experiment}/replacement/{layer}.{method}.csv"]):
    """One row per target unit and number of substitutes. KL is KL(intact || replaced), the mean over test images."""

    layer = Common.layer
    method = Common.method
    unit = Common.unit
    size = integer("count")
    """Number of units that the unit is predicted from."""
    replaced_by = text()
    """The substitutes: the other units with the largest z on the unit's generated image, strongest first."""
    rs = SubstitutionTable.rs
    rs_z = SubstitutionTable.rs_z
    kl_mean = number("nats")
    """KL when the unit is clamped to its mean."""
    kl_substitutes = number("nats")
    """KL when the unit is predicted from its substitutes."""
    kl_controls = number("nats")
    """KL when it is predicted from a control set, mean over the sets."""
    kl_correlated = number("nats")
    """KL when it is predicted from the units most correlated with it (a ceiling)."""
    kl_natural = number("nats")
    """KL when it is predicted from the units with the largest z on its natural images."""
    advantage = number("nats")
    """kl_controls - kl_substitutes: positive if the substitutes replace the unit better than control sets do."""
    advantage_half0 = number("nats")
    """advantage on the first half of the test images."""
    advantage_half1 = number("nats")
    """advantage on the second half of the test images."""
    advantage_correlated = number("nats")
    """kl_controls - kl_correlated."""
    advantage_natural = number("nats")
    """kl_controls - kl_natural."""
    r2_substitutes = number("1")
    """Share of the unit's variance that its substitutes predict on the training images of the fit."""
    r2_correlated = number("1")
    """The same of the most correlated units."""
    controls = integer("count")
    """Number of control sets."""
    reason = Common.reason


class ReplacementSummaryTable(Schema, files=["results/{experiment}/replacement.csv"]):
    """One row per layer, method and number of substitutes."""

    layer = Common.layer
    method = Common.method
    size = ReplacementTable.size
    units = Common.units
    used = Common.used
    advantage = number("nats")
    """Mean advantage over the units with controls."""
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    better = number("share")
    """Share of these units with a positive advantage."""
    advantage_correlated = number("nats")
    """Mean advantage of the most correlated units over control sets, same units."""
    advantage_natural = number("nats")
    """Mean advantage of the units named by natural images over control sets, same units."""
    recovery = number("1")
    """1 - (sum of kl_substitutes) / (sum of kl_mean), same units: share of the mean clamp's damage that they repair."""
    recovery_controls = number("1")
    """The same of control sets."""
    recovery_correlated = number("1")
    """The same of the most correlated units."""
    recovery_natural = number("1")
    """The same of the units named by natural images."""
    slope = number("nats")
    """Least-squares slope of advantage on rs_z over units."""
    slope_low = number("nats")
    """Lower end of its 95 % confidence interval."""
    slope_high = number("nats")
    """Upper end of its 95 % confidence interval."""
    reason = Common.reason
