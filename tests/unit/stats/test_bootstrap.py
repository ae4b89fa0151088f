"""The bootstrap over units: coverage, units that are left out, resamples within layers and in blocks."""

import numpy as np
import pytest

from unitscope.stats.bootstrap import bootstrap, bootstrap_layers, bootstrap_weighted
from unitscope.stats.effects import quartile_delta, slope
from unitscope.stats.ranks import rank_correlations

RANDOM = np.random.default_rng(0)


def draws(seed=0):
    return np.random.default_rng(seed)


def test_units_are_resampled_within_layers():
    draws = np.random.default_rng(0)
    layers = [[draws.normal(depth, 0.1, 50)] for depth in (0, 1, 2)]

    def mean(values: np.ndarray) -> float:
        return float(values.mean())

    estimate = bootstrap_layers(lambda means: slope(means, np.arange(3)), mean, layers, resamples=300)
    assert estimate.value == pytest.approx(1, abs=0.05) and 0.9 < estimate.low < estimate.value < estimate.high < 1.1
    # One layer is the plain case; one without units has no effect; few units have no interval.
    assert bootstrap_layers(lambda means: means[0], mean, layers[:1], seed=3) == bootstrap(mean, *layers[0], seed=3)
    gap = [layers[0], [np.full(50, np.nan)], layers[2]]
    assert bootstrap_layers(lambda means: slope(means, np.arange(3)), mean, gap, resamples=300).low > 0.9
    assert np.isnan(bootstrap_layers(lambda means: means.sum(), mean, [layers[0], [np.ones(9)]]).low)


def test_bootstrap_has_nominal_coverage():
    covered = []
    for seed in range(120):
        values = np.random.default_rng(seed).normal(1.0, 1.0, 40)
        estimate = bootstrap(lambda x: float(x.mean()), values, level=0.9, resamples=300, seed=seed)
        assert estimate.value == pytest.approx(values.mean())
        covered.append(estimate.low <= 1.0 <= estimate.high)
    assert 0.8 < np.mean(covered) < 0.97


def test_bootstrap_leaves_out_units_without_a_score_and_is_undefined_for_few():
    x, y = RANDOM.random(30), RANDOM.random(30)
    x[3], y[7] = np.nan, np.nan
    kept = np.delete(np.arange(30), [3, 7])
    expected = bootstrap(quartile_delta, x[kept], y[kept])
    assert bootstrap(quartile_delta, x, y) == expected
    assert expected.low < expected.value < expected.high
    few = bootstrap(quartile_delta, x[:9], y[:9])
    assert np.isfinite(few.value) and np.isnan(few.low) and np.isnan(few.high)
    assert np.isnan(bootstrap(quartile_delta, np.full(20, np.nan), np.ones(20)).value)


def test_no_interval_for_few_units_or_mostly_constant_scores():
    few = bootstrap_weighted(
        lambda scores, weights: rank_correlations(scores, weights)[:, 0, 1], draws().random((2, 9)), 50, draws()
    )
    assert np.isfinite(few.value) and np.isnan(few.low) and "10 units" in few.reason
    rare = np.zeros((2, 40))
    rare[0, 0], rare[1] = 1, np.arange(40)
    estimate = bootstrap_weighted(
        lambda scores, weights: rank_correlations(scores, weights)[:, 0, 1], rare, 200, draws()
    )
    assert np.isfinite(estimate.value) and np.isnan(estimate.low) and "resamples" in estimate.reason


def test_blocks_of_resamples_change_nothing(monkeypatch):
    def statistic(scores, weights):
        return rank_correlations(scores, weights)[:, 0, 1]

    scores = draws().normal(size=(2, 30))
    whole = bootstrap_weighted(statistic, scores, 3000, draws(1))
    monkeypatch.setattr("unitscope.stats.bootstrap.BLOCK", 1000)
    parts = bootstrap_weighted(statistic, scores, 3000, draws(1))
    assert parts == whole
