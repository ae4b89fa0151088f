"""Class information: closed forms, scikit-learn's count, invariances, the bias under permuted labels."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from unitscope.scores.information import binned, class_information, permuted_information

LABELS = np.repeat(np.arange(4), 50)
RANDOM = np.random.default_rng(0)


def test_closed_forms():
    units = np.stack([LABELS, LABELS == 2, LABELS % 2, np.zeros(200), LABELS // 2], axis=1).astype(float)
    quarter = 0.25 * np.log2(4) + 0.75 * np.log2(4 / 3)
    information = class_information(units, LABELS, 4, 10)
    np.testing.assert_allclose(information, [2, quarter, 1, 0, 1], atol=1e-12)
    assert (information >= 0).all()


def test_a_unit_that_responds_to_half_of_the_classes_is_unselective_and_has_one_bit():
    from unitscope.data.summaries import group_means
    from unitscope.scores.selectivity import class_selectivity

    halves = (LABELS < 2).astype(float)[:, None]
    assert class_selectivity(group_means(halves, LABELS, np.full(4, 50))) == pytest.approx((1 - 1 / 3) / (1 + 1 / 3))
    assert class_information(halves, LABELS, 4, 10) == pytest.approx(1)


def test_information_equals_scikit_learns():
    values = RANDOM.gamma(1, 1, (200, 6)) * RANDOM.integers(0, 2, (200, 6))
    expected = [mutual_info_score(LABELS, places) / np.log(2) for places in binned(values, 7).T]
    np.testing.assert_allclose(class_information(values, LABELS, 4, 7), expected, atol=1e-12)


def test_bins_hold_equal_numbers_and_equal_activations_share_one():
    assert np.bincount(binned(RANDOM.random((200, 1)), 10)[:, 0]).tolist() == [20] * 10
    silent = np.concatenate([np.zeros(150), np.arange(1, 51)])[:, None]
    assert np.bincount(binned(silent, 10)[:, 0]).tolist() == [150, 0, 0, 0, 0, 0, 0, 10, 20, 20]


def test_monotone_maps_and_image_order_change_nothing():
    values, order = RANDOM.normal(size=(200, 5)), RANDOM.permutation(200)
    information = class_information(values, LABELS, 4, 10)
    assert class_information(np.exp(values) * 7, LABELS, 4, 10).tolist() == information.tolist()
    np.testing.assert_allclose(class_information(values[order], LABELS[order], 4, 10), information, rtol=1e-12)


def test_permuted_labels_leave_only_the_bias():
    values = np.stack([LABELS + RANDOM.normal(0, 0.1, 200), RANDOM.random(200)], axis=1)
    information = class_information(values, LABELS, 4, 10)
    permuted = permuted_information(values, LABELS, 4, 10, 40, seed=0)
    # Two of ten bins hold two classes each.
    assert information[0] == pytest.approx(2 - 0.2)
    # (bins - 1) (classes - 1) / (2 images ln 2) to the first order (Miller 1955), as of a unit that tells nothing.
    np.testing.assert_allclose(permuted, 9 * 3 / (2 * 200 * np.log(2)), rtol=0.2)
    assert information[1] < 3 * permuted[1]
    assert permuted.tolist() == permuted_information(values, LABELS, 4, 10, 40, seed=0).tolist()
    assert (permuted != permuted_information(values, LABELS, 4, 10, 40, seed=1)).all()
