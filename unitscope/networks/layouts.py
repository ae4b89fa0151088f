"""Memory layouts of images and weights."""

import torch
from torch import Tensor, nn


def in_layout(tensor: Tensor, layout: torch.memory_format) -> Tensor:
    """Return a tensor (..., ..., ..., ...) in a memory layout.

    `contiguous` returns a tensor of one channel unchanged: its memory is the same in both layouts, but operations go by
    its strides.
    """
    return tensor.to(memory_format=layout)


def arrange(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    """Convert a network's weights to a memory layout, in place, and return the network."""
    for tensor in (*module.parameters(), *module.buffers()):
        # The layouts differ for four axes alone; others, such as those of a 3-D convolution, cannot be channels last.
        if tensor.dim() == 4:
            tensor.data = in_layout(tensor.data, layout)
    return module
