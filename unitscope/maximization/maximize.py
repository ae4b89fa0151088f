"""The activation-maximization images of a layer's units, and the layer's responses to them.

The ascent is in `unitscope.maximization.ascent`, what is maximized in `unitscope.maximization.objectives`;
`unitscope.scores.substitution` scores the responses.
"""

import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from unitscope.maximization.ascent import ascend
from unitscope.maximization.objectives import objective
from unitscope.maximization.parametrization import parametrize, start_image
from unitscope.maximization.passes import passes, stages
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.responses import Generated
from unitscope.maximization.slots import Climb, begin
from unitscope.probing.layer import Layer
from unitscope.randomness import generator
from unitscope.runtime.console import progress
from unitscope.storage.scratch import Scratch


# Code of a network may have switched gradients off for all.
@torch.enable_grad()
def maximize(
    layer: Layer,
    units: np.ndarray,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0,),
    readout: str = "mean",
    batch: int = 32,
    compile: bool = False,
    scale: tuple[np.ndarray, np.ndarray] | None = None,
    mean_image: np.ndarray | None = None,
    scratch: Scratch | None = None,
) -> Generated:
    """Generate the image that maximizes each unit, and record the whole layer's responses to it (Eq. 2 and 3).

    The responses are those to the stored image, rounded to 8 bits, in float32: they can be computed again from the file
    and the checkpoint.

    Args:
        layer: The layer.
        units: (targets,) unit numbers.
        recipe: The method.
        seeds: Numbers of the noise.
        readout: How a unit's map becomes its activation: "mean", "max" or "center".
        batch: Number of images that climb together, at most that of the layer's units. The last batch is filled up, so
            that it takes the same kernels.
        compile: Whether torch.compile is used for the ascent.
        scale: Mean and standard deviation (units,) over real images, needed by "iam_z".
        mean_image: Needed by the start "mean".
        scratch: Where finished batches are kept until all are done.

    Example: a unit with a positive weight on the first pixel and a negative one on the second.
        >>> from unitscope.probing.probe import Probe
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 1), torch.nn.ReLU())
        >>> model[1].weight.data.copy_(torch.tensor([[2.0, -1.0]]))
        tensor([[ 2., -1.]])
        >>> layer = Probe(model, shape=(1, 1, 2), mean=0, std=1)["1"]
        >>> maximize(layer, np.array([0]), Recipe(steps=64, points=2)).images.ravel()
        array([255,   0], dtype=uint8)
    """
    shape, device = layer.probe.shape, layer.probe.device
    forward = layer.prefix(readout)
    scales = None
    if scale is not None:
        mean, std = (torch.as_tensor(values, dtype=torch.float32, device=device) for values in scale)
        scales = mean, std
    batch = min(batch, layer.units)
    work = [(seed, int(unit)) for seed in seeds for unit in units]
    targets = [unit for _, unit in work]

    def start(row: int) -> Tensor:
        return torch.from_numpy(start_image(recipe, work[row][0], layer.name, work[row][1], shape, mean_image)).to(
            device
        )

    def jitter(row: int, step: int) -> np.ndarray:
        return generator("jitter", work[row][0], layer.name, work[row][1], step).integers(
            -recipe.jitter, recipe.jitter + 1, 2
        )

    if not work:
        return _no_images(shape, layer.units, recipe, len(seeds))
    climbed = _Climbed(scratch or Scratch(None, None), len(work), shape, len(recipe.recorded_steps()))
    left = np.flatnonzero(~climbed.done).tolist()
    space = parametrize(recipe, shape[1:], device)
    climbs: Iterator[Climb] = (begin(space, row, start(row)) for row in left)
    shifts = jitter if recipe.jitter else None
    for stage, until in stages(layer, recipe):
        ahead = passes(layer, stage, readout, scales, compile)
        climbs = ascend(ahead, space, climbs, targets, batch, until, shifts, lambda images: forward(images)[1])
    with progress(len(work), f"{layer.name} {recipe.objective}", "images", len(work) - len(left)) as advance:
        for climb in climbs:
            climbed.add(climb.row, space.images(climb.values), climb.course, batch)
            advance(1)
    scored: dict[str, np.ndarray] = {}
    for first in range(0, len(work), batch):
        rows = list(range(first, min(first + batch, len(work))))
        padded = rows + [rows[-1]] * (batch - len(rows))
        block = _scored(
            forward,
            recipe,
            torch.from_numpy(climbed.images[padded]).to(device),
            torch.stack([start(row) for row in padded]),
            torch.tensor([targets[row] for row in padded], device=device),
            scales,
        )
        # Nothing of a batch stays behind: small arrays between the large ones that come and go make memory grow.
        for key, value in block.items():
            if key not in scored:
                scored[key] = np.empty((len(work), *value.shape[1:]), value.dtype)
            scored[key][rows] = value[: len(rows)]
    scored["objective"] = np.concatenate([climbed.course[:, :-1], scored["objective"][:, None]], 1)
    arrays = {key: value.reshape(len(seeds), len(units), *value.shape[1:]) for key, value in scored.items()}
    return Generated(units=np.asarray(units, np.int64), steps=recipe.recorded_steps(), **arrays)


