"""Networks: built from a config, given weights, and kept in checkpoints, which say all that is needed to rebuild one.

A network here takes pixels in [0, 1] and normalizes them itself. Training belongs to `unitscope.training`.
"""

import copy
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from unitscope.architectures import Headed
from unitscope.artifacts import FORMAT_VERSION, write_bytes
from unitscope.console import log
from unitscope.devices import pixels
from unitscope.errors import UserError
from unitscope.faithful import example_images, faithful
from unitscope.forms import arrange, close, in_layout
from unitscope.normalization import OnPixels, network_of
from unitscope.outputs import Outputs, candidates, find_outputs, outputs_from
from unitscope.preprocessing import mode_to_set
from unitscope.sources import make, options_of
from unitscope.weights import checked_state, content_of, is_state_dict, load_plain, load_weights

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
        tensors = chain(module.named_parameters(), module.named_buffers())
        return [name for name, tensor in tensors if is_lazy(tensor)]

    # Others that do not accept the images are told so where their outputs are looked at.
    with nullcontext() if lazy() else suppress(UserError):
        _on_grey(module, shape)
    if left := lazy():
        raise UserError(
            f"{type(module).__name__}: {left[0]} is lazy and gets no shape from an image, since the forward pass does "
            "not use it. Remove that module, or give its sizes."
        )
    module.train(training)


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
    if not found or not isinstance(logits, Tensor) or logits.dim() != 2:
        raise UserError(
            f"head: {{fit: linear}} replaces the linear layer that gives the logits, and {type(module).__name__} ends "
            "with none. Give a network that does, or head: {fit: linear, replaces: classifier} for one with `features`."
        )
    return found[-1]


def output_count(network: nn.Module, shape: Sequence[int], settings: Mapping[str, Any], name: str = "networks") -> int:
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
    try:
        returned = _on_grey(network, shape, 2)
    except UserError as error:
        sizes = [name for name in ("image_size", "img_size") if name in options_of(settings)]
        raise UserError(
            f"{error} {f'Set options: {{{sizes[0]}: {shape[1]}}}, or give' if sizes else 'Give'} the data "
            "set the size and channels that the network takes."
        ) from error
    # Here, not after hours of training.
    checked_state(network)
    outputs = find_outputs(returned, 2, classes, settings, "networks.NAME")
    return accept_pixels(network, mean, std, outputs)


def _on_grey(module: nn.Module, shape: Sequence[int], images: int = 1) -> Any:
    """Return what a network puts out for grey images."""
    device = next((parameter.device for parameter in module.parameters()), None)

    def run(shape: Sequence[int]) -> Any:
        with torch.no_grad():
            return module.eval()(torch.zeros(images, *shape, device=device))

    try:
        return run(shape)
    except Exception as error:
        # A network of the user's own may raise anything.
        raise UserError(
            f"{type(module).__name__} does not accept {images} images of {shape[1]}x{shape[2]} pixels with {shape[0]} "
            f"channels: {type(error).__name__}: {error}.{mode_to_set(shape, run)}"
        ) from error


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


# --- checkpoints -----------------------------------------------------------------------------------------------------


def save_checkpoint(path: Path, module: nn.Module, description: Mapping[str, Any], repeats: bool = True) -> None:
    """Write a checkpoint: all that is needed to rebuild the network, the same bytes for the same weights.

    Args:
        path: Where it goes.
        module: The network. Where there are examples it takes pixels, and is left in eval mode.
        description: `source`, `model`, `options`, `head`, `input` (channels, height, width), `mean`, `std`, `classes`,
            `outputs` as `Outputs.described` gives them, `examples`, uint8 (images, height, width, channels), on which
            forms of the network are held against it, and `program`, the bytes of an exported one as uint8, where that
            is the source.
        repeats: Whether the network gives the same logits each time: those of the examples are then kept too, and
            compared with those of the network that is rebuilt.
    """
    arrays = {key: value for key, value in description.items() if isinstance(value, Tensor)}
    # Cloned into one layout of memory, and the description read anew: pickle also writes down strides, and which of
    # equal texts are the same object.
    state = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        if isinstance(value, Tensor)
        else json.loads(json.dumps(value))
        for key, value in checked_state(module).items()
    }
    described = {key: value for key, value in description.items() if key not in arrays}
    # After the state was copied: a forward pass may change it.
    if repeats and "examples" in arrays and (logits := _kept_logits(module, arrays["examples"])) is not None:
        arrays["logits"] = logits
    plain = json.loads(json.dumps({"format_version": FORMAT_VERSION, **described}))
    # Serialized to memory first: torch.save writes the name of a file into it.
    buffer = io.BytesIO()
    torch.save({**plain, **arrays, "state_dict": state}, buffer)
    write_bytes(path, buffer.getvalue())


def _kept_logits(module: nn.Module, examples: Tensor) -> Tensor | None:
    """Return the logits (images, classes) of examples; None where the network cannot run on the processor any more."""
    device = next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    try:
        return _logits(module.to("cpu").eval(), examples)
    except RuntimeError as error:
        # A tensor that its code has put on a GPU in the meantime, and that is no buffer.
        log.warning(
            "%s does not run on the processor after its training (%s), so that its rebuilding is not checked. Register "
            "tensors that it keeps as buffers.",
            type(network_of(module)).__name__,
            str(error).partition("\n")[0],
        )
        return None
    finally:
        module.to(device)


