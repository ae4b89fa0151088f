"""Networks: the built-in architectures, torchvision's, and checkpoints, which say all that is needed to rebuild one.

A network here takes pixels in [0, 1] and normalizes them itself. Training belongs to `unitscope.training`.
"""

import hashlib
import inspect
import io
import json
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unitscope.artifacts import FORMAT_VERSION, write_bytes
from unitscope.devices import to_device
from unitscope.errors import UserError

# --- architectures ---------------------------------------------------------------------------------------------------


def mlp(shape: Sequence[int], classes: int, widths: Sequence[int] = (128, 512, 2048, 2048)) -> nn.Module:
    """Return a multilayer perceptron: layers hidden1, hidden2, ... and logits.

    Args:
        shape: (channels, height, width) of an image.
        classes: Number of classes.
        widths: Neurons of the hidden layers; by default those of Chen et al. 2018.
    """
    module = nn.Sequential()
    module.add_module("flatten", nn.Flatten())
    inputs = int(np.prod(shape))
    for number, width in enumerate(widths, 1):
        module.add_module(f"hidden{number}", nn.Linear(inputs, width))
        module.add_module(f"relu{number}", nn.ReLU())
        inputs = width
    module.add_module("logits", nn.Linear(inputs, classes))
    return module


def shallow_convnet(
    shape: Sequence[int],
    classes: int,
    channels: Sequence[int] = (64, 64, 128, 128),
    pool: Sequence[int] = (2, 4),
    batch_norm: bool = False,
    hidden: int = 512,
) -> nn.Module:
    """Return the shallow convolutional network of Chen et al. 2018: layers conv1, conv2, ..., hidden and logits.

    Args:
        shape: (channels, height, width) of an image.
        classes: Number of classes.
        channels: Feature maps of the convolutions, which are 3x3 with stride 1; by default the paper's.
        pool: Numbers of the convolutions behind which a 2x2 maximum pooling stands; the paper does not say.
        batch_norm: Whether a batch norm stands behind each convolution.
        hidden: Neurons of the fully connected layer before the classifier; the paper does not say.

    Raises:
        UserError: `pool` names a convolution that is not there, or leaves nothing of an image.
    """
    if not set(pool) <= set(range(1, len(channels) + 1)) or min(shape[1:]) < 2 ** len(set(pool)):
        raise UserError(
            f"shallow_convnet: options.pool is {list(pool)}; it has to name convolutions from 1 to {len(channels)}, "
            f"and each halves an image, which is {shape[1]}x{shape[2]} here."
        )
    module = nn.Sequential()
    inputs, height, width = shape
    for number, outputs in enumerate(channels, 1):
        module.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, 3, padding=1))
        if batch_norm:
            module.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
        module.add_module(f"relu{number}", nn.ReLU())
        if number in pool:
            module.add_module(f"pool{number}", nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        inputs = outputs
    module.add_module("flatten", nn.Flatten())
    module.add_module("hidden", nn.Linear(inputs * height * width, hidden))
    module.add_module("relu", nn.ReLU())
    module.add_module("logits", nn.Linear(hidden, classes))
    return module


class VGG(nn.Module):
    """Convolutions `features`, a flattening, fully connected `classifier`; named as torchvision's."""

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (images, classes)."""
        return self.classifier(self.features(x).flatten(1))


def vgg16(
    shape: Sequence[int], classes: int, batch_norm: bool = True, head: Sequence[int] = (512, 512), dropout: float = 0.5
) -> nn.Module:
    """Return VGG16 (Simonyan and Zisserman 2014) for small images: layers features.N and classifier.N.

    Args:
        shape: (channels, height, width) of an image; height and width are divided by 32.
        classes: Number of classes.
        batch_norm: Whether a batch norm stands behind each convolution.
        head: Neurons of the fully connected layers before the classifier.
        dropout: Share of neurons dropped there in training.

    Raises:
        UserError: The images are smaller than 32x32.
    """
    inputs, height, width = shape
    if height < 32 or width < 32:
        raise UserError(f"vgg16 halves an image five times and needs 32x32 pixels or more; these are {height}x{width}.")
    features: list[nn.Module] = []
    for outputs, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            features += [nn.Conv2d(inputs, outputs, 3, padding=1)]
            features += [nn.BatchNorm2d(outputs)] if batch_norm else []
            features += [nn.ReLU()]
            inputs = outputs
        features += [nn.MaxPool2d(2)]
    classifier: list[nn.Module] = []
    inputs *= (height // 32) * (width // 32)
    for outputs in head:
        classifier += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        inputs = outputs
    return VGG(nn.Sequential(*features), nn.Sequential(*classifier, nn.Linear(inputs, classes)))


BUILT_IN: dict[str, Callable[..., nn.Module]] = {"mlp": mlp, "shallow_convnet": shallow_convnet, "vgg16": vgg16}


class Headed(nn.Module):
    """Features of another network, averaged over space, and one linear layer `head` upon them."""

    def __init__(self, features: nn.Module, inputs: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (images, classes)."""
        return self.head(self.pool(self.features(x)).flatten(1))


# --- building --------------------------------------------------------------------------------------------------------


def build(settings: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    """Return the network that the config describes, with random weights of its seed, taking normalized pixels.

    Args:
        settings: `source`, `model`, `options`, and `head` and `seed` where there are any.
        shape: (channels, height, width) of an image.
        classes: Number of classes.

    Raises:
        UserError: The model is not known, or does not take these options or images.
    """
    make = _torchvision if settings["source"] == "torchvision" else _built_in
    headed = settings.get("head") is not None
    # The caller's random numbers stay as they are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.get("seed") or 0)
        module = make(settings["model"], settings["options"], shape, classes)
        return _headed(settings["model"], module, shape, classes) if headed else module


def _built_in(model: str, options: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    if model not in BUILT_IN:
        raise UserError(
            f"The model {model!r} is not built in; those that are: {', '.join(BUILT_IN)}. For a model of torchvision, "
            "set source: torchvision."
        )
    return _made(model, BUILT_IN[model], BUILT_IN[model], options, shape=shape, classes=classes)


def _torchvision(model: str, options: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise UserError(f"torchvision has no classification model {model!r}; it has {', '.join(known)}.")
    if shape[0] != 3:
        raise UserError(
            f"torchvision's {model} takes images of 3 channels, not {shape[0]}. Give the data set mode: RGB, or take a "
            "built-in model."
        )
    builder = models.get_model_builder(model)
    # Builders hand their options on to the class that they return.
    return _made(model, builder, inspect.signature(builder).return_annotation, options, num_classes=classes)


def _made(
    model: str,
    function: Callable[..., nn.Module],
    described: Callable[..., Any],
    options: Mapping[str, Any],
    **own: Any,
) -> nn.Module:
    """Return a network; where it does not take its options, tell those that it is described by."""
    try:
        return function(**own, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        parameters = inspect.signature(described).parameters.values()
        allowed = [each.name for each in parameters if each.default is not each.empty and each.name not in own]
        raise UserError(
            f"The model {model} does not take the options {dict(options)} ({error}). It has the options "
            f"{', '.join(allowed)}."
        ) from error


def _headed(model: str, module: nn.Module, shape: Sequence[int], classes: int) -> Headed:
    features = getattr(module, "features", None)
    if not isinstance(features, nn.Module):
        raise UserError(f"head: {{fit: linear}} needs a model with `features`, as VGG has; {model} has none.")
    try:
        with torch.no_grad():
            outputs = features.eval()(torch.zeros(1, *shape)).shape[1]
    except RuntimeError as error:
        raise UserError(f"{model} does not accept images of {shape[1]}x{shape[2]} pixels: {error}") from error
    return Headed(features, outputs, classes)


def accept_pixels(module: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """Make a network take pixels in [0, 1]: it subtracts the mean and divides by the standard deviation itself.

    The module gets a class of its own, derived from its class, whose forward normalizes first. Its submodules keep
    their paths, and torch.fx traces the normalization with the rest.

    Args:
        module: Changed in place.
        mean: (channels,).
        std: (channels,).
    """
    kind = type(module)

    def forward(self: Any, pixels: Tensor) -> Tensor:
        return kind.forward(self, (pixels - self.pixel_mean) / self.pixel_std)

    for name, values in (("pixel_mean", mean), ("pixel_std", std)):
        module.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(-1, 1, 1), persistent=False)
    module.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return module


def freeze(module: nn.Module) -> nn.Module:
    """Put a network into eval mode and its parameters out of the reach of gradients, channels last."""
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def pixels(batch: np.ndarray, device: torch.device) -> Tensor:
    """Return images uint8 (images, height, width, channels) as float32 (images, channels, height, width) in [0, 1]."""
    return to_device(np.ascontiguousarray(batch), device).permute(0, 3, 1, 2).float().div_(255)


# --- weights ---------------------------------------------------------------------------------------------------------


def read_state_dict(path: Path, sha256: str, strip_prefix: str = "") -> dict[str, Tensor]:
    """Read a local state dict, without running any code that it may hold.

    Args:
        path: A `.safetensors` file, or what `torch.save` writes.
        sha256: Checksum that the file has to have.
        strip_prefix: Taken off keys that begin with it, such as "module.".

    Raises:
        UserError: The file is missing, damaged, has another checksum, or holds more than tensors.
    """
    content = _content(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"weights.sha256 of {path} is {sha256}, but the file has {found}. If the file is the one that you mean, "
            "write its checksum into the config; otherwise fetch it again."
        )
    state: Any
    if Path(path).suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            state = load(content)
        except SafetensorError as error:
            raise UserError(f"{path} is not a whole safetensors file ({error}). Fetch it again.") from error
    else:
        state = _load(content, path)
        state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} is not a state dict: a mapping from names to tensors. Save model.state_dict() there.")
    return {
        key.removeprefix(strip_prefix): value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }


def load_weights(module: nn.Module, state: Mapping[str, Tensor], origin: str, missing: str = "") -> None:
    """Put weights into a network.

    Args:
        module: The network.
        state: Its state dict.
        origin: Where the weights come from, for messages.
        missing: Prefix of keys that need not be there, since they are fitted later.

    Raises:
        UserError: They belong to another architecture, or are not all finite.
    """
    own = module.state_dict()
    # Counts of batches came with later versions of PyTorch; nothing is computed with them here.
    state = {**{key: torch.tensor(0) for key in own if key.endswith(".num_batches_tracked")}, **state}
    lacking = [key for key in own if key not in state and not (missing and key.startswith(missing))]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        *([f"it lacks {_some(lacking)}"] if lacking else []),
        *([f"it has {_some(extra)}, which the network has not"] if extra else []),
        *([_some(shapes)] if shapes else []),
    ]
    if problems:
        raise UserError(
            f"{origin} belongs to another network than {type(module).__name__}: {'; '.join(problems)}. Give the model "
            "and options that the weights were made for, and a data set of as many classes or head: {fit: linear}."
        )
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(
                f"{origin}: {key} holds values that are not finite (NaN or infinite). Its training has probably "
                "diverged; use another checkpoint."
            )
    # Assigned, since the network may have been built without memory of its own.
    module.load_state_dict({key: value.clone() for key, value in state.items()}, strict=False, assign=True)


def output_names(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Return names for classes that nobody has named: the numbers of the outputs that a state dict was made for.

    Args:
        module: A network of the same architecture, with any number of outputs.
        state: Its state dict, in any order.
    """
    last = next((key for key in reversed(module.state_dict()) if key in state and state[key].dim()), None)
    return [str(number) for number in range(len(state[last]))] if last else []


def torchvision_weights(model: str, name: str) -> tuple[dict[str, Tensor], list[float], list[float], list[str]]:
    """Return state dict, normalization (mean, std) and class names of torchvision's weights of that name."""
    from torchvision import models

    try:
        known = {weights.name: weights for weights in models.get_model_weights(model)}
    except ValueError as error:
        raise UserError(f"torchvision has no weights for a model {model!r}: {error}.") from error
    if name not in known:
        raise UserError(f"torchvision has no weights {name!r} for {model}; it has {', '.join(known)}.")
    weights = known[name]
    transforms = weights.transforms()
    target = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:
        raise UserError(
            f"torchvision could not download the weights {name} of {model} ({error}). Without a network, put the file "
            f"{weights.url} at {target}."
        ) from error
    return dict(state), list(transforms.mean), list(transforms.std), list(weights.meta["categories"])


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# --- checkpoints -----------------------------------------------------------------------------------------------------


def save_checkpoint(path: Path, module: nn.Module, description: Mapping[str, Any]) -> None:
    """Write a checkpoint: all that is needed to rebuild the network, the same bytes for the same weights.

    Args:
        path: Where it goes.
        module: The network.
        description: `source`, `model`, `options`, `head`, `input` (channels, height, width), `mean`, `std`, `classes`.
    """
    # Cloned into one layout of memory, and the description read anew: pickle also writes down strides, and which of
    # equal texts are the same object.
    state = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in module.state_dict().items()
    }
    plain = json.loads(json.dumps({"format_version": FORMAT_VERSION, **description}))
    # Serialized to memory first: torch.save writes the name of a file into it.
    buffer = io.BytesIO()
    torch.save({**plain, "state_dict": state}, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a network from a checkpoint, frozen, in eval mode, taking pixels in [0, 1].

    Returns:
        The network, and the checkpoint's description of it.

    Raises:
        UserError: The file is missing, cut off, holds more than tensors and plain values, or does not fit together.
    """
    description = _load(_content(path), path)
    keys = {"format_version", "source", "model", "options", "head", "input", "mean", "std", "classes", "state_dict"}
    if not isinstance(description, dict) or not keys <= set(description):
        raise UserError(
            f"{path} is no checkpoint of unitscope. Name a state dict under networks.NAME.weights in the config; the "
            "workflow makes a checkpoint of it."
        )
    if description["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{path} has format_version {description['format_version']}, this program reads version {FORMAT_VERSION}. "
            "Delete it and run again."
        )
    state = description.pop("state_dict")
    classes = len(description["classes"])
    try:
        # On the meta device nothing is drawn or computed for weights that are replaced at once.
        with torch.device("meta"):
            module = build(description, description["input"], classes)
    except UserError:
        # Some models compute with tensors while they are built (torchvision's RegNets).
        module = build(description, description["input"], classes)
    load_weights(module, state, str(path))
    return freeze(accept_pixels(module, description["mean"], description["std"])).to(device), description


def _content(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path} is not a file. Give the path of an existing file, or run the workflow.") from None


def _load(content: bytes, path: Path) -> Any:
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises whatever its unpickler, its archive reader or its checks come upon.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} cannot be read as weights: it is cut off, damaged, or holds more than tensors and plain values, "
            f"and nothing here runs code from a file ({reason}). Save it again: torch.save(model.state_dict(), path)."
        ) from error
