"""Where the layers of a network are computed in its traced graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from unitscope.errors import UserError
from unitscope.networks.dependence import depending_on_images, reachable, reads_values
from unitscope.probing.additions import is_plain
from unitscope.probing.following import NORMS, passes_on, tap_and_activation, unrecognized
from unitscope.probing.nonlinearities import elementwise, is_positive

POOLINGS: tuple[Any, ...] = (
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d),
)
"""Operations on each unit's map separately."""


@dataclass(frozen=True)
class Site:
    """Where in a traced graph a layer is computed.

    Attributes:
        call: The call of the layer's module.
        kind: "conv" or "linear".
        tap: Where the layer is tapped.
        activation: The nonlinearity that directly follows the tap; the tap itself where none does.
        signed: Whether the activation can be negative.
        unrecognized: As `following.unrecognized` returns it.
    """

    call: fx.Node
    kind: str
    tap: fx.Node
    activation: fx.Node
    signed: bool
    unrecognized: tuple[str, ...]


def sites_of(traced: fx.GraphModule) -> dict[str, Site]:
    """Return where each layer of a traced graph is computed, by the layer's name, in the order of computation."""
    modules = dict(traced.named_modules())
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    leading = reachable([output], lambda node: node.all_input_nodes)
    of_images = depending_on_images(node for node in traced.graph.nodes if node.op == "placeholder")
    calls: dict[str, int] = {}
    sites = {}

    def relevant_readers(layer: fx.Node, value: fx.Node) -> list[fx.Node]:
        # Of a layer that does not lead to the output, as that of another head, all readers count.
        return [user for user in value.users if (user in leading or layer not in leading) and reads_values(user)]

    def positive(node: fx.Node) -> bool | None:
        return is_positive(kind_of(node, modules), arguments_of(node, modules))

    def operation(node: fx.Node) -> str | None:
        return elementwise(kind_of(node, modules), len(node.all_input_nodes))

    def operands(node: fx.Node) -> set[fx.Node]:
        return of_images.intersection(node.all_input_nodes)

    for node in traced.graph.nodes:
        target = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(target, nn.Conv2d | nn.Linear):
            continue
        calls[node.target] = calls.get(node.target, 0) + 1
        name = node.target if calls[node.target] == 1 else f"{node.target}-call{calls[node.target]}"
        readers = partial(relevant_readers, node)
        tap, activation = tap_and_activation(
            node,
            readers,
            lambda user: passes_on(kind_of(user, modules), arguments_of(user, modules)),
            lambda user: kind_of(user, modules) in (*NORMS, F.batch_norm),
            lambda user: positive(user) is not None,
        )
        signed = activation is None or not positive(activation)
        kind = "conv" if isinstance(target, nn.Conv2d) else "linear"
        unrecognized_names = () if activation else unrecognized(tap, readers, operands, operation)
        sites[name] = Site(node, kind, tap, activation or tap, signed, unrecognized_names)
    return sites


def kind_of(node: fx.Node, modules: dict[str, nn.Module]) -> Any:
    """Return what a node computes: the class of its module, its function, or the name of its method."""
    if node.op == "call_module":
        return type(modules[str(node.target)])
    return node.target if node.op in ("call_function", "call_method") else None


def arguments_of(node: fx.Node, modules: dict[str, Any]) -> Callable[[int, str], Any]:
    """Return a function that returns an argument of a node's operation, by its position or its name."""
    if node.op == "call_module":
        # As torch.nn's own modules keep the bounds that they were given.
        return lambda _, name: getattr(modules[str(node.target)], name, None)
    return lambda position, name: node.args[position] if len(node.args) > position else node.kwargs.get(name)


def reader_of(site: Site, modules: dict[str, Any]) -> fx.Node | None:
    """Return the layer that alone reads an activation, if what lies between keeps the units apart."""
    node, flat = site.activation, False
    while len(node.users) == 1:
        (node,) = node.users
        kind = kind_of(node, modules)
        if kind in (nn.Linear, nn.Conv2d) and not is_plain(modules[str(node.target)], kind):
            return None
        if kind is nn.Linear:
            return node if flat == (site.kind == "conv") else None
        if kind is nn.Conv2d and not flat and site.kind == "conv":
            reader = modules[str(node.target)]
            return node if reader.groups == 1 and reader.padding_mode == "zeros" else None
        if kind in (nn.Flatten, torch.flatten, "flatten") and site.kind == "conv":
            flat = flat or flattens_units(node, modules)
            if not flat:
                return None
        elif len(node.all_input_nodes) > 1 or (
            not passes_on(kind, arguments_of(node, modules))
            and not (kind in POOLINGS and not flat and site.kind == "conv")
        ):
            return None
    return None


def flattens_units(node: fx.Node, modules: dict[str, Any]) -> bool:
    """Return whether a flattening joins all axes after the first."""
    if node.op == "call_module":
        return (modules[str(node.target)].start_dim, modules[str(node.target)].end_dim) == (1, -1)
    return (*node.args[1:], *node.kwargs.values()) in ((1,), (1, -1))


def shapes_of(traced: fx.GraphModule, shape: Sequence[int]) -> dict[fx.Node, tuple[int, ...]]:
    """Return the shape of every value of a traced graph for one image of (channels, height, width).

    Raises:
        UserError: The network does not accept images of that shape.
    """
    run = _Shapes(traced)
    parameter = next(traced.parameters(), torch.empty(0))
    try:
        with torch.no_grad():
            run.run(torch.zeros(1, *shape, device=parameter.device))
    except RuntimeError as error:
        raise UserError(
            f"The network does not accept images of shape {tuple(shape)} (channels, height, width): {error}"
        ) from error
    return run.shapes


class _Shapes(fx.Interpreter):
    """Records the shape of every value while a graph runs."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value
