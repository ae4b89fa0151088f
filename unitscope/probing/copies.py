"""Copies of a caller's network, so that nothing done here can change it."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as of_all_modules

from unitscope.errors import UserError
from unitscope.networks.layouts import arrange, in_layout
from unitscope.networks.normalization import OnPixels, unchanged
from unitscope.networks.outputs import Key, Outputs, candidates, find_outputs
from unitscope.runtime.console import log


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


def per_channel(name: str, values: Any, channels: int) -> list[float]:
    """Return a mean or standard deviation as a list: one number, or one per channel.

    Raises:
        UserError: It is neither; the message begins with its name.
    """
    numbers = np.atleast_1d(np.asarray(values, np.float64))
    if numbers.ndim != 1 or len(numbers) not in (1, channels) or not np.isfinite(numbers).all():
        raise UserError(f"{name} is {values!r}; give one number, or one for each of the {channels} channels.")
    return [float(number) for number in numbers]


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a network's first tensor; the processor if it has none."""
    tensors = (*module.parameters(), *module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def on_pixels(model: nn.Module, images: Tensor, scales: Sequence[Sequence[float]], output: Key | None) -> OnPixels:
    """Return a copy of a caller's network with its normalization; the network itself where it cannot be copied.

    Args:
        model: The caller's network, which is left as it was.
        images: (images, channels, height, width) with values in [0, 1].
        scales: Mean and standard deviation, as `per_channel` returns them.
        output: Key or position of the logits; None where it is to be found out.

    Raises:
        UserError: The network does not accept the images, or does not return logits that can be told.
    """
    name, mean, std = type(model).__name__, *scales
    other = copied(model)
    network = model if other is None else other.eval().requires_grad_(False)
    # All networks take this layout.
    contiguous = in_layout(images, torch.contiguous_format)
    normalized = OnPixels(nn.Identity(), mean, std, Outputs()).to(images.device)(contiguous)
    try:
        if other is None:
            with unchanged(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
                returned, apart = model(normalized), False
        else:
            returned, apart = run_apart(model, arrange(network, torch.contiguous_format), normalized)
    # A network of the user's own may raise anything.
    except Exception as error:
        raise UserError(
            f"{name} does not accept images of shape {tuple(images.shape[1:])} (channels, height, width): "
            f"{type(error).__name__}: {error}"
        ) from error
    if not apart:
        log.warning(
            "%s cannot be copied, or a function in it holds the module itself: the probe runs that, and restores its "
            "modes and buffers after each pass.",
            name,
        )
    outputs = Outputs()
    if output is not None or not isinstance(returned, Tensor) or candidates(returned, len(images)):
        outputs = find_outputs(returned, len(images), [], {"output": output}, "Probe")
    return OnPixels(network if apart else model, mean, std, outputs, borrowed=not apart).eval()