def _no_images(shape: Sequence[int], units: int, recipe: Recipe, seeds: int) -> Generated:
    """Return the images of no unit at all."""
    channels, height, width = shape
    responses = np.zeros((seeds, 0, units), np.float32)
    steps = recipe.recorded_steps()
    return Generated(
        units=np.zeros(0, np.int64),
        images=np.zeros((seeds, 0, height, width, channels), np.uint8 if recipe.clamp else np.float32),
        responses=responses,
        start_responses=responses,
        preactivations=responses,
        objective=np.zeros((seeds, 0, len(steps)), np.float32),
        steps=steps,
        rounding=np.zeros((seeds, 0), np.float32),
    )


class _Climbed:
    """The images climbed to so far, kept in pieces in a scratch folder."""

    def __init__(self, scratch: Scratch, rows: int, shape: Sequence[int], points: int) -> None:
        self.images = np.zeros((rows, *shape), np.float32)
        self.course = np.zeros((rows, points), np.float32)
        self.done = np.zeros(rows, bool)
        self._scratch = scratch
        self._pieces = 0
        self._unsaved: list[int] = []
        while (content := scratch.load(self._name())) is not None:
            with np.load(io.BytesIO(content), allow_pickle=False) as piece:
                self.images[piece["rows"]], self.course[piece["rows"]] = piece["images"], piece["course"]
                self.done[piece["rows"]] = True
            self._pieces += 1

    def _name(self) -> str:
        return f"{self._pieces:06d}.npz"

    def add(self, row: int, image: Tensor, course: np.ndarray, save_every: int) -> None:
        """Take an image; keep a piece whenever `save_every` have come together."""
        self.images[row] = image.cpu().numpy()
        self.course[row] = course
        self.done[row] = True
        self._unsaved.append(row)
        if len(self._unsaved) == save_every:
            buffer = io.BytesIO()
            rows = np.array(self._unsaved)
            np.savez(buffer, rows=rows, images=self.images[rows], course=self.course[rows])
            self._scratch.save(self._name(), buffer.getvalue())
            self._pieces += 1
            self._unsaved = []


def _scored(
    forward: Callable[[Tensor], tuple[Tensor, Tensor]],
    recipe: Recipe,
    exact: Tensor,
    start: Tensor,
    targets: Tensor,
    scale: tuple[Tensor, Tensor] | None,
) -> dict[str, np.ndarray]:
    """Return images as they are stored and the layer's answers to them; keys as in `Generated`, the rows first."""
    stored, seen = stored_and_seen(exact) if recipe.clamp else (exact, exact)
    start_seen = stored_and_seen(start)[1] if recipe.clamp else start
    with torch.no_grad():
        # NumPy has no bfloat16, which a layer under autocast gives.
        (before, after), (_, at_start), (before_exact, after_exact) = (
            [value.float() for value in forward(images.contiguous(memory_format=torch.channels_last))]
            for images in (seen, start_seen, exact)
        )
    values = {
        "images": stored.permute(0, 2, 3, 1).contiguous(),
        "responses": after,
        "start_responses": at_start,
        "preactivations": before,
        "objective": objective(recipe.objective, before, after, targets, scale, recipe.target),
        "rounding": _ahead(recipe, before, after, targets) - _ahead(recipe, before_exact, after_exact, targets),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}


def _ahead(recipe: Recipe, before: Tensor, after: Tensor, targets: Tensor) -> Tensor:
    """Return the share of units that answer more strongly than the target (Eq. 4), or lie lower at a minimum."""
    responses = -before if recipe.minimize else after
    return (responses > responses.gather(1, targets[:, None])).float().mean(1)


def stored_and_seen(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return images rounded to 8 bits: as uint8, and as the network sees them."""
    stored = (images.clamp(0.0, 1.0) * 255).round().to(torch.uint8)
    return stored, (stored.to(torch.float32) / 255).contiguous(memory_format=torch.channels_last)
