"""Random-effects pooling: published worked examples, closed forms and simulated coverage."""

import numpy as np
import pytest

from unitscope.stats.correlation import spearman
from unitscope.stats.random_effects import between_variance, fisher_z, pool

# Teacher expectancy, 19 studies: Raudenbush 1984; estimates in Raudenbush 2009, tables 16.2 and 16.3.
EXPECTANCY = np.array([
    0.03, 0.12, -0.14, 1.18, 0.26, -0.06, -0.02, -0.32, 0.27, 0.80,
    0.54, 0.18, -0.02, 0.23, -0.18, -0.06, 0.30, 0.07, -0.07,
])  # fmt: skip
EXPECTANCY_VARIANCES = np.array([
    0.0156, 0.0216, 0.0279, 0.1391, 0.1362, 0.0106, 0.0106, 0.0484, 0.0269, 0.0630,
    0.0912, 0.0497, 0.0835, 0.0841, 0.0253, 0.0279, 0.0193, 0.0088, 0.0303,
])  # fmt: skip
# Viechtbauer 2005, page 271.
TEN = np.array([-0.581, 0.530, 0.771, 1.031, 0.553, 0.295, 0.078, 0.573, -0.176, -0.232])
TEN_VARIANCES = np.array([0.023, 0.052, 0.060, 0.115, 0.095, 0.203, 0.200, 0.211, 0.051, 0.040])


def test_the_published_example_of_teacher_expectancy():
    pooled = pool(EXPECTANCY, EXPECTANCY_VARIANCES)
    assert pooled.q == pytest.approx(35.83, abs=0.005)
    assert pooled.tau**2 == pytest.approx(0.0188, abs=5e-5)
    assert pooled.value == pytest.approx(0.0837, abs=5e-5)
    assert pooled.standard_error == pytest.approx(0.0616, abs=5e-5)
    assert (pooled.low, pooled.high) == pytest.approx((-0.0457, 0.2131), abs=1e-4)
    assert pooled.value / pooled.standard_error == pytest.approx(1.3593, abs=1e-3)


def test_the_published_example_of_between_variances():
    pooled = pool(TEN, TEN_VARIANCES)
    assert pooled.tau**2 == pytest.approx(0.2232, abs=5e-5)
    assert 100 * pooled.i_squared == pytest.approx(76.84, abs=0.005)


def test_equal_variances_give_student_s_interval():
    effects = np.array([0.1, 0.5, 0.2, 0.4, 0.9])
    pooled = pool(effects, np.full(5, 0.01))
    assert pooled.value == pytest.approx(effects.mean())
    assert pooled.standard_error == pytest.approx(effects.std(ddof=1) / np.sqrt(5))
    # Restricted maximum likelihood then is the sample variance less the sampling variance.
    assert pooled.tau**2 == pytest.approx(effects.var(ddof=1) - 0.01, rel=1e-6)
    half = 3.182446 * np.sqrt(pooled.tau**2 + pooled.standard_error**2)
    assert (pooled.prediction_low, pooled.prediction_high) == pytest.approx((0.42 - half, 0.42 + half), rel=1e-6)


def test_effects_that_vary_less_than_their_errors_have_no_heterogeneity():
    pooled = pool(np.array([0.30, 0.31, 0.29]), np.full(3, 0.04))
    assert pooled.tau == 0 and pooled.i_squared == 0 and pooled.q_p_value > 0.9


def test_units_of_measurement_and_order_do_not_matter():
    pooled, scaled = pool(TEN, TEN_VARIANCES), pool(1000 * TEN[::-1], 1e6 * TEN_VARIANCES[::-1])
    for name in ("value", "low", "high", "prediction_low", "tau"):
        assert 1000 * getattr(pooled, name) == pytest.approx(getattr(scaled, name), rel=1e-5), name
    assert pooled.p_value == pytest.approx(scaled.p_value, rel=1e-5)
    assert pooled.q_p_value == pytest.approx(scaled.q_p_value)


def test_too_few_effects_have_no_interval():
    assert np.isnan(pool(np.array([np.nan]), np.array([0.1])).value)
    one = pool(np.array([np.nan, 0.3]), np.array([0.1, 0.1]))
    assert one.value == 0.3 and np.isnan(one.low) and one.reason == "no interval from 1 effects" and one.used == 1
    two = pool(np.array([0.2, 0.4]), np.array([0.01, 0.01]))
    assert np.isfinite(two.low) and np.isnan(two.prediction_low)
    same = pool(np.array([0.2, 0.2]), np.array([0.01, 0.01]))
    assert (same.low, same.high, same.tau) == (0.2, 0.2, 0)
    with pytest.raises(ValueError, match="variances must be above 0; the smallest is 0"):
        pool(np.array([0.1, 0.2]), np.array([0.0, 0.1]))


