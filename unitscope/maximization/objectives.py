"""Objectives of an ascent: activation maximization (Erhan et al. 2009), its independent form (Chen et al. 2018, Eq. 3).

Tensors in, tensors out; `unitscope.maximization.targets` computes a layer's values.
"""

import torch
from torch import Tensor

from unitscope.errors import UserError


def objective(
    name: str,
    preactivations: Tensor,
    activations: Tensor,
    targets: Tensor,
    scale: tuple[Tensor, Tensor] | None = None,
    target: str = "activation",
) -> Tensor:
    """Return what each image is to maximize, (images,).

    Args:
        name: "am": x_i. "iam": x_i minus the mean of the other units (Eq. 3). "iam_z": the same over (x - mean) / std.
        preactivations: (images, units), read out.
        activations: (images, units), read out.
        targets: (images,) index of each image's unit.
        scale: Mean and standard deviation (units,) over real images, for "iam_z". Units that never vary are no
            competitors there, and as a target they keep their own scale.
        target: "activation", or "preactivation" to maximize the target's value before the nonlinearity.
    """
    before, after = (values.gather(1, targets[:, None])[:, 0] for values in (preactivations, activations))
    own = own_value(before, after, target)
    return own if name == "am" else own_against_others(name, own, after, activations, targets, scale)


def own_value(before: Tensor, after: Tensor, target: str) -> Tensor:
    """Return what stands for each target itself, (images,), from its pre-activation and its activation."""
    # A silent unit has no gradient: its pre-activation leads it out.
    return before if target == "preactivation" else torch.where(after > 0, after, before)


def own_against_others(
    name: str,
    own: Tensor,
    after: Tensor,
    activations: Tensor,
    targets: Tensor,
    scale: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """Return the targets' values minus the mean of the other units of the layer.

    Args:
        name: "iam" or "iam_z".
        own: (images,) as `own_value` gives it.
        after: (images,) activations of the targets.
        activations: (images, units), read out.
        targets: (images,) index of each image's unit.
        scale: As `objective` takes it.
    """
    if name == "iam":
        return own - (activations.sum(1) - after) / max(activations.shape[1] - 1, 1)
    if name != "iam_z":
        raise UserError(f"objective is {name!r}; allowed are am, iam and iam_z.")
    if scale is None:
        raise UserError("The objective iam_z needs the units' mean and standard deviation over real images.")
    mean, std = scale
    varies = std > 0
    safe = torch.where(varies, std, 1.0)
    standardized = torch.where(varies, (activations - mean) / safe, 0.0)
    others = varies.sum() - varies[targets].to(standardized.dtype)
    rest = standardized.sum(1) - standardized.gather(1, targets[:, None])[:, 0]
    return (own - mean[targets]) / safe[targets] - rest / others.clamp(min=1)


def total_variation(images: Tensor) -> Tensor:
    """Return the anisotropic total variation of each image, (images,): the mean of absolute differences, summed."""
    return images.diff(dim=2).abs().mean((1, 2, 3)) + images.diff(dim=3).abs().mean((1, 2, 3))
