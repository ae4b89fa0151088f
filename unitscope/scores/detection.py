"""Detection measures: how well a unit's activation tells the images of one class from all others.

Gale et al. (2020, "Selectivity metrics can overestimate the selectivity of units") recommend measures of
signal-detection theory next to the class selectivity index, which they call CCMAS. Arrays in, arrays out. All but d'
depend on the order of the activations alone, so that no increasing map of a unit's activations changes them.

`scipy.stats` has parts of this, but importing it takes longer than all measures of a small network; the tests compare.
"""

import math
from dataclasses import dataclass

import numpy as np

from unitscope.data.sampling import halves

FALSE_ALARMS = 0.05
"""Share of false alarms at which the hit rate is reported."""


@dataclass(frozen=True)
class Detection:
    """Detection measures of units; every array is (units,).

    Attributes:
        auc_class: Number of the class with the largest AUC, the first of equal ones.
        auc: Area under the ROC curve for that class: the probability that the activation on an image of the class is
            larger than on another image, plus half the probability of a tie.
        auc_p: One-sided p value of the Mann-Whitney test, corrected for ties and multiplied by the number of classes,
            at most 1.
        informedness: Largest difference of hit rate and false-alarm rate over all thresholds (Youden's J).
        hit_rate_fa05: Hit rate at 5 % false alarms, the ROC curve interpolated linearly across ties.
        precision_at_k: Share of the class among the k images that activate the unit most, k the number of images of the
            class; the expected value over the order of ties.
        d_prime: Difference of the means in units of the root of the mean variance; NaN where neither varies.
    """

    auc_class: np.ndarray
    auc: np.ndarray
    auc_p: np.ndarray
    informedness: np.ndarray
    hit_rate_fa05: np.ndarray
    precision_at_k: np.ndarray
    d_prime: np.ndarray


def class_auc(activations: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the area under the ROC curve of each unit for each class against all other classes.

    Args:
        activations: (images, units).
        labels: (images,) class numbers.
        classes: Number of classes.

    Returns:
        (classes, units) in [0, 1]; NaN for a class that has no image or all images.

    Example: of three classes, the first unit detects the last, the second none.
        >>> class_auc(np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), np.arange(3), 3)
        array([[0. , 0.5],
               [0.5, 0.5],
               [1. , 0.5]])
    """
    order = np.argsort(activations, axis=0, kind="stable")
    ranks, _ = _ranks(order, np.take_along_axis(activations, order, axis=0))
    return _class_auc(ranks, labels, classes)


def detection(activations: np.ndarray, labels: np.ndarray, classes: int) -> Detection:
    """Return the detection measures of each unit for the class that it detects best.

    Args:
        activations: (images, units).
        labels: (images,) class numbers.
        classes: Number of classes, at least two of which have images.
    """
    images = len(activations)
    sizes = np.bincount(labels, minlength=classes)
    order = np.argsort(activations, axis=0, kind="stable")
    ordered = np.take_along_axis(activations, order, axis=0)
    ranks, ties = _ranks(order, ordered)
    areas = _class_auc(ranks, labels, classes)
    best = np.nanargmax(areas, axis=0)
    auc = np.take_along_axis(areas, best[None], axis=0)[0]
    positives = sizes[best]
    in_class = labels[:, None] == best
    hits, false_alarms, is_threshold = _roc(ordered, np.take_along_axis(in_class, order, axis=0))
    hit_rates, false_alarm_rates = hits / positives, false_alarms / (images - positives)
    return Detection(
        auc_class=best,
        auc=auc,
        auc_p=np.minimum(_mann_whitney_p(auc, positives, images, ties) * (sizes > 0).sum(), 1.0),
        informedness=np.where(is_threshold, hit_rates - false_alarm_rates, 0.0).max(axis=0),
        hit_rate_fa05=_at_false_alarms(hit_rates, false_alarm_rates, is_threshold),
        precision_at_k=_precision_at(positives, hits, is_threshold),
        d_prime=_d_prime(activations, in_class),
    )


def heldout_auc(activations: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the AUC of the class that is chosen on the other half of the images (INVERT; Bykov et al. 2023).

    The largest of many noisy AUCs is too large; here, no image is used both for the choice and for the measurement.

    Args:
        activations: (images, units).
        labels: (images,) class numbers.
        classes: Number of classes.

    Returns:
        (units,) mean of both halves; NaN where a class has fewer than two images.
    """
    half = halves(labels)
    areas = [class_auc(activations[half == number], labels[half == number], classes) for number in (0, 1)]
    present = [np.bincount(labels[half == number], minlength=classes) > 0 for number in (0, 1)]
    if not (present[0] == present[1]).all():
        return np.full(activations.shape[1], np.nan)
    chosen = [np.nanargmax(area, axis=0)[None] for area in areas]
    measured = [np.take_along_axis(areas[number], chosen[1 - number], axis=0)[0] for number in (0, 1)]
    return (measured[0] + measured[1]) / 2


