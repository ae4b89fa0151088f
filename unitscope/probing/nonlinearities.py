"""Element-wise operations: which are nonlinearities, whether their output can be negative, and which pass values on.

One list for all ways to read a network: modules, functions and methods of the same name mean the same.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn
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
            names |= {packet: name, **{getattr(packet, overload): name for overload in packet.overloads()}}
        names[name] = name
    return names


def _by_operation() -> dict[Any, str]:
    """Return the name of every nonlinearity by its module class, its functions, its method and its operators."""
    named = {**_POSITIVE, **_SIGNED, **_BOUNDED}
    aliases = {torch.special.expit: "sigmoid"}
    return {kind: name for name, kind in named.items()} | aliases | names_of((*named, *_CLAMPS))


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


_CONVERSIONS = names_of(("to", "_to_copy"))
_COPIES = names_of(("clone", "contiguous", "float", "double", "half", "bfloat16"))


def keeps_values(operation: Any, arguments: Callable[[int, str], Any]) -> bool:
    """Return whether an operation copies its input, or converts it to a type of floating-point numbers or a place.

    Args:
        operation: As `is_positive` takes it.
        arguments: Likewise.
    """
    operation = _hashable(operation)
    if operation in _CONVERSIONS:
        keys = ((1, "dtype"), (2, "dtype"), (1, "device"), (9, "memory_format"))
        # `to` takes whether to wait and to copy at these places, too.
        values = [value for key in keys if not isinstance(value := arguments(*key), bool | None)]
        return bool(values) and all(_of_conversion(value) for value in values)
    return operation in _COPIES


def _of_conversion(value: Any) -> bool:
    if isinstance(value, fx.Node):
        # In a traced graph: `y.dtype` and `y.device`.
        return value.target is getattr and value.args[1] in ("dtype", "device")
    if isinstance(value, torch.dtype):
        return value.is_floating_point
    return isinstance(value, torch.device | torch.memory_format | str)


_ELEMENTWISE = {
    *("add", "sub", "mul", "div", "pow", "neg", "abs", "absolute", "square", "sqrt", "rsqrt", "reciprocal", "rsub"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinc"),
    *("sinh", "cosh", "asinh", "acosh", "atanh", "erf", "erfc", "sign", "sgn", "heaviside", "round", "floor", "ceil"),
    *("trunc", "frac", "maximum", "minimum", "fmax", "fmin", "where", "masked_fill", "nan_to_num", "lerp", "logit"),
    *("gt", "lt", "ge", "le", "eq", "ne", "greater", "less", "greater_equal", "less_equal", "not_equal", "addcmul"),
    *("addcdiv", "logical_and", "logical_or", "logical_not", "zeros_like", "ones_like", "full_like", "bool", "int"),
}
_UNNAMED = {
    *("detach", "type_as", "identity", "dropout", "dropout1d", "dropout2d", "feature_dropout", "alpha_dropout"),
    *("feature_alpha_dropout", "featurealphadropout", "alphadropout", *_COPIES.values(), *_CONVERSIONS.values()),
}
"""What passes its input on, or may."""


def elementwise(operation: Any, operands: int) -> str | None:
    """Return the name of an element-wise operation; "" where it passes its input on, None for any other operation.

    Args:
        operation: As `is_positive` takes it.
        operands: Number of tensors that it reads.
    """
    called = operation if isinstance(operation, str) else getattr(operation, "__name__", "")
    name: str = called.split(".")[0].strip("_")
    if isinstance(operation, type):
        name = name.lower() if issubclass(operation, nn.Module) else ""
    if name.removeprefix("r") in ("add", "sub", "mul", "truediv", "pow"):
        name = name.removeprefix("r")
    name = _NAMES.get(_hashable(operation), "div" if name == "truediv" else name)
    if name in _UNNAMED or name in _COPIES:
        return ""
    # Of two tensors, the larger of each pair; of one, the largest of all.
    is_elementwise = name in _ELEMENTWISE or name in _NAMES or (name in ("max", "min") and operands == 2)
    return name if is_elementwise else None


def _not_negative(bound: Any) -> bool:
    return isinstance(bound, int | float) and bound >= 0


def _hashable(operation: Any) -> Any:
    try:
        hash(operation)
    except TypeError:
        return None
    return operation
