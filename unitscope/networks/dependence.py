"""Which values of a computation depend on which others."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import fx

Value = TypeVar("Value")

METADATA = {
    *("size", "shape", "dim", "ndim", "ndimension", "numel", "nelement", "element_size", "stride", "storage_offset"),
    *("device", "get_device", "dtype", "layout", "is_cuda", "is_contiguous", "is_floating_point", "is_complex"),
    *("requires_grad", "is_leaf", "is_inference", "_version", "__len__", "len"),
}
"""Attributes, methods and functions that read a tensor's metadata and none of its values."""


def reachable(starts: Iterable[Value], following: Callable[[Value], Iterable[Value]]) -> set[Value]:
    """Return all values that can be reached from some, these included.

    Args:
        starts: The values to start from.
        following: Gives the values one step further: the readers of a value, or the values that it is computed from.
    """
    reached = set(starts)
    waiting = list(reached)
    while waiting:
        new = set(following(waiting.pop())) - reached
        reached |= new
        waiting.extend(new)
    return reached


def reads_values(node: fx.Node) -> bool:
    """Return whether a node of a graph reads more of a tensor than its metadata."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return (node.args[1] if name == "getattr" else name) not in METADATA


def depending_on_images(images: Iterable[fx.Node]) -> set[fx.Node]:
    """Return the nodes of a graph whose values depend on those of the images.

    Args:
        images: The nodes that stand for the images.
    """
    return reachable(images, lambda node: filter(reads_values, node.users))
