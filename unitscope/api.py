"""What a notebook calls: functions of a layer, with results that show themselves.

A unit is a number, units are a list, and None is all units of the layer. Random numbers belong to (seed, layer, unit),
so that a unit's image does not depend on which others are asked for.

Example: the image of one unit.
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> probe = Probe(model, shape=(3, 8, 8), mean=0.5, std=0.25)
    >>> maximize(probe["0"], unit=1, recipe=Recipe(steps=8, points=2))
    Maximization of am in layer 0: unit 1
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unitscope.data.sampling import halves
from unitscope.data.summaries import UnitStatistics, unit_statistics
from unitscope.errors import UserError
from unitscope.interventions.ablation import ablation, clamp_to, scores
from unitscope.maximization import maximize as maximization
from unitscope.maximization.recipe import Recipe, computed_from_real_images
from unitscope.maximization.responses import compared
from unitscope.notebook import AblationResult, Maximization, Results, SubstitutionResult
from unitscope.probing.activations import activations
from unitscope.probing.layer import Layer
from unitscope.probing.probe import Probe
from unitscope.scores.substitution import scales_of
from unitscope.scores.substitution import substitution as score

__all__ = ["Probe", "ablate", "load", "maximize", "substitution"]

BATCH = 32
"""Images that are optimized together, at most."""
CLAMPED = 250
"""Images at a time in an ablation."""

Units = int | Sequence[int] | np.ndarray | None
Images = np.ndarray | torch.Tensor
"""Pixels: uint8 or float in [0, 1]; a tensor (images, channels, height, width), or an array (images, height, width,
channels)."""


def maximize(
    layer: Layer,
    unit: Units = None,
    *,
    objective: str | None = None,
    recipe: Recipe | None = None,
    seeds: int | Sequence[int] = 0,
    readout: str = "mean",
    batch: int | None = None,
    real_images: Images | None = None,
) -> Maximization:
    """Generate the image that maximizes each unit.

    Args:
        layer: A layer of a Probe.
        unit: A unit, a list of units, or None for all.
        objective: "am": the unit's activation (Erhan et al. 2009). "iam": minus the mean of the layer's other units
            (Chen et al. 2018, Eq. 3). "iam_z": iam over standardized activations. By default that of the recipe.
        recipe: Steps, optimizer, start and so on; by default `Recipe()`, 256 steps of Adam.
        seeds: Seed of the start noise, or several.
        readout: How a unit's map becomes its activation: "mean", "max" or "center".
        batch: Images that are optimized together; by default all, up to 32. Another number rounds otherwise.
        real_images: Needed by "iam_z", which standardizes by them, and by the start "mean".

    Raises:
        UserError: The layer has no such unit, or an argument is invalid.
    """
    return _maximized(layer, unit, recipe_of(objective, recipe), seeds, readout, batch, real_images)[0]


def _maximized(
    layer: Layer,
    unit: Units,
    recipe: Recipe,
    seeds: int | Sequence[int],
    readout: str,
    batch: int | None,
    real_images: Images | None,
) -> tuple[Maximization, UnitStatistics | None]:
    """Return the images, and what the real ones say about the units' scales; None without any."""
    units = units_of(layer, unit)
    seeds = [seeds] if isinstance(seeds, int) else list(seeds)
    options: dict[str, Any] = {"seeds": seeds, "readout": readout}
    options["batch"] = min(BATCH, len(units) * len(seeds)) if batch is None else batch
    statistics = None
    if real_images is not None:
        pixels = bytes_of(real_images, layer.probe.shape, "real_images")
        statistics = unit_statistics(_activations(layer, pixels, readout))
        options["scale"] = statistics.mean, statistics.std
        options["mean_image"] = np.moveaxis(pixels.mean(0) / 255, -1, 0)
    elif cause := computed_from_real_images(recipe.objective, recipe.start):
        raise UserError(f"{cause} needs real images. Give real_images=, some hundred images of the data set.")
    generated = maximization.maximize(layer, units, recipe, **options)
    return Maximization(layer.name, recipe.objective, recipe.minimize, generated), statistics


def substitution(
    layer: Layer,
    units: Units = None,
    *,
    objective: str | None = None,
    recipe: Recipe | None = None,
    seeds: int | Sequence[int] = 0,
    readout: str = "mean",
    real_images: Images | None = None,
) -> SubstitutionResult:
    """Score how many units of the layer could replace each unit: representative substitution (Chen et al. 2018, Eq. 4).

    RS of a unit is the share of the layer's units that respond more strongly than it to the image generated for it. Raw
    RS depends on the units' scales; the forms `rs_z` and `rs_q` compare on scales of real images, and `rs_r` is the
    share of the other units that respond to the image at least half as strongly as to their own image.

    Args:
        layer: A layer of a Probe.
        units: A unit, a list of units, or None for all; `rs_r` takes all.
        objective: As `maximize`.
        recipe: As `maximize`.
        seeds: As `maximize`; RS is the mean over the seeds.
        readout: As `maximize`.
        real_images: The units' scales are measured on them; without them `rs_z` and `rs_q` are NaN.

    Raises:
        UserError: As `maximize`.
    """
    recipe = recipe_of(objective, recipe)
    images, statistics = _maximized(layer, units, recipe, seeds, readout, None, real_images)
    scales = {} if statistics is None or recipe.minimize else scales_of(vars(statistics), layer.signed)
    responses = compared(vars(images.generated), recipe.minimize)
    return SubstitutionResult(images, score(responses, images.units, **scales))


