"""Operators of ATen in the graph of an exported program, and the functions of Python that they stand for."""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from unitscope.networks.dependence import reachable

FUNCTIONS: dict[str, tuple[Any, int]] = {
    "relu": (F.relu, 1),
    "relu6": (F.relu6, 1),
    "sigmoid": (torch.sigmoid, 1),
    "tanh": (torch.tanh, 1),
    "gelu": (F.gelu, 1),
    "silu": (F.silu, 1),
    "mish": (F.mish, 1),
    "hardswish": (F.hardswish, 1),
    "hardsigmoid": (F.hardsigmoid, 1),
    "leaky_relu": (F.leaky_relu, 2),
    "elu": (F.elu, 2),
    "selu": (F.selu, 1),
    "celu": (F.celu, 2),
    "softplus": (F.softplus, 3),
    "prelu": (F.prelu, 2),
    "max_pool2d": (F.max_pool2d, 6),
    "avg_pool2d": (F.avg_pool2d, 7),
    "adaptive_avg_pool2d": (F.adaptive_avg_pool2d, 2),
    "flatten": (torch.flatten, 3),
}
"""What `unitscope.probing` knows an ATen operator (without the "_" of one in place) as, and how many arguments
mean the same to both."""

COMPOSED: dict[tuple[str, str], Callable[[Any], tuple[Any, ...]]] = {
    # x / (|x| + 1)
    ("softsign", "div"): lambda node: (F.softsign, node.args[0]),
    # x - tanh(x)
    ("tanhshrink", "sub"): lambda node: (F.tanhshrink, node.args[0]),
    # where(|x| > threshold, x - sign(x) threshold, 0 x)
    ("softshrink", "where"): lambda node: (F.softshrink, node.args[1].args[0], node.args[0].args[1]),
    # where(|x| <= threshold, 0, x)
    ("hardshrink", "where"): lambda node: (F.hardshrink, node.args[2], node.args[0].args[1]),
    # The first of what rrelu_with_noise_functional(x, noise, lower, upper, training) gives.
    ("rrelu", ""): lambda node: (F.rrelu, node.args[0].args[0], *node.args[0].args[2:5]),
}
"""Nonlinearities that some programs compute by several operators, by their names and the last operator: the function
and its arguments."""

DROPOUTS = ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
DECOMPOSED_NORM = "_native_batch_norm_legit_no_training"


def operator_of(node: fx.Node) -> tuple[str, str]:
    """Return name and overload of an ATen operator; empty texts for other functions."""
    schema = getattr(node.target, "_schema", None)
    return (schema.name.removeprefix("aten::"), schema.overload_name or "default") if schema else ("", "")


def function_called(node: fx.Node) -> str:
    """Return the name of the function that was called from Python for a node; an empty text where it is not known."""
    call, *_ = node.meta.get("torch_fn") or ("",)
    return re.sub(r"(_\d+)?$", "", str(call), count=1).rstrip("_")


def aliases(node: fx.Node) -> set[fx.Node]:
    """Return all values that share their memory with one."""
    base = node
    while is_view(base) and isinstance(base.args[0], fx.Node):
        base = base.args[0]
    return reachable([base], lambda value: filter(is_view, value.users))


def is_view(node: fx.Node) -> bool:
    """Return whether a value shares its memory with the one that it is computed from."""
    schema = getattr(node.target, "_schema", None)
    returns = schema.returns if schema else ()
    return any(value.alias_info and not value.alias_info.is_write for value in returns)
