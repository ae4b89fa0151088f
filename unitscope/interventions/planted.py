"""Positive control: copies of units are planted into a layer; scores have to find them, and they replace the originals.

A network is widened by copies (`unitscope.interventions.widening`) at each correlation with the originals
(`unitscope.interventions.noisy_copies`). In it every competitor of an original is ranked by the forms of RS and by its
correlation (`unitscope.interventions.planted_scores`), and the original is replaced by its prediction from the copy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unitscope.data.summaries import UnitStatistics, group_means, unit_statistics
from unitscope.interventions.affine_prediction import AffinePrediction, LayerMoments
from unitscope.interventions.noisy_copies import Planting
from unitscope.interventions.planted_columns import PlantedTable
from unitscope.interventions.planted_scores import PLANTED_SCORES, auc_of, competitor_scores
from unitscope.interventions.replacement_sets import control_sets
from unitscope.interventions.sets import Batches, ClampedSet, Passed, Replacement, removal_by_batch
from unitscope.interventions.widening import widened
from unitscope.maximization.maximize import maximize
from unitscope.maximization.recipe import Recipe
from unitscope.probing.layer import Layer, read_out
from unitscope.randomness import generator
from unitscope.runtime.devices import pixels


class PredictedUnit(NamedTuple):
    """A unit that gets its affine prediction from other units of its layer: a `sets.Replacement`.

    Attributes:
        units: Number of the unit.
        prediction: The prediction.
    """

    units: Sequence[int]
    prediction: AffinePrediction

    def activations(self, passed: Passed, axis: int) -> Tensor:
        """Return the predicted map: `Replacement.activations`."""
        return self.prediction.map(passed.activation, axis)


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of a layer over training images.

    Attributes:
        units: Scales of the units.
        readout_correlation: (units, units) of the activations that are read out, over images; NaN where a unit is
            constant.
        maps: Moments over images and positions.
        map_correlation: (units, units) over images and positions.
        class_means: (classes, units) of the positive parts; (0, units) without classes.
    """

    units: UnitStatistics
    readout_correlation: np.ndarray
    maps: LayerMoments
    map_correlation: np.ndarray
    class_means: np.ndarray


def statistics_of(layer: Layer, batches: Batches, readout: str, has_classes: bool = True) -> LayerStatistics:
    """Return the statistics of a layer in one pass.

    Args:
        layer: The layer.
        batches: Training images and labels.
        readout: "mean", "max" or "center": how a unit's map becomes its activation.
        has_classes: Whether the labels mean anything.
    """
    tapped, maps, values, labels = layer.tapped(), LayerMoments(layer.units), [], []
    with torch.no_grad():
        for images, numbers in batches:
            activation = tapped.nonlinearity(tapped.outputs(pixels(images, layer.probe.device)))
            maps.add(activation, layer.axis)
            values.append(read_out(activation, layer.axis, readout).float().cpu().numpy())
            labels.append(numbers)
    activations = np.concatenate(values)
    of_images = LayerMoments(layer.units)
    of_images.add(torch.from_numpy(activations), 1)
    means = np.empty((0, layer.units))
    if has_classes:
        classes, sizes = np.unique(np.concatenate(labels), return_counts=True)
        rows = np.searchsorted(classes, np.concatenate(labels))
        means = group_means(np.maximum(activations, 0), rows, sizes)
    return LayerStatistics(unit_statistics(activations), of_images.correlation, maps, maps.correlation, means)


def detection(
    layer: Layer, originals: Sequence[int], images: np.ndarray, self_responses: np.ndarray, statistics: LayerStatistics
) -> list[dict[str, Any]]:
    """Return how well each score finds the copy of each original, as columns of `PlantedTable`.

    Args:
        layer: The widened layer; the copies are its last units, in the order of the originals.
        originals: The units that are copied.
        images: (2 * originals, units) responses to the images generated for the originals, then for the copies.
        self_responses: (units before the widening,) response of each unit to its own image in the network itself; NaN
            where it has none.
        statistics: Of the widened layer.
    """
    first = layer.units - len(originals)
    copies = list(range(first, layer.units))
    self_responses = np.concatenate(
        [self_responses, [images[len(originals) + place, copy] for place, copy in enumerate(copies)]]
    )
    quantile = np.full(layer.units, np.nan) if layer.signed else statistics.units.positive_q99
    scales = statistics.units.mean, statistics.units.std, quantile
    rows = []
    for place, (unit, copy) in enumerate(zip(originals, copies, strict=True)):
        correlations = {
            "correlation": statistics.map_correlation[unit],
            "correlation_readout": statistics.readout_correlation[unit],
        }
        scores = competitor_scores(images[place], unit, *scales, self_responses, correlations)
        silent = not images[place, unit] > 0
        rows.append(
            {
                **{"unit": unit, "copy": copy, "competitors": layer.units - 1},
                **{name: float(values[copy]) for name, values in correlations.items()},
                **{f"auc_{score}": auc_of(scores[score], copy) for score in PLANTED_SCORES},
                "reason": "silent on its own image" if silent else "",
            }
        )
    return rows