def ablate(
    layer: Layer,
    images: Images,
    labels: Sequence[int] | np.ndarray | torch.Tensor,
    units: Units = None,
    *,
    clamp: str | float | np.ndarray = "zero",
    batch: int = CLAMPED,
) -> AblationResult:
    """Clamp each unit in turn and measure what the network loses (Morcos et al. 2018).

    Args:
        layer: A layer of a Probe.
        images: Real images.
        labels: (images,) class of each, as the number of its logit.
        units: A unit, a list of units, or None for all.
        clamp: What units are clamped to: "zero", "mean" (each unit's mean over the images), a number, or one per unit
            of the layer.
        batch: Images at a time.

    Raises:
        UserError: The layer has no such unit, labels and images do not fit together, or the network has no logits.
    """
    targets, pixels = units_of(layer, units), bytes_of(images, layer.probe.shape, "images")
    classes = np.asarray(torch.as_tensor(labels).cpu())
    if classes.shape != (len(pixels),) or classes.dtype.kind not in "iu":
        raise UserError(
            f"labels are {classes.dtype} of shape {classes.shape}; give one whole number for each of the {len(pixels)} "
            "images."
        )
    if len(classes) and not 0 <= classes.min() <= classes.max() < layer.probe.classes:
        raise UserError(
            f"labels run from {classes.min()} to {classes.max()}, and the network has {layer.probe.classes} classes, "
            "numbered from 0."
        )
    batches = [
        (pixels[first : first + batch], classes[first : first + batch].astype(np.int64))
        for first in range(0, len(pixels), batch)
    ]
    clamps = {"": clamp_to(_clamped_to(clamp, layer, pixels))}
    damage = ablation(layer, batches, clamps, halves(classes), targets.tolist())[""]
    return AblationResult(layer.name, targets, scores(damage), damage)


def load(folder: str | Path) -> Results:
    """Return the artifacts of a finished experiment.

    Args:
        folder: Such as results/digits, below the folder that the workflow ran in.

    Raises:
        UserError: There is no finished experiment.
    """
    folder = Path(folder)
    if not (folder / "units.csv").is_file():
        finished = sorted(path.parent.name for path in folder.parent.glob("*/units.csv"))
        hint = f" Finished are: {', '.join(finished)}." if finished else ""
        raise UserError(f"{folder} is no finished experiment: it has no units.csv.{hint} Run the workflow first.")
    return Results(folder)


# --- arguments -------------------------------------------------------------------------------------------------------


def units_of(layer: Layer, unit: Units) -> np.ndarray:
    """Return units as an array (units,), each once, in the order given; None is all.

    Raises:
        UserError: They are no whole numbers, or the layer has no such unit; the message names its range.
    """
    if unit is None:
        return np.arange(layer.units)
    numbers = np.atleast_1d(np.asarray(unit))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not len(numbers):
        raise UserError(f"unit is {unit!r}; give a number, a list of numbers, or None for all.")
    for number in numbers.tolist():
        if not 0 <= number < layer.units:
            raise UserError(f"{layer.name} has no unit {number}: its units are 0 to {layer.units - 1}.")
    return np.array(list(dict.fromkeys(numbers.tolist())), np.int64)


def recipe_of(objective: str | None, recipe: Recipe | None) -> Recipe:
    """Return a recipe with an objective, or the default one."""
    recipe = recipe or Recipe()
    return recipe if objective is None else replace(recipe, objective=objective)


def bytes_of(images: Images, shape: Sequence[int], name: str) -> np.ndarray:
    """Return images as uint8 (images, height, width, channels).

    Args:
        images: A tensor (images, channels, height, width) or an array (images, height, width, channels), uint8 or float
            in [0, 1]; these are rounded to 8 bits.
        shape: (channels, height, width) of an image.
        name: Of the argument, for messages.

    Raises:
        UserError: They have another shape, or values that are no pixels.
    """
    if isinstance(images, torch.Tensor):
        array = images.detach().cpu().movedim(1, -1).numpy() if images.dim() == 4 else images.detach().cpu().numpy()
    else:
        array = np.asarray(images)
    channels, height, width = shape
    if array.shape[1:] != (height, width, channels):
        expected = (channels, height, width) if isinstance(images, torch.Tensor) else (height, width, channels)
        raise UserError(
            f"{name} has the shape {tuple(images.shape)}; give (images, {', '.join(map(str, expected))}), for which "
            "the Probe was opened."
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f" or not len(array) or not (array.min() >= 0 and array.max() <= 1):
        spread = f" from {array.min():.3g} to {array.max():.3g}" if array.size else ""
        raise UserError(
            f"{name} is {array.dtype}{spread}; give pixels, uint8 or float in [0, 1]. The Probe normalizes them itself."
        )
    return np.round(np.asarray(array, np.float64) * 255).astype(np.uint8)


def _activations(layer: Layer, pixels: np.ndarray, readout: str) -> np.ndarray:
    batches = (pixels[first : first + CLAMPED] for first in range(0, len(pixels), CLAMPED))
    return np.concatenate([batch[layer.name] for batch in activations([layer], batches, readout)])


def _clamped_to(clamp: str | float | np.ndarray, layer: Layer, pixels: np.ndarray) -> np.ndarray:
    """Return what each unit is clamped to, (units of the layer,)."""
    if isinstance(clamp, str):
        if clamp not in ("zero", "mean"):
            raise UserError(f"clamp is {clamp!r}; give 'zero', 'mean', a number, or one for each unit of the layer.")
        return (
            np.zeros(layer.units) if clamp == "zero" else _activations(layer, pixels, "mean").mean(0, dtype=np.float64)
        )
    values = np.asarray(clamp, np.float64)
    if values.shape not in ((), (layer.units,)):
        raise UserError(f"clamp has the shape {values.shape}; {layer.name} has {layer.units} units.")
    return np.broadcast_to(values, (layer.units,))
