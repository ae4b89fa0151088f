"""Ascents for a batch of images at once, one backward pass per step for all of them.

The rows are independent of one another, so that a result depends on (seed, layer, unit) alone. What is maximized is
defined in `unitscope.maximization.objectives`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from unitscope.maximization.parametrization import Parametrization
from unitscope.maximization.slots import Climb, Slots
from unitscope.maximization.stopping import Race


def ascend(
    forward: Callable[[Tensor, Tensor], Tensor],
    space: Parametrization,
    climbs: Iterable[Climb],
    targets: Sequence[int],
    batch: int,
    until: int | None = None,
    jitter: Callable[[int, int], np.ndarray] | None = None,
    layer_responses: Callable[[Tensor], Tensor] | None = None,
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
        layer_responses: Gives the activations (images, units) of the whole layer, where rows may end early.

    Yields:
        Each climb, in the order in which they get there.
    """
    recipe = space.recipe
    slots = Slots(space, climbs, targets, batch, recipe.steps if until is None else until)
    race = Race(recipe, batch) if recipe.settled and layer_responses is not None else None
    yield from slots.handed_on()
    while slots.busy():
        images = space.images(slots.values)
        value = forward(images if jitter is None else slots.shifted(images, jitter), slots.unit)
        due = slots.due()
        if due:
            slots.record(due, value)
        if due and race is not None and layer_responses is not None:
            with torch.no_grad():
                responses = layer_responses(images).float().cpu().numpy()
            settled_slots = [slot for slot in due if race.settled(slot, responses[slot], *slots.place(slot))]
            if settled_slots:
                for slot in settled_slots:
                    slots.keep_to_the_end(slot, due[slot])
                race.forget(settled_slots)
                yield from slots.leave(settled_slots, settled=True)
                # Again, with those that have come: all then reach their recorded points together, and the whole layer
                # is asked only there.
                continue
        slots.step(value, images)
        arrived = slots.arrived()
        if race is not None:
            race.forget(arrived)
        yield from slots.leave(arrived, settled=False)
