"""Strength of responses relative to the target's own, by hand."""

import numpy as np

from unitscope.scores.strength import relative_strength


def test_strength_is_the_median_over_the_seeds_in_which_the_target_is_not_silent():
    responses = np.array([[1, 2, 4], [2, 2, 6], [1, 9, 9], [0, 9, 9]], dtype=np.float32)
    assert relative_strength(responses[:, 0], responses[:, [2, 1]]).tolist() == [4, 2]
    assert relative_strength(responses[:, 0], responses[:, []]).tolist() == []


def test_a_target_that_is_silent_in_all_seeds_has_no_strength():
    assert np.isnan(relative_strength(np.zeros(2), np.zeros((2, 3)))).all()
