"""The values that the wildcards of rules take in a study."""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import Any

from unitscope.config.resolve import Study, over_epochs


def alternatives(names: Iterable[str]) -> str:
    """Return a regular expression that matches these names and no others; layers and methods may contain dots."""
    return "|".join(sorted(map(re.escape, names))) or "(?!)"


def constraints(study: Study) -> dict[str, str]:
    """Return the regular expression of each wildcard."""
    experiments = study.experiments.values()
    return {
        "readout": "mean|max|center",
        "entry": alternatives(over_epochs(study)),
        "dataset": alternatives(study.datasets),
        "network": alternatives(study.networks),
        "experiment": alternatives(study.experiments),
        "layer": alternatives({layer for experiment in experiments for layer in experiment["layers"]}),
        "method": alternatives({method for experiment in experiments for method in experiment["methods"]}),
    }


def values_of(study: Study, names: Collection[str]) -> list[dict[str, str]]:
    """Return the values that wildcards of these names take together."""
    values: list[dict[str, str]] = [{}]
    entries_by_wildcard: dict[str, Iterable[str]] = {
        "dataset": study.datasets,
        "network": study.networks,
        "entry": over_epochs(study),
    }
    for name, entries in entries_by_wildcard.items():
        values = (
            [{**combination, name: value} for combination in values for value in entries] if name in names else values
        )
    if "experiment" in names:
        values = [
            {**combination, "experiment": name, **within_experiment}
            for combination in values
            for name, experiment in study.experiments.items()
            for within_experiment in _values_in(experiment, names)
        ]
    return values


def _values_in(experiment: Mapping[str, Any], names: Collection[str]) -> list[dict[str, str]]:
    """Return the values that wildcards of these names take together within an experiment."""
    entries_by_wildcard = {
        "layer": experiment["layers"],
        "method": experiment["methods"],
        "readout": {"mean", experiment["readout"]},
        "block": ["0"],
    }
    ordered = {name: sorted(values) for name, values in entries_by_wildcard.items() if name in names}
    return [dict(zip(ordered, values, strict=True)) for values in product(*ordered.values())]
