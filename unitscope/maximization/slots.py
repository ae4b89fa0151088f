"""The images of an ascent that are optimized together, one per slot; a finished one makes room for the next."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unitscope.maximization.objectives import total_variation
from unitscope.maximization.optimizers import optimizers
from unitscope.maximization.parametrization import Parametrization


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


class Slots:
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
        self._optimizer = optimizers[recipe.optimizer](self.values, recipe.learning_rate)
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
