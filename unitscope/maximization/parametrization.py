"""Where an ascent starts, and which values it moves: pixels, or the spectrum behind them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unitscope.errors import UserError
from unitscope.maximization.recipe import Recipe
from unitscope.randomness import generator


def start_image(
    recipe: Recipe, seed: int, layer: str, unit: int, shape: Sequence[int], mean: np.ndarray | None = None
) -> np.ndarray:
    """Return the image (channels, height, width) from which the ascent for a unit starts, whatever the method.

    Args:
        recipe: The method.
        seed: Number of the noise.
        layer: Name of the layer.
        unit: Number of the unit.
        shape: (channels, height, width).
        mean: Mean training image in [0, 1], needed by the start "mean".
    """
    if recipe.start == "mean":
        if mean is None:
            raise UserError("The start 'mean' needs a data set, and this network names none. Use 'noise' or 'grey'.")
        return mean.astype(np.float32)
    if recipe.start == "grey":
        return np.full(shape, 0.5, np.float32)
    noise = generator("start", seed, layer, unit).uniform(-recipe.noise, recipe.noise, tuple(shape))
    return (0.5 + noise).astype(np.float32)


class Parametrization:
    """What the ascent moves, the values: pixels, or the spectrum behind them."""

    def __init__(self, recipe: Recipe, size: Sequence[int], device: torch.device) -> None:
        self.recipe = recipe
        self.size = tuple(size)
        rows, columns = torch.fft.fftfreq(self.size[0]), torch.fft.rfftfreq(self.size[1])
        frequency = torch.hypot(rows[:, None], columns[None, :]).clamp(min=1.0 / max(self.size))
        self.weight = (1.0 / frequency / max(self.size)).to(device)[..., None]

    def values(self, images: Tensor) -> Tensor:
        """Return the values behind images (..., channels, height, width)."""
        if self.recipe.parametrization == "pixels":
            return images
        flat = images.clamp(0.01, 0.99).logit() if self.recipe.clamp else images
        return torch.view_as_real(torch.fft.rfft2(flat, norm="ortho")) / self.weight

    def images(self, values: Tensor) -> Tensor:
        """Return the images (..., channels, height, width) as a differentiable function of the values."""
        if self.recipe.parametrization == "pixels":
            return values
        flat = torch.fft.irfft2(torch.view_as_complex(values * self.weight), s=self.size, norm="ortho")
        return flat.sigmoid() if self.recipe.clamp else flat

    def project(self, values: Tensor) -> None:
        """Return to what is allowed, after a step, in place."""
        if self.recipe.parametrization == "pixels" and self.recipe.clamp:
            with torch.no_grad():
                values.clamp_(0.0, 1.0)
