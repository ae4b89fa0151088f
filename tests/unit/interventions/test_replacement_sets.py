"""Substitutes by z, the most correlated units, and control sets: by hand, and on layers of known structure."""

import numpy as np
import pytest

from unitscope.interventions.replacement_sets import (
    CONTROLS,
    control_sets,
    most_correlated,
    nearest_units,
    substitutes_by_z,
)


def test_substitutes_are_ranked_by_the_median_of_z_whether_they_exceed_the_unit_or_not():
    # Two seeds; on scales of real images, units 1, 2 and 3 respond with 3, 2 and 1 standard deviations.
    mean, std = np.array([0.0, 1.0, 2.0, 3.0, 0.0]), np.array([1.0, 2.0, 0.5, 4.0, 0.0])
    responses = np.array([[[10.0, 7.0, 3.0, 7.0, 99.0]], [[10.0, 7.0, 3.0, 7.0, 99.0]]])
    assert substitutes_by_z(responses, np.array([0]), mean, std, most=5) == [[1, 2, 3]]
    assert substitutes_by_z(responses, np.array([0]), mean, std, most=1) == [[1]]


def test_seeds_in_which_the_unit_is_silent_do_not_count():
    mean, std = np.zeros(3), np.ones(3)
    responses = np.array([[[1.0, 5.0, 2.0]], [[0.0, 0.0, 9.0]], [[1.0, 5.0, 2.0]]])
    assert substitutes_by_z(responses, np.array([0]), mean, std, 2) == [[1, 2]]
    assert substitutes_by_z(responses * 0, np.array([0]), mean, std, 2) == [[]]


def test_scaling_a_unit_changes_no_substitute():
    generator = np.random.default_rng(0)
    activations, responses = generator.gamma(1, 1, (100, 12)), generator.gamma(1, 1, (3, 12, 12))
    scale = 2.0 ** generator.integers(-4, 5, 12)
    plain = substitutes_by_z(responses, np.arange(12), activations.mean(0), activations.std(0), 5)
    scaled = (activations * scale).mean(0), (activations * scale).std(0)
    assert substitutes_by_z(responses * scale, np.arange(12), *scaled, 5) == plain


def test_the_most_correlated_units_are_strongest_first():
    correlation = np.array([[1.0, 0.2, -0.9, np.nan, 0.5], *np.zeros((4, 5))])
    assert most_correlated(correlation, 0, 2) == [2, 4]
    assert most_correlated(correlation, 0, 9) == [2, 4, 1]


def test_nearest_units_have_the_largest_cosine():
    class_means = np.array([[1.0, 0.0, 2.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0, 0.0]])
    assert nearest_units(0, class_means, 3, excluded={0}) == [2, 3, 1]
    assert nearest_units(0, class_means, 2, excluded={0, 2}) == [3]
    assert nearest_units(4, class_means, 3, excluded={4}) == []


@pytest.mark.parametrize("size", [1, 5])
def test_controls_are_distinct_sets_from_the_nearest_quarter_matched_in_firing_rate(size):
    generator = np.random.default_rng(1)
    class_means, firing_rates = generator.gamma(1, 1, (10, 80)), generator.random(80)
    nearest = nearest_units(7, class_means, 20, excluded={7})
    substitutes = nearest[:size]
    sets = control_sets(7, substitutes, class_means, firing_rates, np.random.default_rng(2))
    assert len(sets) == CONTROLS and len({tuple(members) for members in sets}) == CONTROLS
    for members in sets:
        assert len(members) == size == len(set(members))
        assert set(members) <= set(nearest) - set(substitutes)
    target = firing_rates[substitutes].mean()
    distances = [abs(firing_rates[members].mean() - target) for members in sets]
    random = [
        abs(firing_rates[generator.choice(nearest[size:], size, replace=False)].mean() - target) for _ in range(200)
    ]
    assert np.mean(distances) < np.mean(random)
    if size == 1:
        assert distances == sorted(abs(firing_rates[nearest[1:]] - target))[:CONTROLS]


def test_a_unit_with_too_few_different_controls_has_none():
    generator = np.random.default_rng(3)
    draws = np.random.default_rng(0)
    assert control_sets(0, [1], generator.gamma(1, 1, (4, 12)), generator.random(12), draws) == []
    assert control_sets(0, [], generator.gamma(1, 1, (4, 80)), generator.random(80), draws) == []
    # A pool of six: six sets of five.
    sets = control_sets(0, [1, 2, 3, 4, 5], np.ones((4, 44)), generator.random(44), draws)
    assert len(sets) == 6


def test_controls_depend_on_their_draws_alone():
    generator = np.random.default_rng(5)
    arguments = generator.gamma(1, 1, (10, 80)), generator.random(80)
    first, again = (control_sets(3, [1, 2], *arguments, np.random.default_rng(9)) for _ in range(2))
    assert first == again
