"""Removal of more and more units, in one layer or in several at once.

In one layer, the network is cut there and only what lies behind it runs again (`unitscope.interventions.sets`); in
several layers at once, every step is a full pass.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from unitscope.interventions.sets import Batches, ClampedSet, Performance, hold, joined, passed_through, performances
from unitscope.probing.layer import Layer


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
        passed = passed_through(cut, images)
        # Nothing removed and everything removed: the same for all orders.
        ends: dict[int, Tensor] = {}
        for order in orders:
            start, done = passed.start, 0
            for count in counts:
                if count not in ends:
                    added = ClampedSet(order[done:count], values)
                    target = added.activations(passed, layer.axis)
                    start, done = hold(cut, layer.axis, passed.activation, start, added.units, target), count
                    output = cut.suffix(start, *passed.live)
                    ends |= {count: output} if count in (0, len(order)) else {}
                yield ends.get(count, output)

    performance = joined(performances(layer.probe, f"{layer.name} removal", batches, logits, len(orders) * len(counts)))
    return _by_order(performance, len(orders), len(counts))


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

    def mask_and_values(
        layer: str, order: Mapping[str, Sequence[int]], step: Mapping[str, int]
    ) -> tuple[Tensor, Tensor]:
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
                    output = run(images, *(value for layer in names for value in mask_and_values(layer, order, step)))
                    ends |= {total: output} if total in (0, sum(map(len, order.values()))) else {}
                yield ends.get(total, output)

    performance = joined(performances(probe, "all layers removal", batches, logits, len(orders) * len(counts)))
    return _by_order(performance, len(orders), len(counts))


def _by_order(performance: Performance, orders: int, counts: int) -> Performance:
    """Return performances (orders x counts, images) as (orders, counts, images)."""
    shape = (orders, counts, performance.loss.shape[1])
    return Performance(performance.loss.reshape(shape), performance.correct.reshape(shape), performance.labels)
