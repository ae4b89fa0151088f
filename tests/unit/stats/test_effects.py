"""Effects of the claims: by hand, and against scipy where it has them."""

import numpy as np
import pytest
import scipy.stats

from unitscope.stats.effects import (
    bootstrapped,
    bootstrapped_layers,
    cliffs_delta,
    cochran_q,
    fishers_z,
    hodges_lehmann,
    interquartile_range,
    over_trainings,
    quadrant_difference,
    quartile_delta,
    slope,
    step_over_line,
)

RANDOM = np.random.default_rng(0)


def test_over_layers_units_are_resampled_within_each():
    draws = np.random.default_rng(0)
    layers = [[draws.normal(depth, 0.1, 50)] for depth in (0, 1, 2)]
    mean = lambda values: float(values.mean())  # noqa: E731
    found = bootstrapped_layers(lambda means: slope(means, np.arange(3)), mean, layers, resamples=300)
    assert found.effect == pytest.approx(1, abs=0.05) and 0.9 < found.low < found.effect < found.high < 1.1
    # One layer is the plain case; one without units has no effect; few units have no interval.
    assert bootstrapped_layers(lambda means: means[0], mean, layers[:1], seed=3) == bootstrapped(
        mean, *layers[0], seed=3
    )
    gap = [layers[0], [np.full(50, np.nan)], layers[2]]
    assert bootstrapped_layers(lambda means: slope(means, np.arange(3)), mean, gap, resamples=300).low > 0.9
    assert np.isnan(bootstrapped_layers(lambda means: means.sum(), mean, [layers[0], [np.ones(9)]]).low)


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


def test_hodges_lehmann_is_the_median_of_walsh_averages():
    assert hodges_lehmann(np.array([1.0, 2, 9])) == pytest.approx(np.median([1, 1.5, 5, 2, 5.5, 9]))
    assert hodges_lehmann(RANDOM.normal(3, 1, 200)) == pytest.approx(3, abs=0.2)


def test_interquartile_range_is_scipys():
    values = RANDOM.random(31)
    assert interquartile_range(values) == pytest.approx(scipy.stats.iqr(values))


def test_slope_skips_what_is_undefined():
    assert slope(np.array([1.0, np.nan, 5, 7]), np.arange(4)) == pytest.approx(2)
    assert np.isnan(slope(np.array([np.nan, 1.0, np.nan]), np.arange(3)))


def test_cochrans_q_rejects_a_common_correlation_where_there_is_none():
    units = np.array([103, 103, 103])
    q, p = cochran_q(np.array([0.4, 0.4, 0.4]), units)
    assert q == pytest.approx(0, abs=1e-12) and p == pytest.approx(1)
    q, p = cochran_q(np.array([0.5, -0.5, np.nan]), units)
    z = np.arctanh(0.5)
    assert q == pytest.approx(2 * 100 / 1.06 * z**2)
    assert p == pytest.approx(scipy.stats.chi2.sf(q, 1)) and p < 1e-9
    assert np.isnan(cochran_q(np.array([0.5, np.nan, np.nan]), units)).all()


def test_cochrans_q_rejects_a_true_null_as_often_as_it_says():
    rejected = []
    for _ in range(400):
        found = [scipy.stats.spearmanr(x, x + RANDOM.normal(size=50)).statistic for x in RANDOM.normal(size=(4, 50))]
        rejected.append(cochran_q(np.array(found), np.full(4, 50))[1] < 0.05)
    assert 0.02 < np.mean(rejected) < 0.1


def test_fishers_z_stays_finite():
    assert np.isfinite(fishers_z(np.array([-1.0, 1.0]))).all()


def test_a_step_beats_a_line_and_a_line_a_step():
    noise = RANDOM.normal(0, 0.01, 13)
    better, place = step_over_line(np.repeat([0.5, 0.1], [8, 5]) + noise)
    assert better > 6 and place == 8
    assert step_over_line(np.linspace(0.5, 0.1, 13) + noise)[0] < -6
    assert np.isnan(step_over_line(np.array([0.1, 0.2, 0.3]))[0])
    # Two exact courses are compared, not divided by nothing.
    assert np.isfinite(step_over_line(np.repeat([0.0, 1.0], 4))[0])


def test_bootstrap_covers_what_it_should():
    covered = []
    for seed in range(120):
        values = np.random.default_rng(seed).normal(1.0, 1.0, 40)
        found = bootstrapped(lambda x: float(x.mean()), values, level=0.9, resamples=300, seed=seed)
        assert found.effect == pytest.approx(values.mean())
        covered.append(found.low <= 1.0 <= found.high)
    assert 0.8 < np.mean(covered) < 0.97


def test_bootstrap_leaves_out_units_without_a_score_and_is_undefined_for_few():
    x, y = RANDOM.random(30), RANDOM.random(30)
    x[3], y[7] = np.nan, np.nan
    kept = np.delete(np.arange(30), [3, 7])
    expected = bootstrapped(quartile_delta, x[kept], y[kept])
    assert bootstrapped(quartile_delta, x, y) == expected
    assert expected.low < expected.effect < expected.high
    few = bootstrapped(quartile_delta, x[:9], y[:9])
    assert np.isfinite(few.effect) and np.isnan(few.low) and np.isnan(few.high)
    assert np.isnan(bootstrapped(quartile_delta, np.full(20, np.nan), np.ones(20)).effect)


def test_interval_over_trainings_is_students():
    values = RANDOM.random(5)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert over_trainings(values)[1:] == pytest.approx((expected.low, expected.high))
    assert np.isnan(over_trainings(values[:1]).low)