def _logits(module: nn.Module, examples: Tensor, shift: float = 0.0) -> Tensor:
    """Return the logits (images, classes) of examples, by a network in eval mode on the processor.

    Rounded alike wherever they are computed: by one thread, in one layout of memory, with random numbers of one seed.
    A shift is added to the pixels.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = in_layout(pixels(examples.numpy(), torch.device("cpu")), torch.contiguous_format)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            logits: Tensor = arrange(module, torch.contiguous_format)(images + shift)
    finally:
        torch.set_num_threads(threads)
    return logits.clone(memory_format=torch.contiguous_format)


def check_rebuilt(module: OnPixels, description: Mapping[str, Any]) -> None:
    """Refuse a network that cannot be rebuilt from its description and its state dict, before these are kept.

    Args:
        module: The network, in eval mode.
        description: As a checkpoint holds it, with `examples`.

    Raises:
        UserError: The network rebuilt from these gives other logits, or has other parameters.
    """
    name = type(network_of(module)).__name__
    # Copied first: a forward pass may change it.
    state = copy.deepcopy(checked_state(module))
    logits = _kept_logits(module, description["examples"])
    rebuilt = _rebuilt(description)
    state = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in state.items()}
    load_weights(rebuilt, state, f"The network {name}")
    outputs = outputs_from(description["outputs"])
    opened = accept_pixels(rebuilt, description["mean"], description["std"], outputs).eval()
    if logits is not None:
        _refuse_other(opened, description["examples"], logits, f"{name}, built again")


def _refuse_other(module: nn.Module, examples: Tensor, expected: Tensor, origin: str) -> None:
    logits = _logits(module, examples)
    if not close(logits, expected):
        differing = ""
        if logits.shape == expected.shape:
            difference = float((logits - expected).abs().max())
            # Where rounding moves the logits as much, as in half precision, another processor may as well.
            again, shifted = _logits(module, examples), _logits(module, examples, 1e-6)
            if close(again, logits) and difference < 10 * float((shifted - logits).abs().max()):
                return
            differing = f" (by up to {difference:.3g})"
        raise UserError(
            f"{origin}: the network that was rebuilt from its source and weights is not the one that was saved: its "
            f"logits differ{differing}. Something outside its state dict is random, changes in training, or has "
            "changed since, such as a tensor that is no buffer, a buffer with persistent=False, or a package. Register "
            "such tensors as buffers (self.register_buffer(name, tensor)); then delete the checkpoint, if there is "
            "one, and run again."
        )


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
        UserError: The file is missing, cut off, holds more than tensors and plain values, does not fit together,
            names another function than `python`, or is rebuilt to a network that gives other logits.
    """
    description = load_plain(content_of(path), path)
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
    outputs = outputs_from(description["outputs"]) if "outputs" in description else None
    opened: nn.Module = accept_pixels(module, description["mean"], description["std"], outputs).eval()
    # Checkpoints of earlier versions have no logits.
    if (logits := description.pop("logits", None)) is not None:
        _refuse_other(opened, description["examples"], logits, str(path))
    opened = freeze(opened).to(device)
    examples = description.pop("examples", torch.empty(0)).numpy()
    examples = examples if len(examples) else example_images(examples, description["input"])
    faithful(opened, pixels(examples, torch.device(device)))
    return opened, description


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
        "built_for": isinstance(description.get("built_for", 0), int),
        "outputs": "outputs" not in description or _are_outputs(description["outputs"]),
        "examples": "examples" not in description
        or _are_images(description["examples"], shape if isinstance(shape, list) else []),
        "logits": "logits" not in description
        or ("examples" in description and _are_logits(description["logits"], description["examples"])),
        "program": program is None
        or (isinstance(program, Tensor) and program.dtype is torch.uint8 and program.dim() == 1),
        "state_dict": is_state_dict(description["state_dict"]),
    }
    wrong = [key for key, fine in known.items() if not fine]
    if not wrong and not {len(description["mean"]), len(description["std"])} <= {1, shape[0]}:
        wrong = ["mean"]
    if not wrong and description["source"] == "exported" and program is None:
        wrong = ["program"]
    return f"its {wrong[0]} is {str(description.get(wrong[0]))[:60]}" if wrong else ""


def _are_outputs(described: Any) -> bool:
    try:
        outputs_from(described)
    except (TypeError, AttributeError):
        return False
    return True


def _are_images(examples: Any, shape: Sequence[int]) -> bool:
    size = tuple(examples.shape) if isinstance(examples, Tensor) and examples.dtype is torch.uint8 else ()
    return len(size) == 4 and size[0] > 0 and [size[3], *size[1:3]] == list(shape)


def _are_logits(logits: Any, examples: Any) -> bool:
    plain = isinstance(logits, Tensor) and logits.is_floating_point()
    return plain and logits.dim() == 2 and isinstance(examples, Tensor) and len(logits) == len(examples)


def _rebuilt(description: Mapping[str, Any]) -> nn.Module:
    """Return the network of a checkpoint, with weights that are still to be replaced."""
    shape, classes = description["input"], description.get("built_for", len(description["classes"]))
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
