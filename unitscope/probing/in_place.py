"""Operations in place: their counterparts that return new tensors, and graphs in which no operation is in place."""

import copy
import inspect
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from unitscope.probing.following import TRANSPARENT

OPERATORS = (
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
)
_IN_PLACE = {getattr(operator, f"i{name}"): getattr(operator, f"__{name}__") for name in OPERATORS}
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


class NoSuchOperation(Exception):
    """An operation in place has no counterpart that works into a new tensor."""


def into_new_tensors(traced: fx.GraphModule) -> set[fx.Node]:
    """Let nothing be done in place; return the nodes that did."""
    changing = set()
    flagged = set()
    for node in traced.graph.nodes:
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
            function = out_of_place(node.target)
            # A call without the flag is recorded with inplace=False.
            flag, node.args, node.kwargs = _without_flag(node, function)
            if flag or function is not node.target:
                changing.add(node)
            node.target = function
        elif node.op == "call_method" and node.target.endswith("_") and not node.target.endswith("__"):
            if not callable(getattr(Tensor, node.target.removesuffix("_"), None)):
                raise NoSuchOperation(f"it calls {node.target}, which changes a tensor in place")
            node.target = node.target.removesuffix("_")
            changing.add(node)
    return changing


def later_readers_see(traced: fx.GraphModule, changing: set[fx.Node]) -> bool:
    """Let who reads a tensor after a change in place read what the change gave; False where that cannot be told."""
    position = {node: number for number, node in enumerate(traced.graph.nodes)}
    sharing: dict[fx.Node, set[fx.Node]] = {}
    for node in traced.graph.nodes:
        source = next(iter(node.all_input_nodes), None)
        sharing[node] = {node}
        if node in changing and source is not None:
            for alias in sharing[source]:
                later_users = [user for user in alias.users if position[user] > position[node]]
                if later_users and alias is not source:
                    return False
                for user in later_users:
                    user.replace_input_with(alias, node)
        if source is not None and (node in changing or _shares(node, traced)):
            sharing[node] = sharing[source]
            sharing[node].add(node)
    return True


def _shares(node: fx.Node, traced: fx.GraphModule) -> bool:
    """Return whether what a node gives may lie in the memory of what it is given."""
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), _PASSED_ON)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _SHARING


def out_of_place(function: Any) -> Any:
    """Return what a function does, done into a new tensor: `torch.relu` for `torch.relu_`."""
    name = getattr(function, "__name__", "")
    if name.endswith("_") and not name.endswith("__"):
        for home in (torch, F, Tensor):
            if getattr(home, name, None) is function and hasattr(home, name[:-1]):
                return getattr(home, name[:-1])
    return _IN_PLACE.get(function, function)


def _without_flag(node: fx.Node, function: Any) -> tuple[bool, tuple[Any, ...], dict[str, Any]]:
    """Return a function's flag `inplace`, named or by position, and the arguments of its call without it."""
    kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    flag = node.kwargs.get("inplace", False)
    try:
        position = list(inspect.signature(function).parameters).index("inplace")
    except (TypeError, ValueError):
        return flag is not False, node.args, kwargs
    if len(node.args) <= position:
        return flag is not False, node.args, kwargs
    return node.args[position] is not False, (*node.args[:position], False, *node.args[position + 1 :]), kwargs
