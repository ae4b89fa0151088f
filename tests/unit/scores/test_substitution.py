"""Representative substitution on response matrices made by hand."""

import numpy as np
import pytest

from unitscope.maximization.responses import compared
from unitscope.scores.substitution import representative_substitution, substitution


def score(responses, units=None, **scales):
    responses = np.asarray(responses, np.float32)
    responses = responses if responses.ndim == 3 else responses[None]
    units = np.arange(responses.shape[1]) if units is None else np.asarray(units)
    return substitution(responses, units, **{name: np.asarray(value) for name, value in scales.items()})


def test_rs_by_hand():
    scores = score([[1, 2, 3, 0], [5, 5, 6, 5], [1, 2, 3, 2], [9, 8, 7, 6]])
    assert scores.rs.tolist() == [2 / 4, 1 / 4, 0, 3 / 4]
    assert scores.ties.tolist() == [0, 2, 0, 0]
    assert scores.seeds.tolist() == [1, 1, 1, 1]
    assert scores.substitutes == [[2, 1], [2], [], [0, 1, 2]]


def test_rs_reaches_its_bounds():
    identity = np.eye(8)
    assert (score(identity).rs == 0).all()
    assert (score(2 - identity).rs == 7 / 8).all()


def test_exact_duplicates_are_ties_and_no_substitutes():
    scores = score([[3, 3, 1], [3, 3, 1], [0, 0, 2]])
    assert scores.rs.tolist() == [0, 0, 0]
    assert scores.ties.tolist() == [1, 1, 0]
    assert scores.substitutes == [[], [], []]


def test_silent_units_have_no_score():
    scores = score([[0, 2], [1, 3]])
    assert np.isnan(scores.rs[0]) and scores.rs[1] == 0
    assert np.isnan(scores.rs_z[0]) and np.isnan(scores.ties[0])
    assert scores.seeds.tolist() == [0, 1]
    assert scores.substitutes == [[], []]


def test_seeds_in_which_the_unit_is_silent_are_left_out():
    scores = score([[[1, 2], [0, 1]], [[0, 2], [0, 1]], [[4, 2], [0, 1]]])
    assert scores.seeds.tolist() == [2, 3]
    assert scores.rs.tolist() == [0.25, 0.0]
    assert scores.substitutes[0] == []  # It exceeds in one of two seeds: not in more than half.


def test_substitutes_are_ranked_by_the_median_over_seeds():
    responses = [[[1, 2, 3, 1.5]], [[1, 2, 9, 1.5]], [[1, 8, 1.5, 0.5]]]
    scores = score(responses, units=[0])
    # Medians of the ratios: unit 1: 2, unit 2: 3, unit 3: 1.5.
    assert scores.substitutes == [[2, 1, 3]]


def test_at_most_five_substitutes():
    assert score([[1, 2, 3, 4, 5, 6, 7]], units=[0]).substitutes == [[6, 5, 4, 3, 2]]


def test_sampled_targets_are_compared_with_the_whole_layer():
    responses = np.random.default_rng(0).random((2, 6, 6))
    of_all = score(responses)
    of_sample = score(responses[:, [1, 4]], units=[1, 4])
    assert of_sample.rs.tolist() == of_all.rs[[1, 4]].tolist()
    assert of_sample.substitutes == [of_all.substitutes[1], of_all.substitutes[4]]


def test_scale_free_scores_by_hand():
    scores = score(
        [[4, 6, 10]], units=[0], mean=[0, 4, 0], std=[2, 1, 10], quantile=[8, 24, 10]
    )  # z: 2, 2, 1; over q: 0.5, 0.25, 1.
    assert scores.rs.tolist() == [2 / 3]
    assert scores.rs_z.tolist() == [0.0]
    assert scores.rs_q.tolist() == [1 / 3]


def test_units_without_a_scale_are_excluded_from_count_and_total():
    scores = score([[4, 6, 10], [1, 5, 6], [7, 8, 9]], mean=[0, 0, 0], std=[1, 0, 2], quantile=[np.nan, 10, 5])
    # z: row 0 is 4, -, 5: one of two. Row 1 has no scale. Row 2 is 7, -, 4.5: one of two.
    assert scores.rs_z[0] == 0.5 and np.isnan(scores.rs_z[1]) and scores.rs_z[2] == 0.5
    assert np.isnan(scores.rs_q[0]) and scores.rs_q[1] == 0.5 and scores.rs_q[2] == 0
    assert (scores.left_out_z, scores.left_out_q) == (1, 1)


def test_units_exceeded_equally_often_tie():
    # Of ten units the first is exceeded once and twice, the second three times and never: 3/20 each.
    responses = np.zeros((2, 2, 10))
    responses[:, 0, 0] = responses[:, 1, 1] = 1
    responses[0, 0, 2] = 2
    responses[1, 0, 2:4] = 2
    responses[0, 1, 2:5] = 2
    assert (1 / 10 + 2 / 10) / 2 != (3 / 10 + 0) / 2
    assert substitution(responses, np.arange(2)).rs.tolist() == [3 / 20, 3 / 20]


def test_without_real_images_only_raw_rs_is_defined():
    scores = score([[1, 2], [1, 3]])
    assert scores.rs.tolist() == [0.5, 0]
    assert np.isnan(scores.rs_z).all() and np.isnan(scores.rs_q).all()
    assert (scores.left_out_z, scores.left_out_q) == (2, 2)


def test_scaling_units_changes_only_raw_rs():
    generator = np.random.default_rng(0)
    responses = generator.random((3, 12, 12)).astype(np.float32)
    scale = 2.0 ** generator.integers(-3, 4, 12)
    measured = {"mean": generator.random(12), "std": generator.random(12) + 0.1, "quantile": generator.random(12) + 1}
    before = score(responses, **measured)
    after = score(responses * scale, **{name: value * scale for name, value in measured.items()})
    assert before.rs_z.tolist() == after.rs_z.tolist()
    assert before.rs_q.tolist() == after.rs_q.tolist()
    assert before.rs.tolist() != after.rs.tolist()


def test_minimizing_images_compare_inhibition():
    # Unit 0's image inhibits unit 1 more than unit 0; unit 1's inhibits it most of all; unit 2 is never inhibited.
    below = np.array([[[-2.0, -3.0, 1.0], [-1.0, -4.0, 0.0], [-1.0, -2.0, 0.5]]])
    arrays = {"responses": np.maximum(below, 0), "preactivations": below}
    scores = substitution(compared(arrays, minimize=True), np.arange(3))
    assert scores.rs[:2].tolist() == [1 / 3, 0] and np.isnan(scores.rs[2])
    assert scores.seeds.tolist() == [1, 1, 0]
    assert scores.substitutes == [[1], [], []]
    assert np.isnan(scores.rs_z).all() and np.isnan(scores.rs_q).all()
    assert (compared(arrays, minimize=False) == arrays["responses"]).all()


@pytest.mark.parametrize("seed", range(5))
def test_rs_equals_a_loop(seed):
    generator = np.random.default_rng(seed)
    responses = generator.integers(0, 6, (7, 9)).astype(np.float32)
    units = generator.permutation(9)[:7]
    expected = [sum(other > row[unit] for other in row) / 9 for row, unit in zip(responses, units, strict=True)]
    assert representative_substitution(responses, units).tolist() == expected
