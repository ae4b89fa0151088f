"""Removal of sets of units: what a network computes, image by image, while several units are clamped at once.

As in `unitscope.interventions.ablation`, a unit is clamped in activation space, behind its nonlinearity. In one layer,
the network is cut there and only what lies behind it runs again; in several layers at once, every set is a full pass.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unitscope.probing.layer import Layer, Network, Split
from unitscope.runtime.console import progress
from unitscope.runtime.devices import pixels

Batches = Iterable[tuple[np.ndarray, np.ndarray]]
"""Images, uint8 (images, height, width, channels), and labels (images,)."""


@dataclass(frozen=True)
class Performance:
    """What a network makes of each image while some set of units is clamped.

    Attributes:
        loss: (..., images) cross-entropy, in nats.
        correct: (..., images) whether the class with the largest logit is the image's.
    """

    loss: np.ndarray
    correct: np.ndarray


def removal(layer: Layer, batches: Batches, values: np.ndarray, sets: Sequence[Sequence[int]]) -> Performance:
    """Clamp sets of units of one layer, one set after the other.

    Args:
        layer: The layer.
        batches: Images and labels.
        values: (units,) what the units are clamped to.
        sets: Units of each set; the empty set is the intact network.

    Returns:
        Of arrays (sets, images).

    Example: either of two equal units is enough to tell the bright image from the dark one, but one of them is needed.
        >>> from torch import nn
        >>> from unitscope.probing.probe import Probe
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).requires_grad_(False)
        >>> for place, weight, bias in ((1, [[1.0], [1.0]], [0.0, 0.0]), (3, [[1.0, 1.0], [0.0, 0.0]], [0.0, 0.4])):
        ...     _ = model[place].weight.copy_(torch.tensor(weight)), model[place].bias.copy_(torch.tensor(bias))
        >>> layer = Probe(model, shape=(1, 1, 1), mean=0, std=1)["1"]
        >>> images, labels = np.array([255, 0], np.uint8).reshape(2, 1, 1, 1), np.array([0, 1])
        >>> removal(layer, [(images, labels)], np.zeros(2), [[], [0], [1], [0, 1]]).correct.mean(1)
        array([1. , 1. , 1. , 0.5])
    """
    return _joined(removal_by_batch(layer, batches, values, sets))


def removal_by_batch(
    layer: Layer, batches: Batches, values: np.ndarray, sets: Sequence[Sequence[int]]
) -> Iterator[Performance]:
    """Yield what `removal` returns, batch by batch: of many sets and images it is more than memory holds."""
    cut = layer.cut()

    def logits(images: Tensor) -> Iterator[Tensor]:
        passed = _passed(cut, images)
        for units in sets:
            yield _without(cut, layer.axis, passed, units, values)

    return _performances(layer.probe, layer.name, batches, logits, len(sets))


def cumulative_removal(
    layer: Layer,
    batches: Batches,
    values: np.ndarray,
    orders: Sequence[Sequence[int]],
    counts: Sequence[int],
) -> Performance:
    """Clamp the first units of an order of one layer's units, then more of them.

    Args:
        layer: The layer.
        batches: Images and labels.
        values: (units,) what the units are clamped to.
        orders: Units in each of the orders.
        counts: How many units are removed, ascending.

    Returns:
        Of arrays (orders, counts, images).
    """
    cut = layer.cut()

    def logits(images: Tensor) -> Iterator[Tensor]:
        passed = _passed(cut, images)
        # Nothing removed and everything removed: the same for all orders.
        ends: dict[int, Tensor] = {}
        for order in orders:
            start, done = passed.start, 0
            for count in counts:
                if count not in ends:
                    start, done = _hold(cut, layer.axis, passed.activation, start, order[done:count], values), count
                    found = cut.suffix(start, *passed.live)
                    ends |= {count: found} if count in (0, len(order)) else {}
                yield ends.get(count, found)

    found = _joined(_performances(layer.probe, layer.name, batches, logits, len(orders) * len(counts)))
    return _shaped(found, len(orders), len(counts))


def joint_removal(
    layers: Sequence[Layer],
    batches: Batches,
    values: Mapping[str, np.ndarray],
    orders: Sequence[Mapping[str, Sequence[int]]],
    counts: Sequence[Mapping[str, int]],
) -> Performance:
    """Clamp the first units of an order in every one of several layers at once, then more of them.

    Args:
        layers: The layers, of one network.
        batches: Images and labels.
        values: What the units of each layer (units,) are clamped to.
        orders: For each order, the units of each layer in it.
        counts: For each step, how many units of each layer are removed.

    Returns:
        Of arrays (orders, counts, images).
    """
    probe, names = layers[0].probe, [layer.name for layer in layers]
    run, device = probe.held(names), probe.device
    fixed = {layer: torch.from_numpy(np.asarray(values[layer], np.float32)).to(device) for layer in names}

    def given(layer: str, order: Mapping[str, Sequence[int]], step: Mapping[str, int]) -> tuple[Tensor, Tensor]:
        removed = torch.zeros(len(fixed[layer]), dtype=torch.bool)
        removed[list(order[layer][: step[layer]])] = True
        return removed.to(device), fixed[layer]

    def logits(images: Tensor) -> Iterator[Tensor]:
        # Nothing removed and everything removed: the same for all orders.
        ends: dict[int, Tensor] = {}
        for order in orders:
            for step in counts:
                total = sum(step.values())
                if total not in ends:
                    found = run(images, *(value for layer in names for value in given(layer, order, step)))
                    ends |= {total: found} if total in (0, sum(map(len, order.values()))) else {}
                yield ends.get(total, found)

    found = _joined(_performances(probe, "all layers", batches, logits, len(orders) * len(counts)))
    return _shaped(found, len(orders), len(counts))


@dataclass(frozen=True)
class _Passed:
    """What the intact network makes of a batch, up to a cut and behind it."""

    activation: Tensor
    start: Tensor
    live: tuple[Tensor, ...]
    logits: Tensor


def _passed(cut: Split, images: Tensor) -> _Passed:
    activation, start, *live = cut.prefix(images)
    return _Passed(activation, start, tuple(live), cut.suffix(start, *live))


def _hold(cut: Split, axis: int, activation: Tensor, start: Tensor, units: Sequence[int], values: np.ndarray) -> Tensor:
    """Return what the suffix starts from once more units are held at their values; `start` is left as it is."""
    if not len(units):
        return start
    start = start.clone()
    for unit in units:
        if cut.change is None:
            start.narrow(axis, unit, 1).fill_(float(values[unit]))
        else:
            own = activation.narrow(axis, unit, 1)
            start += cut.change(unit, own, torch.full_like(own, float(values[unit])))
    return start


def _without(cut: Split, axis: int, passed: _Passed, units: Sequence[int], values: np.ndarray) -> Tensor:
    """Return the logits with a set of units held; only the images on which that changes anything run again."""
    if not len(units):
        return passed.logits
    index = torch.tensor(list(units), device=passed.activation.device)
    own = passed.activation.index_select(axis, index)
    target = torch.from_numpy(np.asarray(values)[list(units)]).to(own)
    shape = [1] * own.dim()
    shape[axis] = -1
    changed = (own != target.reshape(shape)).flatten(1).any(1)
    if not changed.any():
        return passed.logits
    # Other values that the suffix needs may not have an axis of images.
    if passed.live or changed.all():
        return cut.suffix(_hold(cut, axis, passed.activation, passed.start, units, values), *passed.live)
    rows = changed.nonzero()[:, 0]
    start = _hold(cut, axis, passed.activation[rows], passed.start[rows], units, values)
    return passed.logits.index_copy(0, rows, cut.suffix(start))


def _performances(
    probe: Network, name: str, batches: Batches, logits: Callable[[Tensor], Iterator[Tensor]], sets: int
) -> Iterator[Performance]:
    """Run every batch through every set; yield arrays (sets, images of the batch)."""
    for part, (batch, numbers) in enumerate(batches, 1):
        labels = torch.from_numpy(numbers)
        loss = np.empty((sets, len(numbers)))
        correct = np.empty((sets, len(numbers)), dtype=bool)
        with torch.no_grad(), progress(sets, f"{name} removal, batch {part}", "sets") as advance:
            for row, found in enumerate(logits(pixels(batch, probe.device))):
                values = found.cpu().double()
                loss[row] = F.cross_entropy(values, labels, reduction="none").numpy()
                correct[row] = (values.argmax(1) == labels).numpy()
                advance(1)
        yield Performance(loss, correct)


def _joined(parts: Iterable[Performance]) -> Performance:
    """Put the images of all batches together."""
    found = list(parts)
    return Performance(*(np.concatenate([getattr(part, name) for part in found], 1) for name in ("loss", "correct")))


def _shaped(found: Performance, orders: int, counts: int) -> Performance:
    shape = (orders, counts, found.loss.shape[1])
    return Performance(found.loss.reshape(shape), found.correct.reshape(shape))
