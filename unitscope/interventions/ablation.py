"""Ablation of single units (Morcos et al. 2018): what is lost when a unit is clamped.

Each unit is a set of one (`unitscope.interventions.sets`), for each way to clamp it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.interventions.sets import ClampedSet, Performance, removal_by_batch
from unitscope.probing.layer import Layer


@dataclass(frozen=True)
class Ablation:
    """Change of the network's performance for each clamped unit, (units,); positive where something is lost.

    Attributes:
        loss: Rise of the mean cross-entropy, in nats.
        accuracy: Drop of the accuracy, as a share of all images.
        worst_class: Largest drop of the accuracy within one class.
        loss_half0: Rise of the mean cross-entropy on one half of the images.
        loss_half1: The same on the other.
    """

    loss: np.ndarray
    accuracy: np.ndarray
    worst_class: np.ndarray
    loss_half0: np.ndarray
    loss_half1: np.ndarray


class Tally:
    """Sums over images from which loss, on either half of the images, and accuracies follow, set by set."""

    def __init__(self, sets: int, classes: int) -> None:
        self.loss = np.zeros((sets, 2))
        self.correct = np.zeros((sets, classes), np.int64)
        self.images = np.zeros(classes, np.int64)

    def add(self, performance: Performance, halves: np.ndarray) -> None:
        """Count a batch, of which each image belongs to one of the halves (images,)."""
        labels, classes = performance.labels, len(self.images)
        self.images += np.bincount(labels, minlength=classes)
        for number, (losses, correct) in enumerate(zip(performance.loss, performance.correct, strict=True)):
            self.loss[number] += np.bincount(halves, losses, minlength=2)
            self.correct[number] += np.bincount(labels[correct], minlength=classes)


def ablation(
    layer: Layer,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    clamps: Mapping[str, np.ndarray],
    halves: np.ndarray,
    units: Sequence[int] | None = None,
) -> dict[str, Ablation]:
    """Clamp each unit of a layer in turn and measure what is lost.

    Args:
        layer: The layer.
        batches: Images, uint8 (images, height, width, channels), and labels (images,).
        clamps: For each way to clamp, the values (units,) that the units are clamped to.
        halves: (images,) half, 0 or 1, that each image of the batches belongs to, as `sampling.halves` says.
        units: The units to clamp; all of them where this is None. The results have their number and order.

    Example: the class is read from unit 0 alone; without it, the bright image is no longer told from the dark one.
        >>> import torch
        >>> from torch import nn
        >>> from unitscope.probing.probe import Probe
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).requires_grad_(False)
        >>> for place, weight, bias in ((1, [[1.0], [0.0]], [0.0, 0.5]), (3, [[1.0, 0.0], [0.0, 0.0]], [0.0, 0.4])):
        ...     _ = model[place].weight.copy_(torch.tensor(weight)), model[place].bias.copy_(torch.tensor(bias))
        >>> layer = Probe(model, shape=(1, 1, 1), mean=0, std=1)["1"]
        >>> images, labels = np.array([255, 0], np.uint8).reshape(2, 1, 1, 1), np.array([0, 1])
        >>> lost = ablation(layer, [(images, labels)], {"zero": np.zeros(2)}, halves=np.array([0, 1]))
        >>> lost["zero"].accuracy
        array([0.5, 0. ])
    """
    units = range(layer.units) if units is None else units
    sets = [ClampedSet([unit], values) for values in clamps.values() for unit in units]
    tally = Tally(1 + len(sets), layer.probe.classes)
    first = 0
    intact = ClampedSet([], np.zeros(0))
    for part in removal_by_batch(layer, batches, [intact, *sets], len(halves), "ablation"):
        tally.add(part, halves[first : first + len(part.labels)])
        first += len(part.labels)
    lost = np.split(tally.correct[0] - tally.correct[1:], len(clamps))
    risen = np.split(tally.loss[1:] - tally.loss[0], len(clamps))
    sizes = np.bincount(halves, minlength=2)
    changes = zip(clamps, lost, risen, strict=True)
    return {name: _changes(by_class, by_half, tally.images, sizes) for name, by_class, by_half in changes}


def _changes(lost: np.ndarray, risen: np.ndarray, images: np.ndarray, sizes: np.ndarray) -> Ablation:
    """Return what is lost.

    Args:
        lost: (units, classes) images that are no longer classified correctly.
        risen: (units, 2) rise of the summed loss, by half.
        images: (classes,) number of images.
        sizes: (2,) number of images of each half.
    """
    total = images.sum()
    by_half = np.divide(risen, sizes, out=np.full(risen.shape, np.nan), where=sizes > 0)
    return Ablation(
        loss=risen.sum(1) / total,
        accuracy=lost.sum(1) / total,
        worst_class=(lost[:, images > 0] / images[images > 0]).max(1),
        loss_half0=by_half[:, 0],
        loss_half1=by_half[:, 1],
    )
