"""Noisy copies of units: the incoming weights of a unit turned towards a random filter, to a set correlation.

The weights of a copy are cos(angle) w + sin(angle) u, with w the weights of the original and u a random filter of the
same norm, orthogonal to w. The angle is found by sections and interpolation: the correlation of the activations of copy
and original over training images and positions falls from 1 as the copy turns away.

The pre-activation of a copy has the mean of the original's over training images and positions: its bias compensates the
rest; behind a batch norm also the variance, by the statistics of the new channel. A random filter with another mean
would be a unit that is always on, or never.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unitscope.interventions.widening import Copies, exact_copies, modules_of, only_rows
from unitscope.probing.layer import Layer
from unitscope.randomness import generator
from unitscope.runtime.devices import pixels

TOLERANCE = 0.01
"""Largest difference between the correlation of a copy and the one that is set."""

SECTIONS = 8
"""Parts into which a right angle is divided first, to find between which of them the correlation is reached."""

ROUNDS = 3
"""How often the angle is then interpolated between the nearest on either side (regula falsi)."""

FILTERS = 8
"""Random filters that are tried for a copy."""

CONSTANT = 1e-5
"""A unit whose variance is less than this share of its mean square is constant."""

Images = Callable[[], Iterable[np.ndarray]]
"""Gives the training images anew, in batches, uint8 (images, height, width, channels)."""


@dataclass(frozen=True)
class Planting:
    """Noisy copies of some units of a layer at one correlation.

    Attributes:
        copies: The copies that reach the correlation, in the order of the units.
        angles: (copies,) by how much the weights of each are turned, in radians.
        missing: Units without such a copy.
    """

    copies: Copies
    angles: np.ndarray
    missing: list[int]


def noisy_copies(
    layer: Layer,
    units: Sequence[int],
    correlations: Sequence[float],
    images: Images,
    seed: int,
) -> dict[float, Planting]:
    """Return copies of units at each correlation of their activations with those of the originals.

    Args:
        layer: A layer without an `widening.obstacle`.
        units: The units.
        correlations: Each in 0 to 1; at 1 a copy is exact.
        images: Training images.
        seed: The random filter of a copy belongs to (seed, layer, unit, correlation).

    Returns:
        The copies by correlation. A unit of which no filter leads to a correlation within `TOLERANCE` is missing.
    """
    exact = exact_copies(layer, units)
    plantings = {1.0: Planting(exact, np.zeros(len(exact.originals)), [])} if 1.0 in correlations else {}
    turns = [_Turn(unit, place, level) for level in correlations if level < 1 for place, unit in enumerate(units)]
    results: dict[_Turn, tuple[Copies, float]] = {}
    for attempt in range(FILTERS):
        waiting = [turn for turn in turns if turn not in results]
        if not waiting:
            break
        filters = np.stack([_filter(exact, turn, (seed, layer.name), attempt) for turn in waiting])
        with torch.no_grad():
            results |= _turned(layer, exact, waiting, torch.from_numpy(filters).to(exact.weight), images)
    for level in (level for level in correlations if level < 1):
        reaching = [results[turn] for turn in turns if turn.level == level and turn in results]
        missing = [turn.unit for turn in turns if turn.level == level and turn not in results]
        copies = _joined([each for each, _ in reaching], exact)
        plantings[level] = Planting(copies, np.array([angle for _, angle in reaching]), missing)
    return {level: plantings[level] for level in correlations}


@dataclass(frozen=True)
class _Turn:
    """A copy that is sought: its unit, the place of that among all units, and the correlation."""

    unit: int
    place: int
    level: float


def _filter(exact: Copies, turn: _Turn, name: tuple[int, str], attempt: int) -> np.ndarray:
    """Return a random filter orthogonal to the weights of a unit and of their norm; 0 where there is none."""
    weight = exact.weight[turn.place].cpu().double().numpy()
    draws = generator("planted", "filter", *name, turn.unit, repr(turn.level), attempt)
    noise, square = draws.standard_normal(weight.shape), float((weight**2).sum())
    size = np.linalg.norm(noise)
    noise -= weight * (float((noise * weight).sum()) / square if square else 0.0)
    rest = np.linalg.norm(noise)
    # A unit with one weight has no other direction.
    return noise * (math.sqrt(square) / rest) if rest > 1e-6 * size else np.zeros_like(noise)


def _joined(parts: Sequence[Copies], like: Copies) -> Copies:
    if not parts:
        return like.select([])

    def stacked(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values)

    names = ("weight", "bias", "mean", "variance")
    return Copies([unit for part in parts for unit in part.originals], *map(stacked, names))


def _turned(
    layer: Layer, exact: Copies, turns: Sequence[_Turn], filters: Tensor, images: Images
) -> dict[_Turn, tuple[Copies, float]]:
    """Return copies turned towards a filter each, with their angles, of those that reach their correlation."""
    family = _Family(layer, exact, turns, filters, images)
    levels = np.array([turn.level for turn in turns])
    grid = np.linspace(0, math.pi / 2, SECTIONS + 1)
    angles = np.tile(grid, (len(turns), 1))
    correlation = np.concatenate([np.ones((len(turns), 1)), family.correlations(angles[:, 1:])], 1)
    best = _Nearest(levels)
    for number in range(SECTIONS + 1):
        best.compare(angles[:, number], correlation[:, number])
    # A copy that is constant has no correlation: it has been turned too far.
    below = ~(correlation[:, 1:] >= levels[:, None])
    crossing = np.where(below.any(1), below.argmax(1), SECTIONS - 1)
    ends = [
        np.take_along_axis(part, (crossing + side)[:, None], 1)[:, 0]
        for part in (angles, correlation)
        for side in (0, 1)
    ]
    low, high, above, beneath = ends
    for _ in range(ROUNDS):
        share = np.clip((above - levels) / np.where(above > beneath, above - beneath, np.nan), 0.0, 1.0)
        between = low + (high - low) * np.nan_to_num(share, nan=0.5)
        reached = family.correlations(between[:, None])[:, 0]
        best.compare(between, reached)
        still_above = reached >= levels
        low, above = np.where(still_above, between, low), np.where(still_above, reached, above)
        high, beneath = np.where(still_above, high, between), np.where(still_above, beneath, reached)
    return {
        turn: (family.copy(row, float(best.angles[row])), float(best.angles[row]))
        for row, turn in enumerate(turns)
        if best.distance[row] <= TOLERANCE
    }


class _Nearest:
    """The angle (turns,) of each copy whose correlation is nearest to the one that is set."""

    def __init__(self, levels: np.ndarray) -> None:
        self.angles, self.distance = np.zeros(len(levels)), np.full(len(levels), np.inf)
        self._levels = levels

    def compare(self, angles: np.ndarray, correlation: np.ndarray) -> None:
        """Keep those of some angles (turns,) that lead nearer."""
        distance = np.nan_to_num(np.abs(correlation - self._levels), nan=np.inf)
        nearer = distance < self.distance
        self.angles = np.where(nearer, angles, self.angles)
        self.distance = np.where(nearer, distance, self.distance)


class _Family:
    """All copies of some units that are turned towards a filter each, by their angles."""

    def __init__(self, layer: Layer, exact: Copies, turns: Sequence[_Turn], filters: Tensor, images: Images) -> None:
        paths, modules = modules_of(layer), layer.probe.traced.modules  # type: ignore[union-attr]
        self._norm = None if paths.norm is None else modules[paths.norm]
        self._exact, self._filters = exact, filters
        self._layer, self._images = layer, images
        self._tapped = layer.tapped()
        self._rows = [turn.place for turn in turns]
        self._module = only_rows(modules[paths.module], torch.cat([exact.weight, filters]))
        self._count = len(exact.originals)
        self._measure()

    def _outputs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the outputs of the originals and of the filters, without bias, both (turns, images x positions)."""
        for batch in self._images():
            inputs = self._tapped.inputs(pixels(batch, self._exact.weight.device))
            outputs = self._module(inputs).movedim(self._layer.axis, 0).flatten(1)
            yield outputs[self._rows], outputs[self._count :]

    def _measure(self) -> None:
        """Measure means, variances and covariances over images and positions."""
        count, sums = 0, np.zeros((5, len(self._rows)))
        for source, noise in self._outputs():
            products = (source, noise, source * source, noise * noise, source * noise)
            sums += np.stack([_sum(product) for product in products])
            count += source.shape[1]
        means = sums / max(count, 1)
        self._mean = means[:2]
        self._variance = np.maximum(means[2:4] - means[:2] ** 2, 0)
        self._covariance = means[4] - means[0] * means[1]

    def correlations(self, angles: np.ndarray) -> np.ndarray:
        """Return the correlation over images and positions of each copy with its original, (turns, angles)."""
        scale, shift = self._affine(angles)
        source_scale, source_shift = self._affine(np.zeros((len(self._rows), 1)))
        factors = scale * np.cos(angles), scale * np.sin(angles), shift
        count, original_sums, sums = 0, np.zeros((2, len(self._rows))), np.zeros((3, *angles.shape))
        for source, noise in self._outputs():
            original = self._activation(source, source_scale[:, 0], source_shift[:, 0])
            original_sums += np.stack([_sum(original), _sum(original * original)])
            for number in range(angles.shape[1]):
                turned, filtered, moved = (_column(values[:, number], source) for values in factors)
                copy = self._bent(torch.addcmul(torch.addcmul(moved, source, turned), noise, filtered))
                sums[:, :, number] += np.stack([_sum(copy), _sum(copy * copy), _sum(original * copy)])
            count += source.shape[1]
        return correlation_of_sums(count, *original_sums[:, :, None], *sums)

    def _activation(self, outputs: Tensor, scale: np.ndarray, shift: np.ndarray) -> Tensor:
        """Return the activations of outputs without bias (turns, ...) that are scaled and shifted."""
        return self._bent(outputs * _column(scale, outputs) + _column(shift, outputs))

    def _bent(self, values: Tensor) -> Tensor:
        """Return the activations of tapped values (turns, images x positions)."""
        if self._layer.kind == "linear":
            activations: Tensor = self._tapped.nonlinearity(values)
            return activations
        # As maps of one image: what comes with a nonlinearity, as dropout of maps, asks for their axes.
        maps: Tensor = self._tapped.nonlinearity(values[None, :, :, None])
        return maps[0, :, :, 0]

    def _moments(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of the copies' outputs without bias, both (turns, angles)."""
        cosine, sine = np.cos(angles), np.sin(angles)
        (source, noise), (source_variance, noise_variance) = self._mean[:, :, None], self._variance[:, :, None]
        mean = cosine * source + sine * noise
        variance = cosine**2 * source_variance + sine**2 * noise_variance
        return mean, np.maximum(variance + 2 * cosine * sine * self._covariance[:, None], 0)

    def _statistics(self, angles: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return bias of the copies' module, and mean and variance of their batch norm, each (turns, angles)."""
        mean, variance = self._moments(angles)
        bias = self._exact.bias[self._rows].cpu().double().numpy()[:, None]
        if self._norm is None:
            return bias + self._mean[0][:, None] - mean, np.zeros_like(mean), np.ones_like(mean)
        running = [part[self._rows].cpu().double().numpy()[:, None] for part in self._running()]
        source_spread = running[1] + self._norm.eps
        ratio = np.divide(variance, self._variance[0][:, None], out=np.ones_like(variance), where=self._positive())
        new_variance = np.maximum(source_spread * ratio - self._norm.eps, 0)
        wider = np.sqrt((new_variance + self._norm.eps) / source_spread)
        return bias + 0 * mean, mean + bias - (self._mean[0][:, None] + bias - running[0]) * wider, new_variance

    def _positive(self) -> np.ndarray:
        return np.asarray(self._variance[0] > 0)[:, None]

    def _running(self) -> tuple[Tensor, Tensor]:
        assert self._exact.mean is not None and self._exact.variance is not None
        return self._exact.mean, self._exact.variance

    def _affine(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the factors and terms, both (turns, angles), that make outputs without bias tapped values."""
        bias, mean, variance = self._statistics(angles)
        if self._norm is None:
            return np.ones_like(bias), bias
        gamma, beta = (
            np.full((len(self._rows), 1), neutral)
            if values is None
            else values.detach()[[self._exact.originals[row] for row in self._rows]].cpu().double().numpy()[:, None]
            for values, neutral in ((self._norm.weight, 1.0), (self._norm.bias, 0.0))
        )
        scale = gamma / np.sqrt(variance + self._norm.eps)
        return scale, beta + (bias - mean) * scale

    def copy(self, row: int, angle: float) -> Copies:
        """Return the copy of one turn at an angle."""
        place, weight = self._rows[row], self._exact.weight
        source, noise = (values.cpu().double() for values in (weight[place], self._filters[row]))
        turned = source * math.cos(angle) + noise * math.sin(angle)
        angles = np.zeros((len(self._rows), 1))
        angles[row] = angle
        bias, mean, variance = (torch.from_numpy(values[row]).to(weight) for values in self._statistics(angles))
        statistics = (None, None) if self._norm is None else (mean, variance)
        return Copies([self._exact.originals[place]], turned.to(weight)[None], bias, *statistics)


def _column(values: np.ndarray, outputs: Tensor) -> Tensor:
    """Return values (turns,) as a column that multiplies outputs (turns, images x positions)."""
    return torch.from_numpy(values).to(outputs)[:, None]


def _sum(values: Tensor) -> np.ndarray:
    """Return sums (turns,) of values (turns, images x positions): of a batch in float32, added up in float64."""
    return values.sum(1).cpu().double().numpy()


def correlation_of_sums(
    count: int, first: np.ndarray, first_squares: np.ndarray, second: np.ndarray, squares: np.ndarray, both: np.ndarray
) -> np.ndarray:
    """Return Pearson's correlation from sums of two variables, of their squares and of their product; NaN if constant.

    Example: of 1, 2, 3 with 2, 4, 6, and with a constant.
        >>> correlation_of_sums(3, *np.array([[6.0, 6.0], [14.0, 14.0], [12.0, 6.0], [56.0, 12.0], [28.0, 12.0]]))
        array([ 1., nan])
    """
    variances = [
        squared / count - (total / count) ** 2 for total, squared in ((first, first_squares), (second, squares))
    ]
    scale = np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0))
    covariance = both / count - first * second / count**2
    # What is left of a constant is rounded from zero.
    varies = scale > CONSTANT * np.sqrt(first_squares * squares) / count
    return np.divide(covariance, scale, out=np.full(scale.shape, np.nan), where=varies)
