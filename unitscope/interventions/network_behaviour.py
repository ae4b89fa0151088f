"""What a network does: a layer's responses to stored images, logits and selectivity on real ones."""

from dataclasses import dataclass

import h5py
import numpy as np
import torch

from unitscope.data.summaries import group_means
from unitscope.probing.layer import Layer
from unitscope.runtime.devices import pixels
from unitscope.scores.selectivity import class_selectivity


def layer_responses(
    layer: Layer, images: np.ndarray | h5py.Dataset, readout: str = "mean", batch: int = 32
) -> np.ndarray:
    """Return how a layer answers images, (seeds, targets, units), by running the network on them.

    Args:
        layer: The layer.
        images: (seeds, targets, height, width, channels), uint8, or float in [0, 1].
        readout: "mean", "max" or "center".
        batch: Images at a time.
    """
    device, forward = layer.probe.device, layer.prefix(readout)
    seeds, targets = images.shape[:2]
    responses: np.ndarray | None = None
    with torch.no_grad():
        for seed in range(seeds):
            for first in range(0, targets, batch):
                batch_responses = (
                    forward(_as_tensor(images[seed, first : first + batch], device))[1].float().cpu().numpy()
                )
                # Nothing of a batch stays behind: small arrays between the large ones of a pass make memory grow.
                if responses is None:
                    responses = np.empty((seeds, targets, batch_responses.shape[1]), np.float32)
                responses[seed, first : first + batch] = batch_responses
    assert responses is not None, "there are no images"
    return responses


def _as_tensor(images: np.ndarray, device: torch.device) -> torch.Tensor:
    if images.dtype == np.uint8:
        return pixels(images, device)
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(device)


@dataclass(frozen=True)
class Behaviour:
    """What a network does on real images.

    Attributes:
        logits: (images, classes).
        selectivity: (units,) of a layer on these images alone; NaN without labels.
    """

    logits: np.ndarray
    selectivity: np.ndarray

    def change(self, other: "Behaviour") -> tuple[float, float]:
        """Return the largest absolute change of a logit, and of a unit's selectivity, to another network."""
        defined = np.isfinite(self.selectivity) | np.isfinite(other.selectivity)
        # A unit that has a selectivity in one network alone is as far off as can be.
        moved = np.nan_to_num(np.abs(self.selectivity - other.selectivity)[defined], nan=1.0)
        return float(np.abs(self.logits - other.logits).max()), float(moved.max()) if len(moved) else np.nan


def behaviour(
    layer: Layer, images: np.ndarray, labels: np.ndarray, readout: str = "mean", batch: int = 32
) -> Behaviour:
    """Return what a network does on real images, by running it.

    Args:
        layer: The layer whose units are looked at.
        images: uint8 (images, height, width, channels).
        labels: (images,) class of each; empty where there are no classes. Classes without an image among these are
            no classes here.
        readout: "mean", "max" or "center".
        batch: Images at a time.
    """
    probe = layer.probe
    read = probe.readouts([layer.name], readout)
    logits, values = [], []
    with torch.no_grad():
        for first in range(0, len(images), batch):
            inputs = pixels(images[first : first + batch], probe.device)
            logits.append(probe(inputs).float().cpu().numpy())
            values.append(read(inputs)[0].float().cpu().numpy())
    activations = np.concatenate(values)
    if not len(labels):
        return Behaviour(np.concatenate(logits), np.full(activations.shape[1], np.nan))
    classes, sizes = np.unique(labels, return_counts=True)
    means = group_means(np.maximum(activations, 0), np.searchsorted(classes, labels), sizes)
    return Behaviour(np.concatenate(logits), class_selectivity(means))
