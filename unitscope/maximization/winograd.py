"""3x3 convolutions of many channels as products of matrices, for ascents on a CPU. On a GPU cuDNN chooses by itself.

Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016): four outputs of a tile cost 16 multiplications, not 36.
Its transforms add and subtract only, and halve filters, so that the result differs from the direct one by rounding: in
bfloat16 by about twice as much as the direct one differs from the exact. They go through memory once more than the
direct way, which pays where there are many channels.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeGuard

import torch
from torch import Tensor, fx, nn

from unitscope.probing.additions import is_plain

FEWEST_FILTERS = {torch.float32: 256 * 256, torch.bfloat16: 256 * 512}
"""Pairs of channels, in and out, below which it costs more than it saves, by precision."""


def lightened(part: Callable[..., Any]) -> Callable[..., Any]:
    """Replace the convolutions of a traced part of a frozen network where that pays, and return it; others as they are.

    The network that the part was cut from keeps its own.
    """
    if isinstance(part, fx.GraphModule):
        for name, module in list(part.named_modules()):
            if suits(module):
                part.set_submodule(name, LightConv2d(module))
    return part


def suits(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a module is a convolution that can be done so, and gains by it."""
    return (
        is_plain(module, nn.Conv2d)
        and module.kernel_size == (3, 3)
        and module.stride == module.dilation == (1, 1)
        and module.padding == (1, 1)
        and module.padding_mode == "zeros"
        and module.groups == 1
        and module.weight.dtype in FEWEST_FILTERS
        and module.in_channels * module.out_channels >= FEWEST_FILTERS[module.weight.dtype]
        and module.weight.device.type == "cpu"
        # What it gives is channels last.
        and module.weight.is_contiguous(memory_format=torch.channels_last)
    )


class LightConv2d(nn.Module):
    """A frozen 3x3 convolution with stride 1 and padding 1; its backward pass reaches the inputs alone."""

    def __init__(self, module: nn.Conv2d) -> None:
        super().__init__()
        self.weight = module.weight.detach()
        self.bias = None if module.bias is None else module.bias.detach()

    @cached_property
    def filters(self) -> tuple["Filters", "Filters"]:
        """Filters of the forward and of the backward pass; of a part of a network that never runs there are none."""
        # The gradient of a convolution is one with the filters turned round and the channels exchanged.
        return Filters(self.weight), Filters(self.weight.flip(2, 3).transpose(0, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps (images, filters, height, width) of images (images, channels, height, width)."""
        return _Convolution.apply(images, *self.filters, self.bias)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, there: "Filters", back: "Filters", bias: Tensor | None) -> Tensor:
        ctx.back = back
        return convolved(images, there, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return convolved(gradients[0], ctx.back, None), None, None, None


class Filters:
    """Filters as the sixteen matrices G g G^T of F(2x2, 3x3), and the products with them.

    In float32 oneDNN makes these, from matrices in an order of its own: PyTorch's own product is MKL's, which leaves
    half of the arithmetic of some processors unused. Where PyTorch comes without oneDNN, its own does it.

    Args:
        weight: (filters, channels, 3, 3).
    """

    def __init__(self, weight: Tensor) -> None:
        half, exact = 0.5, torch.promote_types(weight.dtype, torch.float32)
        matrix = weight.new_tensor([[1, 0, 0], [half, half, half], [half, -half, half], [0, 0, 1]], dtype=exact)
        matrices = torch.einsum("ik,fckl,jl->ijcf", matrix, weight.to(exact), matrix).to(weight.dtype).flatten(0, 1)
        self.matrices: Tensor | list[Tensor] = matrices.contiguous()
        if weight.dtype is torch.float32 and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            self.matrices = [torch.ops.mkldnn._reorder_linear_weight(each.T.contiguous()) for each in matrices]

    def products(self, tiles: Tensor) -> Sequence[Tensor]:
        """Return the sixteen products (rows, filters) with tiles (16, rows, channels)."""
        if isinstance(self.matrices, Tensor):
            return torch.bmm(tiles, self.matrices).unbind()
        multiply = torch.ops.mkldnn._linear_pointwise
        return [multiply(each, matrix, None, "none", [], "") for each, matrix in zip(tiles, self.matrices, strict=True)]


def convolved(images: Tensor, filters: Filters, bias: Tensor | None) -> Tensor:
    """Return images (n, channels, height, width) convolved with filters, channels last.

    No view: autograd does not let a view that a function gives be rectified in place.
    """
    number, channels, height, width = images.shape
    high, wide = -(-height // 2), -(-width // 2)
    # One pixel around, and where a side is odd one more, so that tiles of 4 that overlap by 2 cover all.
    padded = images.new_zeros(number, 2 * high + 2, 2 * wide + 2, channels)
    padded[:, 1 : height + 1, 1 : width + 1] = images.permute(0, 2, 3, 1)
    rows = images.new_empty(4, number, high, 2 * wide + 2, channels)
    _tile(rows, [padded[:, first : first + 2 * high : 2] for first in range(4)])
    tiles = images.new_empty(4, 4, number, high, wide, channels)
    _tile(tiles.transpose(0, 1), [rows[:, :, :, first : first + 2 * wide : 2] for first in range(4)])
    products = filters.products(tiles.view(16, -1, channels))
    columns = [_untiled(products[column::4]) for column in range(4)]
    size = (number, products[0].shape[1], 2 * high, 2 * wide)
    maps = torch.empty(size, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)
    for row, sums in enumerate(zip(*columns, strict=True)):
        for column, values in enumerate(_untiled(sums)):
            maps.permute(0, 2, 3, 1)[:, row::2, column::2] = values.view(number, high, wide, -1)
    maps = maps if maps.shape[2:] == images.shape[2:] else maps[:, :, :height, :width].clone()
    return maps if bias is None else maps.add_(bias[:, None, None])


def _tile(out: Tensor, lines: list[Tensor]) -> None:
    """Write B^T d, four combinations of a tile's four lines."""
    torch.sub(lines[0], lines[2], out=out[0])
    torch.add(lines[1], lines[2], out=out[1])
    torch.sub(lines[2], lines[1], out=out[2])
    torch.sub(lines[1], lines[3], out=out[3])


def _untiled(products: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return A^T m, the two lines that four combinations come from."""
    return (products[0] + products[1]).add_(products[2]), (products[1] - products[2]).sub_(products[3])
