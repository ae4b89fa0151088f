"""Networks as graphs that torch.fx traces, in which nothing is done in place.

What a layer is in such a graph is told by `unitscope.layers`.
"""

import copy
import inspect
import operator
from collections import OrderedDict
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from unitscope import console

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
TRANSPARENT: tuple[Any, ...] = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout),
)
"""What passes its input on in eval mode, and so does not separate a layer from its nonlinearity."""

_IN_PLACE = {
    getattr(operator, f"i{name}"): getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
}
_SHARING = {
    *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "expand"),
    *("expand_as", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "t", "diagonal", "narrow"),
    *(
        "select",
        "chunk",
        "split",
        "tensor_split",
        "unbind",
        "getitem",
        "getattr",
        "contiguous",
        "to",
        "type",
        "type_as",
    ),
    *("float", "detach", *(kind.__name__ for kind in TRANSPARENT if not isinstance(kind, type))),
}
"""Names of methods and functions that may return memory of what they are given."""
_PASSED_ON = (nn.Flatten, nn.Unflatten, *(kind for kind in TRANSPARENT if isinstance(kind, type)))
"""Modules that do."""


@cache
def _say_untraceable(network: str, reason: str) -> None:
    """Say once what a network that cannot be traced means."""
    console.log.warning(
        "The network %s cannot be traced by torch.fx (%s): its layers are followed by hooks instead, and every "
        "ablation is a full pass.",
        network,
        reason,
    )


class _Tracer(fx.Tracer):
    """Traces a network down to its layers, those of classes made from torch's own included."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (nn.Conv2d, nn.Linear, *NORMS)) or super().is_leaf_module(m, module_qualified_name)


def trace(module: nn.Module) -> fx.GraphModule | None:
    """Trace a network into a graph in which nothing is done in place; the module given is left as it is.

    None where torch.fx cannot trace it, or where it does not show who reads what was changed in place.
    """
    try:
        traced = fx.GraphModule(module, _Tracer().trace(module))
    # Whatever the network's own code raises when it is run on symbols.
    except Exception as error:
        _say_untraceable(type(module).__name__, str(error).partition("\n")[0])
        return None
    _open_norms(traced)
    changing = _into_new_tensors(traced)
    if not _later_readers_see(traced, changing):
        _say_untraceable(type(module).__name__, "it changes a tensor in place that is read through a view of it")
        return None
    traced.recompile()
    return traced


def _into_new_tensors(traced: fx.GraphModule) -> set[fx.Node]:
    """Let nothing be done in place; return the nodes that did."""
    changing = set()
    flagged = set()
    for node in traced.graph.nodes:
        before = node.target, node.args, node.kwargs
        if node.op == "call_module":
            target: Any = traced.get_submodule(node.target)
            if getattr(target, "inplace", False):
                # A shallow copy: the original keeps its flag, the parameters stay shared.
                target = copy.copy(target)
                target.inplace = False
                traced.set_submodule(node.target, target)
                flagged.add(node.target)
            # A module may be called several times.
            if node.target in flagged:
                changing.add(node)
        elif node.op == "call_function":
            node.target = out_of_place(node.target)
            node.args, node.kwargs = _without_flag(node)
        elif node.op == "call_method" and node.target.endswith("_") and not node.target.endswith("__"):
            node.target = node.target.removesuffix("_")
        if (node.target, node.args, node.kwargs) != before:
            changing.add(node)
    return changing


def _later_readers_see(traced: fx.GraphModule, changing: set[fx.Node]) -> bool:
    """Let who reads a tensor after a change in place read what the change gave; False where that cannot be told."""
    place = {node: number for number, node in enumerate(traced.graph.nodes)}
    sharing: dict[fx.Node, set[fx.Node]] = {}
    for node in traced.graph.nodes:
        given = next(iter(node.all_input_nodes), None)
        sharing[node] = {node}
        if node in changing and given is not None:
            for other in sharing[given]:
                late = [user for user in other.users if place[user] > place[node]]
                if late and other is not given:
                    return False
                for user in late:
                    user.replace_input_with(other, node)
        if given is not None and (node in changing or _shares(node, traced)):
            sharing[node] = sharing[given]
            sharing[node].add(node)
    return True


def _shares(node: fx.Node, traced: fx.GraphModule) -> bool:
    """Return whether what a node gives may lie in the memory of what it is given."""
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), _PASSED_ON)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _SHARING


def _open_norms(traced: fx.GraphModule) -> None:
    """Put torch's own batch norms in the place of those of classes that are made from them.

    A class without a forward pass of its own is the same; one that holds a nonlinearity too, as timm's
    `BatchNormAct2d`, is parted into `norm`, `drop` and `act`.
    """
    opened: dict[str, list[str]] = {}
    for node in list(traced.graph.nodes):
        if node.op != "call_module":
            continue
        if node.target not in opened:
            whole: Any = traced.get_submodule(node.target)
            plain = next((norm for norm in NORMS if isinstance(whole, norm)), None)
            if plain is None or plain is type(whole):
                continue
            # A shallow copy, which shares the parameters.
            norm = copy.copy(whole)
            norm.__class__, norm._modules = plain, {}
            if type(whole).forward is plain.forward:
                traced.set_submodule(node.target, norm)
                continue
            if [name for name, _ in whole.named_children()] != ["drop", "act"]:
                continue
            parts = {"norm": norm, "drop": whole.drop, "act": whole.act}
            traced.set_submodule(node.target, nn.Sequential(OrderedDict(parts)))
            opened[node.target] = [f"{node.target}.{name}" for name in parts]
        users, last = list(node.users), node
        node.target, *others = opened[node.target]
        for part in others:
            with traced.graph.inserting_after(last):
                last = traced.graph.call_module(part, (last,))
        for user in users:
            user.replace_input_with(node, last)


def out_of_place(function: Any) -> Any:
    """Return what a function does, done into a new tensor: `torch.relu` for `torch.relu_`."""
    name = getattr(function, "__name__", "")
    if name.endswith("_") and not name.endswith("__"):
        for home in (torch, F, Tensor):
            if getattr(home, name, None) is function and hasattr(home, name[:-1]):
                return getattr(home, name[:-1])
    return _IN_PLACE.get(function, function)


def _without_flag(node: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a function's call with `inplace`, named or by position, taken back."""
    kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    try:
        place = list(inspect.signature(node.target).parameters).index("inplace")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return node.args, dict(node.kwargs)
    return (*node.args[:place], *((False,) if len(node.args) > place else ()), *node.args[place + 1 :]), kwargs
