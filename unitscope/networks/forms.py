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
from unitscope.networks.layouts import in_layout


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
