"""Calls of functions and modules while a network runs, as hooks and torch functions see them."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from unittest.mock import patch

from torch import Tensor, nn
from torch.utils.hooks import BackwardHook, RemovableHandle

from unitscope.networks.outputs import tensors_in

LAYERS = (nn.Conv2d, nn.Linear)


class Follower(Protocol):
    """A mode for torch functions that follows tensors through a pass."""

    def follow(self, name: str, part: nn.Module) -> list[RemovableHandle]:
        """Add hooks to a module of the network, and return their handles."""

    def same(self, one: Tensor, other: Tensor) -> None:
        """Note that a tensor is another one, for the sake of gradients."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *arguments: Any) -> Any: ...


def states(value: Any) -> list[tuple[Tensor, int]]:
    """Return the tensors in a value with their versions, which tell whether they were changed in place."""
    return [(tensor, version_of(tensor)) for tensor in tensors_of(value)]


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; 0 of one of the inference mode, which does not count that."""
    return 0 if tensor.is_inference() else tensor._version


def call_name(name: str, previous_calls: Mapping[str, Any]) -> str:
    """Return the name of a call of a module, which may be a further one."""
    calls = sum(
        other == name or re.fullmatch(rf"{re.escape(name)}-call\d+", other) is not None for other in previous_calls
    )
    return f"{name}-call{calls + 1}" if calls else name


def name_of(function: Any) -> str:
    """Return a function's name; of what reads an attribute, that of the attribute."""
    name = getattr(function, "__name__", "")
    return getattr(function.__self__, "__name__", name) if name == "__get__" else name


def arguments_of_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[int, str], Any]:
    """Return a function that gives an argument of a call by its position or its name."""
    # The tensors need not stay.
    plain = [None if isinstance(value, Tensor) else value for value in args]
    named = {name: None if isinstance(value, Tensor) else value for name, value in kwargs.items()}
    return lambda place, name: plain[place] if len(plain) > place else named.get(name)


def tensors_of(value: Any) -> list[Tensor]:
    """Return the tensors in a value, as `outputs.tensors_in` finds them."""
    return list(tensors_in(value).values())


def may_be_in_place(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a function may change its first argument: torch says so by name or by a flag."""
    name = getattr(function, "__name__", "")
    augmented = name.startswith("__i") and name not in ("__index__", "__int__", "__invert__")
    return (
        (name.endswith("_") and not name.endswith("__"))
        or augmented
        or name == "__setitem__"
        or kwargs.get("out") is not None
        or any(flag is True for flag in (*args, *kwargs.values()))
    )


@contextlib.contextmanager
def _through_backward_hooks(watch: Follower) -> Iterator[None]:
    """Let a watch follow tensors through the function in which torch wraps them for backward hooks, unseen by modes."""

    def followed(wrap: Callable[[BackwardHook, Any], Any]) -> Callable[[BackwardHook, Any], Any]:
        def wrapped(hook: BackwardHook, values: Any) -> Any:
            wrapped_values = wrap(hook, values)
            for one, other in zip(tensors_of(values), tensors_of(wrapped_values), strict=True):
                watch.same(one, other)
            return wrapped_values

        return wrapped

    with (
        patch.object(BackwardHook, "setup_input_hook", followed(BackwardHook.setup_input_hook)),
        patch.object(BackwardHook, "setup_output_hook", followed(BackwardHook.setup_output_hook)),
    ):
        yield


@contextlib.contextmanager
def watched(module: nn.Module, watch: Follower) -> Iterator[None]:
    """Let a watch see what a network does."""
    handles = [handle for name, part in module.named_modules() for handle in watch.follow(name, part)]
    try:
        with watch, _through_backward_hooks(watch):
            yield
    finally:
        for handle in handles:
            handle.remove()
