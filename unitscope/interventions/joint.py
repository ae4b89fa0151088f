"""Do a unit's substitutes compensate for it? The interaction of removing both, against random sets of the same scale.

Works on measurements of sets that were removed elsewhere (`unitscope.interventions.sets`). If A and B carry something
that either suffices for, removing both costs more than the two removals one by one: their interaction is positive (the
second difference, as the interaction of two factors is defined; for the players of a game, the interaction index of
Grabisch and Roubens 1999). It is measured in the margin, the logit of the image's class minus that of the intact
network's runner-up, which is held fixed: additive logits then give exactly 0. Cross-entropy is convex in the logits, so
that its interaction of two sets that vote for one class is positive without any redundancy.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from unitscope.randomness import generator

NEAREST = 5
"""A member of a control set is drawn from so many units, those nearest in scale."""

MATCHED = 2.0
"""Control sets whose scale is further from the substitutes' than by this factor are no control: see `scale_ratio`."""

HIGH_RS = 0.5
"""RS from which a unit is high whatever the layer is: the border of the paper's quadrants (claim C3)."""


class Plan(NamedTuple):
    """What is removed for one target unit: with and without the unit, its substitutes and each control set."""

    unit: int
    substitutes: list[int]
    controls: list[list[int]]


@dataclass(frozen=True)
class Controls:
    """Where an interaction lies among those of its control sets; NaN where there are none."""

    mean: float
    sd: float
    p_value: float


