"""Columns of the positive control: how well scores find planted copies, and whether these replace the originals."""

from unitscope.storage.columns import Schema, integer, number, text
from unitscope.storage.common_columns import Common


class PlantedTable(Schema, files=["results/{experiment}/planted/{layer}.csv"]):
    """One row per planted correlation and copied unit; one with a reason if no units can be added to the layer."""

    layer = Common.layer
    method = Common.method
    planted = number("1")
    """Correlation with the original at which copies were planted."""
    unit = integer("index", or_nan=True)
    """Number of the original in its layer, from 0."""
    copy = integer("index", or_nan=True)
    """Number of the copy in the widened layer; the copies follow the layer's own units."""
    angle = number("rad")
    """Angle between the incoming weights of copy and original."""
    correlation = number("1")
    """Correlation of the activations of copy and original over training images and positions."""
    correlation_readout = number("1")
    """The same correlation of the activations that are read out, over training images."""
    competitors = integer("count", or_nan=True)
    """Number of units of the widened layer other than the original."""
    auc_rs = number("share")
    """Area under the ROC curve of the copy among all competitors by R[i, j] / R[i, i], ties counting half."""
    auc_rs_z = number("share")
    """The same by (R[i, j] - mean) / standard deviation of unit j on training images."""
    auc_rs_q = number("share")
    """The same by R[i, j] divided by the 99th percentile of unit j on training images."""
    auc_rs_r = number("share")
    """The same by R[i, j] divided by the response of unit j to its own image."""
    auc_correlation = number("share")
    """The same by the absolute correlation with the original over training images and positions."""
    auc_correlation_readout = number("share")
    """The same by the absolute correlation of the activations that are read out, over training images."""
    kl_copy = number("nats")
    """Mean KL divergence of the outputs from the intact widened network, the original predicted from its copy."""
    controls = integer("count", or_nan=True)
    """Number of control units: nearest to the original in class means, and to the copy in firing rate."""
    kl_controls = number("nats")
    """The same divergence with the original predicted from a control unit, mean over the controls."""
    advantage = number("nats")
    """kl_controls - kl_copy: positive if the copy replaces the original better than the controls do."""
    function_kl = number("nats")
    """Mean KL divergence of the outputs of the widened network from those of the network itself."""
    logits_change = number("1")
    """Largest absolute change of a logit by the widening, on the test images."""
    reason = Common.reason


class PlantedSummaryTable(Schema, files=["results/{experiment}/planted.csv"]):
    """One row per layer, planted correlation and score: how well the score finds the copies."""

    layer = Common.layer
    method = Common.method
    planted = PlantedTable.planted
    score = text()
    """Score by which competitors are ranked: rs, rs_z, rs_q, rs_r, or a rival, correlation or correlation_readout."""
    used = Common.used
    auc = number("share")
    """Mean over units of the area under the ROC curve; 0.5 is chance."""
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    first = number("share")
    """Share of the units whose copy alone has the highest score."""
    over_correlation = number("share")
    """Mean over units of the area minus that of the correlation: positive if the score is the better one."""
    over_low = number("share")
    """Lower end of the 95 % confidence interval of over_correlation."""
    over_high = number("share")
    """Upper end of the 95 % confidence interval of over_correlation."""
    reason = Common.reason


class PlantedAdvantageTable(Schema, files=["results/{experiment}/planted_advantage.csv"]):
    """One row per layer and planted correlation: whether the copies replace their originals (dose-response)."""

    layer = Common.layer
    method = Common.method
    planted = PlantedTable.planted
    used = Common.used
    correlation = number("1")
    """Mean over units of the correlation of copy and original."""
    kl_copy = number("nats")
    """Mean over units of the divergence with the original predicted from its copy."""
    kl_controls = number("nats")
    """Mean over units of the divergence with the original predicted from a control unit."""
    advantage = number("nats")
    """Mean over units of kl_controls - kl_copy."""
    ci_low = Common.ci_low
    ci_high = Common.ci_high
    positive = number("share")
    """Share of the units whose advantage is above 0."""
    function_kl = PlantedTable.function_kl
    slope = number("nats")
    """Mean over units of the least-squares slope of advantage on correlation, over all planted correlations of the
    layer; the same in all its rows.
    """
    slope_low = number("nats")
    """Lower end of the 95 % confidence interval of slope."""
    slope_high = number("nats")
    """Upper end of the 95 % confidence interval of slope."""
    reason = Common.reason
