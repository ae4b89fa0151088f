"""The table of units: all scores of an experiment, joined by layer and unit, never by the order of rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.errors import UserError
from unitscope.scores.natural_columns import NaturalTable
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.storage.columns import Schema
from unitscope.tables.ablation_columns import AblationTable
from unitscope.tables.table_access import Table
from unitscope.tables.unit_columns import UnitsTable


def units_table(
    experiment: str,
    network: str,
    taps: Sequence[Mapping[str, Any]],
    selectivity: Table | None,
    substitutions: Iterable[Table],
    ablations: Iterable[Table],
    natural: Table | None = None,
) -> dict[str, np.ndarray]:
    """Join the scores of all units of an experiment.

    Args:
        experiment: Name of the experiment.
        network: Name of its network.
        taps: One record per layer, with `layer`, `depth` and `units`.
        selectivity: Columns of `SelectivityTable`; None where there are no images: then no unit is known to be dead.
        substitutions: Columns of `SubstitutionTable`. Methods keep the order in which they come.
        ablations: Columns of `AblationTable`.
        natural: Columns of `NaturalTable`; None if RS on natural images was not computed: then its columns are absent.

    Returns:
        The columns of `UnitsTable`, every unit of every layer in the order of `taps`. A unit that a step did not treat
        has NaN in its columns, 0 seeds and no substitutes.

    Raises:
        UserError: A table names a layer or unit that the taps do not have.
    """
    join, substitutions, ablations = _Join(taps), list(substitutions), list(ablations)
    methods = dict.fromkeys(method for table in substitutions for method in table["method"].tolist())
    sources = [(SelectivityTable, selectivity), *((AblationTable, each) for each in ablations), (NaturalTable, natural)]
    available = {name for _, source in sources if source is not None for name in source}
    left_out = [column.name for column in UnitsTable.columns if not column.required and column.name not in available]
    columns = UnitsTable.header(methods, left_out)
    # Texts of any length.
    table = {
        name: np.full(join.total, column.missing, dtype=object if column.kind == "text" else None)
        for name, column in columns.items()
    }
    units = [tap["units"] for tap in taps]
    for name, values in (("layer", [tap["layer"] for tap in taps]), ("depth", [tap["depth"] for tap in taps])):
        table[name][:] = np.repeat(values, units) if join.total else []
    table["experiment"][:], table["network"][:] = experiment, network
    table["unit"][:] = np.concatenate([np.empty(0, np.int64), *(np.arange(count) for count in units)])
    for schema, source in sources:
        if source is not None:
            rows = join.rows(source)
            for name in _shared_with(schema):
                if name in source:
                    table[name][rows] = source[name]
    for substitution in substitutions:
        rows = join.rows(substitution)
        for method in dict.fromkeys(substitution["method"].tolist()):
            of_method = substitution["method"] == method
            for column in UnitsTable.columns:
                if column.is_per_method:
                    table[column.of_method(method)][rows[of_method]] = substitution[column.declared.name][of_method]
    return UnitsTable.typed(table)


def _shared_with(schema: type[Schema]) -> list[str]:
    """Return the columns of the units table that are declared by another table."""
    shared = [column.name for column in UnitsTable.columns if column.declared in schema.columns]
    return [name for name in shared if name not in ("layer", "unit")]


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
            in_layer = table["layer"] == layer
            if not ((table["unit"][in_layer] >= 0) & (table["unit"][in_layer] < units)).all():
                raise UserError(
                    f"A table of scores names unit {table['unit'][in_layer].max()} of layer {layer}, which has {units} "
                    "units, numbered from 0. Pass tables of this experiment only."
                )
            rows[in_layer] = start + table["unit"][in_layer]
        return rows
