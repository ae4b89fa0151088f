"""Checkpoints: networks as files that say all that is needed to rebuild them, and are refused where they do not."""

import copy
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.networks.building import accept_pixels, build, freeze
from unitscope.networks.closeness import close
from unitscope.networks.examples import example_images
from unitscope.networks.layouts import arrange, in_layout
from unitscope.networks.normalization import OnPixels, network_of
from unitscope.networks.outputs import outputs_from
from unitscope.networks.state_dicts import checked_state, is_state_dict, with_versions
from unitscope.networks.weight_files import content_of, load_plain
from unitscope.networks.weights import load_weights
from unitscope.runtime.console import log
from unitscope.runtime.devices import pixels
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.records import FORMAT_VERSION


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
    module_state = checked_state(module)
    values = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        if isinstance(value, Tensor)
        else json.loads(json.dumps(value))
        for key, value in module_state.items()
    }
    state: Any = with_versions(values, module_state)
    state._metadata = json.loads(json.dumps(state._metadata))
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
    values = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in state.items()}
    load_weights(rebuilt, with_versions(values, state), f"The network {name}")
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


def read_checkpoint(path: Path, python: str = "") -> tuple[OnPixels, dict[str, Any], np.ndarray]:
    """Rebuild a network from a checkpoint, frozen, in eval mode, taking pixels in [0, 1].

    `unitscope.probing.opening.open_checkpoint` also chooses the form in which it is read.

    Args:
        path: The checkpoint.
        python: The function `package.module:name` of the user's that may be called to rebuild it. A checkpoint never
            decides by itself what code is run.

    Returns:
        The network, the checkpoint's description of it, and images to hold forms of it against it, uint8 (images,
        height, width, channels).

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
    opened = accept_pixels(module, description["mean"], description["std"], outputs).eval()
    # Checkpoints of earlier versions have no logits.
    if (logits := description.pop("logits", None)) is not None:
        _refuse_other(opened, description["examples"], logits, str(path))
    examples = description.pop("examples", torch.empty(0)).numpy()
    freeze(opened)
    return opened, description, examples if len(examples) else example_images(examples, description["input"])


def _problem(description: Mapping[str, Any]) -> str:
    """Return what keeps a checkpoint's description from being one of a network; empty where nothing does."""

    def are_numbers(key: str) -> bool:
        values = description[key]
        return isinstance(values, list) and all(isinstance(one, float | int) and abs(one) < 1e30 for one in values)

    shape, program = description["input"], description.get("program")
    checks = {
        "source": description["source"] in ("built_in", "torchvision", "timm", "python", "exported"),
        "model": isinstance(description["model"], str | None),
        "options": isinstance(description["options"], dict)
        and all(isinstance(key, str) for key in description["options"]),
        "head": isinstance(description["head"], dict | None),
        "input": are_numbers("input")
        and len(shape) == 3
        and all(isinstance(side, int) and 0 < side < 2**16 for side in shape),
        "mean": are_numbers("mean"),
        "std": are_numbers("std") and all(description["std"]),
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
    wrong = [key for key, valid in checks.items() if not valid]
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
            state_dict = module.state_dict()
            if all(name in state_dict for name, _ in module.named_buffers()):
                return module
        except UserError:
            # Some models compute with tensors while they are built (torchvision's RegNets).
            pass
    return build(description, shape, classes)
