"""unitscope: what single units of a neural network do, and whether they matter.

The functions listed here work on modules and arrays. Naming one loads its module, and no other.
"""

import importlib
from typing import Any

_HOME = {
    "Probe": "probing.probe",
    "Recipe": "maximization.recipe",
    "ablation": "interventions.ablation",
    "activations": "probing.activations",
    "class_means": "data.summaries",
    "class_selectivity": "scores.selectivity",
    "maximize": "maximization.maximize",
    "representative_substitution": "scores.substitution",
    "spearman": "stats.correlation",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"unitscope has no {name!r}; it has {', '.join(_HOME)}")
    return getattr(importlib.import_module(f"unitscope.{_HOME[name]}"), name)
