"""Scores of the ablation of single units, from the damage by class, as named columns."""

from collections.abc import Mapping

import numpy as np

from unitscope.interventions.ablation import Damage, class_damage, scores

SUFFIXES = {"zero": "", "mean": "_mean", "resample": "_resample", "optimal": "_optimal"}
"""How the names of a clamp's columns end."""


def score_columns(damage: Mapping[str, Damage], preferred: np.ndarray) -> dict[str, np.ndarray]:
    """Return the scores of units by the names of their columns, each (units,).

    Args:
        damage: Of the units, by clamp.
        preferred: (2, units) as `ablation.class_damage` takes it.
    """
    columns: dict[str, np.ndarray] = {}
    for clamp, of_clamp in damage.items():
        suffix, overall, by_class = SUFFIXES[clamp], scores(of_clamp), class_damage(of_clamp, preferred)
        columns |= {
            f"ablation_loss{suffix}": overall.loss,
            f"ablation_accuracy{suffix}": overall.accuracy,
            f"ablation_worst_class{suffix}": overall.worst_class,
            f"ablation_loss{suffix}_half0": overall.loss_half0,
            f"ablation_loss{suffix}_half1": overall.loss_half1,
            f"own_class_damage{suffix}": by_class.own_class_damage,
            f"specificity{suffix}": by_class.specificity,
            f"worst_class{suffix}": by_class.worst_class,
        }
    return columns
