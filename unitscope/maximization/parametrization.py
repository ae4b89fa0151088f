"""Where an ascent starts, and which values it moves: pixels, or the spectrum behind them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from unitscope.errors import UserError
from unitscope.maximization.recipe import Recipe
from unitscope.randomness import generator
from unitscope.registries import Registry

# --- starts ----------------------------------------------------------------------------------------------------------

Start = Callable[[Recipe, Sequence[int], np.random.Generator, np.ndarray | None], np.ndarray]
"""From the recipe, the shape (channels, height, width), random numbers of the unit and seed, and the mean training
image in [0, 1] to the start image, (channels, height, width) in float32. The mean image is None unless the start is
registered with `real_images=True`.
"""
starts: Registry[Start] = Registry("start")


@starts.register("noise")
def noise_around_grey(
    recipe: Recipe, shape: Sequence[int], draws: np.random.Generator, mean: np.ndarray | None
) -> np.ndarray:
    """Start from noise around grey, 0.5 + U(-noise, noise)."""
    return (0.5 + draws.uniform(-recipe.noise, recipe.noise, tuple(shape))).astype(np.float32)


@starts.register("grey")
def grey(recipe: Recipe, shape: Sequence[int], draws: np.random.Generator, mean: np.ndarray | None) -> np.ndarray:
    """Start from grey."""
    return np.full(shape, 0.5, np.float32)


@starts.register("mean", real_images=True)
def mean_image(recipe: Recipe, shape: Sequence[int], draws: np.random.Generator, mean: np.ndarray | None) -> np.ndarray:
    """Start from the mean image of the training split.

    Raises:
        UserError: There is none.
    """
    if mean is None:
        raise UserError("The start 'mean' needs a data set, and this network names none. Use 'noise' or 'grey'.")
    return mean.astype(np.float32)


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
    return starts[recipe.start](recipe, shape, generator("start", seed, layer, unit), mean)


# --- parametrizations ------------------------------------------------------------------------------------------------


class Parametrization(ABC):
    """The values that an ascent moves, and the images that are a function of them.

    Args:
        recipe: The method.
        size: (height, width) of an image.
        device: Where the values live.
    """

    def __init__(self, recipe: Recipe, size: Sequence[int], device: torch.device) -> None:
        self.recipe = recipe
        self.size = tuple(size)
        self.device = device

    @abstractmethod
    def values(self, images: Tensor) -> Tensor:
        """Return the values behind images (..., channels, height, width)."""

    @abstractmethod
    def images(self, values: Tensor) -> Tensor:
        """Return the images (..., channels, height, width) as a differentiable function of the values."""

    def project(self, values: Tensor) -> None:  # noqa: B027, some allow all values
        """Return to the allowed values after a step, in place."""


parametrizations: Registry[type[Parametrization]] = Registry("parametrization")


def parametrize(recipe: Recipe, size: Sequence[int], device: torch.device) -> Parametrization:
    """Return the parametrization of a recipe, for images of (height, width)."""
    return parametrizations[recipe.parametrization](recipe, size, device)


@parametrizations.register("pixels")
class Pixels(Parametrization):
    """The pixels themselves."""

    def values(self, images: Tensor) -> Tensor:
        """Return the images."""
        return images

    def images(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def project(self, values: Tensor) -> None:
        """Clamp pixels to [0, 1], in place, unless they are free."""
        if self.recipe.clamp:
            with torch.no_grad():
                values.clamp_(0.0, 1.0)


@parametrizations.register("fourier")
class Fourier(Parametrization):
    """A spectrum scaled by 1 / frequency."""

    def __init__(self, recipe: Recipe, size: Sequence[int], device: torch.device) -> None:
        super().__init__(recipe, size, device)
        rows, columns = torch.fft.fftfreq(self.size[0]), torch.fft.rfftfreq(self.size[1])
        frequency = torch.hypot(rows[:, None], columns[None, :]).clamp(min=1.0 / max(self.size))
        self.weight = (1.0 / frequency / max(self.size)).to(device)[..., None]

    def values(self, images: Tensor) -> Tensor:
        """Return the spectrum of images (..., channels, height, width), real and imaginary part last."""
        flat = images.clamp(0.01, 0.99).logit() if self.recipe.clamp else images
        return torch.view_as_real(torch.fft.rfft2(flat, norm="ortho")) / self.weight

    def images(self, values: Tensor) -> Tensor:
        """Return the images (..., channels, height, width) of a spectrum."""
        flat = torch.fft.irfft2(torch.view_as_complex(values * self.weight), s=self.size, norm="ortho")
        return flat.sigmoid() if self.recipe.clamp else flat
