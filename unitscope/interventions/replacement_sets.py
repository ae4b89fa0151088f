"""Which units replace a unit: the substitutes that its image names, their controls, and their rivals.

Arrays in, lists of units out. The replacement itself is measured by `unitscope.interventions.replacement`.
"""

import numpy as np

CONTROLS = 8
"""Control sets per unit."""

FEWEST_CONTROLS = 5
"""With fewer distinct control sets than this a unit has none."""

POOL = 4
"""Controls come from the nearest units: this many times fewer than the layer has."""

CANDIDATES = 64
"""Distinct random sets of which those that match best become controls."""


def substitutes_by_z(
    responses: np.ndarray, units: np.ndarray, mean: np.ndarray, std: np.ndarray, most: int
) -> list[list[int]]:
    """Return, for each target, the other units that respond most strongly to its image, on the scales of real images.

    Ranked by the median over the seeds of (R[i, j] - mu_j) / sigma_j, whether a unit exceeds the target or not: an
    exact copy only ties.

    Args:
        responses: (seeds, targets, units), R.
        units: (targets,).
        mean: (units,) mu, over real images.
        std: (units,) sigma; a unit with sigma 0 is no substitute.
        most: How many units are kept.

    Returns:
        For each target, the units, strongest first; none where the target is silent in all seeds.
    """
    has_scale = np.isfinite(std) & (std > 0)
    scores = (responses.astype(np.float64) - mean) / np.where(has_scale, std, np.nan)
    result: list[list[int]] = []
    for place, unit in enumerate(units):
        active = responses[:, place, unit] > 0
        candidates = np.flatnonzero(has_scale & (np.arange(len(std)) != unit))
        if not active.any():
            result.append([])
            continue
        median = np.median(scores[active, place][:, candidates], axis=0)
        result.append(candidates[np.argsort(-median, kind="stable")][:most].tolist())
    return result


def most_correlated(correlation: np.ndarray, unit: int, most: int) -> list[int]:
    """Return the units most correlated with a unit, in absolute value, strongest first.

    Args:
        correlation: (units, units); NaN where a unit is constant: it is left out.
        unit: The unit.
        most: How many.
    """
    strength = np.abs(correlation[unit])
    candidates = [other for other in np.flatnonzero(np.isfinite(strength)).tolist() if other != unit]
    return sorted(candidates, key=lambda other: (-strength[other], other))[:most]


def control_sets(
    unit: int,
    substitutes: list[int],
    class_means: np.ndarray,
    firing_rates: np.ndarray,
    draws: np.random.Generator,
) -> list[list[int]]:
    """Return sets of units that are as near to a unit and respond as often as its substitutes do, but are others.

    Candidates are random sets from the quarter of the layer's units whose class means are nearest to the unit's
    (cosine); those nearest to the substitutes in mean firing rate become controls.

    Args:
        unit: The unit.
        substitutes: Its substitutes, which are in no control set.
        class_means: (classes, units).
        firing_rates: (units,) share of images on which a unit is active.
        draws: What the sets are drawn from.

    Returns:
        `CONTROLS` sets of the size of the substitutes, all different, or as many as there are; none below
        `FEWEST_CONTROLS`.
    """
    size, units = len(substitutes), class_means.shape[1]
    pool = nearest_units(unit, class_means, units // POOL, excluded={unit, *substitutes})
    if not size or len(pool) < size:
        return []
    sets: dict[tuple[int, ...], None] = {}
    if size == 1:
        sets = dict.fromkeys((member,) for member in pool)
    else:
        # A pool with few sets is exhausted by many draws; which sets these are does not depend on the number of draws.
        for _ in range(10 * CANDIDATES):
            sets[tuple(sorted(draws.choice(pool, size, replace=False).tolist()))] = None
            if len(sets) == CANDIDATES:
                break
    if len(sets) < FEWEST_CONTROLS:
        return []
    target = firing_rates[substitutes].mean()
    ranked = sorted(sets, key=lambda members: abs(firing_rates[list(members)].mean() - target))
    return [list(members) for members in ranked[:CONTROLS]]


def nearest_units(unit: int, class_means: np.ndarray, count: int, excluded: set[int]) -> list[int]:
    """Return the units whose class means have the largest cosine with a unit's, nearest first.

    Args:
        unit: The unit; its class means must not all be 0.
        class_means: (classes, units).
        count: How many units are nearest, before the excluded ones are left out.
        excluded: Units that are left out.
    """
    norms = np.linalg.norm(class_means, axis=0)
    if norms[unit] == 0:
        return []
    products = class_means.T @ class_means[:, unit]
    cosine = np.divide(products, norms * norms[unit], out=np.full(len(norms), -np.inf), where=norms > 0)
    cosine[unit] = -np.inf
    order = np.argsort(-cosine, kind="stable")[:count]
    return [int(other) for other in order if other not in excluded and np.isfinite(cosine[other])]
