"""Layers whose output has one row for each image: the others have no activation of an image."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.networks.closeness import close, same_logits
from unitscope.networks.normalization import network_of
from unitscope.networks.outputs import is_transformed, tensors_in
from unitscope.probing.calls import LAYERS, call_name
from unitscope.probing.layer import read_out, unit_axis

TOGETHER = 5
"""Images of the pass whose rows are compared with those of each image alone; more than small parts of a batch hold."""


@dataclass(frozen=True)
class Call:
    """What one call of a layer gave.

    Attributes:
        shape: Of its output.
        rows: (images, units), the largest value of each map, as means may cancel; None where the first axis is not the
            images, or values are complex.
        is_complex: Whether its values are complex numbers.
    """

    shape: tuple[int, ...]
    rows: Tensor | None
    is_complex: bool


def without_rows(module: nn.Module, images: Tensor) -> dict[str, str]:
    """Return the layers whose output does not have one row for each image, by name, with the reason.

    Args:
        module: The network, in eval mode.
        images: (images, channels, height, width).

    Raises:
        UserError: The network does not take one image alone.
    """
    name, batch = type(network_of(module)).__name__, images[torch.arange(TOGETHER) % len(images)]
    together, outputs = _calls(module, batch)
    same, alone = True, []
    for index, image in enumerate(batch[: len(images)].split(1)):
        fault = ""
        try:
            calls, singles = _calls(module, image)
        # Whatever a network's own code comes upon where an axis is missing.
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        else:
            for output, single in zip(outputs, singles, strict=False):
                if output.dim() and len(output) == len(batch) and single.shape != (1, *output.shape[1:]):
                    fault = f"its output has the shape {tuple(single.shape)} instead of {(1, *output.shape[1:])}"
                same = same and (
                    not output.dim()
                    or single.shape != output[:1].shape
                    or same_logits(output[index : index + 1], single)
                )
        if fault:
            raise UserError(
                f"{name} takes {len(batch)} images, but not one image alone ({fault}). x.squeeze() without an axis "
                "removes the axis of the images too, if there is one image: write x.flatten(1), or x.squeeze(-1)."
            )
        alone.append(calls)
    reasons = {}
    for layer in dict.fromkeys([*together, *(layer for calls in alone for layer in calls)]):
        calls_alone = [calls[layer] for calls in alone if layer in calls]
        if layer not in together or len(calls_alone) < len(alone):
            reasons[layer] = "it is not called once for all images and once for each image alone"
            continue
        call, rows = together[layer], [each.rows for each in calls_alone if each.rows is not None]
        if call.is_complex:
            reasons[layer] = "its values are complex numbers; layers that read their real part or size can be tapped"
        elif call.rows is None or len(rows) < len(alone):
            reasons[layer] = (
                f"its output has the shape {call.shape} for {len(batch)} images, and {calls_alone[0].shape} for one: "
                "the first axis is not the images"
            )
        # Of a network that depends on the batch no layer gives the same.
        elif same and not all(close(call.rows[index], row[0]) for index, row in enumerate(rows)):
            reasons[layer] = "its output for an image among others is not the one for that image alone"
    return reasons


def _calls(module: nn.Module, images: Tensor) -> tuple[dict[str, Call], list[Tensor]]:
    """Return what every call of a layer gives, by the name of the layer, and what the whole gives."""
    calls: dict[str, Call] = {}

    def keep(part: nn.Module, _: Any, output: Any, path: str) -> None:
        if not isinstance(output, Tensor) or is_transformed(output):
            return
        kind, dimensions = ("conv", {4}) if isinstance(part, nn.Conv2d) else ("linear", range(2, 9))
        by_image = output.dim() in dimensions and len(output) == len(images) and not output.is_complex()
        rows = read_out(output, unit_axis(kind), "max").clone() if by_image else None
        calls[call_name(path, calls)] = Call(tuple(output.shape), rows, output.is_complex())

    handles = [
        part.register_forward_hook(partial(keep, path=path))
        for path, part in module.named_modules()
        if isinstance(part, LAYERS) and not isinstance(part, torch.jit.ScriptModule)
    ]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            returned = module(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    return calls, list(tensors_in(returned).values())
