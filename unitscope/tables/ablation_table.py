"""Columns of the ablation of single units, from the damage by class: the rows of ablation/{layer}.csv."""

from collections.abc import Mapping

import numpy as np

from unitscope.interventions.ablation import Damage, class_damage, scores
from unitscope.tables.ablation_columns import AblationTable

SUFFIXES = {"zero": "", "mean": "_mean", "resample": "_resample", "optimal": "_optimal"}
"""How the names of a clamp's columns end."""

OPTIMAL_CONSTANT = "optimal_constant"


def ablation_columns(
    layer: str,
    units: np.ndarray,
    damage: Mapping[str, Damage],
    preferred: np.ndarray,
    constants: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the columns of `AblationTable` for a layer.

    Args:
        layer: Name of the layer.
        units: (units,) the units.
        damage: Of the units, by clamp; columns of zero and mean are NaN without it, those of the others absent.
        preferred: (2, units) as `ablation.class_damage` takes it.
        constants: (units,) the optimal constants, where there are any.
    """
    columns = {"layer": np.full(len(units), layer), "unit": np.asarray(units)}
    if constants is not None:
        columns[OPTIMAL_CONSTANT] = constants
    for clamp, of_clamp in damage.items():
        overall, by_class = vars(scores(of_clamp)), vars(class_damage(of_clamp, preferred))
        suffix = SUFFIXES[clamp]
        columns |= {f"ablation_{name}{suffix}": overall[name] for name in ("loss", "accuracy", "worst_class")}
        columns |= {f"ablation_loss{suffix}_half{half}": overall[f"loss_half{half}"] for half in (0, 1)}
        columns |= {f"{name}{suffix}": values for name, values in by_class.items()}
    missing = np.full(len(units), np.nan)
    required = {column.name: missing for column in AblationTable.columns if column.required}
    return {name: {**required, **columns}[name] for name in AblationTable.names() if name in {*required, *columns}}
