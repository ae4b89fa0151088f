"""Networks that take pixels: the normalization in front of a network, and its logits behind it, as one module."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.networks.layouts import arrange, in_layout
from unitscope.networks.outputs import Outputs, are_probabilities
from unitscope.runtime.console import log

# No submodule, parameter or attribute that a network's code can name is called so.
_NETWORK, _OUTPUTS = "the network", "its outputs"
_MEAN, _STD = "mean of the pixels", "standard deviation of the pixels"
_LAYOUT, _BORROWED = "layout of its memory", "whether it belongs to someone else"


class OnPixels(nn.Module):
    """A network that takes pixels in [0, 1]: they are normalized first, and its logits are picked out last.

    The network inside stays as it is. Its submodules, parameters and buffers are this module's, under the same paths.

    Args:
        network: Takes normalized images.
        mean: (channels,) of pixels in [0, 1]; or one number for all.
        std: (channels,), likewise.
        outputs: How the logits follow from what the network returns.
        borrowed: Whether the network belongs to the caller: every pass runs it in eval mode and leaves its modes,
            buffers and memory layout as they were.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        outputs: Outputs,
        borrowed: bool = False,
    ) -> None:
        super().__init__()
        refuse_scripts(network)
        attributes = vars(self)
        attributes[_BORROWED] = borrowed
        attributes[_NETWORK], attributes[_OUTPUTS] = network, outputs
        self._modules, self._parameters, self._buffers = network._modules, network._parameters, network._buffers
        device = next((tensor.device for tensor in (*network.parameters(), *network.buffers())), None)
        for name, values in ((_MEAN, mean), (_STD, std)):
            attributes[name] = torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
        attributes[_LAYOUT] = torch.channels_last
        self.training = network.training

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (images, classes) of pixels (images, channels, height, width) in [0, 1]."""
        attributes = vars(self)
        if attributes[_LAYOUT] is torch.contiguous_format:
            # Images come channels last, as they are stored.
            pixels = in_layout(pixels, attributes[_LAYOUT])
        with unchanged(attributes[_NETWORK]) if attributes[_BORROWED] else nullcontext():
            logits: Tensor = attributes[_OUTPUTS](attributes[_NETWORK]((pixels - attributes[_MEAN]) / attributes[_STD]))
        return logits

    def train(self, mode: bool = True) -> "OnPixels":
        """Set the mode of the network inside, by its own method, which may keep parts of it in another mode."""
        network_of(self).train(mode)
        self.training = mode
        return self

    def eval(self) -> "OnPixels":
        """Set the network inside to eval mode, by its own method."""
        if not is_borrowed(self):
            network_of(self).eval()
        self.training = False
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move or convert the network inside, by its own method, which may move tensors that are no buffers."""
        network_of(self).to(*args, **kwargs)
        return super().to(*args, **kwargs)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the state of the network inside."""
        return network_of(self).state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Put a state into the network inside."""
        return network_of(self).load_state_dict(*args, **kwargs)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        attributes = vars(self)
        attributes[_NETWORK]._apply(fn, *([] if recurse else [False]))
        attributes.update({name: fn(attributes[name]) for name in (_MEAN, _STD)})
        return self


def refuse_scripts(network: nn.Module) -> None:
    """Refuse compiled code.

    Raises:
        UserError: The network is a ScriptModule.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise UserError(
            f"{type(network).__name__} is a ScriptModule: compiled code, whose layers cannot be read. Give the module "
            "that it was made from (source: python), or an exported program (source: exported)."
        )


def network_of(module: nn.Module) -> nn.Module:
    """Return the network inside a module that takes pixels; any other module itself."""
    network: nn.Module = vars(module).get(_NETWORK, module)
    return network


def layout_of(module: nn.Module) -> torch.memory_format:
    """Return the memory layout in which a network runs: channels last if no other was set."""
    layout: torch.memory_format = vars(module).get(_LAYOUT, torch.channels_last)
    return layout


def set_layout(module: OnPixels, layout: torch.memory_format) -> None:
    """Let a network run in a memory layout, and convert its weights to it, in place."""
    vars(module)[_LAYOUT] = layout
    if not is_borrowed(module):
        arrange(module, layout)


def is_borrowed(module: nn.Module) -> bool:
    """Return whether a network belongs to the caller, who finds it as it was after each pass."""
    return bool(vars(module).get(_BORROWED, False))


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode within the block, and restore its modes and buffers after it."""
    modes = {part: part.training for part in network.modules()}
    buffers = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    network.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def outputs_of(module: OnPixels) -> Outputs:
    """Return how the logits come from what the network inside returns."""
    outputs: Outputs = vars(module)[_OUTPUTS]
    return outputs


def warn_of_probabilities(module: nn.Module, images: Tensor) -> None:
    """Warn where a network's outputs look like probabilities: losses would be those of a softmax of a softmax.

    Args:
        module: The network with its normalization.
        images: (images, channels, height, width) with values in [0, 1].
    """
    with torch.no_grad():
        logits = module(images)
    if logits.shape[1] > 1 and are_probabilities(logits):
        log.warning(
            "The outputs of %s are not negative and sum to 1, as probabilities do. If they are, set "
            "networks.NAME.outputs: probabilities; if they are logits, set outputs: logits.",
            type(network_of(module)).__name__,
        )
