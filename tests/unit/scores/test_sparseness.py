"""Sparseness over images, units and classes: closed forms, ranges and invariance."""

import numpy as np
import pytest
from scipy.stats import entropy

from unitscope.scores.sparseness import PopulationSparseness, label_entropy, lifetime_sparseness


def population_sparseness(activations, *blocks):
    result = PopulationSparseness(len(activations))
    for block in np.split(activations, blocks, axis=1):
        result.add(block)
    return result.value()


@pytest.mark.parametrize("responding", [1, 3, 10])
def test_equal_responses_to_some_of_the_images(responding):
    activations = np.zeros((10, 1))
    activations[:responding] = 0.7
    assert lifetime_sparseness(activations)[0] == pytest.approx((1 - responding / 10) / (1 - 1 / 10))
    assert population_sparseness(activations.T) == pytest.approx((1 - responding / 10) / (1 - 1 / 10))


def test_sparseness_lies_in_its_range_whatever_the_scale():
    generator = np.random.default_rng(0)
    activations = generator.normal(size=(50, 200)) ** 3
    values = lifetime_sparseness(activations)
    assert ((values >= 0) & (values <= 1)).all()
    assert lifetime_sparseness(activations * 8) == pytest.approx(values, rel=1e-12)
    assert lifetime_sparseness(np.full((50, 3), 0.1)) == pytest.approx(0, abs=1e-12)


def test_negative_activations_count_as_zero():
    activations = np.random.default_rng(1).normal(size=(30, 4))
    assert (lifetime_sparseness(activations) == lifetime_sparseness(np.maximum(activations, 0))).all()
    assert population_sparseness(activations) == population_sparseness(np.maximum(activations, 0))


def test_population_sparseness_is_the_mean_over_images_with_a_response_and_does_not_depend_on_blocks():
    activations = np.maximum(np.random.default_rng(2).normal(size=(20, 9)), 0)
    activations[4] = 0
    by_image = lifetime_sparseness(np.delete(activations, 4, axis=0).T)
    assert population_sparseness(activations) == pytest.approx(by_image.mean())
    assert population_sparseness(activations, 2, 7) == pytest.approx(by_image.mean())


def test_what_is_undefined_is_nan():
    silent = np.zeros((5, 2))
    assert np.isnan(lifetime_sparseness(silent)).all() and np.isnan(population_sparseness(silent))
    assert np.isnan(population_sparseness(np.ones((5, 1)))) and np.isnan(lifetime_sparseness(np.ones((1, 2)))).all()
    assert np.isnan(label_entropy(silent, np.array([0, 0, 1, 1, 1]), np.array([2, 3]))).all()


def test_label_entropy_is_that_of_the_shares_of_the_classes():
    generator = np.random.default_rng(3)
    activations, labels = generator.normal(size=(60, 8)), np.arange(60) % 5
    shares = np.stack([np.maximum(activations[labels == number], 0).sum(axis=0) for number in range(5)])
    result = label_entropy(activations, labels, np.bincount(labels))
    assert result == pytest.approx(entropy(shares, base=2, axis=0))
    assert ((result >= 0) & (result <= np.log2(5))).all()
