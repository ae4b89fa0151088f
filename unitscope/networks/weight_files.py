"""Weights from a file: state dicts as people save them, and programs of `torch.export`. No code in a file is run."""

import hashlib
import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unitscope.errors import UserError, some
from unitscope.networks.state_dicts import is_state_dict, with_versions
from unitscope.runtime.console import log

JOIN_FILES = "Join the state dicts of all of them into one, and save that as one file"


def read_weights(path: Path, sha256: str, key: str = "") -> tuple[dict[str, Tensor], list[str]]:
    """Read a local state dict, without running any code that it may hold, and the class names that lie beside it.

    Args:
        path: A `.safetensors` file, or what `torch.save` writes: a state dict, or a mapping that holds one.
        sha256: Checksum that the file has to have.
        key: Where in the file the state dict is, with dots between the keys; empty where it is the only one.

    Returns:
        The state dict, and names as `class_names`.

    Raises:
        UserError: The file is missing, damaged, has another checksum, holds more than tensors and plain values, or
            holds several state dicts.
    """
    content = checked_content(path, sha256)
    held: Any
    if Path(path).suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            held = load(content)
        except SafetensorError as error:
            raise UserError(f"{path} is not a whole safetensors file ({error}). Fetch it again.") from error
    else:
        held = load_plain(content, path)
    states = _state_dicts(held)
    if key:
        if key not in states:
            raise UserError(
                f"{path}: weights.key is {key!r}, which is no state dict there. {_contents(held, states)} Correct it."
            )
    elif len(states) > 1:
        raise UserError(
            f"{path} holds several state dicts: {', '.join(states)}. Name one: weights: {{key: {next(iter(states))}, "
            "...}."
        )
    elif not states:
        raise UserError(
            f"{path} is not a state dict: a mapping from names to tensors. {_contents(held, states)} Save "
            "model.state_dict() there."
        )
    (state_key,) = [key] if key else states
    if state_key and not key:
        log.info("%s: the state dict is taken from its key %r", path, state_key)
    values = {
        name: value.float() if isinstance(value, Tensor) and value.is_floating_point() and value.itemsize < 4 else value
        for name, value in states[state_key].items()
    }
    return with_versions(values, states[state_key]), class_names(held)


def class_names(held: Any) -> list[str]:
    """Return the names of the classes in what a file of weights holds, in the order of the outputs; empty without any.

    They are a list `classes` or `class_names`, or `class_to_idx` as torchvision's `ImageFolder` has it. Checkpoints of
    unitscope hold `classes`.
    """
    if not isinstance(held, dict):
        return []
    for key in ("classes", "class_names"):
        names = held.get(key)
        if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
            return list(names)
    numbers = held.get("class_to_idx")
    if isinstance(numbers, dict) and {tuple(map(type, pair)) for pair in numbers.items()} == {(str, int)}:
        places = {number: name for name, number in numbers.items()}
        if set(places) == set(range(len(numbers))):
            return [places[number] for number in range(len(numbers))]
    return []


def _state_dicts(held: Any, path: str = "") -> dict[str, dict[str, Tensor]]:
    """Return the state dicts in nested mappings, by the keys that lead to them with dots between."""
    if not isinstance(held, dict):
        return {}
    if held and is_state_dict(held):
        return {path: held}
    # An optimizer's moments are kept by number, not by name.
    inner = [
        _state_dicts(value, f"{path}.{key}" if path else key) for key, value in held.items() if isinstance(key, str)
    ]
    return {key: state for nested in inner for key, state in nested.items()}


def _contents(held: Any, state_dicts: Mapping[str, Any]) -> str:
    if state_dicts:
        return f"It holds these state dicts: {', '.join(state_key or 'the file itself' for state_key in state_dicts)}."
    if isinstance(held, dict):
        return f"Its keys are {some([str(key) for key in held], 8) or 'none'}."
    return f"It holds a {type(held).__name__}."


