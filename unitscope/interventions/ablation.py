"""Ablation of single units (Morcos et al. 2018): the network's performance with a unit's activation replaced.

Each unit is a set of one (`unitscope.interventions.sets`), for each way to replace it. The change of loss and of
correct classifications is kept by class and by half of the images (`Damage`), from which all scores follow.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.interventions.sets import ClampedSet, Performance, Replacement, ResampledSet, removal_by_batch
from unitscope.probing.layer import Layer

Clamp = Callable[[int], Replacement]
"""What a unit's activation is replaced by, given the unit."""


@dataclass(frozen=True)
class Damage:
    """Change of the network's performance for each replaced unit, by class and half; positive where it drops.

    Attributes:
        loss: (2, units, classes) increase of the cross-entropy, in nats, summed over the images of a half and class.
        hits: (2, units, classes) correctly classified images that are lost, int64.
        images: (2, classes) number of images, int64.
        intact_loss: (2, classes) cross-entropy of the intact network, in nats, summed over images.
        intact_hits: (2, classes) images that the intact network classifies correctly, int64.
    """

    loss: np.ndarray
    hits: np.ndarray
    images: np.ndarray
    intact_loss: np.ndarray
    intact_hits: np.ndarray


@dataclass(frozen=True)
class Ablation:
    """Scores of the damage of each replaced unit, (units,); positive where performance drops.

    Attributes:
        loss: Increase of the mean cross-entropy, in nats.
        accuracy: Decrease of the accuracy, as a share of all images.
        worst_class: Largest decrease of the accuracy within one class.
        loss_half0: Increase of the mean cross-entropy on one half of the images.
        loss_half1: The same on the other.
    """

    loss: np.ndarray
    accuracy: np.ndarray
    worst_class: np.ndarray
    loss_half0: np.ndarray
    loss_half1: np.ndarray


@dataclass(frozen=True)
class ClassDamage:
    """Damage to single classes, (units,), in nats per image; the class is chosen on one half, measured on the other.

    Attributes:
        own_class_damage: Increase of the mean cross-entropy on images of the unit's preferred class.
        specificity: `own_class_damage` minus the mean increase over the other classes.
        worst_class: Increase on images of the class in which it is largest on the other half.
    """

    own_class_damage: np.ndarray
    specificity: np.ndarray
    worst_class: np.ndarray


def clamp_to(values: np.ndarray) -> Clamp:
    """Return the clamp of each unit to a constant, given the constants (units of the layer,)."""
    return lambda unit: ClampedSet([unit], values)


def resample() -> Clamp:
    """Return the clamp of each unit to its map on another image, which `ablation` takes from `donors`."""
    return lambda unit: ResampledSet([unit])


def ablation(
    layer: Layer,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    clamps: Mapping[str, Clamp],
    halves: np.ndarray,
    units: Sequence[int] | None = None,
    donors: Iterable[np.ndarray] = (),
) -> dict[str, Damage]:
    """Replace each unit of a layer in turn and measure the damage.

    Args:
        layer: The layer.
        batches: Images, uint8 (images, height, width, channels), and labels (images,).
        clamps: The ways to replace a unit, by name.
        halves: (images,) half, 0 or 1, that each image of the batches belongs to, as `sampling.halves` says.
        units: The units to replace; all of them where this is None. The results have their number and order.
        donors: For each batch, as many other images, where a unit is resampled.

    Example: the class is read from unit 0 alone; without it, the bright image is taken for the dark one.
        >>> import torch
        >>> from torch import nn
        >>> from unitscope.probing.probe import Probe
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).requires_grad_(False)
        >>> for place, weight, bias in ((1, [[1.0], [0.0]], [0.0, 0.5]), (3, [[1.0, 0.0], [0.0, 0.0]], [0.0, 0.4])):
        ...     _ = model[place].weight.copy_(torch.tensor(weight)), model[place].bias.copy_(torch.tensor(bias))
        >>> layer = Probe(model, shape=(1, 1, 1), mean=0, std=1)["1"]
        >>> images, labels = np.array([255, 0], np.uint8).reshape(2, 1, 1, 1), np.array([0, 1])
        >>> damage = ablation(layer, [(images, labels)], {"zero": clamp_to(np.zeros(2))}, halves=np.array([0, 1]))
        >>> scores(damage["zero"]).accuracy
        array([0.5, 0. ])
    """
    units = range(layer.units) if units is None else units
    sets = [clamp(unit) for clamp in clamps.values() for unit in units]
    tally = _Tally(len(sets), layer.probe.classes)
    first = 0
    intact = ClampedSet([], np.zeros(0))
    for part in removal_by_batch(layer, batches, [intact, *sets], len(halves), "ablation", donors):
        tally.add(part, halves[first : first + len(part.labels)])
        first += len(part.labels)
    by_clamp = zip(clamps, np.split(tally.loss, len(clamps), 1), np.split(tally.hits, len(clamps), 1), strict=True)
    intact_sums = tally.images, tally.intact_loss, tally.intact_hits
    return {name: Damage(loss, hits, *intact_sums) for name, loss, hits in by_clamp}


