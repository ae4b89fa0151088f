"""What an ascent needs of a layer: its target's pre-activation and activation, and for IAM the other units' too.

Each image has a target of its own. Where the objective asks for that unit alone, the layer computes nothing else: one
filter an image instead of all of them, forward and backward. Where it asks for the whole layer, a mean over rectified
maps goes through memory once. Everything else takes the plain way, from which both differ by rounding only.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unitscope.probing.layer import Tapped, read_out, unit_axis


def target_unit(tapped: Tapped, readout: str) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return a function that computes each image's target and, where that is possible, no other unit of the layer.

    Args:
        tapped: The network at the layer, as `layer.Reader.tapped` returns it.
        readout: "mean", "max" or "center": how a unit's map becomes a number.

    Returns:
        A function from images (images, channels, height, width) and targets (images,) to the targets' pre-activations
        and activations, both (images,).
    """
    axis = unit_axis(tapped.kind)
    compute_target = None
    if isinstance(tapped.filters, nn.Linear):
        compute_target = _linear(tapped, tapped.filters)
    elif isinstance(tapped.filters, nn.Conv2d):
        compute_target = _convolution(tapped, tapped.filters)

    def run(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if compute_target:
            before = compute_target(images, targets)
            after = tapped.nonlinearity(before)
        else:
            outputs = tapped.outputs(images)
            before, after = (_of_targets(values, axis, targets) for values in (outputs, tapped.nonlinearity(outputs)))
        return read_out(before, axis, readout)[:, 0], read_out(after, axis, readout)[:, 0]

    return run


def whole_layer(tapped: Tapped, readout: str) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return a function that computes the activations of the whole layer.

    Args:
        tapped: The network at the layer, as `layer.Reader.tapped` returns it.
        readout: "mean", "max" or "center": how a unit's map becomes a number.

    Returns:
        A function from images (images, channels, height, width) and targets (images,) to the targets' pre-activations
        (images,) and all activations (images, units). Its backward pass may be run once.
    """
    axis = unit_axis(tapped.kind)

    def run(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        values = tapped.outputs(images)
        if tapped.rectified and readout == "mean" and tapped.kind == "conv":
            _, before, activations = _RectifiedMeans.apply(values, targets)
            return before, activations
        before = read_out(_of_targets(values, axis, targets), axis, readout)[:, 0]
        return before, read_out(tapped.nonlinearity(values), axis, readout)

    return run


# --- the whole layer -------------------------------------------------------------------------------------------------


class _RectifiedMeans(torch.autograd.Function):
    """Means over maps of max(value, 0), in place: the maps are rectified where they lie, and become their gradient.

    Fresh memory would cost more than the arithmetic on the maps of early layers.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.arange(len(targets), device=targets.device)
        before = maps[rows, targets].mean((1, 2), dtype=torch.float32)
        maps.relu_()
        ctx.mark_dirty(maps)
        ctx.save_for_backward(maps, rows, targets)
        ctx.set_materialize_grads(False)
        return maps, before, maps.mean((2, 3), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        maps, rows, targets = ctx.saved_tensors
        _, before, after = gradients
        size = maps.shape[2] * maps.shape[3]
        spread = (after / size).to(maps.dtype)[:, :, None, None].expand_as(maps)
        torch.ops.aten.threshold_backward.grad_input(spread, maps, 0, grad_input=maps)
        # Only a silent target is led by its pre-activation.
        if before is not None and before.any():
            maps[rows, targets] += (before / size).to(maps.dtype)[:, None, None]
        return maps, None


# --- one unit --------------------------------------------------------------------------------------------------------


def _of_targets(values: Tensor, axis: int, targets: Tensor) -> Tensor:
    """Return what a layer gives for each image's target; the axis of units stays, with one unit."""
    rows = torch.arange(len(targets), device=targets.device)
    return values.movedim(axis, 1)[rows, targets].unsqueeze(axis)


def _linear(tapped: Tapped, module: nn.Linear) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a linear layer of which each image's target is computed alone."""

    def run(images: Tensor, targets: Tensor) -> Tensor:
        inputs = tapped.inputs(images)
        # (images, ..., features) by one row of weights an image.
        rows = inputs.flatten(1, -2) if inputs.dim() > 2 else inputs[:, None]
        products = torch.bmm(rows, module.weight[targets][..., None])
        return _biased(products, module, targets).view(*inputs.shape[:-1], 1)

    return run


def _convolution(tapped: Tapped, module: nn.Conv2d) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a convolution of which each image's target is computed alone."""

    def run(images: Tensor, targets: Tensor) -> Tensor:
        inputs = tapped.inputs(images)
        if module.groups > 1:
            group = targets // (module.out_channels // module.groups)
            rows = torch.arange(len(targets), device=targets.device)
            inputs = inputs.unflatten(1, (module.groups, -1))[rows, group]
        maps = _FilterEach.apply(inputs, module.weight[targets].flatten(2), module)
        return _biased(maps, module, targets)[:, None]

    return run


def _biased(values: Tensor, module: nn.Conv2d | nn.Linear, targets: Tensor) -> Tensor:
    """Return values (images, ..., ...) with the bias of each image's target."""
    return values if module.bias is None else values + module.bias[targets][:, None, None]


class _FilterEach(torch.autograd.Function):
    """A convolution with one filter an image: a product over channels, then a sum of shifted maps.

    Takes inputs (images, channels, height, width), weights (images, channels, taps) and the convolution whose stride,
    padding and dilation hold; gives maps (images, height, width).
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, module: nn.Conv2d) -> Tensor:
        images, channels, height, width = inputs.shape
        columns = torch.bmm(inputs.permute(0, 2, 3, 1).reshape(images, height * width, channels), weights)
        padding: Any = module.padding
        columns = F.pad(columns.view(images, height, width, -1), (0, 0, padding[1], padding[1], padding[0], padding[0]))
        places = _places(module, columns.shape[1], columns.shape[2])
        maps = columns[places[0]].clone()
        for place in places[1:]:
            maps += columns[place]
        ctx.save_for_backward(weights)
        ctx.shape, ctx.padded, ctx.padding, ctx.places = inputs.shape, columns.shape, padding, places
        return maps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weights,) = ctx.saved_tensors
        images, channels, height, width = ctx.shape
        columns = gradients[0].new_zeros(ctx.padded)
        for place in ctx.places:
            columns[place] = gradients[0]
        top, left = ctx.padding
        inner = columns[:, top : top + height, left : left + width].reshape(images, height * width, -1)
        gradient = torch.bmm(inner, weights.transpose(1, 2)).view(images, height, width, channels)
        return gradient.permute(0, 3, 1, 2), None, None


def _places(module: nn.Conv2d, height: int, width: int) -> list[tuple[Any, ...]]:
    """Return, for each tap of a kernel, where in padded maps (images, height, width, taps) its addends lie."""
    (rows, columns), stride, dilation = module.kernel_size, module.stride, module.dilation
    high = (height - dilation[0] * (rows - 1) - 1) // stride[0]
    wide = (width - dilation[1] * (columns - 1) - 1) // stride[1]
    return [
        (
            slice(None),
            slice(row * dilation[0], row * dilation[0] + high * stride[0] + 1, stride[0]),
            slice(column * dilation[1], column * dilation[1] + wide * stride[1] + 1, stride[1]),
            row * columns + column,
        )
        for row in range(rows)
        for column in range(columns)
    ]
