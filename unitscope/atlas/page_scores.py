"""Scores as the page shows them: which there are, what they are called, which are shown first."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.scores.score_names import NATURAL_FORMS, RS_NAMES, RS_SCORES, method_name
from unitscope.tables.table_access import Table, layers_of

ACTIVATION_SCORES = {
    "mean": "mean activation",
    "std": "standard deviation of the activation",
    "positive_q99": "99th percentile of the positive activations",
    "max": "largest activation",
    "firing_rate": "share of images that excite the unit",
}
"""What activations.h5 says about a unit over the training images, by its name there."""
SCORE_NAMES = {
    "selectivity": "class selectivity",
    "selectivity_permuted": "class selectivity under permuted labels",
    "selectivity_half0": "class selectivity, first half of the test images",
    "selectivity_half1": "class selectivity, second half of the test images",
    "ablation_loss": "rise of the loss, clamped to 0",
    "ablation_accuracy": "drop of the accuracy, clamped to 0",
    "ablation_worst_class": "largest drop of one class, clamped to 0",
    "ablation_loss_mean": "rise of the loss, clamped to the mean",
    "ablation_accuracy_mean": "drop of the accuracy, clamped to the mean",
    "ablation_worst_class_mean": "largest drop of one class, clamped to the mean",
    "ablation_loss_half0": "rise of the loss, first half of the test images",
    "ablation_loss_half1": "rise of the loss, second half of the test images",
    "class_information": "class information, in bits",
    "class_information_permuted": "class information under permuted labels",
    "auc": "AUC of the best detected class",
    "auc_p": "AUC: p value, corrected for the number of classes",
    "auc_q": "AUC: false discovery rate within the layer",
    "auc_heldout": "AUC of the class chosen on the other half of the images",
    "informedness": "informedness (hit rate − false-alarm rate)",
    "hit_rate_fa05": "hit rate at 5 % false alarms",
    "precision_at_k": "precision among the k strongest images",
    "d_prime": "d′, in standard deviations",
    "lifetime_sparseness": "lifetime sparseness",
    "label_entropy": "entropy of classes in the response, in bits",
    "selectivity_corrected": "class selectivity, class chosen on the other half",
    **{f"{score}_natural": f"{name} on natural images" for score, name in RS_NAMES.items() if score in NATURAL_FORMS},
}
METHOD_SCORES = {**RS_NAMES, "ties": "ties", "seeds": "seeds used", "exceeders": "units that exceed it"}
"""Scores that each method has."""
MAIN_SCORES = ("selectivity", "auc", *RS_SCORES, "ablation_loss", "ablation_loss_mean", "activation_mean")
"""Scores that the table shows before more are asked for."""


@dataclass(frozen=True)
class Activity:
    """What real images say about the units of a layer.

    Attributes:
        scales: Each of `ACTIVATION_SCORES`, (units,).
        class_means: (classes, units), or None where the images have no classes.
    """

    scales: Mapping[str, np.ndarray]
    class_means: np.ndarray | None


def score_columns(units: Table, activity: Mapping[str, Activity]) -> dict[str, np.ndarray]:
    """Return every numeric score of every unit, in the order of the table, what real images say last."""
    places = ("depth", "unit")
    columns = {name: column for name, column in units.items() if column.dtype.kind in "if" and name not in places}
    for score in ACTIVATION_SCORES if activity else ():
        columns[f"activation_{score}"] = np.concatenate(
            [np.asarray(activity[layer].scales[score], dtype=np.float64) for layer in layers_of(units)]
        )
    return columns


def _split(key: str, methods: Sequence[str]) -> tuple[str, str]:
    """Return the score and the method of a column; the method is empty where there is none."""
    for score, method in itertools.product(METHOD_SCORES, methods):
        if key == f"{score}_{method}":
            return score, method
    return key, ""


def score_name(key: str, methods: Sequence[str]) -> str:
    """Return the name of a column as people read it."""
    score, method = _split(key, methods)
    if method:
        return f"{METHOD_SCORES[score]}, {method_name(method)}"
    if key.startswith("activation_"):
        return ACTIVATION_SCORES[key.removeprefix("activation_")]
    return SCORE_NAMES.get(key, key)


def is_main(key: str, methods: Sequence[str]) -> bool:
    """Return whether the table shows a column before more are asked for."""
    return _split(key, methods)[0] in MAIN_SCORES
