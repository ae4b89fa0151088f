"""Sets of units of one layer whose activations are replaced at once: what a network computes then, image by image.

Activations are replaced after the nonlinearity, never by editing weights. The network is cut there: everything before
the layer runs once for all sets, the layer after it only for the channels that change, and the rest only for the images
on which something changes.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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
    """A network's performance on each image while the activations of some units are replaced.

    Attributes:
        loss: (..., images) cross-entropy, in nats.
        correct: (..., images) whether the class with the largest logit is the image's.
        labels: (images,) class of each image.
        divergence: (..., images) Kullback-Leibler divergence of the output distribution from that of the intact
            network, KL(intact || replaced), in nats; None where it was not measured.
        margin: (..., images) logit of the image's class minus that of the intact network's runner-up, which is the same
            class for all sets; None where it was not measured.
    """

    loss: np.ndarray
    correct: np.ndarray
    labels: np.ndarray
    divergence: np.ndarray | None = None
    margin: np.ndarray | None = None


@dataclass(frozen=True)
class Passed:
    """Values of the intact network for a batch, before and after a cut.

    Attributes:
        activation: Of the layer, (images, ...).
        start: The value from which the suffix starts.
        live: What else the suffix needs.
        logits: (images, classes).
        donated: Activation of the layer on as many other images; None where there are none.
    """

    activation: Tensor
    start: Tensor
    live: tuple[Tensor, ...]
    logits: Tensor
    donated: Tensor | None = None


class Replacement(Protocol):
    """What the activations of some units of a layer are replaced by."""

    @property
    def units(self) -> Sequence[int]:
        """Numbers of the units; none for the intact network."""

    def activations(self, passed: Passed, axis: int) -> Tensor:
        """Return the units' new activations for a batch.

        Args:
            passed: Values of the intact network.
            axis: Axis of the units.

        Returns:
            The units along their axis, in their order; an axis of images or of space has length 1 where all are equal.
        """


class ClampedSet(NamedTuple):
    """Units of a layer that are clamped to constants at once: a `Replacement`.

    Attributes:
        units: Numbers of the units; none for the intact network.
        values: (units of the layer,) what each unit is clamped to.
    """

    units: Sequence[int]
    values: np.ndarray

    def activations(self, passed: Passed, axis: int) -> Tensor:
        """Return the constants: `Replacement.activations`."""
        return constants(self.values, self.units, passed.activation, axis)


class ResampledSet(NamedTuple):
    """Units of a layer that get their activations on other images: a `Replacement`.

    Attributes:
        units: Numbers of the units.
    """

    units: Sequence[int]

    def activations(self, passed: Passed, axis: int) -> Tensor:
        """Return the units' maps on the donated images: `Replacement.activations`."""
        assert passed.donated is not None, "no images were donated"
        return of_units(passed.donated, self.units, axis)


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
    sets: Sequence[Replacement],
    images: int | None = None,
    what: str = "removal",
    donors: Iterable[np.ndarray] = (),
    compare: bool = False,
) -> Iterator[Performance]:
    """Yield performances (sets, images of the batch), batch by batch: memory does not hold many sets and images.

    Args:
        layer: The layer.
        batches: Images and labels.
        sets: The sets.
        images: Number of images of all batches, for one progress bar over all of them.
        what: What the progress bar shows.
        donors: For each batch, as many other images, for a `ResampledSet`.
        compare: Whether divergence and margin are measured, too; the first set must then be the intact network.
    """
    cut, donated = layer.cut(), iter(donors)

    def logits(images: Tensor) -> Iterator[Tensor]:
        passed = passed_through(cut, images, next(donated, None))
        for each in sets:
            yield _replaced(cut, layer.axis, passed, each)

    return performances(layer.probe, f"{layer.name} {what}", batches, logits, len(sets), images, compare)


def passed_through(cut: Split, images: Tensor, donors: np.ndarray | None = None) -> Passed:
    """Return the values of the intact network for a batch of images, and the activation on donated images."""
    activation, start, *live = cut.prefix(images)
    donated = None if donors is None else cut.prefix(pixels(donors, images.device))[0]
    return Passed(activation, start, tuple(live), cut.suffix(start, *live), donated)


def of_units(activation: Tensor, units: Sequence[int], axis: int) -> Tensor:
    """Return the activations of some units, along the axis of units."""
    if len(units) == 1:
        # Nothing is copied: it may be one unit of thousands.
        return activation.narrow(axis, units[0], 1)
    return activation.index_select(axis, torch.tensor(list(units), device=activation.device))


def constants(values: np.ndarray, units: Sequence[int], activation: Tensor, axis: int) -> Tensor:
    """Return the constants (units of the layer,) of some units, in the shape of an activation of length 1 elsewhere."""
    shape = [1] * activation.dim()
    shape[axis] = -1
    return torch.from_numpy(np.asarray(values)[list(units)]).to(activation).reshape(shape)


