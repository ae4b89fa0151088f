"""Forms of a network: the same computation, traced or followed by hooks, in one layout of memory or another.

`unitscope.probing.faithful` chooses a form; `unitscope.probing.layers` reads a network in the form that is chosen here.
A network for which none is chosen is traced, channels last, and nothing has checked that this is the same network.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from unitscope.errors import UserError


@dataclass(frozen=True)
class Form:
    """How a network is read.

    Attributes:
        traced: Whether as the graph that torch.fx traces; else by hooks, while it runs.
        layout: Memory layout of images and weights.
        images: (images, channels, height, width) on which every other form is checked too; None where there are none.
        logits: (images, classes), the network's own on these.
        refused: Layers that have no activation for each image, by name, with the reason.
    """

    traced: bool = True
    layout: torch.memory_format = torch.channels_last
    images: Tensor | None = None
    logits: Tensor | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    def arranged(self, images: Tensor) -> Tensor:
        """Return images (images, channels, height, width) in the layout of this form."""
        return in_layout(images, self.layout)


_FORMS: WeakKeyDictionary[nn.Module, Form] = WeakKeyDictionary()
CLOSE = 1e-4
"""Largest difference between two forms of one network, as a share of the largest value."""
EXTREME = 5e3
"""A logit beyond this, and by far the largest, comes from a mask; the least that is in use is -1e4."""


def form_of(module: nn.Module) -> Form:
    """Return the form in which a network is read."""
    return _FORMS.get(module, Form())


def is_chosen(module: nn.Module) -> bool:
    """Return whether a form has been chosen for a network."""
    return module in _FORMS


def choose(module: nn.Module, form: Form) -> None:
    """Let a network be read in a form."""
    _FORMS[module] = form


def refuse_layers(module: nn.Module, layers: Iterable[str]) -> None:
    """Refuse layers that have no activation for each image.

    Raises:
        UserError: A layer is one of them; the message gives the reason.
    """
    for layer in layers:
        if reason := form_of(module).refused.get(layer):
            raise UserError(f"The layer {layer!r} has no activation for each image: {reason}. Choose another layer.")


def like(module: nn.Module, other: nn.Module) -> nn.Module:
    """Return a variant of another network (a copy, other weights), to be read in the same form."""
    if other in _FORMS:
        choose(module, replace(_FORMS[other], images=None, logits=None))
    return module


def in_layout(tensor: Tensor, layout: torch.memory_format) -> Tensor:
    """Return a tensor (..., ..., ..., ...) in a layout of memory.

    `contiguous` leaves a tensor of one channel as it is, whose memory is the same in both layouts, though operations
    go by its strides.
    """
    return tensor.to(memory_format=layout)


def arrange(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    """Bring a network's weights into a layout of memory, in place, and return it."""
    for tensor in (*module.parameters(), *module.buffers()):
        # The layouts differ for four axes alone; others, such as those of a 3-D convolution, cannot be channels last.
        if tensor.dim() == 4:
            tensor.data = in_layout(tensor.data, layout)
    return module


def close(one: Tensor, other: Tensor) -> bool:
    """Return whether two results are the same up to rounding, NaN and infinity being equal to themselves."""
    if one.shape != other.shape:
        return False
    one, other = (
        (torch.view_as_real(value.detach()) if value.is_complex() else value.detach()).float() for value in (one, other)
    )
    finite = one[torch.isfinite(one)].abs()
    bound = CLOSE * float(finite.max()) if len(finite) else 0.0
    return bool(torch.isclose(one, other, rtol=0.0, atol=bound, equal_nan=True).all())


def same_logits(one: Tensor, other: Tensor) -> bool:
    """Return whether logits (images, classes) are the same up to rounding.

    Classes that are masked by a large number, such as -1e9, are compared by themselves: as a share of it, every
    difference of the others is small.
    """
    if one.shape != other.shape or one.dim() != 2:
        return close(one, other)
    sizes = one.detach().float().abs()
    extreme = (sizes > EXTREME).all(0)
    if not extreme.any() or extreme.all():
        return close(one, other)
    masked = extreme & (sizes.amax(0) > 100 * sizes[:, ~extreme].amax())
    return close(one[:, masked], other[:, masked]) and close(one[:, ~masked], other[:, ~masked])


def with_arranged_images(traced: fx.GraphModule, layout: torch.memory_format) -> fx.GraphModule:
    """Let a traced network bring its images into a layout first; what comes from elsewhere may be in another."""
    (images,) = (node for node in traced.graph.nodes if node.op == "placeholder")
    with traced.graph.inserting_after(images):
        arranged = traced.graph.call_function(in_layout, (images, layout))
    for user in list(images.users):
        if user is not arranged:
            user.replace_input_with(images, arranged)
    traced.recompile()
    return traced
