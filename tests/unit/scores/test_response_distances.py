"""EA distances between units by their responses, against closed forms and plain loops; their dendrogram."""

import math

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from unitscope.scores.response_distances import ea_distances, neighbourhoods


def by_hand(responses):
    """Return the distances of all pairs (units, units) as the formula says, pair by pair."""
    units = responses.shape[1]
    result = np.full((units, units), np.nan)
    for i in range(units):
        for j in range(units):
            a, b = responses[:, i].tolist(), responses[:, j].tolist()
            lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
            if lengths:
                cosine = sum(x * y for x, y in zip(a, b, strict=True)) / lengths
                result[i, j] = math.sqrt(max(0.0, (1 - cosine) / 2))
    return result


def average_linkage(distances):
    """Return the height at which each pair of units comes together, merging the nearest clusters one by one."""
    clusters = [[unit] for unit in range(len(distances))]
    joined = np.zeros_like(distances)
    while len(clusters) > 1:
        pairs = [(a, b) for a in range(len(clusters)) for b in range(a)]
        height, a, b = min((distances[np.ix_(clusters[a], clusters[b])].mean(), a, b) for a, b in pairs)
        for i in clusters[a]:
            for j in clusters[b]:
                joined[i, j] = joined[j, i] = height
        clusters[b] += clusters.pop(a)
    return joined


def test_closed_forms():
    one = np.array([1.0, 2.0, 0.0, 0.5])
    other = np.array([0.0, 0.0, 3.0, 0.0])
    distances = ea_distances(np.stack([one, one, 7 * one, other, -one, 0 * one], axis=1))
    assert distances[0, 1] == 0 and distances[0, 2] == pytest.approx(0, abs=1e-12)
    assert distances[0, 3] == pytest.approx(math.sqrt(1 / 2)) and distances[0, 4] == pytest.approx(1)
    assert np.isnan(distances[5]).all() and np.isnan(distances[:, 5]).all()
    np.testing.assert_array_equal(np.diag(distances)[:5], 0)


def test_distances_follow_the_formula_and_are_scale_invariant():
    draws = np.random.default_rng(0)
    responses = draws.gamma(1.0, 1.0, (40, 9)).astype(np.float32)
    np.testing.assert_allclose(ea_distances(responses), by_hand(responses), rtol=1e-6, atol=1e-7)
    scaled = responses * 2.0 ** draws.integers(-3, 4, 9)
    np.testing.assert_allclose(ea_distances(scaled), ea_distances(responses), rtol=1e-12, atol=1e-12)


def test_nearest_units_and_mean_distances():
    responses = np.random.default_rng(1).gamma(1.0, 1.0, (2, 30, 8))
    responses[:, :, 5] = 0
    neighbours, expected = neighbourhoods(responses), by_hand(responses.mean(0))
    for unit in (0, 1, 2, 3, 4, 6, 7):
        others = {other: expected[unit, other] for other in (0, 1, 2, 3, 4, 6, 7) if other != unit}
        assert neighbours.nearest[unit] == min(others, key=others.get)
        assert neighbours.nearest_distance[unit] == pytest.approx(min(others.values()))
        assert neighbours.mean_distance[unit] == pytest.approx(np.mean(list(others.values())))
    assert all(np.isnan(getattr(neighbours, name)[5]) for name in vars(neighbours))


def test_seeds_are_averaged_before_distances_are_taken():
    responses = np.random.default_rng(2).gamma(1.0, 1.0, (3, 20, 6))
    one = neighbourhoods(responses.mean(0, keepdims=True))
    np.testing.assert_array_equal(neighbourhoods(responses).nearest_distance, one.nearest_distance)
    assert not np.array_equal(neighbourhoods(responses[:1]).nearest_distance, one.nearest_distance)


def test_positions_and_heights_define_the_dendrogram():
    responses = np.random.default_rng(3).gamma(1.0, 1.0, (1, 25, 12))
    neighbours = neighbourhoods(responses)
    order = np.argsort(neighbours.position)
    assert sorted(neighbours.position.tolist()) == list(range(12)) and np.isnan(neighbours.join_height[order[-1]])
    joined = average_linkage(by_hand(responses[0]))
    for a, left in enumerate(order):
        for b in range(a + 1, 12):
            # Two units come together at the highest of the joints between them.
            assert neighbours.join_height[order[a:b]].max() == pytest.approx(joined[left, order[b]])
    merges = linkage(squareform(by_hand(responses[0]), checks=False), "average")
    assert cophenet(merges).max() == pytest.approx(np.nanmax(neighbours.join_height))


def test_groups_of_units_are_adjacent():
    draws = np.random.default_rng(4)
    group = draws.permutation([0] * 5 + [1] * 7)
    patterns = np.eye(2).repeat(10, axis=0)
    responses = patterns[:, group] * draws.uniform(0.9, 1.1, (20, 12))
    neighbours = neighbourhoods(responses[None])
    assert np.abs(np.diff(group[np.argsort(neighbours.position)])).sum() == 1
    assert (
        np.nanmax(neighbours.join_height) == pytest.approx(math.sqrt(1 / 2))
        and np.median(neighbours.nearest_distance) < 0.1
    )
    assert (group[neighbours.nearest.astype(int)] == group).all()


@pytest.mark.parametrize("responding", [0, 1])
def test_fewer_than_two_responding_units_have_no_distances(responding):
    responses = np.zeros((1, 4, 3))
    responses[:, :, :responding] = 1
    neighbours = vars(neighbourhoods(responses))
    assert np.isfinite(neighbours.pop("position")).sum() == responding
    assert all(np.isnan(values).all() for values in neighbours.values())
