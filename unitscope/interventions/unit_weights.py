"""The weights of a layer's units in a traced graph: those that compute the units, and those that read them.

What is done to these weights so that the network's function stays belongs to `unitscope.interventions.rescaling` and
`unitscope.interventions.widening`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from unitscope.probing.following import NORMS, TRANSPARENT
from unitscope.probing.sites import POOLINGS, Site, flattens_units, kind_of

FLATTENINGS: tuple[Any, ...] = (nn.Flatten, torch.flatten, "flatten")
MEANS: tuple[Any, ...] = (torch.mean, "mean")


@dataclass(frozen=True)
class WeightReader:
    """A convolution or linear layer that reads an activation.

    Attributes:
        path: Path of its module.
        flat: Whether it reads each unit's map as columns.
    """

    path: str
    flat: bool


class Obstacle(Exception):
    """Why the weights of a layer's units cannot be changed without changing the network's function."""


def readers_of(traced: fx.GraphModule, modules: dict[str, Any], site: Site, units: int) -> list[WeightReader]:
    """Return all layers that read a layer's activation, each with weights for single units.

    Args:
        traced: The graph.
        modules: Its modules by path.
        site: Where the layer is computed.
        units: Number of its units.

    Raises:
        Obstacle: Something else reads the activation, or the weights of a reader serve elsewhere, too.
    """
    readers: list[WeightReader] = []
    waiting = [(user, False) for user in site.activation.users]
    while waiting:
        node, flat = waiting.pop(0)
        kind = kind_of(node, modules)
        maps = site.kind == "conv" and not flat
        if kind in TRANSPARENT or (maps and kind in POOLINGS):
            waiting += [(user, flat) for user in node.users]
        elif (kind in FLATTENINGS and flattens_units(node, modules)) or (maps and _averages_space(node, kind)):
            waiting += [(user, True) for user in node.users]
        elif kind in (nn.Conv2d, nn.Linear) and _fits(modules[str(node.target)], site.kind, flat, units):
            check_unshared(traced, modules, str(node.target))
            readers.append(WeightReader(str(node.target), flat))
        elif node.op == "output":
            raise Obstacle("its activation is an output of the network")
        else:
            raise Obstacle(f"{called(node, modules)} reads its activation and has no weights for single units")
    return readers


def _fits(reader: nn.Conv2d | nn.Linear, kind: str, flat: bool, units: int) -> bool:
    """Return whether the units lie along the axis that a reader weighs."""
    if isinstance(reader, nn.Conv2d):
        return kind == "conv" and not flat and reader.in_channels == units
    if kind == "conv":
        return flat and reader.in_features % units == 0
    # Flattened tokens would be more.
    return reader.in_features == units


def _averages_space(node: fx.Node, kind: Any) -> bool:
    """Return whether a mean is taken over the two axes of space, and those alone."""
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", ())
    keeps = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
    axes = axes if isinstance(axes, list | tuple) else (axes,)
    return kind in MEANS and not keeps and sorted(axis % 4 for axis in axes if isinstance(axis, int)) == [2, 3]


def check_unshared(traced: fx.GraphModule, modules: dict[str, Any], path: str) -> None:
    """Check that a module's weights are plain parameters that serve one call alone.

    Raises:
        Obstacle: They are not.
    """
    module = modules[path]
    calls = [node for node in traced.graph.nodes if node.op == "call_module" and node.target == path]
    if len(calls) > 1:
        raise Obstacle(f"the module {path!r} is called {len(calls)} times with the same weights")
    if any(node.op == "get_attr" and str(node.target).startswith(f"{path}.") for node in traced.graph.nodes):
        raise Obstacle(f"the weights of {path!r} are read elsewhere, too")
    if type(module) not in (nn.Conv2d, nn.Linear, *NORMS):
        raise Obstacle(f"{path!r} is a {type(module).__name__}, whose weights may be used in a way of its own")
    if module._parameters.get("weight") is None:
        raise Obstacle(f"{path!r} has no weights of its own that could be changed")


def called(node: fx.Node, modules: dict[str, Any]) -> str:
    """Return the usual name of an operation."""
    kind = kind_of(node, modules)
    return str(getattr(kind, "__name__", kind))
