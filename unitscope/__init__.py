"""unitscope: what single units of a neural network do, and whether they matter.

The functions listed here work on modules and arrays. Naming one loads its module, and no other.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

_HOME = {
    "Recipe": "ascent",
    "ablation": "ablation",
    "activation_maximization": "visualization",
    "activations": "activations",
    "class_means": "summaries",
    "class_selectivity": "selectivity",
    "freeze": "building",
    "representative_substitution": "substitution",
    "spearman": "statistics",
    "taps": "faithful",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"unitscope has no {name!r}; it has {', '.join(_HOME)}")
    return getattr(importlib.import_module(f"unitscope.{_HOME[name]}"), name)


class _Package(ModuleType):
    """Names that a function and its module share mean the function, whichever of them was loaded first."""

    def __setattr__(self, name: str, value: Any) -> None:
        # How the import system hands a loaded module to its package.
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
