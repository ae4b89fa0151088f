"""Element-wise nonlinearities: which operations are one, and whether their output can be negative.

One list for all ways to read a network: modules, functions and methods of the same name mean the same.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_POSITIVE = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "softplus": nn.Softplus,
}
_SIGNED = {
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "celu": nn.CELU,
    "selu": nn.SELU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "rrelu": nn.RReLU,
    "logsigmoid": nn.LogSigmoid,
    "softsign": nn.Softsign,
    "tanhshrink": nn.Tanhshrink,
    "softshrink": nn.Softshrink,
    "hardshrink": nn.Hardshrink,
}
_BOUNDED: dict[str, Any] = {"hardtanh": nn.Hardtanh, "threshold": nn.Threshold}
"""Their sign depends on their arguments."""
_CLAMPS = ("clamp", "clip", "clamp_min", "clamp_max")


def names_of(operations: Iterable[str]) -> dict[Any, str]:
    """Return the name of each operation by its functions, its method and the overloads of its ATen operator."""
    names: dict[Any, str] = {}
    for name in operations:
        for home in (torch, F, Tensor):
            if (function := getattr(home, name, None)) is not None:
                names[function] = name
        # Exported programs call overloads: `aten.clamp.default`.
        packet = getattr(torch.ops.aten, "log_sigmoid" if name == "logsigmoid" else name, None)
        if packet is not None:
            names |= {getattr(packet, overload): name for overload in packet.overloads()}
        names[name] = name
    return names


def _by_operation() -> dict[Any, str]:
    """Return the name of every nonlinearity by its module class, its functions, its method and its operators."""
    named = {**_POSITIVE, **_SIGNED, **_BOUNDED}
    return {kind: name for name, kind in named.items()} | names_of((*named, *_CLAMPS))


_NAMES = _by_operation()


def is_rectifier(operation: Any) -> bool:
    """Return whether an operation is max(x, 0), by its module class, its function or the name of its method."""
    return _NAMES.get(_hashable(operation)) == "relu"


def is_positive(operation: Any, arguments: Callable[[int, str], Any]) -> bool | None:
    """Return whether the output of a nonlinearity is never negative; None for any other operation.

    Args:
        operation: The class of a module, a function out of place, or the name of a method.
        arguments: Gives an argument by its position, the input being number 0, or by its name; None where it is absent.
    """
    name = _NAMES.get(_hashable(operation))
    if name is None:
        return None
    if name == "threshold":
        return all(_not_negative(arguments(*key)) for key in ((1, "threshold"), (2, "value")))
    if name == "hardtanh":
        return _not_negative(arguments(1, "min_val"))
    if name in _CLAMPS:
        return name != "clamp_max" and _not_negative(arguments(1, "min"))
    return name in _POSITIVE


def _not_negative(bound: Any) -> bool:
    return isinstance(bound, int | float) and bound >= 0


def _hashable(operation: Any) -> Any:
    try:
        hash(operation)
    except TypeError:
        return None
    return operation
