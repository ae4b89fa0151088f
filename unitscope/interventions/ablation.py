"""Ablation of single units (Morcos et al. 2018): what is lost when a unit is clamped.

A unit is clamped in activation space, behind its nonlinearity, never by editing weights. The network is cut there: what
lies before the layer runs once for all its units, the layer behind it only for the one channel that changes, and the
rest only for the images on which clamping changes anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unitscope.probing.layer import Layer, Split
from unitscope.runtime.console import progress
from unitscope.runtime.devices import pixels


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
    """Sums over images from which loss, on either half of the images, and accuracies follow."""

    def __init__(self, classes: int) -> None:
        self.loss = np.zeros(2)
        self.correct = np.zeros(classes, np.int64)

    def add(self, logits: Tensor, labels: Tensor, halves: np.ndarray) -> None:
        """Count a batch: logits (images, classes), labels (images,) in main memory, halves (images,)."""
        logits = logits.cpu().double()
        losses = F.cross_entropy(logits, labels, reduction="none").numpy()
        self.loss += np.bincount(halves, losses, minlength=2)
        hits = labels[logits.argmax(1) == labels]
        self.correct += np.bincount(hits.numpy(), minlength=len(self.correct))


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
    device, classes = layer.probe.device, layer.probe.classes
    units = range(layer.units) if units is None else units
    cut = layer.cut()
    intact = Tally(classes)
    clamped = {name: {unit: Tally(classes) for unit in units} for name in clamps}
    counts = np.zeros(classes, np.int64)
    seen = 0
    with torch.no_grad(), progress(len(halves) * len(units), f"{layer.name} ablation", "images x units") as advance:
        for batch, numbers in batches:
            counts += np.bincount(numbers, minlength=classes)
            half = halves[seen : seen + len(numbers)]
            seen += len(numbers)
            labels = torch.from_numpy(numbers)
            activation, start, *live = cut.prefix(pixels(batch, device))
            logits = cut.suffix(start, *live)
            intact.add(logits, labels, half)
            for unit in units:
                own = activation.narrow(layer.axis, unit, 1)
                for name, values in clamps.items():
                    found = _clamped(cut, layer.axis, unit, own, float(values[unit]), start, live, logits)
                    clamped[name][unit].add(found, labels, half)
                advance(len(numbers))
    sizes = np.bincount(halves, minlength=2)
    return {name: _changes(intact, list(tallies.values()), counts, sizes) for name, tallies in clamped.items()}


def _clamped(
    cut: Split, axis: int, unit: int, own: Tensor, value: float, start: Tensor, live: Sequence[Tensor], logits: Tensor
) -> Tensor:
    """Return the logits with one unit held at a value.

    Args:
        cut: The network, cut at the unit's layer.
        axis: Axis of the units.
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
        start.narrow(axis, unit, 1).copy_(held)
    else:
        start = start + cut.change(unit, own, held)
    return logits.index_copy(0, rows, cut.suffix(start, *live))


def _changes(intact: Tally, clamped: list[Tally], counts: np.ndarray, sizes: np.ndarray) -> Ablation:
    """Return what is lost, given the number of images in each class and in each half."""
    total = counts.sum()
    lost = np.array([intact.correct - tally.correct for tally in clamped])
    risen = np.array([tally.loss - intact.loss for tally in clamped])
    by_half = np.divide(risen, sizes, out=np.full(risen.shape, np.nan), where=sizes > 0)
    return Ablation(
        loss=risen.sum(1) / total,
        accuracy=lost.sum(1) / total,
        worst_class=(lost[:, counts > 0] / counts[counts > 0]).max(1),
        loss_half0=by_half[:, 0],
        loss_half1=by_half[:, 1],
    )
