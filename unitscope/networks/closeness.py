"""Whether two results of a network are equal up to rounding."""

import torch
from torch import Tensor

CLOSE = 1e-4
"""Largest difference between two results of one network, as a share of the largest value."""
EXTREME = 5e3
"""A logit beyond this, and by far the largest, comes from a mask; the smallest mask in use is -1e4."""


def close(one: Tensor, other: Tensor) -> bool:
    """Return whether two results are equal up to rounding, NaN and infinity being equal to themselves."""
    if one.shape != other.shape:
        return False
    one, other = (
        (torch.view_as_real(value.detach()) if value.is_complex() else value.detach()).float() for value in (one, other)
    )
    finite = one[torch.isfinite(one)].abs()
    bound = CLOSE * float(finite.max()) if len(finite) else 0.0
    return bool(torch.isclose(one, other, rtol=0.0, atol=bound, equal_nan=True).all())


def same_logits(one: Tensor, other: Tensor) -> bool:
    """Return whether logits (images, classes) are equal up to rounding.

    Classes masked by a large number, such as -1e9, are compared separately: as a share of it, every difference of the
    others is small.
    """
    if one.shape != other.shape or one.dim() != 2:
        return close(one, other)
    sizes = one.detach().float().abs()
    extreme = (sizes > EXTREME).all(0)
    if not extreme.any() or extreme.all():
        return close(one, other)
    masked = extreme & (sizes.amax(0) > 100 * sizes[:, ~extreme].amax())
    return close(one[:, masked], other[:, masked]) and close(one[:, ~masked], other[:, ~masked])
