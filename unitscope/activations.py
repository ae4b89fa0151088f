"""Activations of every unit on real images, and their statistics.

One pass over the data for all layers. Where the images come from belongs to `unitscope.datasets`, what is concluded
from activations to `unitscope.selectivity` and `unitscope.substitution`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from unitscope.layers import readouts
from unitscope.networks import pixels

LEAST_POSITIVE = 20
"""A unit with fewer positive activations than this has no 99th percentile of them."""


def activations(
    module: nn.Module, layers: Sequence[str], batches: Iterable[np.ndarray], readout: str = "mean"
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the activations of several layers, a batch at a time.

    Args:
        module: The network: frozen, in eval mode, taking pixels in [0, 1].
        layers: Names of the layers.
        batches: Images, uint8 (images, height, width, channels).
        readout: How a unit's map becomes its activation: "mean" (Morcos et al. 2018), "max" or "center".

    Yields:
        For each layer, float32 (images, units).
    """
    device = next(module.parameters()).device
    read: Callable[..., tuple[torch.Tensor, ...]] = readouts(module, layers, readout)
    for batch in batches:
        with torch.inference_mode():
            values = read(pixels(batch, device))
        yield {layer: value.float().cpu().numpy() for layer, value in zip(layers, values, strict=True)}


@dataclass(frozen=True)
class UnitStatistics:
    """What real images say about each unit's scale; every array is (units,).

    Attributes:
        mean: Mean activation.
        std: Standard deviation (population).
        positive_q99: 99th percentile of the positive activations, NaN below 20 of them.
        max: Largest activation.
        firing_rate: Share of images with a positive activation.
    """

    mean: np.ndarray
    std: np.ndarray
    positive_q99: np.ndarray
    max: np.ndarray
    firing_rate: np.ndarray


def unit_statistics(values: np.ndarray) -> UnitStatistics:
    """Return the statistics of activations (images, units)."""
    positive = np.where(values > 0, values, np.nan)
    count = (values > 0).sum(0)
    quantile = np.full(values.shape[1], np.nan)
    enough = count >= LEAST_POSITIVE
    if enough.any():
        quantile[enough] = np.nanquantile(positive[:, enough], 0.99, axis=0)
    return UnitStatistics(
        mean=values.mean(0, dtype=np.float64),
        # A constant unit has standard deviation 0, not the rounding error of its mean.
        std=np.where(np.ptp(values, axis=0) == 0, 0.0, values.std(0, dtype=np.float64)),
        positive_q99=quantile,
        max=values.max(0),
        firing_rate=count / len(values),
    )
