"""A checkpoint opened for reading: the network that it holds, in the form that computes what the network computes."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from unitscope.networks.checkpoints import read_checkpoint
from unitscope.probing.faithful import faithful
from unitscope.runtime.devices import pixels


def load_checkpoint(
    path: Path, device: torch.device | str = "cpu", python: str = ""
) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a network from a checkpoint, frozen, in eval mode, taking pixels in [0, 1].

    Args:
        path: The checkpoint.
        device: Where the network goes.
        python: The function `package.module:name` of the user's that may be called to rebuild it. A checkpoint never
            decides by itself what code is run.

    Returns:
        The network, and the checkpoint's description of it.

    Raises:
        UserError: As `checkpoints.read_checkpoint` and `faithful.faithful`.
    """
    module, description, examples = read_checkpoint(path, python)
    module = module.to(device)
    faithful(module, pixels(examples, torch.device(device)))
    return module, description
