"""Ascents on pixels, for a batch of images at once: where they start, what is moved, by which steps, and when one ends.

One image a row, one backward pass for all rows. The rows do not know of one another, so a result depends on (seed,
layer, unit) alone; one that is done makes room for the next. What is climbed belongs to
`unitscope.maximization.visualization`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Climb:
    """How far the ascent for an image has come.

    Attributes:
        row: Which of the rows of work it is.
        values: What is moved: pixels (channels, height, width), or their spectrum.
        course: (points,) the objective before each recorded step so far; the last point is for the finished image.
        steps: Steps that have been taken.
        memory: What the optimizer remembers.
        settled: Whether it ended early.
    """

    row: int
    values: Tensor
    course: np.ndarray
    steps: int = 0
    memory: tuple[Tensor, ...] = ()
    settled: bool = False


def begin(space: Parametrization, row: int, image: Tensor) -> Climb:
    """Return the climb of a row of work that starts from an image (channels, height, width)."""
    return Climb(row, space.values(image), np.full(len(space.recipe.recorded_steps()), np.nan, np.float32))


def ascend(
    forward: Callable[[Tensor, Tensor], Tensor],
    space: Parametrization,
    climbs: Iterable[Climb],
    targets: Sequence[int],
    batch: int,
    until: int | None = None,
    jitter: Callable[[int, int], np.ndarray] | None = None,
    answers: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Climb]:
    """Climb on, `batch` images at once; one that has got there makes room for the next.

    The batch has the same size to the end, so that every row takes the same kernels whatever the others are.

    Args:
        forward: Maps images and their targets to what each image is to maximize, as `passes` gives it.
        space: What is moved, by which recipe.
        climbs: Where each row of work stands; taken as room is made. What has nothing left to do is handed on.
        targets: The unit of each row of work.
        batch: How many climb at once.
        until: The step to which is climbed; None is the recipe's last.
        jitter: Gives the shift (2,) of a row's image in one of its steps.
        answers: Gives the activations (images, units) of the whole layer, where rows may end early.

    Yields:
        Each climb, in the order in which they get there.
    """
    recipe = space.recipe
    slots = _Slots(space, climbs, targets, batch, recipe.steps if until is None else until)
    race = Race(recipe, batch) if recipe.settled and answers is not None else None
    yield from slots.handed_on()
    while slots.busy():
        images = space.images(slots.values)
        value = forward(images if jitter is None else slots.shifted(images, jitter), slots.unit)
        due = slots.due()
        if due:
            slots.record(due, value)
        if due and race is not None and answers is not None:
            with torch.no_grad():
                given = answers(images).float().cpu().numpy()
            done = [slot for slot in due if race.settled(slot, given[slot], *slots.place(slot))]
            if done:
                for slot in done:
                    slots.keep_to_the_end(slot, due[slot])
                race.forget(done)
                yield from slots.leave(done, settled=True)
                # Again, with those that have come: all then reach their recorded points together, and the whole layer
                # is asked only there.
                continue
        slots.step(value, images)
        arrived = slots.arrived()
        if race is not None:
            race.forget(arrived)
        yield from slots.leave(arrived, settled=False)


class _Slots:
    """The images that climb at the moment, one a slot. A slot without work of its own repeats the first image.

    Attributes:
        values: (slots, ...) what is moved, a leaf of the graph.
        unit: (slots,) the target of each.
    """

    def __init__(
        self, space: Parametrization, climbs: Iterable[Climb], targets: Sequence[int], batch: int, until: int
    ) -> None:
        self._space, self._targets, self._until = space, targets, until
        self._coming = iter(climbs)
        self._passed: list[Climb] = []
        begun = [self._following() for _ in range(batch)]
        self._rows = [climb.row if climb else None for climb in begun]
        first = begun[0]
        if first is None:
            return
        filled = [climb or first for climb in begun]
        self._repeated = first.row
        stacked = torch.stack([climb.values for climb in filled])
        if stacked.dim() == 4:
            stacked = stacked.contiguous(memory_format=torch.channels_last)
        self.values = stacked.requires_grad_(True)
        self.unit = torch.tensor([targets[climb.row] for climb in filled]).to(self.values.device)
        recipe = space.recipe
        self._optimizer: Adam | GradientAscent = (
            Adam(self.values, recipe.learning_rate)
            if recipe.optimizer == "adam"
            else GradientAscent(recipe.learning_rate, recipe.optimizer == "normalized_gradient")
        )
        for slot, climb in enumerate(filled):
            self._optimizer.put(slot, climb.memory)
        self._point = {int(step): number for number, step in enumerate(recipe.recorded_steps())}
        self._steps = np.array([climb.steps for climb in filled], np.int64)
        self._course = np.stack([climb.course for climb in filled])

    def _following(self) -> Climb | None:
        """Return the next climb that has something left to do; those before it are handed on."""
        for climb in self._coming:
            if climb.steps < self._until and not climb.settled:
                return climb
            self._passed.append(climb)
        return None

    def handed_on(self) -> Iterator[Climb]:
        """Yield the climbs that came with nothing left to do."""
        passed, self._passed = self._passed, []
        yield from passed

    def busy(self) -> bool:
        """Return whether any slot has work of its own."""
        return any(row is not None for row in self._rows)

    def shifted(self, images: Tensor, jitter: Callable[[int, int], np.ndarray]) -> Tensor:
        """Return the images, each moved by its row's shift in its step."""
        work = [self._repeated if row is None else row for row in self._rows]
        shifts = [jitter(row, int(step)) for row, step in zip(work, self._steps, strict=True)]
        moved = [image.roll(tuple(shift.tolist()), (1, 2)) for image, shift in zip(images, shifts, strict=True)]
        return torch.stack(moved)

    def place(self, slot: int) -> tuple[int, int]:
        """Return a slot's target and how many steps it has taken."""
        return int(self.unit[slot]), int(self._steps[slot])

    def due(self) -> dict[int, int]:
        """Return the slots whose objective is to be recorded now, each with the number of the point."""
        at = [self._point.get(int(step)) for step in self._steps]
        return {
            slot: number
            for slot, (row, number) in enumerate(zip(self._rows, at, strict=True))
            if row is not None and number is not None and np.isnan(self._course[slot, number])
        }

    def record(self, due: Mapping[int, int], value: Tensor) -> None:
        """Keep the objective (slots,) of those slots whose it is time to."""
        now = value.detach().float().cpu().numpy()
        for slot, number in due.items():
            self._course[slot, number] = now[slot]

    def keep_to_the_end(self, slot: int, number: int) -> None:
        """Let the objective stay from a recorded point on what it is there."""
        self._course[slot, number:] = self._course[slot, number]

    def step(self, value: Tensor, images: Tensor) -> None:
        """Take a step by the gradient of the objective (slots,), of which the images are a function."""
        recipe = self._space.recipe
        if recipe.minimize:
            value = -value
        if recipe.total_variation:
            value = value - recipe.total_variation * total_variation(images)
        (gradient,) = torch.autograd.grad(value.sum(), self.values)
        self._optimizer.step(self.values, gradient, self._steps)
        self._space.project(self.values)
        self._steps += 1

    def arrived(self) -> list[int]:
        """Return the slots whose climb is at its last step."""
        return [slot for slot, row in enumerate(self._rows) if row is not None and self._steps[slot] == self._until]

    def leave(self, leaving: Sequence[int], settled: bool) -> Iterator[Climb]:
        """Yield the climbs of some slots, and let others come in their places."""
        for slot in leaving:
            row = self._rows[slot]
            assert row is not None
            place, course = self.values[slot].detach().clone(), self._course[slot].copy()
            yield Climb(row, place, course, int(self._steps[slot]), self._optimizer.memory(slot), settled)
            climb = self._following()
            yield from self.handed_on()
            self._rows[slot] = climb.row if climb else None
            if climb is not None:
                with torch.no_grad():
                    self.values[slot] = climb.values
                self._optimizer.put(slot, climb.memory)
                self.unit[slot] = self._targets[climb.row]
                self._steps[slot] = climb.steps
                self._course[slot] = climb.course


