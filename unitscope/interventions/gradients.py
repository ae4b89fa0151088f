"""What gradients predict of the removal of each unit of a layer, from all units' gradients at once.

The first-order effect is the Taylor expansion of the loss around the intact network (Molchanov et al. 2017, "Pruning
convolutional neural networks for resource efficient inference", Eq. 7, with its sign). Integrated gradients follow the
whole layer's activation a on its way to 0 and share the loss that this costs among the units (Sundararajan et al. 2017,
"Axiomatic attribution for deep networks"; of a layer, "conductance", Dhamdhere et al. 2019). Neither removes a unit by
itself: where units compensate each other, the first-order effect exceeds that of an ablation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unitscope.errors import UserError
from unitscope.probing.layer import Layer, Split
from unitscope.runtime.console import progress
from unitscope.runtime.devices import pixels


@dataclass(frozen=True)
class GradientEffects:
    """Effects of the units of a layer on the mean loss, in nats: positive where the loss would rise without the unit.

    Attributes:
        first_order: (3, units) -a dL/da, summed over positions; the mean over all images and over either half of them,
            NaN where a half has no image.
        integrated: (3, units) the integral over t from 0 to 1 of -a dL/da at the activation t a, likewise.
        total: (3,) rise of the loss with all units of the layer at 0, to which `integrated` sums.
    """

    first_order: np.ndarray
    integrated: np.ndarray
    total: np.ndarray

    @property
    def completeness_error(self) -> float:
        """Sum of `integrated` minus `total`, on all images: the error of the numerical integral."""
        return float(self.integrated[0].sum() - self.total[0])


def gradient_effects(
    layer: Layer, batches: Iterable[tuple[np.ndarray, np.ndarray]], halves: np.ndarray, nodes: int
) -> GradientEffects:
    """Compute the first-order effect and the integrated gradients of each unit of a layer.

    Args:
        layer: The layer.
        batches: Images, uint8 (images, height, width, channels), and labels (images,).
        halves: (images,) half, 0 or 1, that each image of the batches belongs to.
        nodes: Number of Gauss-Legendre nodes of the integral.

    Raises:
        UserError: The network computes no gradients after the layer.

    Example: the loss is linear in the units up to the softmax; the integrated effects sum to what removing both costs.
        >>> from torch import nn
        >>> from unitscope.probing.probe import Probe
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).requires_grad_(False)
        >>> for place, weight, bias in ((1, [[1.0], [1.0]], [0.0, 0.0]), (3, [[2.0, 1.0], [0.0, 0.0]], [0.0, 0.0])):
        ...     _ = model[place].weight.copy_(torch.tensor(weight)), model[place].bias.copy_(torch.tensor(bias))
        >>> layer = Probe(model, shape=(1, 1, 1), mean=0, std=1)["1"]
        >>> bright = np.full((1, 1, 1, 1), 255, np.uint8), np.array([0])
        >>> effects = gradient_effects(layer, [bright], halves=np.array([0]), nodes=8)
        >>> effects.integrated[0].round(3), effects.total[0].round(3)
        (array([0.43 , 0.215]), np.float64(0.645))
    """
    cut, first = layer.cut(at_activation=True), 0
    points, weights = gauss_legendre(nodes)
    sums, losses, images = np.zeros((2, 2, layer.units)), np.zeros((2, 2)), np.bincount(halves, minlength=2)
    with progress(len(halves) * (nodes + 2), f"{layer.name} gradients", "images x passes") as advance:
        for batch, numbers in batches:
            labels = torch.from_numpy(numbers)
            half = halves[first : first + len(numbers)]
            first += len(numbers)
            with torch.no_grad():
                activation, _, *live = cut.prefix(pixels(batch, layer.probe.device))
                absent = _losses(cut, torch.zeros_like(activation), live, labels)
            intact, effect = _effect(cut, layer, activation, 1.0, live, labels)
            integrated = np.zeros_like(effect)
            advance(2 * len(numbers))
            for point, weight in zip(points, weights, strict=True):
                integrated += weight * _effect(cut, layer, activation, point, live, labels)[1]
                advance(len(numbers))
            if not effect.any() and not integrated.any() and not torch.equal(absent, intact):
                raise UserError(
                    f"The loss depends on the activation of layer {layer.name}, but the network computes no gradient, "
                    "as under torch.no_grad or .detach() in its forward pass. Remove these, or the analysis importance."
                )
            for number in (0, 1):
                in_half = half == number
                sums[:, number] += [values[in_half].sum(axis=0) for values in (effect, integrated)]
                losses[:, number] += [
                    float(values.cpu()[torch.from_numpy(in_half)].sum()) for values in (intact, absent)
                ]
    first_order, integrated_means = (_means(of_halves, images) for of_halves in sums)
    return GradientEffects(first_order, integrated_means, _means(losses[1] - losses[0], images))


def gauss_legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of Gauss and Legendre's quadrature of an integral from 0 to 1."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return (points + 1) / 2, weights / 2


def _effect(
    cut: Split, layer: Layer, activation: Tensor, scale: float, live: Iterable[Tensor], labels: Tensor
) -> tuple[Tensor, np.ndarray]:
    """Return the losses at a scaled activation (images,), and -a dL/da there, summed over positions (images, units)."""
    point = (scale * activation).requires_grad_(True)
    with torch.enable_grad():
        losses = _losses(cut, point, live, labels)
        # A layer of another head, which the logits do not depend on, has no gradient.
        gradient = torch.autograd.grad(losses.sum(), point, allow_unused=True)[0] if losses.requires_grad else None
    if gradient is None:
        return losses.detach(), np.zeros((len(labels), layer.units))
    # Not every device has double precision.
    products = -(activation.cpu().double() * gradient.cpu().double()).movedim(layer.axis, 1)
    return losses.detach(), products.reshape(*products.shape[:2], -1).sum(2).numpy()


def _losses(cut: Split, activation: Tensor, live: Iterable[Tensor], labels: Tensor) -> Tensor:
    """Return the cross-entropy of each image, (images,) in nats, with the layer at an activation."""
    return F.cross_entropy(cut.suffix(activation, *live).cpu().double(), labels, reduction="none")


def _means(of_halves: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return means over all images and over each half, (3, ...), from sums over halves (2, ...) and images (2,)."""
    sums = np.concatenate([of_halves.sum(0, keepdims=True), of_halves])
    counts = np.concatenate([[images.sum()], images]).reshape(3, *(1,) * (of_halves.ndim - 1))
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
