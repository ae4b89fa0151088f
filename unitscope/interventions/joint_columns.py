"""Columns of joint ablation: the interaction of a unit and its substitutes."""

from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.columns import Schema, integer, number, text
from unitscope.storage.common_columns import Common


class InteractionsTable(Schema, files=["results/{experiment}/joint/{layer}.{method}.csv"]):
    """One row per target unit."""

    layer = Common.layer
    method = Common.method
    unit = Common.unit
    substitutes = SubstitutionTable.substitutes
    rs = SubstitutionTable.rs
    rs_z = SubstitutionTable.rs_z
    rs_q = SubstitutionTable.rs_q
    loss_unit = number("nats")
    """Increase of the loss without the unit."""
    loss_set = number("nats")
    """Increase of the loss without its substitutes."""
    loss_joint = number("nats")
    """Increase of the loss without the unit and its substitutes."""
    margin_unit = number("logits")
    """Decrease of the margin (logit of the class minus that of the intact network's runner-up) without the unit."""
    margin_set = number("logits")
    """Decrease of the margin without its substitutes."""
    margin_joint = number("logits")
    """Decrease of the margin without the unit and its substitutes."""
    interaction = number("logits")
    """margin_joint - margin_unit - margin_set: positive if the unit and its substitutes compensate each other."""
    interaction_half0 = number("logits")
    """Interaction on the first half of the test images."""
    interaction_half1 = number("logits")
    """Interaction on the second half of the test images."""
    controls = integer("count")
    """Number of control sets: random units of the substitutes' activation scale that do not exceed the unit."""
    control_mean = number("logits")
    """Mean interaction with the control sets."""
    control_sd = number("logits")
    """Standard deviation of the interaction with the control sets."""
    p_value = number("1")
    """Share of the control sets, the substitutes included, whose interaction is at least as large (one-sided)."""
    scale_ratio = number("1")
    """Activation scale of the controls divided by that of the substitutes; beyond a factor of 2 they are no control."""
    reason = Common.reason
    rs_r = SubstitutionTable.rs_r


class JointTable(Schema, files=["results/{experiment}/joint.csv"]):
    """One row per layer, method and definition of a high RS: the interaction beyond that with the control sets."""

    layer = Common.layer
    method = Common.method
    high = text()
    """Definition of a high RS: at least the median of the layer (median), or at least 0.5 (half)."""
    border = number("share")
    """RS from which a unit belongs to the row."""
    n = integer("count")
    """Number of units."""
    effect = number("logits")
    """Median over units of interaction - control_mean."""
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    reason = Common.reason
