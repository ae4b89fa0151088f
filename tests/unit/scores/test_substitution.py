"""Representative substitution on response matrices made by hand."""

import numpy as np
import pytest

from unitscope.maximization.responses import compared
from unitscope.scores.substitution import Exceeding, ascent_failures, representative_substitution, substitution


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


# --- RS (r), and failures of the ascent ------------------------------------------------------------------------------


def share_by_brute_force(responses, unit, fraction):
    """Return RS (r) of a unit, by its definition, from responses (seeds, units, units)."""
    shares = []
    for matrix in responses.astype(np.float64):
        competitors = [j for j in range(len(matrix)) if j != unit and matrix[j, j] > 0]
        if matrix[unit, unit] > 0 and competitors:
            shares.append(np.mean([matrix[unit, j] >= fraction * matrix[j, j] for j in competitors]))
    return np.mean(shares) if shares else np.nan


def random_responses(generator):
    seeds, units = int(generator.integers(1, 5)), int(generator.integers(1, 9))
    responses = np.maximum(generator.normal(0.5, 1, (seeds, units, units)), 0).astype(np.float32)
    # Ties at exactly half.
    return np.round(responses * 4) / 4


def test_rs_r_equals_brute_force():
    for seed in range(1000):
        responses = random_responses(np.random.default_rng(seed))
        order = np.random.default_rng(seed).permutation(len(responses[0]))
        scores = score(responses[:, order], order)
        for name, fraction in (("rs_r", 1 / 2), ("rs_r_quarter", 1 / 4), ("rs_r_three_quarters", 3 / 4)):
            expected = [share_by_brute_force(responses, unit, fraction) for unit in order]
            np.testing.assert_allclose(getattr(scores, name), expected, atol=1e-12)


def test_rs_r_by_hand():
    # Unit 3 is silent on its own image; half of its own response is 2, 1.5 and 4 for units 0, 1 and 2.
    responses = [[4, 1.5, 4, 9], [1, 3, 3, 9], [2, 0, 8, 9], [9, 9, 9, 0]]
    scores = score(responses)
    assert scores.rs_r[:3].tolist() == [1, 0, 0.5] and np.isnan(scores.rs_r[3])
    assert scores.left_out_r == 1
    # By R[0, j] / R[j, j], 1/2 both: of equal ones the lower number first. Unit 3 has no own response.
    assert scores.substitutes_r == [[1, 2], [], [0], []]


def test_rs_r_needs_all_units_as_targets():
    scores = score([[3, 2, 1], [1, 3, 2]], units=[0, 1])
    assert np.isnan(scores.rs_r).all() and np.isnan(scores.rs_r_quarter).all()
    assert scores.left_out_r == 3 and scores.substitutes_r == [[], []]
    assert scores.rs.tolist() == [0, 0]


def test_rs_r_does_not_change_under_powers_of_two():
    generator = np.random.default_rng(0)
    responses = generator.gamma(0.5, 1, (3, 40, 40)).astype(np.float32)
    before, after = (score(responses * factors) for factors in (np.ones(40), 2.0 ** generator.integers(-6, 7, 40)))
    for name in ("rs_r", "rs_r_quarter", "rs_r_three_quarters"):
        assert getattr(before, name).tobytes() == getattr(after, name).tobytes()
    assert before.substitutes_r == after.substitutes_r
    assert before.rs.tobytes() != after.rs.tobytes()


def test_equal_shares_are_equal_to_the_last_bit_where_seeds_differ_in_competitors():
    # Of 3, 3 and 2 competitors: 1/3 + 2/3 + 1/2, in both orders of the first two seeds.
    counts = np.array([[1, 2], [2, 1], [1, 1]], float)
    first, second = Exceeding(counts, np.array([3, 3, 2])).mean()
    assert first == second == 0.5
    shares = Exceeding(counts, np.array([3, 3, 2])).comparable()
    assert shares.competitors == 1 and shares.counts[2].tolist() == [0.5, 0.5]
    assert Exceeding(counts, np.array([3, 3, 3])).comparable().competitors == 3


def test_every_exceeder_is_counted_and_five_are_listed():
    scores = score([[1, *range(2, 10)]], units=[0])
    assert scores.exceeders.tolist() == [8] and scores.substitutes == [[8, 7, 6, 5, 4]]
    assert np.isnan(score([[0, 1]], units=[0]).exceeders[0])


def test_substitutes_of_each_form():
    responses = [[2, 3, 4, 9]] * 4
    scales = {"mean": [1, 2, 3, 8], "std": [1, 0.25, 0.5, 1], "quantile": [2, 1, 3, 0]}
    scores = score(np.array(responses), **scales)
    # Raw: 3, 2, 1. Standardized: 1, 4, 2, 1. Over quantiles: 1, 3, 4/3, none.
    assert scores.substitutes[0] == [3, 2, 1]
    assert scores.substitutes_z[0] == [1, 2]
    assert scores.substitutes_q[0] == [1, 2]


def test_failures_of_the_ascent_by_hand_and_by_brute_force():
    # The image of unit 0 activates unit 1 more than unit 1's own does; unit 2's own image leaves it silent.
    assert ascent_failures(np.array([[[3.0, 2, 1], [0, 1, 1], [0, 0, 0]]]), np.arange(3)) == 3
    for seed in range(100):
        generator = np.random.default_rng(seed)
        responses = random_responses(generator)
        units = generator.permutation(responses.shape[-1])[: len(responses[0]) // 2 + 1]
        responses = responses[:, : len(units)]
        pairs = [
            sum(matrix[a, j] > matrix[b, j] for a in range(len(units)) for b, j in enumerate(units) if a != b)
            for matrix in responses
        ]
        assert ascent_failures(responses, units) == pytest.approx(np.mean(pairs))
