"""Networks: built from a config, given weights, and kept in checkpoints, which say all that is needed to rebuild one.

A network here takes pixels in [0, 1] and normalizes them itself. Training belongs to `unitscope.training`.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unitscope.architectures import Headed
from unitscope.artifacts import FORMAT_VERSION, write_bytes
from unitscope.devices import to_device
from unitscope.errors import UserError
from unitscope.sources import make

# --- building --------------------------------------------------------------------------------------------------------


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
            # Its mistakes are told here, as its own, before anything is computed.
            _on_grey(module, shape)
        if head is None:
            return module
        if head["replaces"] == "classifier":
            return _headed(settings["model"], module, shape, classes)
        return _with_outputs(module, shape, classes)


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
    own = module.get_submodule(path)
    if own.out_features != classes or own.bias is None:
        module.set_submodule(path, nn.Linear(int(own.in_features), classes))  # type: ignore[arg-type]
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
    found = [path for path, output in last if output is logits]
    if not found or logits.dim() != 2:
        raise UserError(
            f"head: {{fit: linear}} replaces the linear layer that gives the logits, and {type(module).__name__} ends "
            "with none. Give a network that does, or head: {fit: linear, replaces: classifier} for one with `features`."
        )
    return found[-1]


def outputs(module: nn.Module, shape: Sequence[int]) -> int:
    """Return the number of a network's outputs, for images of (channels, height, width)."""
    return _on_grey(module, shape).shape[1]


def _on_grey(module: nn.Module, shape: Sequence[int]) -> Any:
    """Return what a network puts out for one grey image."""
    device = next((parameter.device for parameter in module.parameters()), None)
    try:
        with torch.no_grad():
            return module.eval()(torch.zeros(1, *shape, device=device))
    except Exception as error:
        # A network of the user's own may raise anything.
        raise UserError(
            f"{type(module).__name__} does not accept images of {shape[1]}x{shape[2]} pixels with {shape[0]} channels: "
            f"{type(error).__name__}: {error}"
        ) from error


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
    content = checked_content(path, sha256)
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
    if not _is_state_dict(state):
        raise UserError(f"{path} is not a state dict: a mapping from names to tensors. Save model.state_dict() there.")
    return {
        key.removeprefix(strip_prefix): value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }


def checked_content(path: Path, sha256: str) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: The file is missing or has another checksum.
    """
    content = _content(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"weights.sha256 of {path} is {sha256}, but the file has {found}. If the file is the one that you mean, "
            "write its checksum into the config; otherwise fetch it again."
        )
    return content


def read_program(weights: Mapping[str, Any]) -> Tensor:
    """Return the bytes of an exported program, uint8, from `file` and `sha256`."""
    content = checked_content(Path(weights["file"]), weights["sha256"])
    if not content:
        raise UserError(f"{weights['file']} is empty. Export the network again: torch.export.save(program, path).")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


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


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# --- checkpoints -----------------------------------------------------------------------------------------------------


def save_checkpoint(path: Path, module: nn.Module, description: Mapping[str, Any]) -> None:
    """Write a checkpoint: all that is needed to rebuild the network, the same bytes for the same weights.

    Args:
        path: Where it goes.
        module: The network.
        description: `source`, `model`, `options`, `head`, `input` (channels, height, width), `mean`, `std`, `classes`,
            and `program`, the bytes of an exported one as uint8, where that is the source.
    """
    program = {key: value for key, value in description.items() if key == "program"}
    # Cloned into one layout of memory, and the description read anew: pickle also writes down strides, and which of
    # equal texts are the same object.
    state = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in module.state_dict().items()
    }
    described = {key: value for key, value in description.items() if key not in program}
    plain = json.loads(json.dumps({"format_version": FORMAT_VERSION, **described}))
    # Serialized to memory first: torch.save writes the name of a file into it.
    buffer = io.BytesIO()
    torch.save({**plain, **program, "state_dict": state}, buffer)
    write_bytes(path, buffer.getvalue())


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
        UserError: The file is missing, cut off, holds more than tensors and plain values, does not fit together, or
            names another function than `python`.
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
    if description["source"] == "python" and description["model"] != python:
        raise UserError(
            f"{path} is rebuilt by the function {description['model']!r}, which is called only where it is named: "
            f"--python has to be it, and is {python!r}. Run the workflow with the config that the checkpoint is of."
        )
    if problem := _problem(description):
        raise UserError(f"{path} does not describe a network: {problem}. Delete it and run again.")
    state = description.pop("state_dict")
    try:
        module = _rebuilt(description)
    except UserError:
        raise
    # Whatever a model comes upon in options that are not its own.
    except Exception as error:
        raise UserError(
            f"The network of {path} cannot be rebuilt: {description['model']} of {description['source']} with the "
            f"options {description['options']} ends in {type(error).__name__}: {error}. Delete it and run again."
        ) from error
    description.pop("program", None)
    load_weights(module, state, str(path))
    return freeze(accept_pixels(module, description["mean"], description["std"])).to(device), description


def _problem(description: Mapping[str, Any]) -> str:
    """Return what keeps a checkpoint's description from being one of a network; empty where nothing does."""

    def numbers(key: str) -> bool:
        found = description[key]
        return isinstance(found, list) and all(isinstance(one, float | int) and abs(one) < 1e30 for one in found)

    shape, program = description["input"], description.get("program")
    known = {
        "source": description["source"] in ("built_in", "torchvision", "timm", "python", "exported"),
        "model": isinstance(description["model"], str | None),
        "options": isinstance(description["options"], dict)
        and all(isinstance(key, str) for key in description["options"]),
        "head": isinstance(description["head"], dict | None),
        "input": numbers("input")
        and len(shape) == 3
        and all(isinstance(side, int) and 0 < side < 2**16 for side in shape),
        "mean": numbers("mean"),
        "std": numbers("std") and all(description["std"]),
        "classes": isinstance(description["classes"], list)
        and all(isinstance(one, str) for one in description["classes"]),
        "program": program is None
        or (isinstance(program, Tensor) and program.dtype is torch.uint8 and program.dim() == 1),
        "state_dict": _is_state_dict(description["state_dict"]),
    }
    wrong = [key for key, fine in known.items() if not fine]
    if not wrong and not {len(description["mean"]), len(description["std"])} <= {1, shape[0]}:
        wrong = ["mean"]
    if not wrong and description["source"] == "exported" and program is None:
        wrong = ["program"]
    return f"its {wrong[0]} is {str(description.get(wrong[0]))[:60]}" if wrong else ""


def _is_state_dict(state: Any) -> bool:
    return isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    )


def _rebuilt(description: Mapping[str, Any]) -> nn.Module:
    """Return the network of a checkpoint, with weights that are still to be replaced."""
    shape, classes = description["input"], len(description["classes"])
    if description["source"] in ("built_in", "torchvision"):
        try:
            # On the meta device nothing is drawn or computed for weights that are replaced at once.
            with torch.device("meta"):
                module = build(description, shape, classes)
            kept = module.state_dict()
            if all(name in kept for name, _ in module.named_buffers()):
                return module
        except UserError:
            # Some models compute with tensors while they are built (torchvision's RegNets).
            pass
    return build(description, shape, classes)


def _content(path: Path) -> bytes:
    # A pipe or a device would be read for ever.
    if not Path(path).is_file():
        raise UserError(f"{path} is not a file. Give the path of an existing file, or run the workflow.")
    return Path(path).read_bytes()


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