def false_discovery_rates(p_values: np.ndarray) -> np.ndarray:
    """Return p values adjusted over the units of a layer (Benjamini and Hochberg 1995).

    Args:
        p_values: (units,); NaN is a unit without a test: it stays NaN and does not count.
    """
    result = np.full(p_values.shape, np.nan)
    # NaN is sorted to the end.
    order = np.argsort(p_values, kind="stable")[: np.isfinite(p_values).sum()]
    steps = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    result[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return result


def _ranks(order: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mid-ranks (images, units) of sorted activations, and sum(t^3 - t) over the ties (units,)."""
    images = len(ordered)
    places = np.arange(images)[:, None]
    starts = np.ones(ordered.shape, dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    first = np.maximum.accumulate(np.where(starts, places, 0), axis=0)
    ends = _ends(ordered)
    last = np.minimum.accumulate(np.where(ends, places, images)[::-1], axis=0)[::-1]
    ranks = np.empty(ordered.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=0)
    sizes = np.where(starts, last - first + 1, 0).astype(np.float64)
    return ranks, (sizes**3 - sizes).sum(axis=0)


def _ends(ordered: np.ndarray) -> np.ndarray:
    """Return (images, units) whether an activation is the last of equal ones."""
    ends = np.ones(ordered.shape, dtype=bool)
    ends[:-1] = ordered[1:] != ordered[:-1]
    return ends


def _class_auc(ranks: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    sizes = np.bincount(labels, minlength=classes).astype(np.float64)[:, None]
    present = np.flatnonzero(sizes)
    starts = np.searchsorted(np.sort(labels), present)
    sums = np.zeros((classes, ranks.shape[1]))
    sums[present] = np.add.reduceat(ranks[np.argsort(labels, kind="stable")], starts, axis=0)
    pairs = sizes * (len(ranks) - sizes)
    return np.divide(sums - sizes * (sizes + 1) / 2, pairs, out=np.full(sums.shape, np.nan), where=pairs > 0)


def _mann_whitney_p(auc: np.ndarray, positives: np.ndarray, images: int, ties: np.ndarray) -> np.ndarray:
    """Return one-sided p values (units,) by the normal approximation, with corrections for ties and continuity."""
    pairs = positives * (images - positives)
    variance = pairs / 12 * ((images + 1) - ties / (images * (images - 1)))
    distance = (auc - 0.5) * pairs - 0.5
    score = np.divide(distance, np.sqrt(variance), out=np.zeros(auc.shape), where=variance > 0)
    upper_tail = np.array([math.erfc(value / math.sqrt(2)) / 2 for value in score.tolist()])
    return np.where(variance > 0, upper_tail, 1.0)


def _roc(ordered: np.ndarray, in_class: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hits, false alarms and whether it is a threshold, each (images, units), by descending activation.

    Args:
        ordered: (images, units) ascending activations.
        in_class: (images, units) whether the image of that activation is of the class.
    """
    hits = np.cumsum(in_class[::-1], axis=0)
    false_alarms = np.arange(1, len(ordered) + 1)[:, None] - hits
    return hits, false_alarms, _ends(ordered[::-1])


def _at_false_alarms(hit_rates: np.ndarray, false_alarm_rates: np.ndarray, is_threshold: np.ndarray) -> np.ndarray:
    """Return (units,) the hit rate at `FALSE_ALARMS`, given the ROC curve (images, units) and its thresholds."""
    images, units = hit_rates.shape
    place, every = np.arange(images)[:, None], np.arange(units)
    # A count divided by a count: 5 of 100 is 0.05 to the last bit, as the constant is.
    below = is_threshold & (false_alarm_rates <= FALSE_ALARMS)
    before = np.where(below, place, -1).max(axis=0)
    after = np.where(is_threshold & (false_alarm_rates > FALSE_ALARMS), place, images).min(axis=0)
    lower = [np.where(before >= 0, rates[before, every], 0.0) for rates in (hit_rates, false_alarm_rates)]
    upper = [rates[after, every] for rates in (hit_rates, false_alarm_rates)]
    return lower[0] + (FALSE_ALARMS - lower[1]) / (upper[1] - lower[1]) * (upper[0] - lower[0])


def _precision_at(count: np.ndarray, hits: np.ndarray, is_threshold: np.ndarray) -> np.ndarray:
    """Return (units,) the expected share of hits among the `count` (units,) largest activations."""
    images, units = hits.shape
    place, every = np.arange(images)[:, None], np.arange(units)
    before = np.where(is_threshold & (place < count), place, -1).max(axis=0)
    after = np.where(is_threshold & (place >= count - 1), place, images).min(axis=0)
    hits_before = np.where(before >= 0, hits[before, every], 0)
    tied = np.maximum(after - before, 1)
    return (hits_before + (count - before - 1) / tied * (hits[after, every] - hits_before)) / count


def _d_prime(activations: np.ndarray, in_class: np.ndarray) -> np.ndarray:
    values = activations.astype(np.float64)
    moments = []
    for chosen in (in_class, ~in_class):
        count = chosen.sum(axis=0)
        mean = np.where(chosen, values, 0.0).sum(axis=0) / count
        moments.append((mean, np.where(chosen, (values - mean) ** 2, 0.0).sum(axis=0) / count))
    (mean, variance), (other_mean, other_variance) = moments
    spread = np.sqrt((variance + other_variance) / 2)
    constant = np.ptp(activations, axis=0) == 0
    return np.divide(mean - other_mean, spread, out=np.full(spread.shape, np.nan), where=(spread > 0) & ~constant)
