"""Activation maximization (Erhan et al. 2009), its independent form (Chen et al. 2018, Eq. 3) and the responses to it.

An ascent on the pixels, for a batch of units at once: one image a row, one backward pass for all rows. The rows do not
know of one another, so a result depends on (seed, layer, unit) alone. What the responses mean is told by
`unitscope.substitution`.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unitscope.artifacts import Scratch
from unitscope.console import progress
from unitscope.errors import UserError
from unitscope.layers import prefix
from unitscope.randomness import generator

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's usual constants (Kingma and Ba 2015)."""


@dataclass(frozen=True)
class Recipe:
    """How images are made: a method of the config.

    Attributes:
        objective: "am" (Eq. 2), "iam" (Eq. 3), or "iam_z": Eq. 3 over standardized activations.
        target: "activation", or "preactivation": which value of the unit is maximized. A unit that is silent on its
            image has no gradient through the ReLU; while that lasts, its pre-activation is the target either way.
        steps: Number of steps.
        learning_rate: Length of a step, in units of the pixel range [0, 1].
        optimizer: "adam", "gradient" (plain ascent) or "normalized_gradient" (each image's gradient has length 1).
        start: "noise" (0.5 + U(-noise, noise)), "grey" (0.5), or "mean" (the mean image of the training split).
        noise: Amplitude of the start's noise.
        parametrization: "pixels", or "fourier": the image as a spectrum scaled by 1 / frequency.
        clamp: Whether pixels are held in [0, 1]. Free pixels are kept as float32, clamped ones as uint8.
        jitter: Largest shift of the image, in pixels, drawn anew for each step.
        total_variation: Weight of the total variation that is subtracted.
        points: How often the objective is recorded, start and end included.
    """

    objective: str = "am"
    target: str = "activation"
    steps: int = 256
    learning_rate: float = 0.05
    optimizer: str = "adam"
    start: str = "noise"
    noise: float = 0.1
    parametrization: str = "pixels"
    clamp: bool = True
    jitter: int = 0
    total_variation: float = 0.0
    points: int = 17

    def recorded_steps(self) -> np.ndarray:
        """Return the steps before which the objective is recorded; the last one is the finished image's."""
        return np.unique(np.linspace(0, self.steps, self.points).round().astype(np.int64))


@dataclass(frozen=True)
class Generated:
    """Images made for units, and how the whole layer answers them.

    Attributes:
        units: (targets,) the units.
        images: (seeds, targets, height, width, channels), uint8, or float32 where pixels are free.
        responses: (seeds, targets, units): activation of each unit on the image as stored.
        start_responses: The same on the start image.
        preactivations: (seeds, targets, units): as `responses`, before the nonlinearity.
        objective: (seeds, targets, points): course of what was maximized.
        steps: (points,): the steps at which it was recorded.
        rounding: (seeds, targets): how far RS moves when the image is rounded to 8 bits.
    """

    units: np.ndarray
    images: np.ndarray
    responses: np.ndarray
    start_responses: np.ndarray
    preactivations: np.ndarray
    objective: np.ndarray
    steps: np.ndarray
    rounding: np.ndarray


# --- the objective ---------------------------------------------------------------------------------------------------


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
    rows = torch.arange(len(targets), device=targets.device)
    before, after = preactivations[rows, targets], activations[rows, targets]
    # A silent unit has no gradient: its pre-activation leads it out.
    own = before if target == "preactivation" else torch.where(after > 0, after, before)
    if name == "am":
        return own
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
    rest = standardized.sum(1) - standardized[rows, targets]
    return (own - mean[targets]) / safe[targets] - rest / others.clamp(min=1)


def total_variation(images: Tensor) -> Tensor:
    """Return the anisotropic total variation of each image, (images,): the mean of absolute differences, summed."""
    return images.diff(dim=2).abs().mean((1, 2, 3)) + images.diff(dim=3).abs().mean((1, 2, 3))


# --- the ascent ------------------------------------------------------------------------------------------------------


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


class Parameters:
    """What the ascent moves: pixels, or the spectrum behind them."""

    def __init__(self, recipe: Recipe, start: Tensor) -> None:
        self.recipe = recipe
        self.size = start.shape[-2:]
        if recipe.parametrization == "pixels":
            self.values = start.clone()
        else:
            rows, columns = torch.fft.fftfreq(self.size[0]), torch.fft.rfftfreq(self.size[1])
            frequency = torch.hypot(rows[:, None], columns[None, :]).clamp(min=1.0 / max(self.size))
            self.weight = (1.0 / frequency / max(self.size)).to(start.device)[..., None]
            flat = start.clamp(0.01, 0.99).logit() if recipe.clamp else start
            self.values = torch.view_as_real(torch.fft.rfft2(flat, norm="ortho")) / self.weight
        self.values = self.values.requires_grad_(True)

    def images(self) -> Tensor:
        """Return the images (images, channels, height, width) as a differentiable function of the values."""
        if self.recipe.parametrization == "pixels":
            return self.values
        flat = torch.fft.irfft2(torch.view_as_complex(self.values * self.weight), s=self.size, norm="ortho")
        return flat.sigmoid() if self.recipe.clamp else flat

    def project(self) -> None:
        """Return to what is allowed, after a step."""
        if self.recipe.parametrization == "pixels" and self.recipe.clamp:
            with torch.no_grad():
                self.values.clamp_(0.0, 1.0)