def hold(
    cut: Split,
    axis: int,
    activation: Tensor,
    start: Tensor,
    units: Sequence[int],
    target: Tensor,
    rows: Tensor | None = None,
) -> Tensor:
    """Return the value from which the suffix starts after more units were replaced; `start` is left unchanged.

    Args:
        cut: The network, cut at the units' layer.
        axis: Axis of the units in an activation tensor.
        activation: The layer's activation.
        start: The value from which the suffix starts, for the images in `rows`.
        units: The units.
        target: Their new activations, as `Replacement.activations` returns them.
        rows: (images,) rows of `activation` that are replaced; None for all.
    """
    if len(units) and cut.change is None:
        start = start.clone()
    for place, unit in enumerate(units):
        after = target.narrow(axis, place, 1)
        after = after if rows is None or len(after) == 1 else after[rows]
        if cut.change is None:
            start.narrow(axis, unit, 1).copy_(after)
        else:
            before = activation.narrow(axis, unit, 1)
            before = before if rows is None else before[rows]
            start = start + cut.change(unit, before, after.expand_as(before))
    return start


def _replaced(cut: Split, axis: int, passed: Passed, replacement: Replacement) -> Tensor:
    """Return the logits with a set of units replaced; only images on which that changes an activation run again."""
    units = replacement.units
    if not len(units):
        return passed.logits
    target = replacement.activations(passed, axis)
    changed = (of_units(passed.activation, units, axis) != target).flatten(1).any(1)
    if not changed.any():
        return passed.logits
    # Other values that the suffix needs may not have an axis of images.
    if passed.live or changed.all():
        return cut.suffix(hold(cut, axis, passed.activation, passed.start, units, target), *passed.live)
    rows = changed.nonzero()[:, 0]
    start = hold(cut, axis, passed.activation, passed.start[rows], units, target, rows)
    return passed.logits.index_copy(0, rows, cut.suffix(start))


def performances(
    probe: Network,
    what: str,
    batches: Batches,
    logits: Callable[[Tensor], Iterator[Tensor]],
    sets: int,
    images: int | None = None,
    compare: bool = False,
) -> Iterator[Performance]:
    """Run every batch through every set; yield arrays (sets, images of the batch).

    Args:
        probe: The network.
        what: What the progress bar shows.
        batches: Images and labels.
        logits: Yields the logits of a batch without each set.
        sets: Number of sets.
        images: Number of images of all batches, for one progress bar over all of them; None for a bar per batch.
        compare: Whether divergence and margin against the first set are measured, too.
    """
    with contextlib.ExitStack() as shown:
        advance = shown.enter_context(progress(images * sets, what, "images x sets")) if images else None
        for part, (batch, numbers) in enumerate(batches, 1):
            labels = torch.from_numpy(numbers)
            loss = np.empty((sets, len(numbers)))
            correct = np.empty((sets, len(numbers)), dtype=bool)
            comparison = _Comparison(sets, labels) if compare else None
            with torch.no_grad(), contextlib.ExitStack() as of_batch:
                step = advance or of_batch.enter_context(progress(sets, f"{what}, batch {part}", "sets"))
                for row, set_logits in enumerate(logits(pixels(batch, probe.device))):
                    values = set_logits.cpu().double()
                    loss[row] = F.cross_entropy(values, labels, reduction="none").numpy()
                    correct[row] = (values.argmax(1) == labels).numpy()
                    if comparison is not None:
                        comparison.add(row, values)
                    step(len(numbers) if advance else 1)
            if comparison is None:
                yield Performance(loss, correct, numbers)
            else:
                yield Performance(loss, correct, numbers, comparison.divergence, comparison.margin)


class _Comparison:
    """Divergence and margin (sets, images) against the logits of the first set, which is the intact network."""

    def __init__(self, sets: int, labels: Tensor) -> None:
        self.divergence, self.margin = np.empty((sets, len(labels))), np.empty((sets, len(labels)))
        self._labels = labels[:, None]
        self._intact = self._runner_up = torch.empty(0)

    def add(self, row: int, logits: Tensor) -> None:
        """Compare the logits (images, classes) of one set."""
        log_probabilities = F.log_softmax(logits, dim=1)
        if row == 0:
            self._intact = log_probabilities
            self._runner_up = logits.scatter(1, self._labels, -torch.inf).argmax(1, keepdim=True)
        difference = self._intact - log_probabilities
        # A class of probability 0 adds nothing, whatever the other probability is.
        terms = torch.where(self._intact > -torch.inf, self._intact.exp() * difference, torch.zeros(()).double())
        self.divergence[row] = terms.sum(1).clamp(min=0).numpy()
        self.margin[row] = (logits.gather(1, self._labels) - logits.gather(1, self._runner_up))[:, 0].numpy()


def joined(parts: Iterable[Performance]) -> Performance:
    """Return the images of all batches together; divergences and margins are left out."""
    batch_performances = list(parts)
    loss, correct = (
        np.concatenate([getattr(part, name) for part in batch_performances], 1) for name in ("loss", "correct")
    )
    return Performance(loss, correct, np.concatenate([part.labels for part in batch_performances]))
