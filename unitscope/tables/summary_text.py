"""A short table for people: what an experiment found, layer by layer."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from unitscope.scores.score_names import RS_NAMES, method_name
from unitscope.tables.number_text import interval, number, two_decimals
from unitscope.tables.table_access import Table, correlation_of, layers_of, median_of, methods_of, rows_of

MEASURES = {"selectivity": "sel.", "selectivity_corrected": "corr.", "auc": "AUC"}
"""Measures of selectivity, by their column, with the head of the column of the table."""


def summary(units: Table, layers: Table) -> str:
    """Return a short table for people: by layer and form of RS, its median and its correlation with selectivity.

    Args:
        units: The units table of one experiment.
        layers: Its table of correlations.
    """
    methods = methods_of(units)
    lines = [["layer", "units", "dead", *MEASURES.values(), ""]]
    lines[0] += [method_name(method) for method in methods]
    lines[0] += [f"Spearman {method_name(method)} [95 %]" for method in methods]
    reasons: dict[str, list[str]] = {}
    for layer in layers_of(units):
        layer_units = rows_of(units, layer)
        named = [
            layer,
            str(len(layer_units["unit"])),
            str(layer_units["dead"].sum()),
            *(two_decimals(median_of(layer_units, measure)) for measure in MEASURES),
        ]
        for score, name in RS_NAMES.items():
            line = [*(named if score == "rs" else [""] * len(named)), name]
            line += [two_decimals(median_of(layer_units, f"{score}_{method}")) for method in methods]
            for method in methods:
                correlation = correlation_of(layers, layer, method, "selectivity", score)
                if correlation["reason"]:
                    reasons.setdefault(layer, []).append(correlation["reason"])
                line.append(_interval_text(correlation))
            lines.append(["-" if cell == "nan" else cell for cell in line])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *others = widths
    rows = [
        f"{line[0]:<{first}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], others, strict=True))
        for line in lines
    ]
    rows.insert(1, "-" * len(rows[0]))
    notes = [
        "Medians over living units. sel.: class selectivity (CCMAS); corr.: the same with the class chosen on other",
        "images; AUC: of the class that the unit detects best. Spearman: of RS and sel. within the layer.",
        "RS = 0: no other unit responds to the unit's image more strongly. It depends on units' scales; RS (z), RS (q)",
        "and RS (r) do not, given the image.",
        *(textwrap.fill(f"{layer}: {'; '.join(why)}.", 110, subsequent_indent="  ") for layer, why in reasons.items()),
    ]
    return "\n".join([*rows, "", *notes])


def _interval_text(correlation: Mapping[str, Any]) -> str:
    if not np.isfinite(correlation["spearman"]):
        return "undefined"
    return (
        f"{number(correlation['spearman'])} {interval(correlation['ci_low'], correlation['ci_high'], '[no interval]')}"
    )