def replacement(
    layer: Layer,
    originals: Sequence[int],
    statistics: LayerStatistics,
    batches: Batches,
    images: int,
    seed: tuple[int | str, ...],
) -> list[dict[str, Any]]:
    """Replace each original by its prediction from its copy, and from control units: columns of `PlantedTable`.

    Args:
        layer: The widened layer; the copies are its last units.
        originals: The units that are copied.
        statistics: Of the widened layer.
        batches: Test images and labels.
        images: Number of test images.
        seed: Name to which the draws of the control sets belong.
    """
    first = layer.units - len(originals)
    sources = []
    for place, unit in enumerate(originals):
        draws = generator("planted", "controls", *seed, unit)
        firing_rate = statistics.units.firing_rate
        has_means = len(statistics.class_means) > 0
        copy = [first + place]
        controls = control_sets(unit, copy, statistics.class_means, firing_rate, draws) if has_means else []
        sources.append([copy, *controls])
    sets: list[Replacement] = [ClampedSet([], np.zeros(0))]
    sets += [
        PredictedUnit([unit], statistics.maps.predict(unit, members))
        for unit, several in zip(originals, sources, strict=True)
        for members in several
    ]
    sums = np.zeros(len(sets))
    for part in removal_by_batch(layer, batches, sets, images, "planted", compare=True):
        assert part.divergence is not None
        sums += part.divergence.sum(1)
    means = np.split(sums[1:] / images, np.cumsum([len(several) for several in sources])[:-1])
    return [_advantage(divergences[0], divergences[1:]) for divergences in means]


def _advantage(copy: float, controls: np.ndarray) -> dict[str, Any]:
    """Return the divergences with the copy and with the controls, and how much smaller the first is."""
    others = float(controls.mean()) if len(controls) else np.nan
    reason = "" if len(controls) else "too few control units"
    kept = {"kl_copy": float(copy), "controls": len(controls), "kl_controls": others}
    return {**kept, "advantage": others - float(copy), "reason": reason}


def function_change(layer: Layer, wide: Layer, batches: Batches) -> dict[str, float]:
    """Return how much a widened network differs from the network itself: columns of `PlantedTable`.

    Args:
        layer: The layer of the network itself.
        wide: The same layer, widened.
        batches: Test images and labels.
    """
    divergence, largest, count = 0.0, 0.0, 0
    with torch.no_grad():
        for images, _ in batches:
            inputs = pixels(images, layer.probe.device)
            before, after = (one.probe(inputs).cpu().double() for one in (layer, wide))
            logs = [F.log_softmax(logits, 1) for logits in (before, after)]
            divergence += float(F.kl_div(logs[1], logs[0], reduction="sum", log_target=True))
            largest = max(largest, float((before - after).abs().max()))
            count += len(images)
    return {"function_kl": max(divergence / count, 0.0), "logits_change": largest}


class PlantedData(NamedTuple):
    """What a layer with planted copies is measured on.

    Attributes:
        train: Gives training images and labels anew.
        test: Gives test images and labels anew.
        tested: Number of test images.
        has_classes: Whether the images have classes; without them nothing is replaced.
        self_responses: (units,) response of each unit to its own image in the network itself; NaN where it has none.
        mean_image: Needed by the start "mean".
    """

    train: Any
    test: Any
    tested: int
    has_classes: bool
    self_responses: np.ndarray
    mean_image: np.ndarray | None


def planted_rows(
    layer: Layer,
    level: float,
    planting: Planting,
    recipe: Recipe,
    data: PlantedData,
    *,
    seed: int,
    start_seed: int,
    readout: str,
    batch: int,
) -> list[dict[str, Any]]:
    """Plant copies at one correlation and measure all of them: rows of `PlantedTable`, without layer and method.

    Args:
        layer: The layer.
        level: The correlation.
        planting: The copies.
        recipe: The method by which images are generated.
        data: Images.
        seed: Of the control sets.
        start_seed: Number of the start noise.
        readout: "mean", "max" or "center".
        batch: Images that climb together.
    """
    nothing = [{"unit": unit, "reason": "no filter leads to this correlation"} for unit in planting.missing]
    rows: list[dict[str, Any]] = []
    if originals := planting.copies.originals:
        wide = widened(layer, planting.copies)
        changed = function_change(layer, wide, data.test())
        statistics = statistics_of(wide, data.train(), readout, data.has_classes)
        targets = np.array([*originals, *range(layer.units, wide.units)])
        how: Mapping[str, Any] = {"readout": readout, "batch": batch, "mean_image": data.mean_image}
        scale = statistics.units.mean, statistics.units.std
        images = maximize(wide, targets, recipe, seeds=[start_seed], scale=scale, **how)
        rows = detection(wide, originals, images.responses[0], data.self_responses, statistics)
        replaced = [{"reason": "the data set has no classes"}] * len(originals)
        if data.has_classes:
            name = (seed, layer.name, repr(level))
            replaced = replacement(wide, originals, statistics, data.test(), data.tested, name)
        rows = [
            {
                **row,
                **other,
                **changed,
                "angle": float(angle),
                "reason": "; ".join(filter(None, [row["reason"], other["reason"]])),
            }
            for row, other, angle in zip(rows, replaced, planting.angles, strict=True)
        ]
    return [{"planted": level, **row} for row in sorted([*rows, *nothing], key=lambda row: int(row["unit"]))]


def table(layer: str, method: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return rows as the columns of `PlantedTable`; what was not measured is NaN."""
    return PlantedTable.of_rows({**PlantedTable.blank(), "layer": layer, "method": method, **row} for row in rows)
