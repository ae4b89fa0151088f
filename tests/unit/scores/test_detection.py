"""Detection measures: against scipy and scikit-learn, by enumeration, and on units with known answers."""

import itertools
from dataclasses import fields

import numpy as np
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu
from sklearn.metrics import roc_auc_score, roc_curve

from unitscope.data.sampling import halves
from unitscope.scores.detection import class_auc, detection, false_discovery_rates, heldout_auc

ORDER_STATISTICS = ("auc_class", "auc", "auc_p", "informedness", "hit_rate_fa05", "precision_at_k")


def random_table(generator, images, units, classes, levels):
    """Return activations with ties: of a few levels, silent ones, and a constant unit."""
    labels = np.concatenate([np.arange(classes), generator.integers(classes, size=images - classes)])
    generator.shuffle(labels)
    activations = generator.integers(-1, levels, size=(images, units)).astype(np.float32) / 3
    activations[:, 0] = 0.5
    return activations, labels


@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_measures_equal_brute_force(first):
    for seed in range(first, first + 100):
        compare_with_brute_force(np.random.default_rng(seed))


def compare_with_brute_force(generator):
    classes, images = int(generator.integers(2, 5)), int(generator.integers(12, 40))
    activations, labels = random_table(generator, images, 3, classes, int(generator.integers(1, 12)))
    result = detection(activations, labels, classes)
    areas = class_auc(activations, labels, classes)
    for unit, x in enumerate(activations.T.astype(np.float64)):
        by_class = [greater(x, labels == number) for number in range(classes)]
        assert areas[:, unit] == pytest.approx(by_class, abs=1e-12)
        best = int(result.auc_class[unit])
        assert by_class[best] == pytest.approx(max(by_class), abs=1e-12)
        of_class = labels == best
        assert result.auc[unit] == pytest.approx(roc_auc_score(of_class, x), abs=1e-12)
        false_alarms, hits, _ = roc_curve(of_class, x, drop_intermediate=False)
        assert result.informedness[unit] == pytest.approx((hits - false_alarms).max(), abs=1e-12)
        assert result.hit_rate_fa05[unit] == pytest.approx(interpolated(false_alarms, hits, 0.05), abs=1e-12)
        assert result.precision_at_k[unit] == pytest.approx(expected_precision(x, of_class), abs=1e-12)
        test = mannwhitneyu(x[of_class], x[~of_class], alternative="greater", method="asymptotic")
        p_value = 1.0 if np.ptp(x) == 0 else test.pvalue
        assert result.auc_p[unit] == pytest.approx(min(1.0, classes * p_value), abs=1e-12)
        first, second = x[of_class], x[~of_class]
        spread = np.sqrt((first.var() + second.var()) / 2)
        expected = (first.mean() - second.mean()) / spread if np.ptp(x) and spread else np.nan
        assert result.d_prime[unit] == pytest.approx(expected, nan_ok=True)


def greater(x, of_class):
    """Return how often x on an image of the class is larger than on another, ties counting half."""
    differences = x[of_class][:, None] - x[~of_class]
    return ((differences > 0) + (differences == 0) / 2).mean()


def interpolated(false_alarms, hits, at):
    """Return the largest hit rate on the ROC curve at a share of false alarms."""
    below = np.flatnonzero(false_alarms <= at)[-1]
    slope = (hits[below + 1] - hits[below]) / (false_alarms[below + 1] - false_alarms[below])
    return hits[below] + slope * (at - false_alarms[below])


def expected_precision(x, of_class):
    """Return the expected share of the class among the k largest: the mean contribution of each rank."""
    count, share = int(of_class.sum()), 0.0
    for rank in np.sort(x)[::-1][:count]:
        share += of_class[x == rank].mean()
    return share / count


def test_precision_is_the_mean_over_the_orders_of_ties():
    x, of_class = np.array([2.0, 1.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False, False])
    precisions = []
    for order in itertools.permutations(range(5)):
        ranked = sorted(order, key=lambda image: -x[image])
        precisions.append(of_class[ranked[:2]].mean())
    assert expected_precision(x, of_class) == pytest.approx(np.mean(precisions))
    assert detection(x[:, None], (~of_class).astype(int), 2).precision_at_k[0] == pytest.approx(np.mean(precisions))


