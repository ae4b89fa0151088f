"""Objectives of an ascent: activation maximization (Erhan et al. 2009), its independent form (Chen et al. 2018, Eq. 3).

Tensors in, tensors out; `unitscope.maximization.targets` computes a layer's values.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from unitscope.errors import UserError
from unitscope.registries import Registry


class LayerValues(NamedTuple):
    """Values of a layer on a batch of images, read out, of which an objective is a function.

    Attributes:
        target_value: (images,) value of each image's target, as `target_value` returns it.
        after: (images,) activation of each image's target.
        activations: (images, units) of the whole layer; (images, 1), of the targets alone, for an objective that is
            registered with `target_alone=True`.
        targets: (images,) index of each image's target among the activations.
        scale: Mean and standard deviation (units,) over real images, where they are known; always for an objective that
            is registered with `standardized=True`.
    """

    target_value: Tensor
    after: Tensor
    activations: Tensor
    targets: Tensor
    scale: tuple[Tensor, Tensor] | None


objectives: Registry[Callable[[LayerValues], Tensor]] = Registry("objective")
"""Functions that return the value that each image is to maximize, (images,)."""


@objectives.register("am", target_alone=True)
def activation(values: LayerValues) -> Tensor:
    """Maximize the unit's activation (Eq. 2)."""
    return values.target_value


@objectives.register("iam")
def independent_activation(values: LayerValues) -> Tensor:
    """Maximize the unit's activation minus the mean of the others (Eq. 3)."""
    return values.target_value - (values.activations.sum(1) - values.after) / max(values.activations.shape[1] - 1, 1)


@objectives.register("iam_z", standardized=True)
def standardized_activation(values: LayerValues) -> Tensor:
    """Maximize iam over standardized activations.

    Units that never vary on real images are no competitors, and as a target they keep their own scale.

    Raises:
        UserError: The scales are not known.
    """
    if values.scale is None:
        raise UserError("The objective iam_z needs the units' mean and standard deviation over real images.")
    (mean, std), targets = values.scale, values.targets
    varies = std > 0
    safe = torch.where(varies, std, 1.0)
    standardized = torch.where(varies, (values.activations - mean) / safe, 0.0)
    competitors = varies.sum() - varies[targets].to(standardized.dtype)
    competitor_sum = standardized.sum(1) - standardized.gather(1, targets[:, None])[:, 0]
    return (values.target_value - mean[targets]) / safe[targets] - competitor_sum / competitors.clamp(min=1)


def objective(
    name: str,
    preactivations: Tensor,
    activations: Tensor,
    targets: Tensor,
    scale: tuple[Tensor, Tensor] | None = None,
    target: str = "activation",
) -> Tensor:
    """Return the value that each image is to maximize, (images,).

    Args:
        name: Name of the objective.
        preactivations: (images, units), read out.
        activations: (images, units), read out.
        targets: (images,) index of each image's unit.
        scale: Mean and standard deviation (units,) over real images, for "iam_z".
        target: "activation", or "preactivation" to maximize the target's value before the nonlinearity.
    """
    before, after = (values.gather(1, targets[:, None])[:, 0] for values in (preactivations, activations))
    return objectives[name](LayerValues(target_value(before, after, target), after, activations, targets, scale))


def target_value(before: Tensor, after: Tensor, target: str) -> Tensor:
    """Return what stands for each target itself, (images,), from its pre-activation and its activation."""
    # A silent unit has no gradient: its pre-activation leads it out.
    return before if target == "preactivation" else torch.where(after > 0, after, before)


def total_variation(images: Tensor) -> Tensor:
    """Return the anisotropic total variation of each image, (images,): the mean of absolute differences, summed."""
    return images.diff(dim=2).abs().mean((1, 2, 3)) + images.diff(dim=3).abs().mean((1, 2, 3))
