"""Ablation of single units (Morcos et al. 2018): what is lost when a unit is clamped.

A unit is clamped in activation space, behind its nonlinearity, never by editing weights. The network is cut there: what
lies before the layer runs once for all its units, the layer behind it only for the one channel that changes, and the
rest only for the images on which clamping changes anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unitscope.console import progress
from unitscope.layers import Split, split, unit_axis
from unitscope.networks import pixels
from unitscope.randomness import generator


@dataclass(frozen=True)
class Ablation:
    """Change of the network's performance for each clamped unit, (units,); positive where something is lost.

    Attributes:
        loss: Rise of the mean cross-entropy, in nats.
        accuracy: Drop of the accuracy, as a share of all images.
        worst_class: Largest drop of the accuracy within one class.
    """

    loss: np.ndarray
    accuracy: np.ndarray
    worst_class: np.ndarray


class Tally:
    """Sums over images from which loss and accuracies follow."""

    def __init__(self, classes: int) -> None:
        self.loss = 0.0
        self.correct = np.zeros(classes, np.int64)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits (images, classes), labels (images,) in main memory."""
        logits = logits.cpu().double()
        self.loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        hits = labels[logits.argmax(1) == labels]
        self.correct += np.bincount(hits.numpy(), minlength=len(self.correct))


def balanced_sample(labels: np.ndarray, images: int | None) -> np.ndarray:
    """Return the rows of a random sample of images, ascending, with as many of each class as may be.

    Args:
        labels: (all images,) class numbers.
        images: Number of images of the sample; None takes all.
    """
    if images is None or images >= len(labels):
        return np.arange(len(labels))
    shuffled = generator("ablation", "images").permutation(len(labels))
    # The place of each image among those of its class: all first ones, then all second ones, and so on.
    place = np.empty(len(labels), np.int64)
    for number in np.unique(labels):
        own = np.flatnonzero(labels[shuffled] == number)
        place[own] = np.arange(len(own))
    return np.sort(shuffled[np.argsort(place, kind="stable")[:images]])


def ablation(
    module: nn.Module,
    layer: str,
    kind: str,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    clamps: Mapping[str, np.ndarray],
    classes: int,
    images: int,
    units: Sequence[int] | None = None,
) -> dict[str, Ablation]:
    """Clamp each unit of a layer in turn and measure what is lost.

    Args:
        module: The network: frozen, in eval mode, taking pixels in [0, 1].
        layer: Name of the layer.
        kind: "conv" or "linear", as `layers.taps` says.
        batches: Images, uint8 (images, height, width, channels), and labels (images,).
        clamps: For each way to clamp, the values (units,) that the units are clamped to.
        classes: Number of classes.
        images: Number of images in all batches, for the progress shown.
        units: The units to clamp; all of them where this is None. The results have their number and order.
    """
    device = next(module.parameters()).device
    units = range(len(next(iter(clamps.values())))) if units is None else units
    cut = split(module, layer)
    intact = Tally(classes)
    clamped = {name: {unit: Tally(classes) for unit in units} for name in clamps}
    counts = np.zeros(classes, np.int64)
    with torch.inference_mode(), progress(images * len(units), f"{layer} ablation", "images x units") as advance:
        for batch, numbers in batches:
            counts += np.bincount(numbers, minlength=classes)
            labels = torch.from_numpy(numbers)
            activation, start, *live = cut.prefix(pixels(batch, device))
            logits = cut.suffix(start, *live)
            intact.add(logits, labels)
            for unit in units:
                own = activation.narrow(unit_axis(kind), unit, 1)
                for name, values in clamps.items():
                    found = _clamped(cut, kind, unit, own, float(values[unit]), start, live, logits)
                    clamped[name][unit].add(found, labels)
                advance(len(numbers))
    return {name: _changes(intact, list(tallies.values()), counts) for name, tallies in clamped.items()}


def _clamped(
    cut: Split, kind: str, unit: int, own: Tensor, value: float, start: Tensor, live: Sequence[Tensor], logits: Tensor
) -> Tensor:
    """Return the logits with one unit held at a value.

    Args:
        cut: The network, cut at the unit's layer.
        kind: Kind of the layer.
        unit: Number of the unit.
        own: Its activation, the axis of units having length 1.
        value: What it is held at.
        start: What the suffix starts from when nothing is clamped.
        live: What else the suffix needs.
        logits: What comes out when nothing is clamped.
    """
    changed = (own != value).flatten(1).any(1)
    # Other values that the suffix needs may not have an axis of images.
    rows = changed.nonzero()[:, 0] if not live else torch.arange(len(own), device=own.device)
    if not changed.any():
        return logits
    if len(rows) < len(own):
        own, start = own[rows], start[rows]
    held = torch.full_like(own, value)
    if cut.change is None:
        start = start.clone()
        start.narrow(unit_axis(kind), unit, 1).copy_(held)
    else:
        start = start + cut.change(unit, own, held)
    return logits.index_copy(0, rows, cut.suffix(start, *live))


def _changes(intact: Tally, clamped: list[Tally], counts: np.ndarray) -> Ablation:
    total = counts.sum()
    lost = np.array([intact.correct - tally.correct for tally in clamped])
    return Ablation(
        loss=np.array([tally.loss - intact.loss for tally in clamped]) / total,
        accuracy=lost.sum(1) / total,
        worst_class=(lost[:, counts > 0] / counts[counts > 0]).max(1),
    )