def checked_content(path: Path, sha256: str) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: The file is missing or has another checksum.
    """
    content = content_of(path)
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != sha256:
        raise UserError(
            f"weights.sha256 of {path} is {sha256}, but the file has {checksum}. If the file is the one that you mean, "
            "write its checksum into the config; otherwise fetch it again."
        )
    return content


def read_program(weights: Mapping[str, Any]) -> Tensor:
    """Return the bytes of an exported program, uint8, from `file` and `sha256`."""
    content = checked_content(Path(weights["file"]), weights["sha256"])
    if not content:
        raise UserError(f"{weights['file']} is empty. Export the network again: torch.export.save(program, path).")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def content_of(path: Path) -> bytes:
    """Return a file's bytes."""
    # A pipe or a device would be read for ever.
    if not Path(path).is_file():
        raise UserError(f"{path} is not a file. Give the path of an existing file, or run the workflow.")
    return Path(path).read_bytes()


def load_plain(content: bytes, path: Path) -> Any:
    """Return what a file of `torch.save` holds, if that is no more than tensors and plain values."""
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises whatever its unpickler, its archive reader or its checks come upon.
        if match := re.search(r"GLOBAL (\S+) was not an allowed global", str(error)):
            entry = _entry(content, match[1])
            raise UserError(
                f"{path} cannot be read as weights: {f'its entry {entry!r}' if entry else 'an entry'} holds "
                f"{match[1]}, which is more than tensors and plain values, and nothing here runs code from a file. "
                "Save it without that: torch.save(model.state_dict(), path)."
            ) from error
        if kind := _other_kind(content):
            raise UserError(f"{path} cannot be read as weights: {kind}.") from error
        message = re.sub(r"\x1b\[[0-9;]*m", "", str(error) or type(error).__name__)
        # PyTorch's own first lines advise to run the code in the file.
        reason = next(
            iter(message.rpartition("WeightsUnpickler error: ")[2].strip().splitlines()), type(error).__name__
        )
        raise UserError(
            f"{path} cannot be read as weights: it is cut off, damaged, or holds more than tensors and plain values, "
            f"and nothing here runs code from a file ({reason}). Save it again: torch.save(model.state_dict(), path)."
        ) from error


def _other_kind(content: bytes) -> str:
    """Return what a file is and what to give instead, where it is whole but of another kind; "" where it is not."""
    if content.startswith(b"\x1f\x8b"):
        return "it is compressed. Unpack it first: gunzip"
    if content.lstrip().startswith(b"{") and b'"weight_map"' in content:
        return f"it is the index of weights in several files. {JOIN_FILES}"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    # Of a damaged archive zipfile raises whatever it comes upon: UnicodeDecodeError, NotImplementedError, struct.error.
    except Exception:
        return ""
    if any(name.endswith("archive_format") for name in names):
        return "it is an exported program. Set source: exported"
    if any(name.endswith("/constants.pkl") for name in names):
        return "it is a ScriptModule, which is compiled code. Save torch.jit.load(path).state_dict() with torch.save"
    if names and all(name.endswith(".npy") for name in names):
        return "it holds NumPy's arrays. Save them as tensors: torch.save({name: torch.from_numpy(array), ...}, path)"
    return ""


def _entry(content: bytes, type_name: str) -> str:
    """Return the key of the entry of a file of `torch.save` that holds an object of some type; "" if it is not found.

    Args:
        content: The file.
        type_name: Name of the type, with its module.
    """
    last = ""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            pickled = archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
        for operation, value, _ in pickletools.genops(pickled):
            if operation.name == "GLOBAL" and str(value).replace(" ", ".") == type_name:
                return last
            # Keys are written before their values.
            last = str(value) if operation.name == "BINUNICODE" else last
    except (zipfile.BadZipFile, StopIteration, ValueError):
        # Files of old versions of PyTorch are no archives.
        pass
    return ""
