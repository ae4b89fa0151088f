"""Sets of units of one layer, clamped at once: what a network computes, image by image, without them.

A unit is clamped in activation space, behind its nonlinearity, never by editing weights. The network is cut there: what
lies before the layer runs once for all sets, the layer behind it only for the channels that change, and the rest only
for the images on which clamping changes anything.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
        labels: (images,) class of each image.
    """

    loss: np.ndarray
    correct: np.ndarray
    labels: np.ndarray


class ClampedSet(NamedTuple):
    """Units of a layer that are clamped at once.

    Attributes:
        units: Numbers of the units; none for the intact network.
        values: (units of the layer,) what each unit is clamped to.
    """

    units: Sequence[int]
    values: np.ndarray


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
    return joined(removal_by_batch(layer, batches, [ClampedSet(units, values) for units in sets]))


def removal_by_batch(
    layer: Layer,
    batches: Batches,
    sets: Sequence[ClampedSet],
    images: int | None = None,
    what: str = "removal",
) -> Iterator[Performance]:
    """Yield what `removal` returns, batch by batch: of many sets and images it is more than memory holds.

    Args:
        layer: The layer.
        batches: Images and labels.
        sets: The sets, each with the values that its units are clamped to.
        images: Number of images of all batches, for one progress bar over all of them.
        what: What the progress bar shows.
    """
    cut = layer.cut()

    def logits(images: Tensor) -> Iterator[Tensor]:
        passed = passed_through(cut, images)
        for units, values in sets:
            yield _without(cut, layer.axis, passed, units, values)

    return performances(layer.probe, f"{layer.name} {what}", batches, logits, len(sets), images)


@dataclass(frozen=True)
class Passed:
    """What the intact network makes of a batch, up to a cut and behind it."""

    activation: Tensor
    start: Tensor
    live: tuple[Tensor, ...]
    logits: Tensor


def passed_through(cut: Split, images: Tensor) -> Passed:
    """Return what the intact network makes of a batch of images."""
    activation, start, *live = cut.prefix(images)
    return Passed(activation, start, tuple(live), cut.suffix(start, *live))


def hold(
    cut: Split,
    axis: int,
    activation: Tensor,
    start: Tensor,
    units: Sequence[int],
    values: np.ndarray,
    rows: Tensor | None = None,
) -> Tensor:
    """Return what the suffix starts from once more units are held at their values; `start` is left as it is.

    Args:
        cut: The network, cut at the units' layer.
        axis: Axis of the units in an activation tensor.
        activation: The layer's activation.
        start: What the suffix starts from, of the images in `rows`.
        units: The units.
        values: (units of the layer,) what each unit is held at.
        rows: (images,) rows of `activation` that are held; None for all.
    """
    if len(units) and cut.change is None:
        start = start.clone()
    for unit in units:
        if cut.change is None:
            start.narrow(axis, unit, 1).fill_(float(values[unit]))
        else:
            unit_activation = activation.narrow(axis, unit, 1)
            unit_activation = unit_activation if rows is None else unit_activation[rows]
            start = start + cut.change(unit, unit_activation, torch.full_like(unit_activation, float(values[unit])))
    return start


def _without(cut: Split, axis: int, passed: Passed, units: Sequence[int], values: np.ndarray) -> Tensor:
    """Return the logits with a set of units held; only the images on which that changes anything run again."""
    if not len(units):
        return passed.logits
    if len(units) == 1:
        # Nothing is copied: it may be one unit of thousands.
        activation = passed.activation.narrow(axis, units[0], 1)
    else:
        activation = passed.activation.index_select(axis, torch.tensor(list(units), device=passed.activation.device))
    target = torch.from_numpy(np.asarray(values)[list(units)]).to(activation)
    shape = [1] * activation.dim()
    shape[axis] = -1
    changed = (activation != target.reshape(shape)).flatten(1).any(1)
    if not changed.any():
        return passed.logits
    # Other values that the suffix needs may not have an axis of images.
    if passed.live or changed.all():
        return cut.suffix(hold(cut, axis, passed.activation, passed.start, units, values), *passed.live)
    rows = changed.nonzero()[:, 0]
    start = hold(cut, axis, passed.activation, passed.start[rows], units, values, rows)
    return passed.logits.index_copy(0, rows, cut.suffix(start))


def performances(
    probe: Network,
    what: str,
    batches: Batches,
    logits: Callable[[Tensor], Iterator[Tensor]],
    sets: int,
    images: int | None = None,
) -> Iterator[Performance]:
    """Run every batch through every set; yield arrays (sets, images of the batch).

    Args:
        probe: The network.
        what: What the progress bar shows.
        batches: Images and labels.
        logits: Yields the logits of a batch without each set.
        sets: Number of sets.
        images: Number of images of all batches, for one progress bar over all of them; None for a bar per batch.
    """
    with contextlib.ExitStack() as shown:
        advance = shown.enter_context(progress(images * sets, what, "images x sets")) if images else None
        for part, (batch, numbers) in enumerate(batches, 1):
            labels = torch.from_numpy(numbers)
            loss = np.empty((sets, len(numbers)))
            correct = np.empty((sets, len(numbers)), dtype=bool)
            with torch.no_grad(), contextlib.ExitStack() as of_batch:
                step = advance or of_batch.enter_context(progress(sets, f"{what}, batch {part}", "sets"))
                for row, set_logits in enumerate(logits(pixels(batch, probe.device))):
                    values = set_logits.cpu().double()
                    loss[row] = F.cross_entropy(values, labels, reduction="none").numpy()
                    correct[row] = (values.argmax(1) == labels).numpy()
                    step(len(numbers) if advance else 1)
            yield Performance(loss, correct, numbers)


def joined(parts: Iterable[Performance]) -> Performance:
    """Return the images of all batches together."""
    batch_performances = list(parts)
    loss, correct = (
        np.concatenate([getattr(part, name) for part in batch_performances], 1) for name in ("loss", "correct")
    )
    return Performance(loss, correct, np.concatenate([part.labels for part in batch_performances]))
