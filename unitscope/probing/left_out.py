"""Modules with weights that cannot be analyzed, and why."""

import re
from collections.abc import Iterable, Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm


def left_out(module: nn.Module, layers: Iterable[str], refused: Mapping[str, str]) -> dict[str, str]:
    """Return why modules with weights cannot be tapped, and which norm a layer is tapped before, by module path.

    Args:
        module: The network.
        layers: Names of the layers that it has.
        refused: Layers that have no activation for each image, by name, with the reason.
    """
    tapped_paths = {re.sub(r"-call\d+$", "", layer) for layer in layers}
    parts = dict(module.named_modules())
    reasons = {}
    for path, part in parts.items():
        parent = parts.get(path.rpartition(".")[0])
        if path in tapped_paths or not path:
            # Further calls of a module that is tapped at its first.
            reasons.update(
                {call: reason for call, reason in refused.items() if path and call.startswith(f"{path}-call")}
            )
        elif path in refused:
            reasons[path] = refused[path]
        elif isinstance(part, nn.Conv2d | nn.Linear):
            attention = isinstance(parent, nn.MultiheadAttention)
            reasons[path] = (
                "attention uses its weights without calling it"
                if attention
                else "it is not called for an image, or its output has not one row per image (attention in windows)"
            )
        elif isinstance(part, _ConvNd | nn.RNNBase | nn.RNNCellBase | nn.MultiheadAttention | nn.Bilinear):
            reasons[path] = f"a {type(part).__name__} is neither a 2-D convolution nor a linear layer"
        elif isinstance(part, nn.GroupNorm | nn.LayerNorm | _InstanceNorm):
            reasons[path] = (
                f"a {type(part).__name__} uses statistics of the image: a layer before it is tapped before it, and is "
                "signed"
            )
        elif not isinstance(part, _BatchNorm | nn.PReLU | nn.Embedding) and any(
            parameter.dim() > 1 for parameter in part._parameters.values() if parameter is not None
        ):
            reasons[path] = f"weights of a {type(part).__name__}, which are used without a module of torch.nn"
    return reasons
