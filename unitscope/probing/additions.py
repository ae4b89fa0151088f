"""Code of the user's own in a module: hooks, methods of one instance, weights that are computed from others."""

from typing import Any, TypeGuard, TypeVar

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from unitscope.probing.following import NORMS

_WEIGHTS_COMPUTED = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks of torch's own, which compute a weight from others before a forward pass and do nothing else."""


def forward_addition(module: nn.Module) -> str:
    """Return what of the user's own runs when a module is called, beside the code of its class; "" where nothing does.

    The hooks by which torch computes a weight from others (weight norm, spectral norm, pruning) do not count.
    """
    if method := next((name for name in vars(module) if callable(getattr(type(module), name, None))), ""):
        return f"a method {method} of its own"
    if module._forward_hooks:
        return "a forward hook"
    if not all(isinstance(hook, _WEIGHTS_COMPUTED) for hook in module._forward_pre_hooks.values()):
        return "a forward pre-hook"
    return ""


def refuse_additions(module: nn.Module, called: str) -> None:
    """Refuse code of the user's own in a module that a graph holds as one operation.

    It may keep values for the rest of the network, which reads those of the last pass while it is traced, and may do to
    one channel something else than to all of them.
    """
    for part in module.modules():
        if addition := forward_addition(part):
            raise TypeError(f"{called} has {addition}, which a graph does not show")


Kind = TypeVar("Kind", bound=nn.Module)


def is_unhooked(module: nn.Module) -> bool:
    """Return whether a module does, forward and backward, what its class does: other code may do the same for it."""
    return not (forward_addition(module) or module._backward_hooks or module._backward_pre_hooks)


def keeps_no_output(module: nn.Module) -> bool:
    """Return whether a module is a layer or batch norm of torch's own, whose gradient does not need its output.

    What it gives may be changed in place then. A weight that is computed from others changes nothing about that.
    """
    return type_before_parametrizations(module) in (nn.Conv2d, nn.Linear, *NORMS) and is_unhooked(module)


def is_plain(module: Any, kind: type[Kind]) -> TypeGuard[Kind]:
    """Return whether a module computes what its class does, from parameters of its own.

    A subclass, a hook, or a weight that is computed from others (pruned, normalized) may do something else.
    """
    if type(module) is not kind or not is_unhooked(module) or module._forward_pre_hooks:
        return False
    return "weight" in module._parameters or not hasattr(module, "weight")
