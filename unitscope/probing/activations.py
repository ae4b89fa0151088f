"""Activations of every unit on real images, in one pass over the data for all layers.

Where the images come from belongs to `unitscope.data.datasets`, what activations are summed up to, to
`unitscope.data.summaries`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch

from unitscope.errors import UserError
from unitscope.probing.layer import Layer
from unitscope.runtime.devices import compiled, pixels


def activations(
    layers: Sequence[Layer],
    batches: Iterable[np.ndarray],
    readout: str = "mean",
    compile: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the activations of several layers, a batch at a time.

    Args:
        layers: The layers, of one network.
        batches: Images, uint8 (images, height, width, channels).
        readout: How a unit's map becomes its activation: "mean" (Morcos et al. 2018), "max" or "center".
        compile: Whether torch.compile is used: it takes minutes first, and gains on a GPU.

    Yields:
        For each layer, by name, float32 (images, units).

    Raises:
        UserError: An activation is not finite; layer and image are named.

    Example: two grey images through a layer of four feature maps.
        >>> from unitscope.probing.probe import Probe
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> probe = Probe(model, shape=(1, 8, 8), mean=0.5, std=0.25)
        >>> (batch,) = activations([probe["0"]], [np.full((2, 8, 8, 1), 128, np.uint8)])
        >>> batch["0"].shape
        (2, 4)
    """
    if not layers:
        raise UserError("activations needs a layer; none was named.")
    probe, names = layers[0].probe, [layer.name for layer in layers]
    read: Callable[..., tuple[torch.Tensor, ...]] = compiled(probe.readouts(names, readout), compile)
    seen = 0
    for batch in batches:
        with torch.no_grad():
            values = read(pixels(batch, probe.device))
        _check_finite(names, values, seen)
        seen += len(batch)
        yield {layer: value.float().cpu().numpy() for layer, value in zip(names, values, strict=True)}


def _check_finite(layers: Sequence[str], values: Sequence[torch.Tensor], seen: int) -> None:
    """Refuse activations (images, units) that are not finite, of images that are counted from `seen`."""
    for layer, value in zip(layers, values, strict=True):
        rows = torch.isfinite(value).all(1)
        if not rows.all():
            image = seen + int((~rows).nonzero()[0])
            raise UserError(
                f"The activations of layer {layer} are not finite (NaN or infinite) on image {image} of the split, "
                "counted from 0. The network's weights or its normalization do not fit, or float32 cannot hold them."
            )
