"""A checkpoint opened for reading: the network that it holds, as a Probe."""

from pathlib import Path
from typing import Any

import torch

from unitscope.networks.checkpoints import read_checkpoint
from unitscope.probing.probe import Probe
from unitscope.runtime.devices import pixels


def open_checkpoint(path: Path, device: torch.device | str = "cpu", python: str = "") -> tuple[Probe, dict[str, Any]]:
    """Rebuild a network from a checkpoint and open it at its layers, frozen and in eval mode.

    Args:
        path: The checkpoint.
        device: Where the network goes.
        python: The function `package.module:name` of the user's that may be called to rebuild it. A checkpoint never
            decides by itself what code is run.

    Returns:
        The network, and the checkpoint's description of it.

    Raises:
        UserError: As `checkpoints.read_checkpoint` and `faithful.verify`.
    """
    module, description, examples = read_checkpoint(path, python)
    module.to(device)
    return Probe.owning(module, pixels(examples, torch.device(device))), description
