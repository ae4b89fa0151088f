"""Shapley value of each unit within its layer (Ghorbani and Zou 2020, "Neuron Shapley").

The players are the units of a layer, absent units are set to 0, and the value of a set of units is v = -(mean
cross-entropy): the Shapley value of a unit is what it adds to v, averaged over all orders in which the units could be
removed. Units that compensate each other share what both are worth, where the ablation of one alone would show nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
import torch
from torch import Tensor
from torch.nn import functional as F

from unitscope.interventions.sets import ClampedSet, Passed, hold, passed_through
from unitscope.probing.layer import Layer, Split
from unitscope.randomness import generator
from unitscope.runtime.console import progress
from unitscope.runtime.devices import pixels

LEVEL = 0.95

Value = float | np.ndarray
"""v of a set of units: a number, or (parts,) on all images, which decide when an order ends, and on parts of them."""

Walk = Callable[[Sequence[int]], Iterator[Value]]
"""Gives v after the removal of each unit of an order, one after the other."""


@dataclass(frozen=True)
class Shapley:
    """Shapley values of the units of a layer.

    Attributes:
        values: (units,) in nats: positive where a unit lowers the loss. They sum to v(all) - v(none).
        low: (units,) lower end of the 95 % interval over the orders.
        high: (units,) upper end.
        permutations: Number of orders.
        evaluations: Number of sets of units whose value was computed.
        total: v(all) - v(none), in nats.
        by_half: (2, units) the same values on either half of the images, from the same orders; NaN where a half has
            no image, or where v was not measured by half.
    """

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    permutations: int
    evaluations: int
    total: float
    by_half: np.ndarray


def shapley(
    layer: Layer,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    permutations: int = 40,
    seed: tuple[int | str, ...] = (0,),
    halves: np.ndarray | None = None,
) -> Shapley:
    """Estimate the Shapley value of each unit of a layer from antithetic random orders.

    Args:
        layer: The layer.
        batches: Images, uint8 (images, height, width, channels), and labels (images,). All are held in memory.
        permutations: Number of orders, even: each order is followed by its reverse, which removes most of the variance
            (Castro et al. 2017; Mitchell et al. 2022).
        seed: Name of the draws.
        halves: (images,) half, 0 or 1, that each image of the batches belongs to; None measures no halves.

    Returns:
        The values. An order ends where v is within the noise of v(none), one standard error of the mean loss over
        images; what remains is shared equally by the units that are left, so that the values still sum to the total.

    Raises:
        ValueError: An odd number of permutations.
    """
    game = _Game(layer, batches, halves)
    with progress(permutations, f"{layer.name} Shapley", "orders") as advance:
        return estimate(
            game.walk,
            layer.units,
            (game.intact, game.empty, game.noise),
            permutations,
            generator("shapley", *seed, layer.name),
            advance,
        )


def estimate(
    walk: Walk,
    units: int,
    ends: tuple[Value, Value, float],
    permutations: int,
    draws: np.random.Generator,
    advance: Callable[[int], None] = lambda count: None,
) -> Shapley:
    """Estimate Shapley values of a game from antithetic orders of removal.

    Args:
        walk: Gives v after each removal of an order.
        units: Number of players.
        ends: v(all), v(none), and the noise of v(none) on all images.
        permutations: Number of orders, even and at least 2.
        draws: What the orders are drawn from.
        advance: Called with 1 after each order.

    Raises:
        ValueError: An odd number of permutations.
    """
    if permutations < 2 or permutations % 2:
        raise ValueError(f"permutations is {permutations}; orders come in pairs, so write an even number from 2.")
    parts = np.size(ends[0])
    pairs, evaluations = np.empty((permutations // 2, units, parts)), 0
    for pair in pairs:
        order, gains = draws.permutation(units), []
        for each in (order, order[::-1]):
            gain, steps = _gains(walk(each.tolist()), each, ends)
            gains.append(gain)
            evaluations += steps
            advance(1)
        pair[:] = (gains[0] + gains[1]) / 2
    values, low, high = pairs[:, :, 0].mean(axis=0), np.full(units, np.nan), np.full(units, np.nan)
    if len(pairs) > 1:
        error = pairs[:, :, 0].std(axis=0, ddof=1) / np.sqrt(len(pairs))
        half = scipy.stats.t.ppf((1 + LEVEL) / 2, len(pairs) - 1) * error
        low, high = values - half, values + half
    total = float(np.ravel(ends[0])[0] - np.ravel(ends[1])[0])
    by_half = pairs[:, :, 1:].mean(axis=0).T if parts == 3 else np.full((2, units), np.nan)
    return Shapley(values, low, high, permutations, evaluations, total, by_half)


def _gains(walk: Iterator[Value], order: np.ndarray, ends: tuple[Value, Value, float]) -> tuple[np.ndarray, int]:
    """Return what each unit adds to v in one order of removal, (units, parts), and how many sets were evaluated."""
    before, none, noise = np.ravel(ends[0]), np.ravel(ends[1]), ends[2]
    gains, steps = np.zeros((len(order), len(before))), 0
    # Without the last unit there is none: v is known.
    for place, unit in enumerate(order[:-1]):
        after = np.ravel(next(walk))
        gains[unit] = before - after
        before, steps = after, place + 1
        if abs(after[0] - none[0]) < noise:
            break
    left = order[steps:]
    gains[left] = (before - none) / len(left)
    return gains, steps


class _Game:
    """The value of sets of units of a layer on some images: units are removed one by one, without a full pass."""

    def __init__(
        self, layer: Layer, batches: Iterable[tuple[np.ndarray, np.ndarray]], halves: np.ndarray | None
    ) -> None:
        self._layer, self._cut, self._halves = layer, layer.cut(), halves
        self._parts: list[tuple[Passed, Tensor]] = []
        with torch.no_grad():
            for images, labels in batches:
                passed = passed_through(self._cut, pixels(images, layer.probe.device))
                self._parts.append((passed, torch.from_numpy(labels)))
            self.intact = self._value(self._losses([passed.logits for passed, _ in self._parts]))
            empty = self._losses(list(self._without([range(layer.units)] * len(self._parts))))
        self.empty = self._value(empty)
        # Losses of one image have no spread: an order then never ends early.
        self.noise = float(empty.std(ddof=1) / np.sqrt(len(empty))) if len(empty) > 1 else 0.0

    def walk(self, order: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield v after the removal of each unit."""
        starts = [passed.start for passed, _ in self._parts]
        with torch.no_grad():
            for unit in order:
                starts = [
                    _removed(self._cut, self._layer, passed, start, [unit])
                    for (passed, _), start in zip(self._parts, starts, strict=True)
                ]
                logits = [
                    self._cut.suffix(start, *passed.live)
                    for (passed, _), start in zip(self._parts, starts, strict=True)
                ]
                yield self._value(self._losses(logits))

    def _value(self, losses: np.ndarray) -> np.ndarray:
        """Return v on all images and, where there are halves, on either of them: (1,) or (3,)."""
        parts = [losses] if self._halves is None else [losses, *(losses[self._halves == half] for half in (0, 1))]
        return np.array([-part.mean() if len(part) else np.nan for part in parts])

    def _without(self, sets: Sequence[Sequence[int]]) -> Iterator[Tensor]:
        for (passed, _), units in zip(self._parts, sets, strict=True):
            yield self._cut.suffix(_removed(self._cut, self._layer, passed, passed.start, units), *passed.live)

    def _losses(self, logits: Sequence[Tensor]) -> np.ndarray:
        """Return the cross-entropy of each image, (images,) in nats."""
        parts = zip(logits, self._parts, strict=True)
        losses = [F.cross_entropy(each.cpu().double(), labels, reduction="none") for each, (_, labels) in parts]
        return torch.cat(losses).numpy()


def _removed(cut: Split, layer: Layer, passed: Passed, start: Tensor, units: Sequence[int]) -> Tensor:
    target = ClampedSet(units, np.zeros(layer.units)).activations(passed, layer.axis)
    return hold(cut, layer.axis, passed.activation, start, units, target)
