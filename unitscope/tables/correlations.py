"""Correlations of the scores of units within each layer: the rows of layers.csv."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.randomness import generator
from unitscope.scores.score_names import NATURAL_FORMS, NATURAL_SCORES, RS_SCORES
from unitscope.stats.correlation import spearman
from unitscope.stats.reliabilities import ceiling, images_needed, intraclass, split_half
from unitscope.tables.ceiling_text import LOSSES
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.table_access import Table, methods_of, rows_of

SELECTIVITY_MEASURES = ("auc", "selectivity_corrected")
"""Measures that are correlated with RS and ablation losses next to the index of Chen et al. (2018)."""
Ratings = Mapping[tuple[str, str], Mapping[str, np.ndarray]]
"""By layer and method, for each form of RS what each noise seed gives: (seeds, units), NaN where it gives nothing."""


def layer_correlations(
    units: Table,
    taps: Sequence[Mapping[str, Any]],
    permutations: int,
    resamples: int,
    seed: int,
    sparseness: Table | None = None,
    substitutions: Iterable[Table] = (),
    *,
    images: int | None = None,
    ratings: Ratings | None = None,
) -> dict[str, np.ndarray]:
    """Correlate the scores of units within each layer; dead units are left out.

    Args:
        units: The units table of one experiment.
        taps: A record a layer, with `layer`, `depth`, `kind` and `units`.
        permutations: Shuffles for each p value.
        resamples: Bootstrap resamples for each interval.
        seed: Each correlation draws from a seed of its own, made of this, the layer, the method and the two scores, so
            that one layer more changes no other row.
        sparseness: Columns of `SparsenessTable`; None where there are no images.
        substitutions: Columns of `SubstitutionTable`, of which the failures of the ascent are read.
        images: Number of test images that ablation losses are measured on; None where it is not known.
        ratings: RS of each noise seed, where there are several.

    Returns:
        The columns of `LayersTable`.
    """
    rows = []
    population: dict[str, float] = {}
    if sparseness is not None:
        population = dict(zip(sparseness["layer"].tolist(), sparseness["population_sparseness"].tolist(), strict=True))
    failures = {
        (str(table["layer"][0]), str(table["method"][0])): float(table["ascent_failures"][0])
        for table in substitutions
        if len(table["layer"])
    }
    for tap in taps:
        table = rows_of(units, tap["layer"])
        alive = ~table["dead"]
        by_column = {
            f"{score}_{method}": values
            for (layer, method), by_score in (ratings or {}).items()
            for score, values in by_score.items()
            if layer == tap["layer"]
        }
        for method, x, y, x_column, y_column in _pairs(methods_of(units), NATURAL_SCORES[0] in units):
            result = spearman(
                table[x_column][alive],
                table[y_column][alive],
                permutations,
                resamples,
                generator(seed, tap["layer"], method, x, y),
                (x_column, y_column),
            )
            both = alive & np.isfinite(table[x_column]) & np.isfinite(table[y_column])
            reliabilities = [_reliability(table, column, both, by_column) for column in (x_column, y_column)]
            rows.append(
                {
                    "experiment": table["experiment"][0],
                    **{key: tap[key] for key in ("layer", "depth", "kind")},
                    "method": method,
                    "x": x,
                    "y": y,
                    "units": tap["units"],
                    "used": result.used,
                    **result.columns("spearman", "ci_low", "ci_high"),
                    "p_value": result.p_value,
                    "reason": result.reason,
                    "population_sparseness": population.get(tap["layer"], np.nan),
                    "ascent_failures": failures.get((tap["layer"], method), np.nan),
                    "z_error": result.z_error,
                    "reliability_x": reliabilities[0],
                    "reliability_y": reliabilities[1],
                    "ceiling": ceiling(*reliabilities),
                    "images_needed": images_needed(reliabilities[1], images) if y in LOSSES and images else np.nan,
                }
            )
    return LayersTable.of_rows(rows)


def _reliability(table: Table, column: str, units: np.ndarray, ratings: Mapping[str, np.ndarray]) -> float:
    """Return the reliability of a column over some units of a layer; NaN where it is not known.

    Args:
        table: Rows of the layer in the units table. A column that is measured on either half of the test images has its
            values there in `{column}_half0` and `{column}_half1`.
        column: Name of the column.
        units: (units,) which units count.
        ratings: By column, what each noise seed gives, (seeds, units).
    """
    if f"{column}_half0" in table:
        return split_half(*(table[f"{column}_half{half}"][units] for half in (0, 1)))
    if column not in ratings:
        return np.nan
    values = ratings[column][:, units]
    values = values[:, np.isfinite(values).all(0)]
    return float(intraclass(values)[1][0]) if values.shape[1] > 2 else np.nan


def _pairs(methods: Sequence[str], natural: bool) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield method, x, y and the columns of x and y in the units table, which may hold RS on natural images."""
    for method in methods:
        for score in RS_SCORES:
            yield method, "selectivity", score, "selectivity", f"{score}_{method}"
    for score in ("ablation_loss", "ablation_loss_mean", "ablation_accuracy", "ablation_accuracy_mean"):
        yield "", "selectivity", score, "selectivity", score
    for method in methods:
        for x, y in itertools.product(RS_SCORES, ("ablation_loss", "ablation_loss_mean", "ablation_accuracy")):
            yield method, x, y, f"{x}_{method}", y
    for first, second in itertools.combinations(methods, 2):
        for score in RS_SCORES:
            yield f"{first}:{second}", score, score, f"{score}_{first}", f"{score}_{second}"
    for method in methods:
        for score in RS_SCORES:
            yield method, "class_information", score, "class_information", f"{score}_{method}"
    for score in ("selectivity", "ablation_loss"):
        yield "", "class_information", score, "class_information", score
    for x in SELECTIVITY_MEASURES:
        for method in methods:
            for score in RS_SCORES:
                yield method, x, score, x, f"{score}_{method}"
        for score in ("ablation_loss", "ablation_loss_mean"):
            yield "", x, score, x, score
    for x, y in zip(NATURAL_SCORES, NATURAL_FORMS, strict=True) if natural else ():
        yield "", "selectivity", x, "selectivity", x
        for method in methods:
            yield method, x, y, x, f"{y}_{method}"
