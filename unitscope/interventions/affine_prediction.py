"""Affine prediction of a unit's map from the maps of other units of its layer, by least squares over real images.

All positions of a map have the same coefficients and intercept. Means and covariances of the layer are accumulated in
one pass, from which every regression follows without the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

COLLINEAR = 1e-9
"""Directions whose variance is less than this share of the largest one do not count in a regression."""


@dataclass(frozen=True)
class AffinePrediction:
    """A unit's map as an affine function of other units' maps.

    Attributes:
        members: (k,) the units that predict.
        coefficients: (k,) of their maps.
        intercept: Added to their sum.
        r2: Share of the unit's variance over images and positions that is predicted; NaN for a constant unit.
    """

    members: list[int]
    coefficients: np.ndarray
    intercept: float
    r2: float

    def map(self, activation: Tensor, axis: int) -> Tensor:
        """Return the predicted map, of length 1 along the axis of units, given a layer's activation."""
        maps = activation.index_select(axis, torch.tensor(self.members, device=activation.device))
        shape = [1] * maps.dim()
        shape[axis] = -1
        weights = torch.from_numpy(self.coefficients).to(maps).reshape(shape)
        return (maps * weights).sum(axis, keepdim=True) + self.intercept


class LayerMoments:
    """Mean and covariance of the units of a layer over images and positions.

    Batches are merged as they come (Chan, Golub and LeVeque 1983), so that memory does not grow with the images.

    Attributes:
        mean: (units,) in float64.
        count: Number of images times positions.
    """

    def __init__(self, units: int) -> None:
        self.mean, self.count = np.zeros(units), 0
        self._products = np.zeros((units, units))

    def add(self, activation: Tensor, axis: int) -> None:
        """Add the activation of a batch, with the units along an axis."""
        values = activation.movedim(axis, -1).flatten(0, -2).cpu().double().numpy()
        mean, size = values.mean(axis=0), len(values)
        centred = values - mean
        away = mean - self.mean
        total = self.count + size
        self._products += centred.T @ centred + np.outer(away, away) * (self.count * size / total)
        self.mean = self.mean + away * (size / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """Return the covariance (units, units) over images and positions (population)."""
        return self._products / max(self.count, 1)

    @property
    def correlation(self) -> np.ndarray:
        """Return the correlation (units, units); NaN where a unit is constant."""
        covariance = self.covariance
        spread = np.sqrt(np.diag(covariance))
        scale = np.outer(spread, spread)
        return np.divide(covariance, scale, out=np.full(covariance.shape, np.nan), where=scale > 0)

    def predict(self, unit: int, members: Sequence[int]) -> AffinePrediction:
        """Return the least-squares prediction of a unit from other units; of collinear ones the shortest solution."""
        covariance, members = self.covariance, list(members)
        between = covariance[np.ix_(members, members)]
        coefficients = np.linalg.pinv(between, rcond=COLLINEAR, hermitian=True) @ covariance[members, unit]
        variance = covariance[unit, unit]
        residual = variance - coefficients @ covariance[members, unit]
        return AffinePrediction(
            members=members,
            coefficients=coefficients,
            intercept=float(self.mean[unit] - coefficients @ self.mean[members]),
            r2=float(1 - residual / variance) if variance > 0 else np.nan,
        )
