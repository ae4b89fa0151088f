"""Spearman's correlation, its p and its interval; Holm's correction."""

import numpy as np
import pytest
import scipy.stats

from unitscope.stats import bootstrap
from unitscope.stats.correlation import holm, spearman
from unitscope.stats.ranks import distinct_places, mid_ranks

FEW = {"permutations": 199, "resamples": 200}


def sample(units, seed=0, strength=1.0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=units)
    return x, strength * x + generator.normal(size=units)


@pytest.mark.parametrize("units", [3, 4, 10, 64, 501])
@pytest.mark.parametrize("digits", [0, 8])
def test_correlation_equals_scipys_with_and_without_ties(units, digits):
    x, y = (np.round(values, digits) for values in sample(units, seed=3))
    expected = scipy.stats.spearmanr(x, y).statistic
    assert spearman(x, y, **FEW).value == pytest.approx(expected, abs=1e-12)


def test_p_value_converges_to_the_exact_one():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
    # 0.8 or more in absolute value: 16 of the 120 orders.
    assert spearman(x, y, permutations=20_000, resamples=2).p_value == pytest.approx(16 / 120, abs=0.01)


@pytest.mark.parametrize("digits", [1, 8])
def test_p_value_equals_scipys_permutation_test(digits):
    x, y = (np.round(values, digits) for values in sample(15, seed=5, strength=0.5))
    test = scipy.stats.permutation_test(
        (x,),
        lambda shuffled: scipy.stats.spearmanr(shuffled, y).statistic,
        permutation_type="pairings",
        n_resamples=2_000,
        rng=np.random.default_rng(0),
    )
    assert spearman(x, y, permutations=5_000, resamples=2).p_value == pytest.approx(test.pvalue, abs=0.03)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_relation(sign):
    x = np.arange(20.0)
    correlation = spearman(x, sign * np.exp(x), permutations=999, resamples=100)
    assert correlation.value == sign and correlation.p_value == 1 / 1000
    assert (correlation.low, correlation.high) == pytest.approx((sign, sign))
    assert correlation.used == 20 and correlation.reason == ""


def test_p_values_are_uniform_under_independence():
    generator = np.random.default_rng(1)
    p = [spearman(*generator.normal(size=(2, 12)), permutations=99, resamples=2, seed=i).p_value for i in range(300)]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.05)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_interval_is_the_percentile_bootstrap():
    x, y = (np.round(values, 1) for values in sample(30, seed=2))
    generator = np.random.default_rng(0)
    draws = generator.integers(30, size=(1_000, 30))
    by_hand = [scipy.stats.spearmanr(x[rows], y[rows]).statistic for rows in draws]
    correlation = spearman(x, y, permutations=1, resamples=4_000)
    assert (correlation.low, correlation.high) == pytest.approx(tuple(np.quantile(by_hand, [0.025, 0.975])), abs=0.04)


def test_interval_has_about_its_nominal_coverage():
    # Of a bivariate normal: Spearman's rho = 6 / pi * asin(r / 2).
    r = 0.6
    truth, covered = 6 / np.pi * np.arcsin(r / 2), 0
    for seed in range(200):
        x, noise = np.random.default_rng(seed).normal(size=(2, 40))
        correlation = spearman(x, r * x + np.sqrt(1 - r**2) * noise, permutations=1, resamples=300, seed=seed)
        covered += correlation.low <= truth <= correlation.high
    assert 0.87 <= covered / 200 <= 0.99


def test_a_resample_is_a_weight():
    values = np.array([3.0, 1.0, 3.0, 2.0])
    weights = np.array([[2.0, 1.0, 0.0, 3.0], [1.0, 1.0, 1.0, 1.0]])
    ranks = mid_ranks(distinct_places(values), weights)
    repeated = scipy.stats.rankdata(np.repeat(values, [2, 1, 0, 3]))
    assert ranks[0, [0, 1, 3]].tolist() == [repeated[0], repeated[2], repeated[3]]
    assert ranks[1].tolist() == scipy.stats.rankdata(values).tolist()