class Race:
    """Tells of ascents in progress whether RS, the number of units ahead of the target, is settled."""

    def __init__(self, recipe: Recipe, slots: int) -> None:
        self._recipe = recipe
        self._before: list[tuple[int, np.ndarray] | None] = [None] * slots

    def forget(self, slots: Iterable[int]) -> None:
        """Begin some slots anew, with other images."""
        for slot in slots:
            self._before[slot] = None

    def settled(self, slot: int, answers: np.ndarray, target: int, step: int) -> bool:
        """Take note of what the layer answers (units,) before a step; return whether too few to matter change places.

        How far another unit lies ahead is measured as a share of the target's answer. Where the target is silent,
        nothing is settled.
        """
        before = self._before[slot]
        if answers[target] <= 0:
            self._before[slot] = None
            return False
        ahead = np.delete(answers, target) / answers[target] - 1
        self._before[slot] = step, ahead
        if before is None:
            return False
        left = (self._recipe.steps - step) / (step - before[0])
        undecided = np.abs(ahead) < self._recipe.settled * left * np.abs(ahead - before[1])
        return bool(undecided.sum() <= self._recipe.unsettled * (ahead > 0).sum())


def total_variation(images: Tensor) -> Tensor:
    """Return the anisotropic total variation of each image, (images,): the mean of absolute differences, summed."""
    return images.diff(dim=2).abs().mean((1, 2, 3)) + images.diff(dim=3).abs().mean((1, 2, 3))
