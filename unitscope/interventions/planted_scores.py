"""How well scores find a planted copy among all other units of a layer: the area under the ROC curve, unit by unit.

Arrays in, numbers out. A score ranks the competitors of a unit; the copy is the only positive case, so that the area is
the share of the other competitors that score lower, ties counting half (Mann-Whitney).
"""

from collections.abc import Mapping

import numpy as np

PLANTED_NAMES = {
    "rs": "RS",
    "rs_z": "RS (z)",
    "rs_q": "RS (q)",
    "rs_r": "RS (r)",
    "correlation": "correlation",
    "correlation_readout": "correlation, read out",
}
"""What competitors are ranked by: responses on the scales of the forms of RS, and its rivals, absolute correlations."""
PLANTED_SCORES = tuple(PLANTED_NAMES)
RIVAL = "correlation"
"""The rival that the forms of RS are compared with: copies are planted at a value of it."""
FORMS = tuple(score for score in PLANTED_SCORES if not score.startswith(RIVAL))
"""The forms of RS."""


def competitor_scores(
    responses: np.ndarray,
    unit: int,
    mean: np.ndarray,
    std: np.ndarray,
    quantile: np.ndarray,
    self_responses: np.ndarray,
    correlations: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return by each score how much every unit is a substitute of one unit, (units,); NaN where it has no such score.

    "rs": R[i, j] / R[i, i]; "rs_z": (R[i, j] - mean_j) / std_j; "rs_q": R[i, j] / q_j; "rs_r": R[i, j] / R[j, j];
    "correlation": |correlation| of the activations of i and j over training images and positions;
    "correlation_readout": the same of the activations that are read out, over training images.

    Args:
        responses: (units,) R[i, j], the responses to the image generated for the unit.
        unit: The unit i, which is no competitor. Where it is silent on its image, all but the correlations are NaN.
        mean: (units,) over training images.
        std: (units,) likewise; a unit with 0 has no scale.
        quantile: (units,) 99th percentile of the positive activations, NaN where there is none.
        self_responses: (units,) R[j, j], each unit's response to its own image; NaN where it has no image.
        correlations: By name, (units,) correlations with the unit; NaN for a constant unit.
    """
    exact = responses.astype(np.float64)
    undefined = np.full(len(exact), np.nan)

    def over(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
        positive = np.nan_to_num(scale, nan=0.0) > 0
        return np.divide(values, scale, out=undefined.copy(), where=positive)

    scores = {
        "rs": over(exact, np.full(len(exact), exact[unit])),
        "rs_z": over(exact - mean, std),
        "rs_q": over(exact, quantile),
        "rs_r": over(exact, self_responses),
    }
    if not exact[unit] > 0:
        scores = dict.fromkeys(scores, undefined)
    rivals = {name: np.abs(values) for name, values in correlations.items()}
    scores = {name: values.copy() for name, values in {**scores, **rivals}.items()}
    for values in scores.values():
        values[unit] = np.nan
    return scores


def auc_of(scores: np.ndarray, copy: int) -> float:
    """Return the share of the other competitors whose score is below that of the copy, ties counting half.

    Args:
        scores: (units,); NaN for units that do not compete.
        copy: The copy.

    Returns:
        NaN where the copy has no score, or no other unit has.

    Example: two units lie below the copy, which is the last, one ties with it, and one lies above.
        >>> auc_of(np.array([1.0, 2.0, 3.0, np.nan, 4.0, 3.0]), copy=5)
        0.625
    """
    others = np.delete(scores, copy)
    others = others[np.isfinite(others)]
    if not np.isfinite(scores[copy]) or not len(others):
        return np.nan
    return float(((others < scores[copy]).sum() + (others == scores[copy]).sum() / 2) / len(others))