def interaction(unit: np.ndarray, others: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return I = d(i and S) - d(i) - d(S), from decreases of the margin against the intact network.

    Positive where the unit and the set stand in for each other, 0 where what they carry has nothing to do with one
    another, negative where one is of no use without the other.

    Args:
        unit: d(i), without the unit.
        others: d(S), without the set.
        both: d(i and S), without either.
    """
    return both - unit - others


def control_sets(
    unit: int, substitutes: list[int], exceeding: Collection[int], scales: np.ndarray, draws: list[np.random.Generator]
) -> list[list[int]]:
    """Draw random sets that have the size and the activation scale of a unit's substitutes.

    For each member of the set in turn, a unit is drawn from those nearest to it in the logarithm of the scale, the unit
    itself, all that could stand in for it, and what was drawn before left out: nearest-neighbour matching without
    replacement (Stuart 2010, section 3), at random among the nearest. Substitutes are often the strongest units of a
    layer, and a small layer may have no others of their scale; `scale_ratio` says how well they are matched.

    Args:
        unit: The target unit.
        substitutes: Its strongest substitutes, which are removed.
        exceeding: All units that exceed it, of which there may be many more: a set of them would be no control.
        scales: (units,) activation scale on real images; a unit whose scale is not above 0 is in no control set.
        draws: A generator for each set.

    Returns:
        The sets; none where the layer has fewer such units with a scale than a set needs, or where no set could differ
        from another.
    """
    excluded = {unit, *substitutes, *exceeding}
    others = [number for number in np.flatnonzero(scales > 0).tolist() if number not in excluded]
    if not substitutes or len(others) <= len(substitutes):
        return []
    logs = np.full(len(scales), -np.inf)
    logs[scales > 0] = np.log(scales[scales > 0])
    # A substitute that is silent on real images is nearest to the weakest.
    floor = logs[others].min()
    sets = []
    for draw in draws:
        left, control_set = list(others), []
        for member in substitutes:
            distance = np.abs(logs[left] - max(logs[member], floor))
            near = np.argsort(distance, kind="stable")[:NEAREST]
            control_set.append(left.pop(int(draw.choice(near))))
        sets.append(control_set)
    return sets


def scale_ratio(substitutes: list[int], controls: list[list[int]], scales: np.ndarray) -> float:
    """Return how the scale of control sets compares with that of a unit's substitutes: a ratio of geometric means.

    NaN where there are no controls, or a substitute's scale is not above 0.

    Args:
        substitutes: The substitutes.
        controls: The control sets.
        scales: (units,).
    """
    if not controls or (scales[substitutes] <= 0).any():
        return np.nan
    return float(np.exp(np.log(scales[np.array(controls)]).mean() - np.log(scales[substitutes]).mean()))


def against_controls(value: float, controls: np.ndarray) -> Controls:
    """Compare an interaction with those of its control sets (sets,).

    Returns:
        Mean and standard deviation of the controls, and the one-sided rank p (b + 1) / (K + 1), b the number of
        controls that are at least as large: how often a random set stands in as well.
    """
    if not len(controls) or not np.isfinite(value):
        return Controls(np.nan, np.nan, np.nan)
    sd = float(controls.std(ddof=1)) if len(controls) > 1 else np.nan
    return Controls(float(controls.mean()), sd, float(((controls >= value).sum() + 1) / (len(controls) + 1)))


def high(rs: np.ndarray, defined: np.ndarray) -> dict[str, tuple[float, np.ndarray]]:
    """Return which units have a high RS, in two ways: the border and (units,) bool for each.

    "median": at or above the median of the units that are asked, half of them in every layer, whatever RS is like
    there. "half": RS of `HIGH_RS` or more, the same claim in every layer, for as many units as there are.

    Args:
        rs: (units,) raw RS.
        defined: (units,) whether the unit has substitutes and controls of their scale.
    """
    border = float(np.median(rs[defined])) if defined.any() else np.nan
    return {
        "median": (border, defined & (rs >= border)),
        "half": (HIGH_RS, defined & (rs >= HIGH_RS)),
    }


def activation_scales(summary: Mapping[str, Any], signed: bool) -> np.ndarray:
    """Return each unit's activation scale, (units,): its mean activation, or the standard deviation of a signed layer.

    Args:
        summary: `mean` and `std`, each (units,), as activations.h5 holds them of a layer.
        signed: Whether activations can be negative: then their mean is no scale.
    """
    return np.asarray(summary["std" if signed else "mean"], dtype=np.float64)


# --- a layer ---------------------------------------------------------------------------------------------------------


def plans(
    substitutes: Mapping[int, list[int]],
    exceeding: Mapping[int, Collection[int]],
    scales: np.ndarray,
    controls: int,
    seed: tuple[int | str, ...],
) -> list[Plan]:
    """Return what is removed for each target unit.

    Args:
        substitutes: Those of each target unit that are removed, the strongest.
        exceeding: All units that exceed it.
        scales: (units,), as `control_sets` takes them.
        controls: Number of control sets of a unit.
        seed: Name that their draws belong to.
    """
    target_plans = []
    for unit, members in substitutes.items():
        draws = [generator("joint", *seed, unit, draw) for draw in range(controls)]
        target_plans.append(Plan(unit, members, control_sets(unit, members, exceeding[unit], scales, draws)))
    return target_plans


def needed_sets(several: Sequence[Plan]) -> dict[tuple[int, ...], int]:
    """Return every set that has to be removed, each once, with its number; the empty one is the first."""
    sets: dict[tuple[int, ...], int] = {(): 0}
    for unit, substitutes, controls in several:
        for members in ([], *([substitutes] if substitutes else []), *controls):
            for removed in (members, [unit, *members]):
                sets.setdefault(tuple(sorted(removed)), len(sets))
    return sets


def interaction_sums(
    several: Sequence[Plan], damage: Callable[[Sequence[int]], np.ndarray], half: np.ndarray
) -> list[np.ndarray]:
    """Return what was measured on some images, to be added to the sums over others.

    Args:
        several: The sets that were removed.
        damage: Gives (2, images) for a set of units: the increase of the loss without it, and the decrease of the
            margin.
        half: (images,) half, 0 or 1, that each image belongs to.

    Returns:
        For each plan (7 + controls, 2), sums over the images of either half: the loss increase without the unit,
        without its substitutes, and without all of them; the same three of the margin; the interaction of the margins;
        then that with each control. NaN where there are no substitutes.
    """
    sums = []
    for unit, substitutes, controls in several:
        alone, nothing = damage([unit]), np.full((2, len(half)), np.nan)
        others, both = (damage(substitutes), damage([unit, *substitutes])) if substitutes else (nothing, nothing)
        random = [interaction(alone[1], damage(one)[1], damage([unit, *one])[1]) for one in controls]
        parts = np.stack([alone, others, both], axis=1).reshape(6, len(half))
        values = np.stack([*parts, interaction(alone[1], others[1], both[1]), *random])
        sums.append(np.stack([values[:, half == number].sum(1) for number in (0, 1)], axis=1))
    return sums


def interaction_rows(
    several: Sequence[Plan],
    sums: Sequence[np.ndarray],
    images: np.ndarray,
    scales: np.ndarray,
    why: Callable[[int], str],
) -> Iterator[dict[str, Any]]:
    """Yield the measurements of each target unit: the columns from `loss_unit` on.

    Args:
        several: The sets that were removed.
        sums: As `interaction_sums` gives them, over all images.
        images: (2,) number of images of either half; a measurement on none is NaN.
        scales: (units,).
        why: Gives the reason why a unit has no measurement; an empty text where it has one.
    """
    names = (
        *(f"{measure}_{part}" for measure in ("loss", "margin") for part in ("unit", "set", "joint")),
        "interaction",
    )
    for (unit, substitutes, controls), measured in zip(several, sums, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            means = (measured.sum(1) / images.sum()).tolist()
            by_half = (measured[len(names) - 1] / images).tolist()
        compared = against_controls(means[len(names) - 1], np.array(means[len(names) :]))
        ratio = scale_ratio(substitutes, controls, scales)
        yield {
            **{"unit": unit, **dict(zip(names, means, strict=False))},
            **{f"interaction_half{number}": value for number, value in enumerate(by_half)},
            **{"controls": len(controls), "control_mean": compared.mean, "control_sd": compared.sd},
            **{"p_value": compared.p_value, "scale_ratio": ratio},
            "reason": why(unit) or _why_unmatched(substitutes, ratio),
        }


def _why_unmatched(substitutes: list[int], ratio: float) -> str:
    if not substitutes:
        return "no substitutes"
    if np.isnan(ratio):
        return "no control: too few units that do not exceed it, or a substitute is silent on real images"
    return "" if 1 / MATCHED <= ratio <= MATCHED else "no units of the substitutes' scale for a control"