def ablation_scores(
    layer: Layer,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    constants: Mapping[str, np.ndarray],
    halves: np.ndarray,
    units: Sequence[int] | None = None,
) -> dict[str, Ablation]:
    """Clamp each unit of a layer to constants and return its scores; arguments as `ablation`, constants (units,)."""
    clamps = {name: clamp_to(values) for name, values in constants.items()}
    return {name: scores(damage) for name, damage in ablation(layer, batches, clamps, halves, units).items()}


class _Tally:
    """Sums over images, by half, set and class."""

    def __init__(self, sets: int, classes: int) -> None:
        self.loss = np.zeros((2, sets, classes))
        self.hits = np.zeros((2, sets, classes), np.int64)
        self.images = np.zeros((2, classes), np.int64)
        self.intact_loss = np.zeros((2, classes))
        self.intact_hits = np.zeros((2, classes), np.int64)

    def add(self, performance: Performance, halves: np.ndarray) -> None:
        """Count a batch, the first set of which is the intact network."""
        # Differences image by image: an image that a set does not affect adds exactly 0.
        loss = performance.loss[1:] - performance.loss[0]
        hits = performance.correct[0].astype(np.int64) - performance.correct[1:]
        classes = self.images.shape[1]
        for half in (0, 1):
            rows = np.flatnonzero(halves == half)
            labels = performance.labels[rows]
            self.images[half] += np.bincount(labels, minlength=classes)
            self.intact_loss[half] += np.bincount(labels, performance.loss[0, rows], minlength=classes)
            self.intact_hits[half] += np.bincount(labels[performance.correct[0, rows]], minlength=classes)
            order = np.argsort(labels, kind="stable")
            present, starts = np.unique(labels[order], return_index=True)
            if len(present):
                self.loss[half][:, present] += np.add.reduceat(loss[:, rows[order]], starts, axis=1)
                self.hits[half][:, present] += np.add.reduceat(hits[:, rows[order]], starts, axis=1)


def scores(damage: Damage) -> Ablation:
    """Return the scores of units over all classes."""
    images = damage.images.sum(0)
    total, hits, is_present = images.sum(), damage.hits.sum(0), images > 0
    sizes = damage.images.sum(1)[:, None]
    loss = damage.loss.sum(2)
    by_half = np.divide(loss, sizes, out=np.full(loss.shape, np.nan), where=sizes > 0)
    return Ablation(
        loss=loss.sum(0) / total,
        accuracy=hits.sum(1) / total,
        worst_class=(hits[:, is_present] / images[is_present]).max(1),
        loss_half0=by_half[0],
        loss_half1=by_half[1],
    )


def class_damage(damage: Damage, preferred: np.ndarray) -> ClassDamage:
    """Return the damage to single classes.

    Args:
        damage: Of the units.
        preferred: (2, units) class with the largest mean activation on either half of the test images; -1 for a unit
            without one.

    Returns:
        Each the mean of both ways round; NaN where the class has no image in the half that it is measured on.
    """
    images = damage.images[:, None, :]
    mean = np.divide(damage.loss, images, out=np.full(damage.loss.shape, np.nan), where=images > 0)
    preferred_damage, others, worst = [], [], []
    for half in (0, 1):
        by_class, preferred_class = mean[half], preferred[1 - half]
        rows = np.arange(len(by_class))
        damage_of_half = np.where(preferred_class >= 0, by_class[rows, preferred_class], np.nan)
        is_other = np.isfinite(by_class) & (np.arange(by_class.shape[1]) != preferred_class[:, None])
        count = is_other.sum(1)
        sum_of_others = np.where(is_other, by_class, 0.0).sum(1)
        preferred_damage.append(damage_of_half)
        others.append(np.divide(sum_of_others, count, out=np.full(len(rows), np.nan), where=count > 0))
        worst.append(by_class[rows, np.where(np.isfinite(mean[1 - half]), mean[1 - half], -np.inf).argmax(1)])
    return ClassDamage(
        own_class_damage=(preferred_damage[0] + preferred_damage[1]) / 2,
        specificity=(preferred_damage[0] - others[0] + preferred_damage[1] - others[1]) / 2,
        worst_class=(worst[0] + worst[1]) / 2,
    )
