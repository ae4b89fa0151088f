"""Which scores move when units are given other scales, and the network's function stays as it is.

Two conditions. *kept*: the images are those that are stored, and the rescaled network answers them. *made*: the images
are made anew on the rescaled network, from the same starts. How a network is rescaled belongs to
`unitscope.interventions.rescaling`, the scores to `unitscope.scores.substitution`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
import torch

from unitscope.data.summaries import group_means
from unitscope.interventions.rescaling import rescaled
from unitscope.interventions.scale_columns import ScaleTable
from unitscope.maximization.maximize import maximize
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.responses import Generated
from unitscope.probing.layer import Layer
from unitscope.randomness import generator
from unitscope.runtime.devices import pixels
from unitscope.scores.score_names import RS_SCORES
from unitscope.scores.selectivity import class_selectivity, dead_units
from unitscope.scores.substitution import Substitution, substitution
from unitscope.stats.correlation import spearman


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
        found = substitution(responses, units, self.mean, self.std, self.quantile)
        rs, rs_z, rs_q = (np.where(self.alive[units], getattr(found, score), np.nan) for score in RS_SCORES)
        return replace(found, rs=rs, rs_z=rs_z, rs_q=rs_q)


@dataclass(frozen=True)
class Stored:
    """The images of a layer by one method.

    Attributes:
        units: (targets,) the units that they were made for.
        images: (seeds, targets, height, width, channels), uint8, or float in [0, 1]; in a file, of which a batch is
            read at a time.
    """

    units: np.ndarray
    images: np.ndarray | h5py.Dataset


def unit_factors(seed: int, layer: str, draw: int, units: int, spread: int) -> np.ndarray:
    """Return random powers of two, (units,): exponents are uniform among the whole numbers from -spread to spread."""
    exponents = generator("scale", seed, layer, draw).integers(-spread, spread, units, endpoint=True)
    return 2.0 ** exponents.astype(np.float64)


def answers(layer: Layer, images: np.ndarray | h5py.Dataset, readout: str = "mean", batch: int = 32) -> np.ndarray:
    """Return how a layer answers images, (seeds, targets, units), by running the network on them.

    Args:
        layer: The layer.
        images: (seeds, targets, height, width, channels), uint8, or float in [0, 1].
        readout: "mean", "max" or "center".
        batch: Images at a time.
    """
    device, forward = layer.probe.device, layer.prefix(readout)
    seeds, targets = images.shape[:2]
    found: np.ndarray | None = None
    with torch.no_grad():
        for seed in range(seeds):
            for first in range(0, targets, batch):
                answer = forward(_seen(images[seed, first : first + batch], device))[1].float().cpu().numpy()
                # Nothing of a batch stays behind: small arrays between the large ones of a pass make memory grow.
                if found is None:
                    found = np.empty((seeds, targets, answer.shape[1]), np.float32)
                found[seed, first : first + batch] = answer
    assert found is not None, "there are no images"
    return found


def _seen(images: np.ndarray, device: torch.device) -> torch.Tensor:
    if images.dtype == np.uint8:
        return pixels(images, device)
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(device)


@dataclass(frozen=True)
class Behaviour:
    """What a network does on real images.

    Attributes:
        logits: (images, classes).
        selectivity: (units,) of a layer on these images alone; NaN without labels.
    """

    logits: np.ndarray
    selectivity: np.ndarray

    def change(self, other: "Behaviour") -> tuple[float, float]:
        """Return the largest absolute change of a logit, and of a unit's selectivity, to another network."""
        defined = np.isfinite(self.selectivity) | np.isfinite(other.selectivity)
        # A unit that has a selectivity in one network alone is as far off as can be.
        moved = np.nan_to_num(np.abs(self.selectivity - other.selectivity)[defined], nan=1.0)
        return float(np.abs(self.logits - other.logits).max()), float(moved.max()) if len(moved) else np.nan


def behaviour(
    layer: Layer, images: np.ndarray, labels: np.ndarray, readout: str = "mean", batch: int = 32
) -> Behaviour:
    """Return what a network does on real images, by running it.

    Args:
        layer: The layer whose units are looked at.
        images: uint8 (images, height, width, channels).
        labels: (images,) class of each; empty where there are no classes. Classes without an image among these are
            no classes here.
        readout: "mean", "max" or "center".
        batch: Images at a time.
    """
    probe = layer.probe
    read = probe.readouts([layer.name], readout)
    logits, values = [], []
    with torch.no_grad():
        for first in range(0, len(images), batch):
            seen = pixels(images[first : first + batch], probe.device)
            logits.append(probe(seen).float().cpu().numpy())
            values.append(read(seen)[0].float().cpu().numpy())
    activations = np.concatenate(values)
    if not len(labels):
        return Behaviour(np.concatenate(logits), np.full(activations.shape[1], np.nan))
    classes, sizes = np.unique(labels, return_counts=True)
    means = group_means(np.maximum(activations, 0), np.searchsorted(classes, labels), sizes)
    return Behaviour(np.concatenate(logits), class_selectivity(means))


