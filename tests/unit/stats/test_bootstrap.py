"""The bootstrap over units: coverage, units that are left out, resamples within layers and in blocks."""

import numpy as np
import pytest

from unitscope.stats.bootstrap import bootstrap, bootstrap_layers, bootstrap_weighted
from unitscope.stats.correlation import spearman
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
    # Two values of equal number: neither is rare, but the statistic is undefined in most resamples.
    estimate = bootstrap_weighted(
        lambda scores, weights: np.where(weights[:, 0] == 1, weights[:, 1], np.nan),
        draws().random((1, 40)),
        200,
        draws(),
    )
    assert np.isfinite(estimate.value) and np.isnan(estimate.low) and "resamples" in estimate.reason


def zero_inflated(seed, units, zeros):
    """Return two unrelated scores, of which the second is 0 for a share of the units."""
    generator = np.random.default_rng(seed)
    x, y = generator.random((2, units))
    return x, np.where(generator.random(units) < zeros, 0.0, y)


@pytest.mark.parametrize(("units", "zeros", "least", "most"), [(24, 0.8, 0.87, 0.94), (64, 0.95, 0.8, 0.9)])
def test_intervals_of_scores_with_too_few_distinct_values_cover_too_rarely_and_are_left_out(units, zeros, least, most):
    covered = []
    for seed in range(300):
        scores = zero_inflated(seed, units, zeros)
        interval = spearman(*scores, 1, 300, seed, fewest_off_mode=0)
        if np.isfinite(interval.low):
            covered.append(interval.low <= 0 <= interval.high)
            off_mode = int((scores[1] > 0).sum())
            reason = f"too few distinct values: {off_mode} of {units} units are not at the mode"
            assert spearman(*scores, 1, 300, seed).reason == reason
    assert least < np.mean(covered) < most


@pytest.mark.parametrize(("units", "zeros"), [(64, 0.6), (256, 0.9), (12, 0.0)])
def test_intervals_that_remain_cover_as_often_as_they_say(units, zeros):
    intervals = [spearman(*zero_inflated(seed, units, zeros), 1, 300, seed) for seed in range(300)]
    covered = [interval.low <= 0 <= interval.high for interval in intervals if np.isfinite(interval.low)]
    assert len(covered) > 250 and 0.91 <= np.mean(covered) <= 0.98


def test_twenty_units_off_the_mode_of_each_score_are_needed():
    enough, short = np.r_[np.zeros(20), np.arange(1.0, 21)], np.r_[np.zeros(21), np.arange(1.0, 20)]
    other = draws().random(40)
    for scores, reason in (
        ((enough, other), ""),
        ((short, other), "too few distinct values: 19 of 40 units are not at the mode"),
        ((other, short), "too few distinct values: 19 of 40 units are not at the mode"),
    ):
        weighted = bootstrap_weighted(lambda s, w: rank_correlations(s, w)[:, 0, 1], np.stack(scores), 99, draws())
        for estimate in (weighted, spearman(*scores, 1, 99), bootstrap(quartile_delta, *scores, resamples=99)):
            assert estimate.reason == reason and np.isfinite(estimate.value)
            assert np.isfinite([estimate.low, estimate.high]).all() == (not reason)
    # Controls do not count, nor does a value that no two units share; a sample that is none of units says so.
    controlled = np.stack([enough, other, short])
    assert np.isfinite(bootstrap_weighted(lambda s, w: w @ s[0], controlled, 99, draws(), related=2).low)
    assert np.isnan(bootstrap_weighted(lambda s, w: w @ s[0], controlled, 99, draws()).low)
    assert np.isfinite(spearman(other[:10], other[10:20], 1, 99).low)
    assert np.isfinite(bootstrap(np.mean, short, resamples=99, fewest_off_mode=0).low)
    assert np.isnan(bootstrap_layers(np.sum, np.mean, [[other], [short]], resamples=99).low)


def test_blocks_of_resamples_change_nothing(monkeypatch):
    def statistic(scores, weights):
        return rank_correlations(scores, weights)[:, 0, 1]

    scores = draws().normal(size=(2, 30))
    whole = bootstrap_weighted(statistic, scores, 3000, draws(1))
    monkeypatch.setattr("unitscope.stats.bootstrap.BLOCK", 1000)
    parts = bootstrap_weighted(statistic, scores, 3000, draws(1))
    assert parts == whole