class Adam:
    """Adam's ascent (Kingma and Ba 2015), without what torch.optim imports to get going (1.3 s a process)."""

    def __init__(self, values: Tensor, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)
        self.steps = 0

    @torch.no_grad()
    def step(self, values: Tensor, gradient: Tensor) -> None:
        """Move `values` uphill, in place."""
        self.steps += 1
        self.first.lerp_(gradient, 1 - BETA1)
        self.second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        scale = (1 - BETA2**self.steps) ** 0.5
        length = self.learning_rate / (1 - BETA1**self.steps)
        values.addcdiv_(self.first, self.second.sqrt().add_(EPSILON * scale), value=length * scale)


class GradientAscent:
    """Plain gradient ascent, or with each image's gradient brought to length 1."""

    def __init__(self, learning_rate: float, normalized: bool) -> None:
        self.learning_rate = learning_rate
        self.normalized = normalized

    @torch.no_grad()
    def step(self, values: Tensor, gradient: Tensor) -> None:
        """Move `values` uphill, in place."""
        if self.normalized:
            length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
            gradient = gradient / length.view(-1, *[1] * (gradient.dim() - 1))
        values.add_(gradient, alpha=self.learning_rate)


def ascend(
    forward: Callable[[Tensor], tuple[Tensor, Tensor]],
    recipe: Recipe,
    start: Tensor,
    targets: Tensor,
    scale: tuple[Tensor, Tensor] | None,
    jitter: Callable[[int], Tensor] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Climb from the start images, all rows at once.

    Args:
        forward: Maps images to pre-activations and activations (images, units) of the layer.
        recipe: The method.
        start: (images, channels, height, width).
        targets: (images,) index of the unit of each row.
        scale: As `objective` takes it.
        jitter: Gives the shifts (images, 2) of a step.

    Returns:
        The images, and the objective (images,) before each of the recorded steps but the last.
    """
    parameters = Parameters(recipe, start)
    optimizer = (
        Adam(parameters.values, recipe.learning_rate)
        if recipe.optimizer == "adam"
        else GradientAscent(recipe.learning_rate, recipe.optimizer == "normalized_gradient")
    )
    recorded = set(recipe.recorded_steps().tolist())
    course = []
    for step in range(recipe.steps):
        images = parameters.images()
        seen = images if jitter is None else _shifted(images, jitter(step))
        value = objective(recipe.objective, *forward(seen), targets, scale, recipe.target)
        if step in recorded:
            course.append(value.detach().clone())
        if recipe.total_variation:
            value = value - recipe.total_variation * total_variation(images)
        (gradient,) = torch.autograd.grad(value.sum(), parameters.values)
        optimizer.step(parameters.values, gradient)
        parameters.project()
    return parameters.images().detach(), course


def _shifted(images: Tensor, shifts: Tensor) -> Tensor:
    rows = [image.roll(tuple(shift), (1, 2)) for image, shift in zip(images, shifts.tolist(), strict=True)]
    return torch.stack(rows)


# --- a layer's images ------------------------------------------------------------------------------------------------


def select_units(wanted: Any, units: int) -> np.ndarray:
    """Return the target units, ascending.

    Args:
        wanted: "all", a list of unit numbers, or {"sample": how many, "seed": number}.
        units: Number of units of the layer.

    Raises:
        UserError: A unit that the layer does not have.
    """
    if wanted == "all":
        return np.arange(units)
    if isinstance(wanted, dict):
        count = min(wanted["sample"], units)
        return np.sort(generator("sample", wanted["seed"]).choice(units, count, replace=False))
    chosen = np.unique(np.asarray(wanted, dtype=np.int64))
    if len(chosen) == 0 or chosen[0] < 0 or chosen[-1] >= units:
        raise UserError(f"units is {wanted}; this layer has the units 0 to {units - 1}.")
    return chosen


def activation_maximization(
    module: nn.Module,
    layer: str,
    shape: Sequence[int],
    units: np.ndarray,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0,),
    readout: str = "mean",
    batch: int = 16,
    scale: tuple[np.ndarray, np.ndarray] | None = None,
    mean_image: np.ndarray | None = None,
    scratch: Scratch | None = None,
) -> Generated:
    """Make the image that each unit likes best, and record how the whole layer answers it (Eq. 2 and 3).

    The responses are those to the stored image, rounded to 8 bits, in float32: they can be computed again from the file
    and the checkpoint.

    Args:
        module: The network: frozen, in eval mode, taking pixels in [0, 1].
        layer: Name of the layer.
        shape: (channels, height, width) of an image.
        units: (targets,) unit numbers.
        recipe: The method.
        seeds: Numbers of the noise.
        readout: How a unit's map becomes its activation: "mean", "max" or "center".
        batch: Number of images that climb together. The last batch is filled up, so that it takes the same kernels.
        scale: Mean and standard deviation (units,) over real images, needed by "iam_z".
        mean_image: Needed by the start "mean".
        scratch: Where finished batches are kept until all are done.
    """
    device = next(module.parameters()).device
    forward = prefix(module, layer, readout)
    tensors = None if scale is None else tuple(torch.as_tensor(s, dtype=torch.float32, device=device) for s in scale)
    work = [(seed, int(unit)) for seed in seeds for unit in units]
    scratch = scratch or Scratch(None, None)
    blocks = []
    with progress(len(work), f"{layer} {recipe.objective}", "images") as advance:
        for first in range(0, len(work), batch):
            rows = work[first : first + batch]
            name = f"{first:08d}.npz"
            block = _unpack(scratch.load(name))
            if block is None:
                padded = rows + [rows[-1]] * (batch - len(rows))
                block = _block(forward, recipe, padded, layer, shape, tensors, mean_image, device)
                block = {key: value[: len(rows)] for key, value in block.items()}
                scratch.save(name, _pack(block))
            blocks.append(block)
            advance(len(rows))
    joined = {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}
    arrays = {key: value.reshape(len(seeds), len(units), *value.shape[1:]) for key, value in joined.items()}
    return Generated(units=np.asarray(units, np.int64), steps=recipe.recorded_steps(), **arrays)


def _block(
    forward: Callable[[Tensor], tuple[Tensor, Tensor]],
    recipe: Recipe,
    rows: Sequence[tuple[int, int]],
    layer: str,
    shape: Sequence[int],
    scale: Any,
    mean_image: np.ndarray | None,
    device: torch.device,
) -> dict[str, np.ndarray]:
    """Make the images of one batch of (seed, unit); arrays with the rows first, keys as in `Generated`."""

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device).contiguous(memory_format=torch.channels_last)

    def responses(images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return forward(images)

    def shifts(step: int) -> Tensor:
        draws = [generator("jitter", seed, layer, unit, step) for seed, unit in rows]
        return torch.from_numpy(np.stack([d.integers(-recipe.jitter, recipe.jitter + 1, 2) for d in draws]))

    start = tensor(np.stack([start_image(recipe, seed, layer, unit, shape, mean_image) for seed, unit in rows]))
    targets = torch.tensor([unit for _, unit in rows], device=device)
    exact, course = ascend(forward, recipe, start, targets, scale, shifts if recipe.jitter else None)
    stored, seen = stored_and_seen(exact) if recipe.clamp else (exact, exact)
    _, start_seen = stored_and_seen(start) if recipe.clamp else (start, start)
    before, after = responses(seen)
    course.append(objective(recipe.objective, before, after, targets, scale, recipe.target))
    return {
        "images": stored.permute(0, 2, 3, 1).contiguous().cpu().numpy(),
        "responses": after.cpu().numpy(),
        "start_responses": responses(start_seen)[1].cpu().numpy(),
        "preactivations": before.cpu().numpy(),
        "objective": torch.stack(course, 1).cpu().numpy(),
        "rounding": (_stronger(after, targets) - _stronger(responses(exact)[1], targets)).cpu().numpy(),
    }


def stored_and_seen(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return images rounded to 8 bits: as uint8, and as the network sees them."""
    stored = (images.clamp(0.0, 1.0) * 255).round().to(torch.uint8)
    return stored, (stored.to(torch.float32) / 255).contiguous(memory_format=torch.channels_last)


def _stronger(activations: Tensor, targets: Tensor) -> Tensor:
    """Return the share of units that answer more strongly than the target (Eq. 4)."""
    own = activations.gather(1, targets[:, None])
    return (activations > own).float().mean(1)


def _pack(block: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **block)  # type: ignore[arg-type]
    return buffer.getvalue()


def _unpack(content: bytes | None) -> dict[str, np.ndarray] | None:
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as block:
        return {key: block[key] for key in block.files}
