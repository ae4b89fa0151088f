"""Optimizers of a batch of images, one image per row; the rows are independent of one another."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's usual constants (Kingma and Ba 2015)."""


class Adam:
    """Adam's ascent (Kingma and Ba 2015), each row with a count of steps of its own.

    torch.optim knows no rows, and takes 1.3 s of imports to get going.
    """

    def __init__(self, values: Tensor, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.moments = torch.zeros_like(values), torch.zeros_like(values)

    @torch.no_grad()
    def step(self, values: Tensor, gradient: Tensor, steps: np.ndarray) -> None:
        """Move `values` uphill, in place; `steps` (rows,) have been taken before."""
        first, second = self.moments
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        length = self.learning_rate / (1 - BETA1 ** (steps + 1.0))
        scale = np.sqrt(1 - BETA2 ** (steps + 1.0))
        spread = second.sqrt().add_(_by_row(EPSILON * scale, values))
        values.addcmul_(first.div(spread), _by_row(length * scale, values))

    def put(self, row: int, memory: Sequence[Tensor]) -> None:
        """Let a row go on with what was remembered of it; with nothing, from the start."""
        for number, moment in enumerate(self.moments):
            moment[row] = memory[number] if memory else 0.0

    def memory(self, row: int) -> tuple[Tensor, ...]:
        """Return what is to be remembered of a row: the means of its gradients and of their squares."""
        return tuple(moment[row].clone() for moment in self.moments)


class GradientAscent:
    """Plain gradient ascent, or with each image's gradient brought to length 1."""

    def __init__(self, learning_rate: float, normalized: bool) -> None:
        self.learning_rate = learning_rate
        self.normalized = normalized

    @torch.no_grad()
    def step(self, values: Tensor, gradient: Tensor, steps: np.ndarray) -> None:
        """Move `values` uphill, in place."""
        if self.normalized:
            length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
            gradient = gradient / length.view(-1, *[1] * (gradient.dim() - 1))
        values.add_(gradient, alpha=self.learning_rate)

    def put(self, row: int, memory: Sequence[Tensor]) -> None:
        """Let a row go on: there is nothing to remember."""

    def memory(self, row: int) -> tuple[Tensor, ...]:
        """Return what is to be remembered of a row: nothing."""
        return ()


def _by_row(numbers: np.ndarray, values: Tensor) -> Tensor:
    """Return a number for each row in a shape that is multiplied with `values`."""
    return torch.as_tensor(numbers, dtype=values.dtype, device=values.device).view(-1, *[1] * (values.dim() - 1))
