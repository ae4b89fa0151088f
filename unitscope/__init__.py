"""unitscope: for every unit of a trained network, what activates it, and whether it matters.

A network is opened at its layers, and functions take a layer::

    probe = unitscope.Probe(model, shape=(3, 224, 224), mean=MEAN, std=STD)
    unitscope.maximize(probe["layer3.0.conv1"], unit=5)

`dir(unitscope)` lists the public names. Naming one imports its module, and no other.
"""

from typing import Any

import lazy_loader

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

RENAMED = {
    "ablation": "ablate(probe[layer], images, labels)",
    "activation_maximization": "maximize(probe[layer], unit)",
    "freeze": "Probe(model, shape, mean, std), which reads a frozen copy",
    "taps": "Probe(model, shape, mean, std).layers",
}
"""Former public names, with what has taken their place; docs/python.md lists all that has changed."""


def __getattr__(name: str) -> Any:
    if name in RENAMED:
        raise AttributeError(f"unitscope.{name} is now unitscope.{RENAMED[name]} (docs/python.md).")
    try:
        return _attribute(name)
    except AttributeError:
        raise AttributeError(f"unitscope has no {name!r}; it has {', '.join(__all__)}.") from None
