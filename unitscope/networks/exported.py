"""Programs of `torch.export`, read without running anything that they hold, as networks whose layers have names.

An archive is checked before it is loaded (`unitscope.networks.exported_archives`), and its flat graph becomes modules
again (`unitscope.networks.rebuilding`).
"""

import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.data.preprocessing import mode_to_set
from unitscope.networks.closeness import close
from unitscope.networks.exported_archives import DECOMPOSED, check_archive, first_line, refusal
from unitscope.networks.outputs import candidates, tensors_in
from unitscope.networks.rebuilding import Rebuilt, tensor_paths


def read_exported(program: Tensor, shape: Sequence[int]) -> nn.Module:
    """Return the network of an exported program, with its weights.

    Args:
        program: The bytes of what `torch.export.save` writes, uint8.
        shape: (channels, height, width) of an image.

    Raises:
        UserError: The archive is damaged, holds more than tensors and a graph of ATen operators, takes other inputs
            than one batch of images, or was exported for one number of images.
    """
    content = program.numpy().tobytes()
    check_archive(content)
    # Its import takes seconds.
    import torch.export

    try:
        exported = torch.export.load(io.BytesIO(content))
    # Whatever its readers come upon in a damaged archive.
    except Exception as error:
        raise refusal(f"it cannot be read ({first_line(error)})") from error
    try:
        module = Rebuilt(exported).module()
    # Where the graph is not what an export makes.
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise refusal(f"its graph cannot be followed ({first_line(error)})") from error
    return _checked_on(module, exported, shape)


def _checked_on(module: nn.Module, exported: Any, shape: Sequence[int]) -> nn.Module:
    """Return a network that takes images of a shape, any number of them, and computes what the program computes."""

    def run(shape: Sequence[int], images: int = 3) -> Any:
        with torch.no_grad():
            return module(torch.zeros(images, *shape))

    for images in (1, 3):
        try:
            returned = run(shape, images)
        except RuntimeError as error:
            mode = mode_to_set(shape, run).removesuffix(".")
            taken = _images_of(exported)
            kind, count = str(taken.dtype).removeprefix("torch."), [*taken.shape, 0][0]
            fixed = isinstance(count, int) and count > 0
            raise refusal(
                f"it does not take {images} images of shape {tuple(shape)} ({first_line(error)})"
                f"{f'; it was exported for images in {kind}, and gets float32' if kind != 'float32' else ''}"
                f"{f'; it was exported for {count} images alone, without dynamic_shapes' if fixed else ''}"
                f"{'.' * bool(mode)}{mode}"
            ) from error
        if not candidates(returned, images):
            raise refusal(f"it does not give logits (images, classes) for {images} images")
    noise = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)) * 4 - 2
    _check_rebuilt(module, exported, noise)
    return module


def _images_of(exported: Any) -> Tensor:
    """Return what stands for the images that a program was exported for: their shape and type, without values."""
    (name,) = exported.graph_signature.user_inputs
    (images,) = (node.meta["val"] for node in exported.graph.nodes if node.name == name)
    return images


def _check_rebuilt(module: nn.Module, exported: Any, images: Tensor) -> None:
    """Refuse a program that computes something else once it is modules again."""
    names, tensors = tensor_paths(exported), {**exported.state_dict, **exported.constants}
    placeholders = [node for node in exported.graph.nodes if node.op == "placeholder"]
    inputs = [tensors[names[node.name]] if node.name in names else images for node in placeholders]
    results = []
    for run in (lambda: exported.graph_module(*inputs), lambda: module(images)):
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                results.append(list(tensors_in(run()).values()))
            except RuntimeError:
                # The program names the device that it was exported on, which this machine lacks.
                return
    if not all(close(one, other) for one, other in zip(*results, strict=True)):
        raise refusal("its modules, put together again, compute something else", DECOMPOSED)