def test_correlation_with_a_constant_is_undefined_with_a_reason():
    x = np.arange(12.0)
    for a, b, name in ((x, np.zeros(12), "rs"), (np.zeros(12), x, "selectivity")):
        correlation = spearman(a, b, names=("selectivity", "rs"), **FEW)
        assert np.isnan([correlation.value, correlation.low, correlation.high, correlation.p_value]).all()
        assert correlation.used == 12 and correlation.reason == f"{name} is 0 for all 12 units"


def test_pairs_with_nan_are_left_out():
    x, y = sample(20, seed=4)
    x[3], y[7] = np.nan, np.nan
    kept = np.isfinite(x) & np.isfinite(y)
    assert spearman(x, y, **FEW) == spearman(x[kept], y[kept], **FEW)
    assert spearman(x, y, **FEW).used == 18


def test_empty_input():
    assert spearman(np.full(9, np.nan), np.arange(9.0)).reason == "x is undefined for all units"
    correlation = spearman(np.array([1.0, 2.0, np.nan]), np.array([1.0, 3.0, 2.0]))
    assert (
        np.isnan(correlation.value) and correlation.used == 2 and correlation.reason == "only 2 units have both x and y"
    )
    assert np.isnan(spearman(np.empty(0), np.empty(0)).value)


def test_below_ten_units_there_is_no_interval():
    correlation = spearman(*sample(9), **FEW)
    assert np.isfinite(correlation.value) and np.isfinite(correlation.p_value)
    assert np.isnan(correlation.low) and np.isnan(correlation.high) and "10 units" in correlation.reason
    assert np.isfinite(spearman(*sample(10), **FEW).low)


def test_mostly_constant_resamples_give_no_interval():
    rare = np.zeros(40)
    rare[0] = 1  # Not drawn in (1 - 1/40)^40 = 36 % of the resamples.
    correlation = spearman(rare, np.arange(40.0), **FEW, fewest_off_mode=0)
    assert np.isfinite(correlation.value) and np.isnan(correlation.low) and "constant" in correlation.reason


def test_interval_and_p_value_draws_are_seeded_and_independent():
    x, y = sample(25, strength=0.3)
    assert spearman(x, y, **FEW, seed=1) == spearman(x, y, **FEW, seed=1)
    assert spearman(x, y, **FEW, seed=1) != spearman(x, y, **FEW, seed=2)
    more = spearman(x, y, permutations=50, resamples=200, seed=1)
    assert more.low == spearman(x, y, **FEW, seed=1).low


def test_monotone_maps_and_swapped_arguments_change_nothing():
    x, y = sample(30, strength=0.5)
    correlation = spearman(x, y, **FEW)
    assert spearman(np.exp(x), y**3, **FEW) == correlation
    assert spearman(y, x, **FEW).value == correlation.value


def test_blocks_are_bounded_in_size(monkeypatch):
    x, y = sample(30, strength=0.2)
    whole = spearman(x, y, permutations=500, resamples=300)
    monkeypatch.setattr(bootstrap, "BLOCK", 400)
    parts = spearman(x, y, permutations=500, resamples=300)
    assert parts.p_value == pytest.approx(whole.p_value, abs=0.1)
    assert parts.low == pytest.approx(whole.low, abs=0.1)
    assert sum(bootstrap.block_sizes(500, 30)) == 500 and max(bootstrap.block_sizes(500, 30)) == 13


def test_the_error_of_z_is_that_of_the_resamples():
    errors, z = [], []
    for seed in range(60):
        correlation = spearman(*sample(64, seed, strength=0.5), permutations=1, resamples=200, seed=seed)
        errors.append(correlation.z_error)
        z.append(np.arctanh(correlation.value))
    # 1 / sqrt(n - 3), a little more for ranks (Fieller, Hartley and Pearson 1957).
    assert np.mean(errors) == pytest.approx(np.sqrt(1.06 / 61), rel=0.1)
    assert np.std(z, ddof=1) == pytest.approx(np.mean(errors), rel=0.25)
    assert np.isnan(spearman(*sample(9), **FEW).z_error)


def test_holm():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])).tolist() == [1, 1]
    # What was not tested does not count.
    np.testing.assert_allclose(holm(np.array([np.nan, 0.02, 0.03])), [np.nan, 0.04, 0.04])
    assert holm(np.empty(0)).tolist() == []
