"""The rule by which operations follow a layer: where it is tapped, and what its activation is.

One rule for all ways to read a network. A layer is a convolution or linear module. It is tapped at the last module
before its nonlinearity: the module itself, or the batch norm behind it. Its activation is the output of the
nonlinearity that directly follows, else the tapped output itself (signed).
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

from torch import nn
from torch.nn import functional as F

from unitscope.probing.nonlinearities import keeps_values
from unitscope.runtime.console import log

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
TRANSPARENT: tuple[Any, ...] = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout),
)
"""What passes its input on in eval mode, and so does not separate a layer from its nonlinearity."""

Value = TypeVar("Value")


def tap_and_activation(
    layer: Value,
    readers: Callable[[Value], list[Value]],
    passes: Callable[[Value], bool],
    norms: Callable[[Value], bool],
    bends: Callable[[Value], bool],
) -> tuple[Value, Value | None]:
    """Return where a layer is tapped, and the nonlinearity that directly follows; None where none does.

    The one rule for every way to read a network. An operation follows directly if it alone reads the values, through
    what passes its input on: of `x * sigmoid(x)` and `x + relu(x)` the activation is x. What reads only the shape, and
    what does not lead to the network's output, does not count.

    Args:
        layer: What the layer's module gives.
        readers: Gives the operations that read a value and lead to the output, each standing for what it gives.
        passes: Tells an operation that passes its input on in eval mode.
        norms: Tells a batch norm.
        bends: Tells a nonlinearity.
    """

    def follow(value: Value, matches: Callable[[Value], bool]) -> Value | None:
        while len(following := readers(value)) == 1:
            (value,) = following
            if matches(value):
                return value
            if not passes(value):
                return None
        return None

    tap = follow(layer, norms) or layer
    return tap, follow(tap, bends)


def unrecognized(
    tap: Value,
    readers: Callable[[Value], list[Value]],
    operands: Callable[[Value], Iterable[Value]],
    operation: Callable[[Value], str | None],
) -> tuple[str, ...]:
    """Return the names of the element-wise operations of a layer alone that follow its tap, where none is recognized.

    They stand between the tap and the one value that everything else reads, as in `where(x > 0, x, 0)` or in an affine
    function with constants. None where something else reads the tap or a value between.

    Args:
        tap: Where the layer is tapped.
        readers: As `tap_and_activation` takes it.
        operands: Gives the operations whose results an operation reads and which depend on the images.
        operation: As `nonlinearities.elementwise`.
    """
    region, grown = {tap: ""}, True
    while grown:
        following = [reader for value in region for reader in readers(value) if reader not in region]
        of_layer = [each for each in following if all(operand in region for operand in operands(each))]
        named = {each: name for each in of_layer if (name := operation(each)) is not None}
        region |= named
        grown = bool(named)
    ends = [value for value in region if any(reader not in region for reader in readers(value))]
    names = tuple(dict.fromkeys(name for name in region.values() if name))
    return names if len(ends) == 1 and ends != [tap] else ()


@cache
def say_unrecognized(network: str, operations_by_layer: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
    """Say once at which layers of a network the activation is taken before operations that `unrecognized` gives."""
    layers_of: dict[tuple[str, ...], list[str]] = {}
    for layer, operations in operations_by_layer:
        if operations:
            layers_of.setdefault(operations, []).append(layer)
    for operations, names in layers_of.items():
        more = f" and {len(names) - 3} more layers" if len(names) > 3 else ""
        log.warning(
            "%s: the activation of %s%s is taken before %s: no single nonlinearity that unitscope recognizes directly "
            "follows (docs/networks.md).",
            network,
            ", ".join(names[:3]),
            more,
            ", ".join(operations),
        )


def passes_on(operation: Any, arguments: Callable[[int, str], Any]) -> bool:
    """Return whether an operation gives its input in eval mode, copied or as other floating-point numbers.

    A function that drops values may be switched on there.

    Args:
        operation: As `nonlinearities.is_positive` takes it.
        arguments: Likewise.
    """
    if operation in TRANSPARENT:
        return isinstance(operation, type) or arguments(2, "training") is False
    return keeps_values(operation, arguments)