@pytest.mark.parametrize("increasing", [np.exp, np.cbrt, lambda x: 8 * x, lambda x: np.arctan(x / 4)])
def test_increasing_maps_change_no_order_statistic(increasing):
    generator = np.random.default_rng(5)
    activations, labels = generator.normal(size=(200, 6)), generator.integers(4, size=200)
    before, after = detection(activations, labels, 4), detection(increasing(activations), labels, 4)
    for name in ORDER_STATISTICS:
        assert (getattr(before, name) == getattr(after, name)).all(), name
    assert (heldout_auc(activations, labels, 4) == heldout_auc(increasing(activations), labels, 4)).all()
    assert not np.allclose(before.d_prime, detection(np.exp(activations), labels, 4).d_prime)


def test_a_unit_that_alone_carries_its_class_is_detected_perfectly():
    labels = np.repeat(np.arange(3), 20)
    activations = (labels[:, None] == np.arange(3)) * np.random.default_rng(0).uniform(1, 2, (60, 3))
    result = detection(activations, labels, 3)
    assert result.auc_class.tolist() == [0, 1, 2]
    for name in ("auc", "informedness", "hit_rate_fa05", "precision_at_k"):
        assert (getattr(result, name) == 1).all(), name
    assert (result.auc_p < 1e-8).all() and (result.d_prime > 5).all()
    assert (heldout_auc(activations, labels, 3) == 1).all()


def test_units_are_independent_of_each_other_and_of_the_order_of_images():
    generator = np.random.default_rng(3)
    activations, labels = random_table(generator, 90, 5, 3, 6)
    together, order = detection(activations, labels, 3), generator.permutation(90)
    alone = [detection(activations[order, unit : unit + 1], labels[order], 3) for unit in range(5)]
    for field in fields(together):
        separate = np.concatenate([getattr(each, field.name) for each in alone])
        assert getattr(together, field.name) == pytest.approx(separate, nan_ok=True, abs=1e-12), field.name


def test_the_heldout_class_is_chosen_on_the_other_half():
    generator = np.random.default_rng(8)
    activations, labels = generator.normal(size=(80, 40)), np.repeat(np.arange(8), 10)
    half, values = halves(labels), []
    for number in (0, 1):
        rows, other = half == number, half != number
        chosen = class_auc(activations[other], labels[other], 8).argmax(axis=0)
        values.append(class_auc(activations[rows], labels[rows], 8)[chosen, np.arange(40)])
    heldout = heldout_auc(activations, labels, 8)
    assert heldout == pytest.approx(np.mean(values, axis=0))
    # Noise: the best of eight classes is far above 0.5, the one chosen elsewhere is not.
    assert detection(activations, labels, 8).auc.mean() > 0.6
    assert abs(heldout.mean() - 0.5) < 0.05


def test_p_values_hold_their_level_for_noise():
    generator = np.random.default_rng(11)
    activations, labels = generator.normal(size=(300, 2000)), generator.integers(5, size=300)
    p_values = detection(activations, labels, 5).auc_p
    assert 0.02 < (p_values < 0.05).mean() < 0.065
    assert (false_discovery_rates(p_values) < 0.05).mean() < 0.005


def test_false_discovery_rates_leave_out_units_without_a_test():
    # Benjamini and Hochberg 1995, by hand: 0.01 * 3 / 1, 0.02 * 3 / 2, 0.5.
    assert false_discovery_rates(np.array([0.02, np.nan, 0.5, 0.01])) == pytest.approx(
        [0.03, np.nan, 0.5, 0.03], nan_ok=True
    )
    assert np.isnan(false_discovery_rates(np.array([np.nan]))).all()


def test_false_discovery_rates_equal_those_of_scipy():
    generator = np.random.default_rng(0)
    for count in range(1, 60):
        p_values = (generator.random(count) ** 3).round(2)
        tested = generator.random(count) < 0.8
        adjusted = false_discovery_rates(np.where(tested, p_values, np.nan))
        assert np.isnan(adjusted[~tested]).all()
        if tested.any():
            assert adjusted[tested] == pytest.approx(false_discovery_control(p_values[tested]))


def test_a_class_without_an_image_is_never_chosen():
    activations, labels = np.array([[3.0], [2.0], [1.0], [0.0]]), np.array([0, 0, 2, 2])
    assert np.isnan(class_auc(activations, labels, 3)[1]).all()
    result = detection(activations, labels, 3)
    assert result.auc_class[0] == 0 and result.auc[0] == 1
    assert np.isnan(heldout_auc(activations[:3], labels[:3], 3)).all()
