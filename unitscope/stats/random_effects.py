"""Random-effects pooling: the mean of an effect over trainings that may truly differ, and how much they differ.

Effects and variances in, one pooled effect out. The between-training variance is estimated by restricted maximum
likelihood, the interval is that of Hartung and Knapp (2001) and of Sidik and Jonkman (2002), which holds its level for
few trainings, where the usual interval does not.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.stats
from scipy.optimize import minimize_scalar

from unitscope.stats.effects import fishers_z
from unitscope.stats.estimate import Estimate


@dataclass(frozen=True)
class PooledEffect(Estimate):
    """A mean effect with its interval, and the heterogeneity of the effects.

    Attributes:
        standard_error: Of the mean, by Hartung, Knapp, Sidik and Jonkman.
        p_value: Two-sided, for a mean of 0.
        prediction_low: Lower end of the interval in which the true effect of another training is expected (Higgins,
            Thompson and Spiegelhalter 2009). NaN for fewer than three effects. For few trainings that differ about as
            much as their sampling errors it covers too rarely (Partlett and Riley 2017): 0.88 instead of 0.95 for five
            (tests/unit/stats/test_random_effects.py).
        prediction_high: Upper end of the same interval.
        tau: Standard deviation of the true effects between trainings.
        i_squared: Share of the variation of the effects that is between trainings, tau^2 / (tau^2 + typical sampling
            variance) (Higgins and Thompson 2002).
        q: Cochran's Q.
        q_p_value: Probability of a larger Q if all true effects are equal.
        used: Number of effects.
    """

    standard_error: float = np.nan
    p_value: float = np.nan
    prediction_low: float = np.nan
    prediction_high: float = np.nan
    tau: float = np.nan
    i_squared: float = np.nan
    q: float = np.nan
    q_p_value: float = np.nan
    used: int = 0


def pool(effects: np.ndarray, variances: np.ndarray, level: float = 0.95) -> PooledEffect:
    """Return the mean of effects under a random-effects model.

    Args:
        effects: (trainings,) for example Fisher's z of correlations; NaN is left out.
        variances: (trainings,) sampling variance of each effect, above 0; an effect without one is left out.
        level: Coverage of the interval and of the prediction interval.

    Returns:
        From a single effect: its value alone, with the reason; a mean needs two effects for an interval.

    Raises:
        ValueError: A variance is not above 0.

    Example: three effects, each with a standard error of 0.1.
        >>> pooled = pool(np.array([0.2, 0.3, 0.4]), np.full(3, 0.01))
        >>> round(pooled.value, 3), round(pooled.low, 3), round(pooled.high, 3), pooled.i_squared
        (0.3, 0.052, 0.548, 0.0)
    """
    effects, variances = np.asarray(effects, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    kept = np.isfinite(effects) & np.isfinite(variances)
    effects, variances = effects[kept], variances[kept]
    if (variances <= 0).any():
        raise ValueError(f"variances must be above 0; the smallest is {variances.min()}.")
    count = len(effects)
    if count < 2:
        value = float(effects[0]) if count else np.nan
        return PooledEffect(value, reason=f"no interval from {count} effects", used=count)
    tau_squared = between_variance(effects, variances)
    weights = 1 / (variances + tau_squared)
    mean = float(np.average(effects, weights=weights))
    standard_error = float(np.sqrt((weights * (effects - mean) ** 2).sum() / (count - 1) / weights.sum()))
    half = _t_quantile(level, count - 1) * standard_error
    spread = np.nan
    if count > 2:
        spread = _t_quantile(level, count - 2) * float(np.sqrt(tau_squared + standard_error**2))
    q = _cochran_q(effects, variances)
    return PooledEffect(
        value=mean,
        low=mean - half,
        high=mean + half,
        standard_error=standard_error,
        p_value=_two_sided(mean, standard_error, count - 1),
        prediction_low=mean - spread,
        prediction_high=mean + spread,
        tau=float(np.sqrt(tau_squared)),
        i_squared=tau_squared / (tau_squared + _typical_variance(variances)),
        q=q,
        q_p_value=float(scipy.stats.chi2.sf(q, count - 1)),
        used=count,
    )


def fisher_z(
    correlations: np.ndarray, z_errors: np.ndarray, level: float = 0.95, least_defined: float = 0.8
) -> PooledEffect:
    """Return the mean of correlations over trainings, pooled as Fisher's z and transformed back.

    Args:
        correlations: (trainings,) NaN where a training has none.
        z_errors: (trainings,) standard error of Fisher's z of each, from the resamples of a bootstrap
            (`unitscope.stats.correlation.Correlation.z_error`). A training without one, or without any spread of the
            resamples, counts as undefined.
        level: Coverage of the interval and of the prediction interval.
        least_defined: Smallest share of the trainings that must be defined: a mean over those in which a correlation
            happens to exist would be of other trainings.

    Returns:
        `value`, both intervals and their ends are correlations; `standard_error`, `tau`, `i_squared`, `q` and the p
        values are those of z.

    Example: three trainings of 64 units each.
        >>> pooled = fisher_z(np.array([0.2, 0.3, 0.4]), np.full(3, 0.13))
        >>> round(pooled.value, 3), round(pooled.low, 3), round(pooled.high, 3)
        (0.302, 0.038, 0.527)
    """
    correlations, z_errors = np.asarray(correlations, dtype=np.float64), np.asarray(z_errors, dtype=np.float64)
    defined = np.isfinite(correlations) & (z_errors > 0)
    count, trainings = int(defined.sum()), len(correlations)
    if count < least_defined * trainings or not count:
        return PooledEffect(np.nan, reason=f"defined in {count} of {trainings} trainings", used=count)
    pooled = pool(fishers_z(correlations[defined]), z_errors[defined] ** 2, level)
    return replace(
        pooled,
        value=float(np.tanh(pooled.value)),
        low=float(np.tanh(pooled.low)),
        high=float(np.tanh(pooled.high)),
        prediction_low=float(np.tanh(pooled.prediction_low)),
        prediction_high=float(np.tanh(pooled.prediction_high)),
    )


def between_variance(effects: np.ndarray, variances: np.ndarray) -> float:
    """Return the variance of the true effects by restricted maximum likelihood (Viechtbauer 2005), at least 0.

    Args:
        effects: (trainings,) at least two.
        variances: (trainings,) sampling variance of each.
    """

    def deviance(tau_squared: float) -> float:
        weights = 1 / (variances + tau_squared)
        mean = np.average(effects, weights=weights)
        return float(-np.log(weights).sum() + np.log(weights.sum()) + (weights * (effects - mean) ** 2).sum())

    # Four times the variance of the effects: more than is between the trainings. The likelihood of very unequal
    # variances may have two maxima: a grid finds the bracket of the higher one.
    largest = float(effects.var(ddof=1)) * 4
    if largest == 0:
        return 0.0
    edges = np.concatenate([[0.0], largest * np.geomspace(1e-6, 1, 13)])
    values = [deviance(edge) for edge in edges]
    lowest = int(np.argmin(values))
    bracket = (edges[max(lowest - 1, 0)], edges[min(lowest + 1, len(edges) - 1)])
    best = minimize_scalar(deviance, bounds=bracket, method="bounded", options={"xatol": 1e-10 * largest})
    return float(best.x) if best.fun < values[0] - 1e-12 else 0.0


def _cochran_q(effects: np.ndarray, variances: np.ndarray) -> float:
    weights = 1 / variances
    return float((weights * (effects - np.average(effects, weights=weights)) ** 2).sum())


def _typical_variance(variances: np.ndarray) -> float:
    """Return the sampling variance that stands for all (trainings,) of them (Higgins and Thompson 2002, Eq. 9)."""
    weights = 1 / variances
    return float((len(weights) - 1) * weights.sum() / (weights.sum() ** 2 - (weights**2).sum()))


def _t_quantile(level: float, freedom: int) -> float:
    return float(scipy.stats.t.ppf((1 + level) / 2, freedom))


def _two_sided(mean: float, standard_error: float, freedom: int) -> float:
    if standard_error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * scipy.stats.t.sf(abs(mean) / standard_error, freedom))
