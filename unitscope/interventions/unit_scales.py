"""Scales of a layer's units on real images, and random factors that change them."""

from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np

from unitscope.randomness import generator
from unitscope.scores.score_names import RS_SCORES
from unitscope.scores.selectivity import class_selectivity, dead_units
from unitscope.scores.substitution import Substitution, substitution


@dataclass(frozen=True)
class Scales:
    """What real images say about the units of a layer; every array ends with the axis of units.

    Attributes:
        class_means: (classes, units), none negative; without classes (0, units).
        alive: (units,) whether any image excites the unit.
        mean: (units,) mean activation.
        std: (units,) standard deviation.
        quantile: (units,) 99th percentile of the positive activations, NaN where there is none.
    """

    class_means: np.ndarray
    alive: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    quantile: np.ndarray

    @classmethod
    def of(cls, group: h5py.Group) -> "Scales":
        """Return the scales in a layer's group of activations.h5."""
        means = group["class_means"][:] if "class_means" in group else np.empty((0, len(group["mean"])))
        alive = ~dead_units(group["max"][:], group["activations"][:])
        return cls(means, alive, group["mean"][:], group["std"][:], group["positive_q99"][:])

    def times(self, factors: np.ndarray) -> "Scales":
        """Return the scales of units that are multiplied by `factors` (units,): each is homogeneous of degree 1."""
        return Scales(
            self.class_means * factors, self.alive, self.mean * factors, self.std * factors, self.quantile * factors
        )

    def selectivity(self) -> np.ndarray:
        """Return the class selectivity of the living units, (units,); NaN for the others and without classes."""
        return np.where(self.alive, class_selectivity(self.class_means), np.nan)

    def score(self, responses: np.ndarray, units: np.ndarray) -> Substitution:
        """Return RS, raw and scale-free, of responses (seeds, targets, units); NaN of dead targets."""
        scores = substitution(responses, units, self.mean, self.std, self.quantile)
        by_score: dict[str, Any] = {
            score: np.where(self.alive[units], getattr(scores, score), np.nan) for score in RS_SCORES
        }
        return replace(scores, **by_score)


def unit_factors(seed: int, layer: str, draw: int, units: int, spread: int) -> np.ndarray:
    """Return random powers of two, (units,): exponents are uniform among the whole numbers from -spread to spread."""
    exponents = generator("scale", seed, layer, draw).integers(-spread, spread, units, endpoint=True)
    return 2.0 ** exponents.astype(np.float64)
