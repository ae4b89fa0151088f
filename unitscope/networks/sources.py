"""Where an architecture comes from: built in, torchvision, timm, a function of the user's, an exported program.

Each source takes (channels, height, width) of an image and the number of classes where it can, and returns a module
with random weights that takes normalized pixels; an exported program brings its weights along.
"""

import importlib
import importlib.util
import inspect
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.errors import UserError, nearest
from unitscope.networks.architectures import architectures
from unitscope.networks.wrappers import unwrapped
from unitscope.storage.records import sha256_of

TIMM_REFUSED = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable")
"""Options by which timm would fetch weights of its own accord."""


WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".npz")
"""Of files that hold weights."""


def make(settings: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    """Return the network that the config describes, without a new head.

    Args:
        settings: `source`, `model`, `options`, and `program`, the bytes of an exported one as uint8.
        shape: (channels, height, width) of an image.
        classes: Number of classes.

    Raises:
        UserError: The model is not known, or does not take these options or images.
    """
    source, model, options = settings["source"], settings["model"], settings["options"]
    if source == "exported":
        # Loaded where it is needed: it imports torch.export.
        from unitscope.networks.exported import read_exported

        return read_exported(settings["program"], shape)
    builders = {"built_in": _built_in, "torchvision": _torchvision, "timm": _timm, "python": _python}
    # Code of a module file may switch gradients off for all; the mode of the caller stays.
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        return builders[source](model, options, shape, classes)


def _built_in(model: str, options: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    if model not in architectures:
        raise UserError(
            f"The model {model!r} is not built in.{nearest(model, architectures)} Allowed are "
            f"{', '.join(architectures)}. For a model of torchvision or timm, set source: torchvision or source: timm."
        )
    return _created(model, architectures[model], architectures[model], options, shape=shape, classes=classes)


def _torchvision(model: str, options: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    from torchvision import models

    model_names = models.list_models(module=models)
    if model not in model_names:
        raise UserError(f"torchvision has no classification model {model!r}; it has {', '.join(model_names)}.")
    if shape[0] != 3:
        raise UserError(
            f"torchvision's {model} takes images of 3 channels, not {shape[0]}. Set "
            "datasets.NAME.mode: RGB, or take a built-in model."
        )
    builder = models.get_model_builder(model)
    # Builders hand their options on to the class that they return.
    return _created(model, builder, inspect.signature(builder).return_annotation, options, num_classes=classes)


def _timm(model: str, options: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    timm = _imported_timm()
    # Exact names alone: timm would fetch others, such as hf-hub:..., from elsewhere.
    if not timm.is_model(model) or model not in timm.list_models():
        close = ", ".join(timm.list_models(f"{model.split('.')[0][:8]}*")[:8])
        raise UserError(
            f"timm has no model {model!r}. Name it without a tag of weights{f'; it has {close}, ...' if close else ''}."
        )
    if refused := [name for name in options if name in TIMM_REFUSED]:
        raise UserError(f"The model {model}: options.{refused[0]} is not taken here; name weights under weights.")
    # timm drops what a model does not take into a message of its class.
    return _created(
        model, timm.create_model, timm.create_model, options, model_name=model, num_classes=classes, in_chans=shape[0]
    )


def _imported_timm() -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise UserError(
            "source: timm needs the package timm, which is not installed. Install it: pip install timm."
        ) from error


def _python(model: str, options: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    function = _function(model)
    arguments = {"shape": list(shape), "classes": classes}
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise UserError(f"model: {model} is nothing that can be called ({error}).") from error
    module = _created(
        model, function, function, options, **{name: arguments[name] for name in arguments if name in parameters}
    )
    if not isinstance(module, nn.Module):
        raise UserError(f"model: {model} returned {type(module).__name__}; it has to return a torch.nn.Module.")
    return unwrapped(module)


def _function(model: str) -> Callable[..., Any]:
    path, _, name = model.partition(":")
    try:
        module = importlib.import_module(path)
    except Exception as error:
        # Whatever it is: the module is the user's own.
        raise UserError(
            f"model: {model} cannot be imported ({_cause(error)}). Name it package.module:function; the module lies in "
            "the project's folder, or is installed."
        ) from error
    if not hasattr(module, name):
        raise UserError(f"model: the module {path} has no {name!r}. Name a function that returns a module.")
    return getattr(module, name)


def _created(
    model: str,
    function: Callable[..., nn.Module],
    described: Callable[..., Any],
    options: Mapping[str, Any],
    **arguments: Any,
) -> nn.Module:
    """Return a network; where it does not take its options, tell those that it is described by."""
    try:
        return function(**arguments, **options)
    except UserError:
        raise
    except Exception as error:
        # A function of the user's own may raise anything.
        parameters = inspect.signature(described).parameters.values()
        allowed = [each.name for each in parameters if each.default is not each.empty and each.name not in arguments]
        raise UserError(
            f"The model {model} does not take the options {dict(options)} ({_cause(error)}). It has the options "
            f"{', '.join(allowed)}."
        ) from error


def options_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of a model's options; none where they cannot be known.

    Args:
        settings: `source` and `model`.
    """
    source, model = settings["source"], settings["model"]
    excluded = {"num_classes", "in_chans", "shape", "classes", "weights", "progress", "pretrained", "kwargs"}
    described: Any
    if source == "built_in":
        described = architectures[model]
    elif source == "torchvision":
        from torchvision import models

        described = inspect.signature(models.get_model_builder(model)).return_annotation
    elif source == "python":
        described = _function(model)
    else:
        return []
    try:
        return [name for name in inspect.signature(described).parameters if name not in excluded]
    except (TypeError, ValueError):
        return []


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# --- weights that come with an architecture --------------------------------------------------------------------------

Pretrained = tuple[dict[str, Tensor], list[float], list[float], list[str]]
"""State dict, normalization (mean, std) and class names."""


def torchvision_weights(model: str, name: str) -> Pretrained:
    """Return torchvision's weights of that name, with normalization and class names."""
    from torchvision import models

    try:
        available = {weights.name: weights for weights in models.get_model_weights(model)}
    except ValueError as error:
        raise UserError(f"torchvision has no weights for a model {model!r}: {error}.") from error
    if name not in available:
        raise UserError(f"torchvision has no weights {name!r} for {model}; it has {', '.join(available)}.")
    weights = available[name]
    transforms = weights.transforms()
    target = _hub_file(weights.url)
    # torchvision checks what it downloads, and not what is there already.
    if problem := _differs_from_its_name(target):
        raise UserError(
            f"{target} does not hold the weights {name} of {model}: {problem}. Delete it; without a network, put the "
            f"file {weights.url} there."
        )
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if target.is_file():
            # A download is put there when it is whole and its hash is right.
            raise UserError(
                f"{target} does not hold the weights {name} of {model} ({_first_line(error)}): it is cut off, or "
                f"something else. Delete it; without a network, put the file {weights.url} there."
            ) from error
        raise UserError(
            f"torchvision could not download the weights {name} of {model} ({error}). Without a network, put the file "
            f"{weights.url} at {target}."
        ) from error
    return state, list(transforms.mean), list(transforms.std), list(weights.meta["categories"])


def timm_weights(model: str, tag: str, options: Mapping[str, Any]) -> Pretrained:
    """Return timm's weights of that tag, with normalization and, for ImageNet's 1,000 classes, their names."""
    timm = _imported_timm()
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{model}.*")]
    if tag not in tags:
        raise UserError(f"timm has no weights {tag!r} for {model}; it has {', '.join(tags) or 'none'}.")
    weights = timm.get_pretrained_cfg(f"{model}.{tag}")
    _check_timm_files(weights, f"{tag} of {model}")
    try:
        module = timm.create_model(f"{model}.{tag}", pretrained=True, **options)
    # Whatever the hub's client raises without a network.
    except Exception as error:
        # Unless it is the options, which are told as such.
        _created(model, timm.create_model, timm.create_model, options, model_name=model)
        raise UserError(
            f"timm could not fetch the weights {tag} of {model} ({_first_line(error)}). Without a network, bring the "
            "file and name it: weights: {file: model.safetensors, sha256: ...}, with normalization."
        ) from error
    # What has been downloaded just now.
    _check_timm_files(weights, f"{tag} of {model}")
    cfg = module.pretrained_cfg
    names: list[str] = []
    if module.num_classes == 1000:
        info = importlib.import_module("timm.data").ImageNetInfo()
        names = [info.index_to_description(index) for index in range(1000)]
    return module.state_dict(), list(cfg["mean"]), list(cfg["std"]), names


def _check_timm_files(weights: Any, title: str) -> None:
    """Compare the files that timm has stored with their checksums: neither timm nor the hub's client does.

    Args:
        weights: timm's description of pretrained weights.
        title: What they are called, for messages.

    Raises:
        UserError: A file has other contents, or is none of the hub's: those are links to files named by their SHA-256.
    """
    if weights.url:
        target = _hub_file(weights.url)
        if problem := _differs_from_its_name(target):
            raise UserError(f"{target} does not hold the weights {title}: {problem}. Delete it.")
    if weights.hf_hub_id:
        cache = importlib.import_module("huggingface_hub.constants").HF_HUB_CACHE
        folder = Path(cache) / f"models--{weights.hf_hub_id.replace('/', '--')}" / "snapshots"
        for file in sorted(path for path in folder.glob("*/*") if path.suffix in WEIGHTS_SUFFIXES and path.is_file()):
            checksum = file.resolve().name
            if not re.fullmatch("[0-9a-f]{64}", checksum):
                problem = "it is not a link to a file that is named by its SHA-256"
            elif sha256_of(file) != checksum:
                problem = f"its SHA-256 is not {checksum}, the name of the file that it is a link to"
            else:
                continue
            raise UserError(
                f"{file} does not hold the weights {title}: {problem}. Delete {folder.parent}; or name a file under "
                "weights: {file: model.safetensors, sha256: ...}, with normalization."
            )


def _hub_file(url: str) -> Path:
    """Return where torch.hub stores a download."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def _differs_from_its_name(path: Path) -> str:
    """Return how a file differs from its name, which ends in the first digits of its SHA-256; an empty text if not."""
    expected = re.search("-([0-9a-f]{8,64})$", path.stem)
    if expected is None or not path.is_file() or sha256_of(path).startswith(expected[1]):
        return ""
    return f"its SHA-256 does not begin with {expected[1]}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