def simulated(tau, trainings=5, studies=1500):
    """Pool simulated trainings whose sampling variances differ fourfold."""
    generator = np.random.default_rng(int(100 * tau) + trainings)
    for _ in range(studies):
        variances = generator.uniform(0.005, 0.02, trainings)
        true = 0.3 + tau * generator.standard_normal(trainings + 1)
        effects = true[:-1] + np.sqrt(variances) * generator.standard_normal(trainings)
        yield pool(effects, variances), true[-1]


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.3])
def test_intervals_cover_as_often_as_they_say(tau):
    results = list(simulated(tau))
    covered = np.mean([pooled.low <= 0.3 <= pooled.high for pooled, _ in results])
    assert 0.935 < covered < 0.97
    # Of another training's effect: too rarely at a tau like the sampling errors (Partlett and Riley 2017).
    predicted = np.mean([pooled.prediction_low <= true <= pooled.prediction_high for pooled, true in results])
    assert predicted == pytest.approx({0.0: 0.96, 0.1: 0.88, 0.3: 0.94}[tau], abs=0.02)
    # The interval that takes the variances for known covers too rarely (Hartung and Knapp 2001).
    if tau == 0.3:
        wald = [abs(pooled.value - 0.3) <= 1.96 * wald_error(pooled) for pooled, _ in results]
        assert np.mean(wald) < 0.91


def wald_error(pooled):
    return np.sqrt((pooled.tau**2 + 0.011) / pooled.used)


def test_the_restricted_likelihood_has_no_better_variance():
    generator = np.random.default_rng(2)
    for _ in range(20):
        variances = generator.uniform(0.001, 0.5, 4)
        effects = np.sqrt(variances + 0.05) * generator.standard_normal(4)
        best = between_variance(effects, variances)
        grid = np.linspace(0, 2, 2001)
        assert deviance(effects, variances, best) <= min(deviance(effects, variances, each) for each in grid) + 1e-7


def deviance(effects, variances, tau_squared):
    """Twice the negative restricted log likelihood, but for a constant: by determinants."""
    covariance, ones = np.diag(variances + tau_squared), np.ones((len(effects), 1))
    inverse = np.linalg.inv(covariance)
    information = (ones.T @ inverse @ ones).item()
    residuals = effects - (ones.T @ inverse @ effects).item() / information
    return np.linalg.slogdet(covariance)[1] + np.log(information) + residuals @ inverse @ residuals


def test_correlations_are_pooled_as_fisher_s_z():
    correlations, errors = np.array([0.2, 0.5, np.nan, 0.3, 0.4]), np.array([0.1, 0.12, 0.1, 0.14, 0.11])
    defined = np.isfinite(correlations)
    z = pool(np.arctanh(correlations[defined]), errors[defined] ** 2)
    pooled = fisher_z(correlations, errors)
    for name in ("value", "low", "high", "prediction_low", "prediction_high"):
        assert getattr(pooled, name) == pytest.approx(np.tanh(getattr(z, name))), name
    assert (pooled.standard_error, pooled.q, pooled.tau, pooled.used) == (z.standard_error, z.q, z.tau, 4)
    assert pooled.low < pooled.value < pooled.high < pooled.prediction_high < 1
    # A perfect correlation has no infinite z.
    assert np.isfinite(fisher_z(np.array([1.0, 0.9]), np.array([0.1, 0.1])).value)


def test_correlations_that_are_defined_in_too_few_trainings_are_not_pooled():
    few = fisher_z(np.array([0.2, np.nan, np.nan, 0.3, 0.4]), np.full(5, 0.1))
    assert np.isnan([few.value, few.low]).all() and few.reason == "defined in 3 of 5 trainings" and few.used == 3
    assert fisher_z(np.full(5, 0.3), np.array([0.1, 0.1, 0.1, 0.1, 0.0])).used == 4
    assert np.isnan(fisher_z(np.empty(0), np.empty(0)).value)
    one = fisher_z(np.array([0.3]), np.array([0.1]))
    assert one.value == pytest.approx(0.3) and one.reason == "no interval from 1 effects"


def test_pooled_correlations_of_five_trainings_cover_as_often_as_they_say():
    # Of a bivariate normal: Spearman's rho = 6 / pi * asin(r / 2).
    r, generator, covered = 0.4, np.random.default_rng(1), []
    truth = 6 / np.pi * np.arcsin(r / 2)
    for _ in range(150):
        x, noise = generator.normal(size=(2, 5, 48))
        y = r * x + np.sqrt(1 - r**2) * noise
        each = [spearman(*pair, 1, 100, generator) for pair in zip(x, y, strict=True)]
        pooled = fisher_z(np.array([one.value for one in each]), np.array([one.z_error for one in each]))
        covered.append(pooled.low <= truth <= pooled.high)
    assert 0.91 <= np.mean(covered) <= 0.99
