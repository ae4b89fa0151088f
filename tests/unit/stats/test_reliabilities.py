"""Reliability of halves, the ceiling that it sets, and the number of images: closed forms and simulations."""

import numpy as np
import pytest
import scipy.stats

from unitscope.stats.ranks import rank_correlations
from unitscope.stats.reliabilities import ceiling, images_needed, of_half, spearman_brown, split_half

RANDOM = np.random.default_rng(0)


def test_spearman_brown_is_that_of_parallel_measurements():
    assert spearman_brown(np.array(0.5)) == pytest.approx(2 / 3)
    assert spearman_brown(np.array(0.5), 4) == pytest.approx(0.8)
    # Stepped up by 2 twice, or by 4 at once.
    assert spearman_brown(spearman_brown(np.array(0.3))) == pytest.approx(spearman_brown(np.array(0.3), 4))


def test_reliability_of_halves_with_a_signal():
    signal, noise = RANDOM.normal(size=5000), RANDOM.normal(size=(2, 5000))
    first, second = signal + noise
    assert of_half(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
    # Signal and noise of equal variance in a half: 1/2 there and 2/3 in the whole, a little less for ranks.
    assert of_half(first, second) == pytest.approx(0.48, abs=0.03)
    assert split_half(first, second) == pytest.approx(0.65, abs=0.03)
    assert split_half(*noise) == pytest.approx(0, abs=0.05)


def test_reliabilities_without_an_answer():
    assert np.isnan(split_half(np.zeros(9), np.arange(9.0)))
    assert np.isnan(split_half(np.array([1.0, np.nan, 2.0]), np.arange(3.0)))
    assert split_half(np.array([1.0, np.nan, 2.0, 3.0]), np.arange(4.0)) == pytest.approx(1)
    assert split_half(np.arange(9.0), -np.arange(9.0)) == pytest.approx(-1)


def test_ceiling_is_the_correlation_of_scores_that_measure_the_same():
    assert ceiling(0.49, 0.25) == pytest.approx(0.35)
    # Unknown: at most 1. Not above 0: nothing can be found.
    assert ceiling(np.nan, 0.25) == ceiling(0.25, np.nan) == pytest.approx(0.5)
    assert np.isnan(ceiling(np.nan, np.nan)) and ceiling(-0.3, 0.9) == 0
    signal = RANDOM.normal(size=20_000)
    x, y = signal + 0.5 * RANDOM.normal(size=(2, 20_000)), signal + 2 * RANDOM.normal(size=(2, 20_000))
    limit = ceiling(split_half(*x), split_half(*y))
    correlation = rank_correlations(np.stack([x.mean(0), y.mean(0)]))[0, 0, 1]
    assert correlation == pytest.approx(limit, abs=0.03)


@pytest.mark.parametrize("noise", [3.0, 8.0, 20.0])
def test_the_number_of_images_gives_the_reliability(noise):
    # The mean of n images has noise variance noise^2 / n: reliability 1 / (1 + noise^2 / n).
    reliability = 1 / (1 + noise**2 / 200)
    images = images_needed(reliability, 200)
    assert 1 / (1 + noise**2 / images) == pytest.approx(0.8)
    assert spearman_brown(np.array(reliability), images / 200) == pytest.approx(0.8)
    assert images_needed(reliability, 200, 0.9) > images
    # That of VGG16's ablation losses on 200 images.
    assert images_needed(0.12, 200) == pytest.approx(5867, abs=1)


def test_no_number_of_images_follows_from_no_reliability():
    assert np.isnan([images_needed(np.nan, 100), images_needed(0.0, 100), images_needed(-0.4, 100)]).all()
