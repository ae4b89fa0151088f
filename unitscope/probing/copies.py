"""Copies of a caller's network, so that nothing done here can change it."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as of_all_modules

from unitscope.networks.normalization import unchanged


def copied(network: nn.Module) -> nn.Module | None:
    """Return a copy of a network that shares no tensor with it; None where it holds what cannot be copied."""
    memo: dict[int, Any] = {}
    for part in network.modules():
        for value in (*vars(part).values(), *part._buffers.values()):
            # What an earlier pass has left is part of its graph of gradients, which has no copy.
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(network, memo)
    # Whatever the network's own attributes raise, such as generators, locks and open files.
    except Exception:
        return None


def run_apart(network: nn.Module, other: nn.Module, images: Tensor) -> tuple[Any, bool]:
    """Run a copy of a network, and find out whether the network itself takes part.

    It does where a function of the copy, such as a hook or a forward pass set on one instance, holds the network.

    Args:
        network: The caller's, which is left as it was.
        other: The copy.
        images: (images, channels, height, width), normalized.

    Returns:
        What the copy returns, and whether no module of the network was called.
    """
    modules = set(network.modules())
    called: list[nn.Module] = []

    def note(module: nn.Module, _: Any) -> None:
        if module in modules:
            called.append(module)

    handle = of_all_modules.register_module_forward_pre_hook(note)
    try:
        with unchanged(network), torch.no_grad(), torch.random.fork_rng(devices=[]):
            returned = other(images)
    finally:
        handle.remove()
    return returned, not called
