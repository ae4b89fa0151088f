"""Whether a form of a network computes what the network computes: each is compared with it before it is used.

Tracing, folding and other memory layouts make a network quicker to read, and may make another network of it: one whose
code branches on what torch.fx cannot show, changes a tensor in place, or needs its memory in one order. So each form
computes the network's own logits first, and the outputs of its layers, on a few images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, fx

from unitscope.errors import UserError
from unitscope.networks.layouts import in_layout
from unitscope.networks.normalization import OnPixels, network_of, refuse_scripts, set_layout
from unitscope.probing.hooked import Hooked
from unitscope.probing.recorded import (
    Values,
    agrees,
    buffers_of,
    changed_buffer,
    check_finite,
    ends_of,
    record,
    record_graph,
)
from unitscope.probing.rows import without_rows
from unitscope.probing.tracing import trace
from unitscope.runtime.console import log


@dataclass(frozen=True)
class Verified:
    """The form in which a network is read: the quickest that computes what the network computes.

    Attributes:
        graph: The traced graph; None where the network is followed by hooks.
        hooked: The network followed by hooks, in the memory layout in which it runs.
        images: (images, channels, height, width) on which other parts of a form are compared too, in that layout.
        logits: (images, classes), the network's own for these; None where it returns anything else than one tensor.
        refused: Layers that have no activation for each image, by name, with the reason.
    """

    graph: fx.GraphModule | None
    hooked: Hooked
    images: Tensor
    logits: Tensor | None
    refused: Mapping[str, str]


def verify(module: OnPixels, images: Tensor) -> Verified:
    """Choose the form in which a network is read, and the memory layout in which it runs.

    Args:
        module: The network, in eval mode, whose output is logits (images, classes). Its weights are converted to the
            layout.
        images: (images, channels, height, width), on the network's device, with values in [0, 1].

    Raises:
        UserError: The network computes values that are not finite, does not accept one image alone, or no form computes
            what it computes.
    """
    name = type(network_of(module)).__name__
    refuse_scripts(network_of(module))
    images = images.detach()
    set_layout(module, torch.contiguous_format)
    buffers = buffers_of(module)
    expected = record(module, in_layout(images, torch.contiguous_format))
    changed = changed_buffer(module, buffers)
    check_finite(expected, name)
    refused = without_rows(module, in_layout(images, torch.contiguous_format))
    layout = torch.channels_last

    def in_channels_last() -> Values:
        set_layout(module, layout)
        return record(module, in_layout(images, layout))

    if not agrees(in_channels_last, expected):
        layout = torch.contiguous_format
        set_layout(module, layout)
        log.warning("%s differs or fails in the layout channels last: it runs in the contiguous one.", name)
    arranged = in_layout(images, layout)
    # What the network keeps of a pass, and a graph would hold as constants, is then not that of these images.
    record(module, arranged[:1])
    graph = trace(module)
    # Twice: a graph may hold what its passes change, such as a generator of random numbers.
    if graph is not None and not (
        agrees(partial(record_graph, graph, arranged), expected)
        and agrees(partial(record_graph, graph, arranged, seed=1), record(module, arranged, seed=1))
    ):
        graph = None
        log.warning(
            "%s computes something else once torch.fx has traced it: its layers are followed by hooks instead, and "
            "every ablation is a full pass.",
            name,
        )
    ends = [value for path, value in expected if not path]
    hooked = Hooked(module, images)
    if graph is None:
        if not agrees(lambda: ends_of(hooked.logits(images)), expected[-len(ends) :]):
            raise UserError(
                f"{name} computes something else while its layers are followed than by itself, in every way that there "
                f"is to follow them. {changed or 'Its forward pass may depend on how often it has run.'}"
            )
        refused = {**hooked.changing_plans(images), **refused}
    return Verified(graph, hooked, images, ends[0] if len(ends) == 1 else None, refused)
