"""Tables of the page: networks, layers, trainings that differ, memory and time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.config.resolve import trained_epochs
from unitscope.paper.claim_rows import range_text
from unitscope.paper.results import Result, by_entry
from unitscope.scores.score_names import RS_SCORES
from unitscope.tables.number_text import number
from unitscope.tables.table_access import Table, correlation_of, layers_of, median_of, methods_of, rows_of


def training_ranges(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return how far trainings of one network differ in Spearman of RS and selectivity.

    Returns:
        A row a layer and method of each entry with several: entry, layer, method, trainings (how many), and ranges, the
        lowest and the highest by score, as text.
    """
    rows = []
    for entry, group in by_entry(results).items():
        if len(group) < 2:
            continue
        units = group[0].units
        for layer, method in ((layer, method) for layer in layers_of(units) for method in methods_of(units)):
            ranges = {
                score: range_text(
                    [
                        float(correlation_of(one.layers, layer, method, "selectivity", score)["spearman"])
                        for one in group
                    ]
                )
                for score in RS_SCORES
            }
            rows.append({"entry": entry, "layer": layer, "method": method, "trainings": len(group), "ranges": ranges})
    return rows


def network_rows(results: Sequence[Result], datasets: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Return a row an entry of the config: its network, how it was trained, and its test accuracy or accuracies.

    Args:
        results: The experiments.
        datasets: Of each data set, the number of its "classes", and of its "train" and "test" images.
    """
    rows = []
    for entry, group in by_entry(results).items():
        settings = group[0].record["settings"]
        accuracies = [result.record.get("test", {}).get("accuracy", np.nan) for result in group]
        rows.append(
            {
                "entry": entry,
                "model": settings["model"],
                "dataset": settings["dataset"],
                "images": datasets.get(settings["dataset"]),
                "training": _training_text(settings),
                "head": "a linear head fitted here" if settings["head"] else "",
                "accuracies": [f"{accuracy:.1%}" if np.isfinite(accuracy) else "undefined" for accuracy in accuracies],
            }
        )
    return rows


def _training_text(network: Mapping[str, Any]) -> str:
    if not network["training"]:
        return "given weights"
    epochs, all_epochs = trained_epochs(network), network["training"]["epochs"]
    length = str(epochs) if epochs == all_epochs else f"{epochs} of {all_epochs}"
    return f"{length} epoch" + "s" * (all_epochs != 1)


def layer_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row a layer of each entry's first training: units, those with RS, dead ones, medians, correlations.

    Of what depends on the method, values by method (and score).
    """
    rows = []
    for entry, group in by_entry(results).items():
        first_training = group[0]
        methods = methods_of(first_training.units)
        for layer in layers_of(first_training.units):
            units = rows_of(first_training.units, layer)
            correlations = {
                (method, score): float(
                    correlation_of(first_training.layers, layer, method, "selectivity", score)["spearman"]
                )
                for method in methods
                for score in RS_SCORES
            }
            rows.append(
                {
                    "entry": entry,
                    "layer": layer,
                    "units": len(units["unit"]),
                    "scored": {
                        method: str(int(((units[f"seeds_{method}"] > 0) & ~units["dead"]).sum())) for method in methods
                    },
                    "dead": int(units["dead"].sum()),
                    "selectivity": number(median_of(units, "selectivity")),
                    "rs": {
                        (method, score): number(median_of(units, f"{score}_{method}")) for method, score in correlations
                    },
                    "spearman": {key: number(value) for key, value in correlations.items()},
                }
            )
    return rows


def memory_table(table: Table) -> dict[str, Any]:
    """Return what jobs took, to be printed: "experiments", the columns, and "rules", each with "rule" and "cells".

    Args:
        table: A row a rule and experiment, with peak_mib and seconds (of the longest job).

    Example:
        >>> took = {"rule": ["atlas"], "experiment": ["mlp"], "peak_mib": [310], "seconds": [4]}
        >>> memory_table({name: np.array(column) for name, column in took.items()})["rules"]
        [{'rule': 'atlas', 'cells': ['310 (4 s)']}]
    """
    rules, experiments, peaks, seconds = (
        table[name].tolist() for name in ("rule", "experiment", "peak_mib", "seconds")
    )
    texts = [f"{peak} ({longest} s)" for peak, longest in zip(peaks, seconds, strict=True)]
    cells = dict(zip(zip(rules, experiments, strict=True), texts, strict=True))
    names = list(dict.fromkeys(experiments))
    return {
        "experiments": names,
        "rules": [
            {"rule": rule, "cells": [cells.get((rule, name), "-") for name in names]} for rule in dict.fromkeys(rules)
        ],
    }