def comparison(
    before: Substitution,
    after: Substitution,
    selectivity: np.ndarray,
    selectivity_after: np.ndarray,
    image_change: np.ndarray,
) -> list[dict[str, Any]]:
    """Compare the scores of the same units in two networks, a row a score.

    Args:
        before: Scores in the network as it is.
        after: Scores in the rescaled one.
        selectivity: (targets,) in the network as it is.
        selectivity_after: (targets,) in the rescaled one.
        image_change: (targets,) mean absolute difference of the pixels, in [0, 1], of the images in the two.

    Returns:
        For each score: `units` that have it in both, Spearman with selectivity `spearman_before` and `spearman_after`,
        `agreement` (Spearman of the score before and after), `mean_change` (mean absolute change over those units),
        `image_change` (mean over the same units), and the `reason` why any of them is NaN.
    """
    rows = []
    for score in RS_SCORES:
        old, new = getattr(before, score), getattr(after, score)
        both = np.isfinite(old) & np.isfinite(new)
        found = {
            "spearman_before": _rank_correlation(old, selectivity, (score, "selectivity")),
            "spearman_after": _rank_correlation(new, selectivity_after, (f"{score} after", "selectivity")),
            "agreement": _rank_correlation(old, new, (score, f"{score} after")),
        }
        changes = [float(values[both].mean()) if both.any() else np.nan for values in (np.abs(old - new), image_change)]
        reasons = dict.fromkeys(why for _, why in found.values() if why)
        rows.append(
            {
                "score": score,
                "units": int(both.sum()),
                **{name: value for name, (value, _) in found.items()},
                **dict(zip(("mean_change", "image_change"), changes, strict=True)),
                "reason": "; ".join(reasons),
            }
        )
    return rows


def _rank_correlation(x: np.ndarray, y: np.ndarray, names: tuple[str, str]) -> tuple[float, str]:
    """Return Spearman's correlation, or NaN and why there is none; draws stand for the uncertainty here."""
    found = spearman(x, y, permutations=1, resamples=1, names=names)
    return found.value, found.reason if np.isnan(found.value) else ""


# --- the two conditions ----------------------------------------------------------------------------------------------


def kept(
    layer: Layer,
    stored: Mapping[str, Stored],
    scales: Scales,
    draws: Iterable[tuple[int, np.ndarray]],
    sample: tuple[np.ndarray, np.ndarray],
    *,
    readout: str = "mean",
    batch: int = 32,
) -> list[dict[str, Any]]:
    """Rescale the units of a layer again and again, and score their stored images in each network.

    Args:
        layer: The layer, one without an `obstacle`.
        stored: Images of each method.
        scales: Of the units in the network as it is.
        draws: Number and factors (units,) of each draw.
        sample: Real images, uint8 (images, height, width, channels), and their labels (images,), on which it is
            measured that the function stays.
        readout: "mean", "max" or "center".
        batch: Images at a time.

    Returns:
        A row a draw, method and score: as `comparison` says, with the changes of logits and selectivity.
    """
    before = {
        method: scales.score(answers(layer, made.images, readout, batch), made.units) for method, made in stored.items()
    }
    does = behaviour(layer, *sample, readout, batch)
    rows = []
    for draw, factors in draws:
        other, others = rescaled(layer, factors), scales.times(factors)
        logits, selectivity = does.change(behaviour(other, *sample, readout, batch))
        for method, made in stored.items():
            after = answers(other, made.images, readout, batch)
            for row in comparison(
                before[method],
                others.score(after, made.units),
                scales.selectivity()[made.units],
                others.selectivity()[made.units],
                np.zeros(len(made.units)),
            ):
                found = {**row, "logits_change": logits, "selectivity_change": selectivity}
                rows.append({"condition": "kept", "method": method, "draw": draw, **found})
    return rows


def made(
    layer: Layer,
    units: np.ndarray,
    recipes: Mapping[str, Recipe],
    scales: Scales,
    draw: tuple[int, np.ndarray],
    *,
    seed: int = 0,
    readout: str = "mean",
    batch: int = 32,
    mean_image: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Make the images of some units on the network and on a rescaled one, from the same starts, and compare.

    An ascent is chaotic: where the objective differs, images part whatever the reason. Where it is the same function of
    the pixels, as that of "iam_z" is, they do not. So the two ascents differ in the factors alone: same starts, same
    batches, same number of steps; and the network as it is climbs again rather than being read from disk.

    Args:
        layer: The layer, one without an `obstacle`.
        units: (targets,) unit numbers.
        recipes: Methods by name, as `rescaling.recipes_to_remake` gives them.
        scales: Of the units in the network as it is.
        draw: Number and factors (units,) of the draw.
        seed: Number of the start noise.
        readout: "mean", "max" or "center".
        batch: Images that climb together.
        mean_image: Needed by the start "mean".

    Returns:
        A row a method and score: as `comparison` says. A unit that never varies on real images has no scale, and is
        maximized under "iam_z" on its own one: its image moves, and it has no `rs_z`.
    """
    number, factors = draw
    pairs = [(layer, scales), (rescaled(layer, factors), scales.times(factors))]
    rows = []
    for method, recipe in recipes.items():
        old, new = (
            maximize(
                one,
                units,
                recipe,
                seeds=[seed],
                readout=readout,
                batch=min(batch, len(units)),
                scale=(own.mean, own.std),
                mean_image=mean_image,
            )
            for one, own in pairs
        )
        scored = [own.score(one.responses, units) for one, (_, own) in zip((old, new), pairs, strict=True)]
        index = [own.selectivity()[units] for _, own in pairs]
        moved = np.abs(_unit_interval(old) - _unit_interval(new)).mean((0, 2, 3, 4))
        for row in comparison(scored[0], scored[1], index[0], index[1], moved):
            rows.append({"condition": "made", "method": method, "draw": number, **row})
    return rows


def _unit_interval(made: Generated) -> np.ndarray:
    """Return images with pixels from 0 to 1."""
    return made.images / 255 if made.images.dtype == np.uint8 else made.images.astype(np.float64)


def table(layer: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return rows as the columns of `ScaleTable`; what a condition does not measure is NaN."""
    return ScaleTable.of_rows({**ScaleTable.blank(), "layer": layer, **row} for row in rows)
