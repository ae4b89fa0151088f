"""Can the substitutes stand in? A unit's map is predicted from other units', and the network runs with the prediction.

The affine prediction of a unit from its substitutes takes the unit's place; how far the network's output distribution
moves, KL(intact || replaced), is compared with predictions from control sets
(`unitscope.interventions.replacement_sets`), from the most correlated units (a ceiling), and from the units that the
unit's natural images name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unitscope.interventions.affine_prediction import AffinePrediction, LayerMoments
from unitscope.interventions.replacement_sets import (
    FEWEST_CONTROLS,
    control_sets,
    most_correlated,
    substitutes_by_z,
)
from unitscope.interventions.sets import ClampedSet, Passed, Replacement, removal_by_batch
from unitscope.probing.layer import Layer, read_out
from unitscope.randomness import generator
from unitscope.runtime.devices import pixels
from unitscope.scores.exemplars import strongest

SIZES = (1, 5)
"""Numbers of units that replace a unit; the first one is primary."""


class PredictedUnit(NamedTuple):
    """A unit whose map is predicted from those of others: a `Replacement`.

    Attributes:
        unit: Number of the unit.
        prediction: Its map as a function of others.
    """

    unit: int
    prediction: AffinePrediction

    @property
    def units(self) -> Sequence[int]:
        """The unit alone."""
        return [self.unit]

    def activations(self, passed: Passed, axis: int) -> Tensor:
        """Return the predicted map: `Replacement.activations`."""
        return self.prediction.map(passed.activation, axis)


@dataclass(frozen=True)
class Candidates:
    """Sets of units of one size that a unit is predicted from; an empty list where there is no such set.

    Attributes:
        unit: The unit.
        size: Number of units in a set.
        substitutes: The units that its generated image names.
        controls: Control sets.
        correlated: The units most correlated with it.
        natural: The units that its natural images name.
    """

    unit: int
    size: int
    substitutes: list[int]
    controls: list[list[int]]
    correlated: list[int]
    natural: list[int]


@dataclass(frozen=True)
class TrainingStatistics:
    """Statistics of a layer over training images.

    Attributes:
        moments: Mean and covariance over images and positions.
        activations: (images, units) read out, float32.
    """

    moments: LayerMoments
    activations: np.ndarray


def training_statistics(layer: Layer, batches: Iterable[np.ndarray], readout: str = "mean") -> TrainingStatistics:
    """Return the statistics of a layer over batches of training images, uint8 (images, height, width, channels)."""
    cut, moments, activations = layer.cut(), LayerMoments(layer.units), []
    with torch.no_grad():
        for images in batches:
            activation = cut.prefix(pixels(images, layer.probe.device))[0]
            moments.add(activation, layer.axis)
            activations.append(read_out(activation, layer.axis, readout).float().cpu().numpy())
    return TrainingStatistics(moments, np.concatenate(activations))


def candidates(
    units: np.ndarray,
    responses: np.ndarray,
    statistics: TrainingStatistics,
    scales: tuple[np.ndarray, np.ndarray],
    class_means: np.ndarray,
    firing_rates: np.ndarray,
    seed: tuple[int | str, ...],
) -> list[Candidates]:
    """Return the sets that each target unit is predicted from, of each of `SIZES`.

    Args:
        units: (targets,).
        responses: (seeds, targets, units), R on their generated images.
        statistics: Of the layer.
        scales: Mean and standard deviation (units,) over real images, by which responses are standardized.
        class_means: (classes, units).
        firing_rates: (units,).
        seed: Name that the draws of controls belong to.
    """
    most = max(SIZES)
    named_by_image = substitutes_by_z(responses, units, *scales, most)
    exemplars = strongest(statistics.activations[:, units]).images
    correlation = statistics.moments.correlation
    result = []
    for place, unit in enumerate(units.tolist()):
        images = exemplars[place][exemplars[place] >= 0]
        natural = statistics.activations[images][:, None]
        named_by_exemplars = substitutes_by_z(natural, units[[place]], *scales, most)[0] if len(images) else []
        correlated = most_correlated(correlation, unit, most)
        for size in SIZES:
            chosen = named_by_image[place][:size] if len(named_by_image[place]) >= size else []
            draws = generator("replacement", *seed, unit, size)
            result.append(
                Candidates(
                    unit=unit,
                    size=size,
                    substitutes=chosen,
                    controls=control_sets(unit, chosen, class_means, firing_rates, draws),
                    correlated=correlated[:size] if len(correlated) >= size else [],
                    natural=named_by_exemplars[:size] if len(named_by_exemplars) >= size else [],
                )
            )
    return result


Divergences = dict[tuple[int, tuple[int, ...]], np.ndarray]
"""Sums of divergences (2,) over the images of either half, by unit and members; no members: the mean clamp."""


def divergences(
    layer: Layer,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    several: Sequence[Candidates],
    moments: LayerMoments,
    halves: np.ndarray,
) -> Divergences:
    """Run the network with each unit replaced by each of its predictions, and clamped to its mean.

    Args:
        layer: The layer.
        batches: Images and labels.
        several: The sets that units are predicted from.
        moments: Of the layer over training images.
        halves: (images,) half, 0 or 1, that each image belongs to.
    """
    replacements: dict[tuple[int, tuple[int, ...]], Replacement] = {}
    for each in several:
        replacements[each.unit, ()] = ClampedSet([each.unit], moments.mean)
        for members in (each.substitutes, *each.controls, each.correlated, each.natural):
            if members:
                prediction = moments.predict(each.unit, sorted(members))
                replacements[each.unit, tuple(sorted(members))] = PredictedUnit(each.unit, prediction)
    sums, first = np.zeros((2, len(replacements))), 0
    sets: list[Replacement] = [ClampedSet([], np.zeros(0)), *replacements.values()]
    for part in removal_by_batch(layer, batches, sets, len(halves), "replacement", compare=True):
        assert part.divergence is not None
        of_batch = halves[first : first + len(part.labels)]
        first += len(part.labels)
        sums += np.stack([part.divergence[1:, of_batch == half].sum(1) for half in (0, 1)])
    return dict(zip(replacements, sums.T, strict=True))


def replacement_rows(
    several: Sequence[Candidates],
    measured: Divergences,
    images: np.ndarray,
    moments: LayerMoments,
    why: Mapping[int, str],
) -> Iterator[dict[str, Any]]:
    """Yield a row per unit and size: the columns from `unit` on.

    Args:
        several: The sets.
        measured: Their divergences.
        images: (2,) number of images of either half.
        moments: Of the layer.
        why: Why a unit has no substitutes, by its number; none of those that have.
    """
    total = images.sum()
    for each in several:

        def mean(members: Sequence[int], unit: int = each.unit) -> np.ndarray:
            """Return the mean divergence on all images and on either half, (3,)."""
            if not members:
                return np.full(3, np.nan)
            sums = measured[unit, tuple(sorted(members))]
            with np.errstate(invalid="ignore"):
                return np.array([sums.sum() / total, *(sums / images)])

        substitutes, correlated, natural = mean(each.substitutes), mean(each.correlated), mean(each.natural)
        controls = np.array([mean(members) for members in each.controls])
        control = controls.mean(0) if len(controls) else np.full(3, np.nan)
        advantage = control - substitutes
        yield {
            "unit": each.unit,
            "size": each.size,
            "replaced_by": " ".join(map(str, each.substitutes)),
            "kl_mean": float(measured[each.unit, ()].sum() / total),
            "kl_substitutes": float(substitutes[0]),
            "kl_controls": float(control[0]),
            "kl_correlated": float(correlated[0]),
            "kl_natural": float(natural[0]),
            "advantage": float(advantage[0]),
            "advantage_half0": float(advantage[1]),
            "advantage_half1": float(advantage[2]),
            "advantage_correlated": float(control[0] - correlated[0]),
            "advantage_natural": float(control[0] - natural[0]),
            "r2_substitutes": _r2(moments, each.unit, each.substitutes),
            "r2_correlated": _r2(moments, each.unit, each.correlated),
            "controls": len(each.controls),
            "reason": _reason(each, why.get(each.unit, "")),
        }


def _r2(moments: LayerMoments, unit: int, members: Sequence[int]) -> float:
    return moments.predict(unit, members).r2 if members else np.nan


def _reason(each: Candidates, why: str) -> str:
    if why or not each.substitutes:
        return why or f"fewer than {each.size} other units respond on real images"
    return "" if each.controls else f"fewer than {FEWEST_CONTROLS} different control sets"
