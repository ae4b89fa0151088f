"""Effects of the claims: by hand, and against scipy where it has them."""

import numpy as np
import pytest
import scipy.stats

from unitscope.stats.effects import (
    cliffs_delta,
    cochran_q,
    fishers_z,
    hodges_lehmann,
    interquartile_range,
    mean_paired_difference,
    over_trainings,
    quadrant_difference,
    quartile_delta,
    slope,
    step_over_line,
)

RANDOM = np.random.default_rng(0)


def test_cliffs_delta_by_hand():
    assert cliffs_delta(np.array([2.0, 3]), np.array([0.0, 1])) == 1
    assert cliffs_delta(np.array([0.0, 1]), np.array([2.0, 3])) == -1
    # Of six pairs two are larger, one is equal, three are smaller.
    assert cliffs_delta(np.array([1.0, 2]), np.array([0.0, 2, 3])) == pytest.approx((2 - 3) / 6)
    assert np.isnan(cliffs_delta(np.array([]), np.array([1.0])))


def test_cliffs_delta_is_mann_whitneys_u():
    x, y = RANDOM.integers(0, 9, 30).astype(float), RANDOM.integers(0, 9, 20).astype(float)
    u = scipy.stats.mannwhitneyu(x, y).statistic
    assert cliffs_delta(x, y) == pytest.approx(2 * u / 600 - 1)


def test_quartiles_by_hand():
    selectivity, rs = np.arange(8) / 10, np.array([0, 0, 0.9, 0.9, 0, 0, 0.5, 0.6])
    assert quartile_delta(rs, selectivity) == 1
    assert quartile_delta(rs, -selectivity) == -1
    assert np.isnan(quartile_delta(rs, np.full(8, 0.3)))


def test_quadrants_by_hand():
    selectivity, rs = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 0.7, 0.5, 0.1])
    # Low and low: the first; high and high: the third, on the border.
    assert quadrant_difference(rs, selectivity) == 0.25 - 0.25
    assert quadrant_difference(np.zeros(4), selectivity) == 0.5


def test_mean_paired_difference_is_student_s_and_is_not_hidden_by_ties():
    x, y = RANDOM.random((2, 40))
    expected = scipy.stats.ttest_rel(x, y).confidence_interval(0.9)
    estimate = mean_paired_difference(x, y, level=0.9)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert mean_paired_difference(np.r_[x, np.nan], np.r_[y, 1.0], level=0.9) == estimate
    # Most pairs are tied: the Hodges-Lehmann shift is 0, the mean is not.
    tied = np.r_[np.zeros(60), -np.linspace(0.1, 0.5, 25)]
    estimate = mean_paired_difference(tied, np.zeros(85))
    assert hodges_lehmann(tied) == 0 and estimate.high < 0 and estimate.value == pytest.approx(tied.mean())
    rare = mean_paired_difference(tied[:70], np.zeros(70))
    assert rare.reason == "too few distinct values: 10 of 70 units are not at the mode"
    assert rare.value == pytest.approx(tied[:70].mean()) and np.isnan(rare.low)


def test_hodges_lehmann_is_the_median_of_walsh_averages():
    assert hodges_lehmann(np.array([1.0, 2, 9])) == pytest.approx(np.median([1, 1.5, 5, 2, 5.5, 9]))
    assert hodges_lehmann(RANDOM.normal(3, 1, 200)) == pytest.approx(3, abs=0.2)


def test_interquartile_range_equals_scipys():
    values = RANDOM.random(31)
    assert interquartile_range(values) == pytest.approx(scipy.stats.iqr(values))


def test_slope_skips_undefined_values():
    assert slope(np.array([1.0, np.nan, 5, 7]), np.arange(4)) == pytest.approx(2)
    assert np.isnan(slope(np.array([np.nan, 1.0, np.nan]), np.arange(3)))


def test_cochrans_q_rejects_heterogeneous_correlations():
    units = np.array([103, 103, 103])
    q, p = cochran_q(np.array([0.4, 0.4, 0.4]), units)
    assert q == pytest.approx(0, abs=1e-12) and p == pytest.approx(1)
    q, p = cochran_q(np.array([0.5, -0.5, np.nan]), units)
    z = np.arctanh(0.5)
    assert q == pytest.approx(2 * 100 / 1.06 * z**2)
    assert p == pytest.approx(scipy.stats.chi2.sf(q, 1)) and p < 1e-9
    assert np.isnan(cochran_q(np.array([0.5, np.nan, np.nan]), units)).all()


def test_cochrans_q_has_its_nominal_false_positive_rate():
    rejected = []
    for _ in range(400):
        correlations = [
            scipy.stats.spearmanr(x, x + RANDOM.normal(size=50)).statistic for x in RANDOM.normal(size=(4, 50))
        ]
        rejected.append(cochran_q(np.array(correlations), np.full(4, 50))[1] < 0.05)
    assert 0.02 < np.mean(rejected) < 0.1


def test_fishers_z_stays_finite():
    assert np.isfinite(fishers_z(np.array([-1.0, 1.0]))).all()


def test_step_and_linear_trends_are_distinguished():
    noise = RANDOM.normal(0, 0.01, 13)
    better, place = step_over_line(np.repeat([0.5, 0.1], [8, 5]) + noise)
    assert better > 6 and place == 8
    assert step_over_line(np.linspace(0.5, 0.1, 13) + noise)[0] < -6
    assert np.isnan(step_over_line(np.array([0.1, 0.2, 0.3]))[0])
    # Two exact courses are compared, not divided by nothing.
    assert np.isfinite(step_over_line(np.repeat([0.0, 1.0], 4))[0])


def test_interval_over_trainings_is_students_t():
    values = RANDOM.random(5)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    estimate = over_trainings(values)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert np.isnan(over_trainings(values[:1]).low)
