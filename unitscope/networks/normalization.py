"""Networks that take pixels: the normalization in front of a network, and its logits behind it, as one module."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.networks.outputs import Outputs

# No submodule, parameter or attribute that a network's code can name is called so.
_NETWORK, _OUTPUTS = "the network", "its outputs"
_MEAN, _STD = "mean of the pixels", "standard deviation of the pixels"


class OnPixels(nn.Module):
    """A network that takes pixels in [0, 1]: they are normalized first, and its logits are picked out last.

    The network inside stays as it is. Its submodules, parameters and buffers are this module's, under the same paths.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float], outputs: Outputs) -> None:
        super().__init__()
        refuse_scripts(network)
        own = vars(self)
        own[_NETWORK], own[_OUTPUTS] = network, outputs
        self._modules, self._parameters, self._buffers = network._modules, network._parameters, network._buffers
        device = next((tensor.device for tensor in (*network.parameters(), *network.buffers())), None)
        for name, values in ((_MEAN, mean), (_STD, std)):
            own[name] = torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
        self.training = network.training

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (images, classes) of pixels (images, channels, height, width) in [0, 1]."""
        own = vars(self)
        logits: Tensor = own[_OUTPUTS](own[_NETWORK]((pixels - own[_MEAN]) / own[_STD]))
        return logits

    def train(self, mode: bool = True) -> "OnPixels":
        """Set the mode of the network inside, by its own method, which may keep parts of it in another mode."""
        network_of(self).train(mode)
        self.training = mode
        return self

    def eval(self) -> "OnPixels":
        """Set the network inside to eval mode, by its own method."""
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
        own = vars(self)
        own[_NETWORK]._apply(fn, *([] if recurse else [False]))
        own.update({name: fn(own[name]) for name in (_MEAN, _STD)})
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


def outputs_of(module: OnPixels) -> Outputs:
    """Return how the logits come from what the network inside returns."""
    outputs: Outputs = vars(module)[_OUTPUTS]
    return outputs
