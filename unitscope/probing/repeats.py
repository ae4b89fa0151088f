"""Whether a network repeats itself: the same image gets the same logits in every pass and among any other images."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.networks.layouts import arrange, in_layout
from unitscope.networks.normalization import network_of
from unitscope.probing.calls import LAYERS
from unitscope.probing.recorded import (
    Values,
    buffers_of,
    changed_buffer,
    check_finite,
    described_place,
    first_difference,
    record,
)


def check_repeats(module: nn.Module, images: Tensor, allowed: Collection[str] = ()) -> None:
    """Refuse a network that does not repeat itself: that draws random numbers, or looks at an image's neighbours.

    Args:
        module: The network, in eval mode. Its weights are brought into the contiguous layout, which all networks take.
        images: (images, channels, height, width), at least two.
        allowed: "randomness", "batch_dependence", or both, where that is allowed.

    Raises:
        UserError: The message names the module in which results begin to differ; or values are not finite.
    """
    images = in_layout(images.detach(), torch.contiguous_format)
    arrange(module, torch.contiguous_format)
    buffers = buffers_of(module)
    once = record(module, images)
    changed = changed_buffer(module, buffers)
    again = record(module, images, seed=1)
    # What overflows may be infinite in one pass and undefined in another.
    check_finite(once, type(network_of(module)).__name__)
    if "randomness" not in allowed and first_difference(once, again) is not None:
        # What all modules give is kept only where it is to be told: of a large network it is gigabytes.
        place = first_difference(*(record(module, images, nn.Module, seed) for seed in (0, 1)))
        if changed:
            cause = f"{changed} Change it only while self.training is true"
        elif first_difference(record(module, images), record(module, images)) is None:
            cause = (
                "It draws random numbers in eval mode, such as functional dropout with training=True. Switch that off"
            )
        else:
            cause = (
                "It does so with the same random numbers of torch, too: it may count its passes, keep values of the "
                "last one, or draw numbers elsewhere. Switch that off"
            )
        raise UserError(
            f"{type(network_of(module)).__name__} gives another answer when it runs again: results differ from "
            f"{described_place(place)} on. {cause}, or set networks.NAME.allow: [randomness]."
        )
    if "batch_dependence" in allowed or "randomness" in allowed:
        return
    # What depends on the place in a batch, or on the image before, is the same for the first.
    for compared, kinds in ((_of_first_image, LAYERS), (_of_last_image, ())):
        if first_difference(*compared(module, images, kinds)) is None:
            continue
        place = first_difference(*compared(module, images, nn.Module))
        raise UserError(
            f"{type(network_of(module)).__name__} gives an image another answer when it is alone than among others: "
            f"results differ from {described_place(place)} on. It may use statistics of the batch, other images of it, "
            "or the image's place in it (random numbers of one seed for a whole batch). Switch that off, or set "
            "networks.NAME.allow: [batch_dependence]."
        )


def _of_first_image(module: nn.Module, images: Tensor, kinds: Any) -> tuple[Values, Values]:
    """Return what parts give for the first image among others, and alone; only of parts whose rows are images."""
    together, alone = record(module, images, kinds), record(module, images[:1], kinds)
    pairs = [
        ((path, batch_value[:1]), (path, single_value[:1]))
        for (path, batch_value), (_, single_value) in zip(together, alone, strict=False)
        if batch_value.dim() and single_value.dim() and batch_value[:1].shape == single_value[:1].shape
    ]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _of_last_image(module: nn.Module, images: Tensor, kinds: Any) -> tuple[Values, Values]:
    """Return the same for the last image, whose row is not the first; kinds are none, or those of all modules."""
    together, alone = record(module, images, kinds), record(module, images[-1:], kinds)
    pairs = [
        ((path, batch_value[-1:]), (path, single_value))
        for (path, batch_value), (_, single_value) in zip(together, alone, strict=False)
        if batch_value.dim() and len(batch_value) == len(images) and batch_value[-1:].shape == single_value.shape
    ]
    return [batch_value for batch_value, _ in pairs], [single_value for _, single_value in pairs]
