"""The table of all units of an experiment, units.csv: its scores joined by layer and unit.

Computing scores belongs to `unitscope.scores.selectivity`, `unitscope.scores.substitution` and
`unitscope.interventions.ablation`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.errors import UserError
from unitscope.scores.score_names import NATURAL_SCORES, RS_SCORES
from unitscope.tables.table_access import Table

ABLATION_SCORES = tuple(
    f"ablation_{effect}{clamp}" for clamp in ("", "_mean") for effect in ("loss", "accuracy", "worst_class")
)
SELECTIVITY_EXTRAS = ("selectivity_permuted", "selectivity_half0", "selectivity_half1")
ABLATION_HALVES = ("ablation_loss_half0", "ablation_loss_half1")
INFORMATION = ("class_information", "class_information_permuted")


def units_table(
    experiment: str,
    network: str,
    taps: Sequence[Mapping[str, Any]],
    selectivity: Table | None,
    substitutions: Iterable[Table],
    ablations: Iterable[Table],
    natural: Table | None = None,
) -> dict[str, np.ndarray]:
    """_Join the scores of all units of an experiment, by layer and unit, never by the order of rows.

    Args:
        experiment: Name of the experiment.
        network: Name of its network.
        taps: A record a layer, with `layer`, `depth` and `units`.
        selectivity: Columns layer, unit, dead, selectivity, top_class, `SELECTIVITY_EXTRAS` and `INFORMATION`; None
            where there are no images: then nothing is known to be dead.
        substitutions: Tables with the columns layer, method, unit, rs, rs_z, rs_q, ties, seeds, substitutes. Methods
            keep the order in which they come.
        ablations: Tables with the columns layer, unit, `ABLATION_SCORES` and `ABLATION_HALVES`.
        natural: Columns layer, unit and `NATURAL_SCORES`; None where RS on natural images was not asked for: then these
            columns are not there.

    Returns:
        The columns of units.csv, every unit of every layer in the order of `taps`. A unit that a step did not treat has
        NaN in its columns, 0 seeds and no substitutes.

    Raises:
        UserError: A table names a layer or unit that the taps do not have.
    """
    join = _Join(taps)
    layers = [np.full(tap["units"], tap["layer"]) for tap in taps]
    table: dict[str, np.ndarray] = {
        "experiment": np.full(join.total, experiment),
        "network": np.full(join.total, network),
        "layer": np.concatenate(layers) if layers else np.empty(0, dtype=str),
        "depth": np.repeat([tap["depth"] for tap in taps], [tap["units"] for tap in taps]).astype(np.int64),
        "unit": np.concatenate([np.arange(tap["units"]) for tap in taps] or [np.empty(0, dtype=np.int64)]),
        "dead": np.zeros(join.total, dtype=bool),
        "selectivity": np.full(join.total, np.nan),
        "top_class": np.full(join.total, "", dtype=object),
    }
    last = {name: np.full(join.total, np.nan) for name in (*SELECTIVITY_EXTRAS, *ABLATION_HALVES, *INFORMATION)}
    if selectivity is not None:
        rows = join.rows(selectivity)
        for name in ("dead", "selectivity", "top_class"):
            table[name][rows] = selectivity[name]
        for name in (*SELECTIVITY_EXTRAS, *INFORMATION):
            last[name][rows] = selectivity[name]
    for substitution in substitutions:
        rows = join.rows(substitution)
        for method in dict.fromkeys(substitution["method"].tolist()):
            own = substitution["method"] == method
            for score in (*RS_SCORES, "ties"):
                table.setdefault(f"{score}_{method}", np.full(join.total, np.nan))
            table.setdefault(f"seeds_{method}", np.zeros(join.total, dtype=np.int64))
            table.setdefault(f"substitutes_{method}", np.full(join.total, "", dtype=object))
            for score in (*RS_SCORES, "ties", "seeds", "substitutes"):
                table[f"{score}_{method}"][rows[own]] = substitution[score][own]
    for score in ABLATION_SCORES:
        table[score] = np.full(join.total, np.nan)
    for ablation in ablations:
        rows = join.rows(ablation)
        for score in ABLATION_SCORES:
            table[score][rows] = ablation[score]
        for score in ABLATION_HALVES:
            last[score][rows] = ablation[score]
    if natural is not None:
        rows = join.rows(natural)
        for score in NATURAL_SCORES:
            last[score] = np.full(join.total, np.nan)
            last[score][rows] = natural[score]
    return {**table, **last}


class _Join:
    """Row numbers in the units table of (layer, unit)."""

    def __init__(self, taps: Sequence[Mapping[str, Any]]) -> None:
        starts = np.cumsum([0, *(tap["units"] for tap in taps)])
        self.total = int(starts[-1])
        self._places = {tap["layer"]: (int(start), tap["units"]) for tap, start in zip(taps, starts, strict=False)}

    def rows(self, table: Table) -> np.ndarray:
        rows = np.empty(len(table["unit"]), dtype=np.int64)
        for layer in dict.fromkeys(table["layer"].tolist()):
            if layer not in self._places:
                raise UserError(
                    f"A table of scores names layer {layer}, which is not tapped in this experiment (tapped are "
                    f"{', '.join(self._places)}). Pass tables of this experiment only."
                )
            start, units = self._places[layer]
            own = table["layer"] == layer
            if not ((table["unit"][own] >= 0) & (table["unit"][own] < units)).all():
                raise UserError(
                    f"A table of scores names unit {table['unit'][own].max()} of layer {layer}, which has {units} "
                    "units, numbered from 0. Pass tables of this experiment only."
                )
            rows[own] = start + table["unit"][own]
        return rows
