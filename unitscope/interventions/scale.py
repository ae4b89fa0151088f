"""Which scores move when units are given other scales, and the network's function stays as it is.

Two conditions. *kept*: the images are those that are stored, and the rescaled network answers them. *made*: the images
are made anew on the rescaled network, from the same starts. How a network is rescaled belongs to
`unitscope.interventions.rescaling`, the scores to `unitscope.scores.substitution`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from unitscope.interventions.network_behaviour import behaviour, layer_responses
from unitscope.interventions.rescaling import rescaled
from unitscope.interventions.scale_columns import ScaleTable
from unitscope.interventions.unit_scales import Scales
from unitscope.maximization.maximize import maximize
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.responses import Generated
from unitscope.probing.layer import Layer
from unitscope.scores.score_names import RS_SCORES
from unitscope.scores.substitution import Substitution
from unitscope.stats.correlation import spearman


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
        correlations = {
            "spearman_before": _rank_correlation(old, selectivity, (score, "selectivity")),
            "spearman_after": _rank_correlation(new, selectivity_after, (f"{score} after", "selectivity")),
            "agreement": _rank_correlation(old, new, (score, f"{score} after")),
        }
        changes = [float(values[both].mean()) if both.any() else np.nan for values in (np.abs(old - new), image_change)]
        reasons = dict.fromkeys(why for _, why in correlations.values() if why)
        rows.append(
            {
                "score": score,
                "units": int(both.sum()),
                **{name: value for name, (value, _) in correlations.items()},
                **dict(zip(("mean_change", "image_change"), changes, strict=True)),
                "reason": "; ".join(reasons),
            }
        )
    return rows


def _rank_correlation(x: np.ndarray, y: np.ndarray, names: tuple[str, str]) -> tuple[float, str]:
    """Return Spearman's correlation, or NaN and why there is none; draws stand for the uncertainty here."""
    correlation = spearman(x, y, permutations=1, resamples=1, names=names)
    return correlation.value, correlation.reason if np.isnan(correlation.value) else ""


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
        method: scales.score(layer_responses(layer, unit_images.images, readout, batch), unit_images.units)
        for method, unit_images in stored.items()
    }
    does = behaviour(layer, *sample, readout, batch)
    rows = []
    for draw, factors in draws:
        other, others = rescaled(layer, factors), scales.times(factors)
        logits, selectivity = does.change(behaviour(other, *sample, readout, batch))
        for method, unit_images in stored.items():
            after = layer_responses(other, unit_images.images, readout, batch)
            for row in comparison(
                before[method],
                others.score(after, unit_images.units),
                scales.selectivity()[unit_images.units],
                others.selectivity()[unit_images.units],
                np.zeros(len(unit_images.units)),
            ):
                record = {**row, "logits_change": logits, "selectivity_change": selectivity}
                rows.append({"condition": "kept", "method": method, "draw": draw, **record})
    return rows


def regenerated(
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
                scale=(network_scales.mean, network_scales.std),
                mean_image=mean_image,
            )
            for one, network_scales in pairs
        )
        scored = [
            network_scales.score(one.responses, units)
            for one, (_, network_scales) in zip((old, new), pairs, strict=True)
        ]
        index = [network_scales.selectivity()[units] for _, network_scales in pairs]
        moved = np.abs(_unit_interval(old) - _unit_interval(new)).mean((0, 2, 3, 4))
        for row in comparison(scored[0], scored[1], index[0], index[1], moved):
            rows.append({"condition": "made", "method": method, "draw": number, **row})
    return rows


def _unit_interval(generated: Generated) -> np.ndarray:
    """Return images with pixels from 0 to 1."""
    return generated.images / 255 if generated.images.dtype == np.uint8 else generated.images.astype(np.float64)


def table(layer: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return rows as the columns of `ScaleTable`; what a condition does not measure is NaN."""
    return ScaleTable.of_rows({**ScaleTable.blank(), "layer": layer, **row} for row in rows)
