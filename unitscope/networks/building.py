"""Networks as a config describes them: built with random weights, and made to take pixels in [0, 1].

What trains them is in `unitscope.networks.training`, and what keeps them in `unitscope.networks.checkpoints`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from unitscope.data.preprocessing import mode_to_set
from unitscope.errors import UserError
from unitscope.networks.architectures import Headed
from unitscope.networks.layouts import arrange
from unitscope.networks.normalization import OnPixels, network_of
from unitscope.networks.outputs import Outputs, candidates, find_outputs
from unitscope.networks.sources import make, options_of
from unitscope.networks.state_dicts import checked_state


def build(settings: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    """Return the network that the config describes, with random weights of its seed, taking normalized pixels.

    Args:
        settings: `source`, `model`, `options`, and `head`, `seed` and `program` where there are any.
        shape: (channels, height, width) of an image.
        classes: Number of classes.

    Raises:
        UserError: The model is not known, or does not take these options or images.
    """
    head = settings.get("head")
    # The caller's random numbers stay as they are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.get("seed") or 0)
        module = make(settings, shape, classes)
        if settings["source"] == "python":
            with undone(module):
                _complete(module, shape)
        if head is None:
            return module
        if head["replaces"] == "classifier":
            return _headed(settings["model"], module, shape, classes)
        return _with_outputs(module, shape, classes)


def _complete(module: nn.Module, shape: Sequence[int]) -> None:
    """Run a network once, so that it has the parameters that its first forward pass makes or gives their shapes.

    Raises:
        UserError: It has lazy parameters, and does not accept the images, or does not use all of them for an image.
    """
    training = module.training

    def lazy() -> list[str]:
        return [name for name, tensor in _tensors(module) if is_lazy(tensor)]

    # Others that do not accept the images are told so where their outputs are looked at.
    with nullcontext() if lazy() else suppress(UserError):
        _on_grey(module, shape)
    if left := lazy():
        raise UserError(
            f"{type(module).__name__}: {left[0]} is lazy and gets no shape from an image, since the forward pass does "
            "not use it. Remove that module, or give its sizes."
        )
    module.train(training)


@contextmanager
def undone(module: nn.Module, trained: bool = False) -> Iterator[None]:
    """Undo what passes within the block change in the tensors of a network, so that the data come first.

    Some networks take scale and offset of a layer from the first images that they get, in eval mode as well, and note
    in a buffer that they have (ActNorm: Kingma and Dhariwal 2018, "Glow"). These should be images of the data set,
    not those on which shapes and forms are tried.

    Args:
        module: The network. Parameters and buffers that the passes add, or give their shapes, stay.
        trained: Whether its weights are trained, so that none may change.

    Raises:
        UserError: A parameter of trained weights changes; or one changes together with an attribute that is no buffer,
            which no checkpoint keeps.
    """
    before = {name: tensor.detach().clone() for name, tensor in _tensors(module) if not is_lazy(tensor)}
    flags = _flags(module)
    yield
    name = type(network_of(module)).__name__
    parameters = {key for key, _ in module.named_parameters()}
    turned = [flag for flag, value in _flags(module).items() if flags.get(flag, value) != value]
    for key, tensor in list(_tensors(module)):
        old = before.get(key)
        if (
            old is None
            or old.is_meta
            or old.shape != tensor.shape
            or bool(torch.isclose(old, tensor, 0, 0, equal_nan=True).all())
        ):
            continue
        if key in parameters and trained:
            raise UserError(
                f"The parameter {key} of {name} changes when images pass in eval mode, so that the network is not the "
                "one of its weights. If it is initialized from its first images, the file has to hold that this is "
                "done, as a buffer; else change parameters only while self.training is true."
            )
        if key in parameters and turned:
            raise UserError(
                f"The parameter {key} of {name} is initialized from the first images, and {turned[0]}, which notes "
                "that this is done, is no buffer: the network would be initialized again whenever it is loaded. "
                "Register it: "
                f"self.register_buffer({turned[0].rpartition('.')[2]!r}, torch.tensor(False))."
            )
        with torch.no_grad():
            tensor.copy_(old)


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(module.named_parameters(), module.named_buffers())


def _flags(module: nn.Module) -> dict[str, Any]:
    """Return the attributes of all parts, by path, that are true or false, 0 or 1, but for their modes."""
    return {
        f"{path}.{key}" if path else key: value
        for path, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, int) and value in (0, 1) and key != "training"
    }


def _headed(model: str, module: nn.Module, shape: Sequence[int], classes: int) -> Headed:
    features = getattr(module, "features", None)
    if not isinstance(features, nn.Module):
        raise UserError(
            f"head: {{fit: linear, replaces: classifier}} needs a model with `features`, as VGG has; {model} has none."
        )
    return Headed(features, _on_grey(features, shape).shape[1], classes)


def _with_outputs(module: nn.Module, shape: Sequence[int], classes: int) -> nn.Module:
    """Give a network as many outputs as there are classes, and a bias to fit, if it has not."""
    path = classifier(module, shape)
    last_layer = module.get_submodule(path)
    if last_layer.out_features != classes or last_layer.bias is None:
        module.set_submodule(path, nn.Linear(int(last_layer.in_features), classes))  # type: ignore[arg-type]
    return module


def classifier(module: nn.Module, shape: Sequence[int]) -> str:
    """Return the path of the linear layer that gives the logits.

    Args:
        module: The network.
        shape: (channels, height, width) of an image.

    Raises:
        UserError: The logits are not what a linear layer puts out.
    """
    last: list[tuple[str, Tensor]] = []
    handles = [
        part.register_forward_hook(lambda _, __, output, path=path: last.append((path, output)))
        for path, part in module.named_modules()
        if isinstance(part, nn.Linear)
    ]
    try:
        logits = _on_grey(module, shape)
    finally:
        for handle in handles:
            handle.remove()
    paths = [path for path, output in last if output is logits]
    if not paths or not isinstance(logits, Tensor) or logits.dim() != 2:
        raise UserError(
            f"head: {{fit: linear}} replaces the linear layer that gives the logits, and {type(module).__name__} ends "
            "with none. Give a network that does, or head: {fit: linear, replaces: classifier} for one with `features`."
        )
    return paths[-1]


def output_count(
    network: nn.Module, shape: Sequence[int], settings: Mapping[str, Any], name: str = "networks.NAME"
) -> int:
    """Return the number of a network's outputs, for images of (channels, height, width).

    Raises:
        UserError: As `outputs.find_outputs`.
    """
    returned = _on_grey(network, shape, 2)
    path = find_outputs(returned, 2, [], {**settings, "classes": None}, name).path
    return candidates(returned, 2)[path]


def normalized(
    network: nn.Module,
    shape: Sequence[int],
    scales: tuple[Sequence[float], Sequence[float]],
    settings: Mapping[str, Any],
    classes: Sequence[str],
) -> OnPixels:
    """Return a network that takes pixels and gives logits of a data set's classes, as the config describes it.

    Args:
        network: As `build` gives it.
        shape: (channels, height, width) of an image.
        scales: Mean and standard deviation of each channel, of pixels in [0, 1].
        settings: Of the network.
        classes: Names of the data set's classes; empty where there are none.

    Raises:
        UserError: The scales are not those of the channels, the outputs not those of the classes, or the state is more
            than a checkpoint can keep.
    """
    mean, std = scales
    if not len(mean) == len(std) == shape[0] or min(std) <= 0:
        raise UserError(
            f"networks.NAME.normalization: mean is {list(mean)}, std is {list(std)}; the images have {shape[0]} "
            "channels and need a mean and a standard deviation above 0 for each."
        )
    with undone(network) if settings.get("source") == "python" else nullcontext():
        returned = _on_grey(network, shape, 2, settings)
    # Here, not after hours of training.
    checked_state(network)
    outputs = find_outputs(returned, 2, classes, settings, "networks.NAME")
    return accept_pixels(network, mean, std, outputs)


def _on_grey(
    module: nn.Module, shape: Sequence[int], images: int = 1, settings: Mapping[str, Any] | None = None
) -> Any:
    """Return what a network puts out for grey images; by its settings, if given, a cure is named where it does not."""
    device = next((parameter.device for parameter in module.parameters()), None)

    def run(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Any:
        with torch.no_grad():
            return module.eval()(torch.zeros(images, *shape, device=device, dtype=dtype))

    try:
        return run(shape)
    except Exception as error:
        # A network of the user's own may raise anything.
        cure = _precision_to_set(module, partial(run, shape)) or mode_to_set(shape, run) + _size_to_set(settings, shape)
        raise UserError(
            f"{type(module).__name__} does not accept {images} images of {shape[1]}x{shape[2]} pixels with {shape[0]} "
            f"channels: {type(error).__name__}: {error}.{cure}"
        ) from error


def _size_to_set(settings: Mapping[str, Any] | None, shape: Sequence[int]) -> str:
    """Return the sentence that names what sets the size of images, for a network of these settings."""
    if settings is None:
        return ""
    sizes = [name for name in ("image_size", "img_size") if name in options_of(settings)]
    return (
        f" {f'Set options: {{{sizes[0]}: {shape[1]}}}, or give' if sizes else 'Give'} the data set the size and "
        "channels that the network takes."
    )


def _precision_to_set(module: nn.Module, run: Callable[[torch.dtype], Any]) -> str:
    """Return the sentence that names the precision in which a network accepts images; empty if that is not the cause.

    Args:
        module: The network, which refuses images in float32.
        run: Runs it on images of a precision; may raise anything.
    """
    for dtype in {tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()} - {torch.float32}:
        with suppress(Exception):
            run(dtype)
            name = str(dtype).removeprefix("torch.")
            return (
                f" Its weights are {name}, and images come in float32: return the network as module.float(), or "
                f"convert the images in its forward pass (x.to(torch.{name}))."
            )
    return ""


def accept_pixels(
    network: nn.Module, mean: Sequence[float], std: Sequence[float], outputs: Outputs | None = None
) -> OnPixels:
    """Return a network that takes pixels in [0, 1]: it subtracts the mean and divides by the standard deviation itself.

    Args:
        network: Takes normalized pixels; it stays as it is, and its weights are shared.
        mean: (channels,).
        std: (channels,).
        outputs: How logits come from what it returns; None where it returns them.
    """
    return OnPixels(network, mean, std, outputs or Outputs())


def freeze(module: nn.Module) -> nn.Module:
    """Put a network into eval mode and its parameters out of the reach of gradients, channels last."""
    return arrange(module.eval().requires_grad_(False), torch.channels_last)
