"""Optimizers of a batch of images, one image per row; the rows are independent of one another."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unitscope.registries import Registry

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's usual constants (Kingma and Ba 2015)."""


class Optimizer(ABC):
    """Moves the values of a batch of images uphill.

    Args:
        values: (rows, ...) the values.
        learning_rate: Length of a step.
    """

    def __init__(self, values: Tensor, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    @abstractmethod
    def step(self, values: Tensor, gradient: Tensor, steps: np.ndarray) -> None:
        """Move `values` uphill, in place; `steps` (rows,) have been taken before."""

    def put(self, row: int, memory: Sequence[Tensor]) -> None:  # noqa: B027, most have no memory
        """Restore the memory of a row; with an empty one, reset it."""

    def memory(self, row: int) -> tuple[Tensor, ...]:
        """Return the memory of a row, from which its ascent can be resumed."""
        return ()


optimizers: Registry[type[Optimizer]] = Registry("optimizer")


@optimizers.register("adam")
class Adam(Optimizer):
    """The optimizer Adam (Kingma and Ba 2015), with a step count per image.

    torch.optim knows no rows, and takes 1.3 s of imports to get going.
    """

    def __init__(self, values: Tensor, learning_rate: float) -> None:
        super().__init__(values, learning_rate)
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


@optimizers.register("gradient")
class GradientAscent(Optimizer):
    """Plain gradient ascent."""

    @torch.no_grad()
    def step(self, values: Tensor, gradient: Tensor, steps: np.ndarray) -> None:
        """Move `values` along the gradient, in place."""
        values.add_(gradient, alpha=self.learning_rate)


@optimizers.register("normalized_gradient")
class NormalizedGradientAscent(Optimizer):
    """Ascent along the gradient of each image, normalized to length 1."""

    @torch.no_grad()
    def step(self, values: Tensor, gradient: Tensor, steps: np.ndarray) -> None:
        """Move `values` along the normalized gradient, in place."""
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        gradient = gradient / length.view(-1, *[1] * (gradient.dim() - 1))
        values.add_(gradient, alpha=self.learning_rate)


def _by_row(numbers: np.ndarray, values: Tensor) -> Tensor:
    """Return a number for each row in a shape that is multiplied with `values`."""
    return torch.as_tensor(numbers, dtype=values.dtype, device=values.device).view(-1, *[1] * (values.dim() - 1))
