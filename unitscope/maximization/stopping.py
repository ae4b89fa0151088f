"""Early stopping: an ascent ends where the representative substitution of its image is settled."""

from collections.abc import Iterable

import numpy as np

from unitscope.maximization.recipe import Recipe


class Race:
    """Tells of ascents in progress whether RS, the number of units ahead of the target, is settled."""

    def __init__(self, recipe: Recipe, slots: int) -> None:
        self._recipe = recipe
        self._before: list[tuple[int, np.ndarray] | None] = [None] * slots

    def forget(self, slots: Iterable[int]) -> None:
        """Begin some slots anew, with other images."""
        for slot in slots:
            self._before[slot] = None

    def settled(self, slot: int, responses: np.ndarray, target: int, step: int) -> bool:
        """Take note of what the layer answers (units,) before a step; return whether too few to matter change places.

        How far another unit lies ahead is measured as a share of the target's answer. Where the target is silent,
        nothing is settled.
        """
        before = self._before[slot]
        if responses[target] <= 0:
            self._before[slot] = None
            return False
        ahead = np.delete(responses, target) / responses[target] - 1
        self._before[slot] = step, ahead
        if before is None:
            return False
        intervals_left = (self._recipe.steps - step) / (step - before[0])
        undecided = np.abs(ahead) < self._recipe.settled * intervals_left * np.abs(ahead - before[1])
        return bool(undecided.sum() <= self._recipe.unsettled * (ahead > 0).sum())
