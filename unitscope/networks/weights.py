"""Weights from a file: state dicts as people save them, and programs of `torch.export`. No code in a file is run."""

import copy
import fnmatch
import hashlib
import io
import json
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.data.preprocessing import mode_of_weights
from unitscope.errors import UserError
from unitscope.runtime.console import log

EXTRA_STATE = "_extra_state"
"""Last part of a key under which a module's own get_extra_state is kept in a state dict."""
_JOIN = "Join the state dicts of all of them into one, and save that as one file"


def read_state_dict(path: Path, sha256: str, key: str = "") -> dict[str, Tensor]:
    """Return the state dict of `read_weights`."""
    return read_weights(path, sha256, key)[0]


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
    found = _state_dicts(held)
    if key:
        if key not in found:
            raise UserError(
                f"{path}: weights.key is {key!r}, which is no state dict there. {_contents(held, found)} Correct it."
            )
    elif len(found) > 1:
        raise UserError(
            f"{path} holds several state dicts: {', '.join(found)}. Name one: weights: {{key: {next(iter(found))}, "
            "...}."
        )
    elif not found:
        raise UserError(
            f"{path} is not a state dict: a mapping from names to tensors. {_contents(held, found)} Save "
            "model.state_dict() there."
        )
    (place,) = [key] if key else found
    if place and not key:
        log.info("%s: the state dict is taken from its key %r", path, place)
    values = {
        name: value.float() if isinstance(value, Tensor) and value.is_floating_point() and value.itemsize < 4 else value
        for name, value in found[place].items()
    }
    return with_versions(values, found[place]), class_names(held)


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


def with_versions(values: Mapping[str, Any], state: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return values of a state dict together with the versions of its modules, by which they read what older code kept.

    PyTorch keeps the versions in an attribute of the state dict, which copies and comprehensions lose.

    Args:
        values: What becomes of the state dict.
        state: The state dict; without versions if it comes from a file that has none, such as safetensors.
        prefix: What has been taken off its names.
    """
    result: Any = OrderedDict(values)
    if isinstance(versions := getattr(state, "_metadata", None), Mapping):
        # Copies: loading writes into them.
        result._metadata = {
            f"{path}.".removeprefix(prefix).removesuffix("."): dict(version)
            for path, version in versions.items()
            if f"{path}.".startswith(prefix)
        }
    return result


def _state_dicts(held: Any, place: str = "") -> dict[str, dict[str, Tensor]]:
    """Return the state dicts in nested mappings, by the keys that lead to them with dots between."""
    if not isinstance(held, dict):
        return {}
    if held and is_state_dict(held):
        return {place: held}
    # An optimizer's moments are kept by number, not by name.
    inner = [
        _state_dicts(value, f"{place}.{key}" if place else key) for key, value in held.items() if isinstance(key, str)
    ]
    return {key: state for found in inner for key, state in found.items()}


def _contents(held: Any, found: Mapping[str, Any]) -> str:
    if found:
        return f"It holds these state dicts: {', '.join(place or 'the file itself' for place in found)}."
    if isinstance(held, dict):
        return f"Its keys are {_some([str(key) for key in held], 8) or 'none'}."
    return f"It holds a {type(held).__name__}."


def aligned(
    state: Mapping[str, Tensor],
    own: Sequence[str],
    origin: str,
    strip_prefix: str | None = None,
    shared: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """Return a state dict with the names of a network: without the prefix that a wrapper has put before them.

    Args:
        state: As a file holds it.
        own: Names in the network's state dict that it should have.
        origin: Where the weights come from, for messages.
        strip_prefix: What is taken off names that begin with it, others being left out; None where it is to be found,
            such as "module." of DataParallel, "_orig_mod." of torch.compile, or "model." of a training library.
        shared: As `shared_names`, of names that a file may have once.

    Raises:
        UserError: Names of the network are there under several prefixes, or none begins with the one to be taken off.
    """
    if strip_prefix is not None:
        if not any(name.startswith(strip_prefix) for name in state):
            raise UserError(
                f"{origin}: weights.strip_prefix is {strip_prefix!r}, with which no key begins: {_some(list(state))}. "
                "Correct it."
            )
        return _without_prefix(state, strip_prefix, origin)
    wanted = [name for name in own if not name.endswith((".num_batches_tracked", EXTRA_STATE))]
    names = [(name, *shared.get(name, ())) for name in wanted]

    def is_whole(prefix: str) -> bool:
        return all(any(prefix + name in state for name in alike) for alike in names)

    if is_whole(""):
        return with_versions(state, state)
    prefixes = [key.removesuffix(last) for last in names[-1] for key in state if key.endswith(f".{last}")]
    whole = [prefix for prefix in dict.fromkeys(prefixes) if is_whole(prefix)]
    if len(whole) > 1:
        raise UserError(
            f"{origin} holds the network's weights under several prefixes: {', '.join(whole)}. Name one: weights: "
            f"{{strip_prefix: {whole[0]}, ...}}."
        )
    if not whole:
        return with_versions(state, state)
    return _without_prefix(state, whole[0], origin)


def _without_prefix(state: Mapping[str, Tensor], prefix: str, origin: str) -> dict[str, Tensor]:
    others = [name for name in state if not name.startswith(prefix)]
    log.info(
        "%s: the prefix %r is taken off its keys%s",
        origin,
        prefix,
        f"; {_some(others)} are left out" if others else "",
    )
    values = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return with_versions(values, state, prefix)


def without(state: Mapping[str, Tensor], patterns: Sequence[str], origin: str) -> dict[str, Tensor]:
    """Return a state dict without the names that fit a pattern, in which * stands for any text.

    Raises:
        UserError: No name fits a pattern.
    """
    for pattern in patterns:
        if not fnmatch.filter(state, pattern):
            raise UserError(
                f"{origin}: weights.ignore has {pattern!r}, which no key fits: {_some(list(state))}. Correct it."
            )
    values = {name: value for name, value in state.items() if not any(fnmatch.fnmatchcase(name, p) for p in patterns)}
    return with_versions(values, state)


def shared_names(module: nn.Module) -> dict[str, list[str]]:
    """Return, for each parameter or buffer that a network has under several names, its other names.

    `safetensors.torch.save_model` keeps one of them.
    """
    tensors = chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))
    names: dict[int, list[str]] = {}
    for name, tensor in tensors:
        names.setdefault(id(tensor), []).append(name)
    return {name: [other for other in alike if other != name] for alike in names.values() for name in alike}


def checked_content(path: Path, sha256: str) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: The file is missing or has another checksum.
    """
    content = content_of(path)
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


def load_weights(
    module: nn.Module, state: Mapping[str, Tensor], origin: str, missing: str = "", options: Sequence[str] = ()
) -> None:
    """Put weights into a network.

    Args:
        module: The network.
        state: Its state dict.
        origin: Where the weights come from, for messages.
        missing: Prefix of keys that need not be there, since they are fitted later.
        options: Names of the architecture's options, for messages.

    Raises:
        UserError: They belong to another architecture, or are not all finite.
    """
    own, original = module.state_dict(), state
    # A file may hold tensors alone. What a module keeps beside them goes by no shape.
    plain = {key: state.get(key, value) for key, value in own.items() if key.endswith(EXTRA_STATE)}
    state = {key: value for key, value in state.items() if key not in plain}
    own = {key: value for key, value in own.items() if key not in plain}
    _check_values(state, own, origin)
    # Counts of batches came with later versions of PyTorch; nothing is computed with them here.
    state = {**{key: torch.tensor(0) for key in own if key.endswith(".num_batches_tracked")}, **state}
    tied = _tied(state, shared_names(module), origin)
    state.update({key: value for key, value in tied.items() if key in own})
    entries = with_versions({**plain, **state}, original)
    lacking = [key for key in own if key not in state and not (missing and key.startswith(missing))]
    extra = [key for key in state if key not in own]
    shapes = _other_shapes(state, own)
    if (lacking or extra or shapes) and (converted := _as_torch_loads(module, entries, missing)) is not None:
        state = {key: value for key, value in converted.items() if key not in plain}
        lacking, extra, shapes = [], [], []
    if lacking and (piece := re.search(r"-(\d{5})-of-(\d{5})\.", origin)):
        raise UserError(
            f"{origin} is one of several files of these weights, by its name number {int(piece[1])} of "
            f"{int(piece[2])}: it lacks {_some(lacking)}. {_JOIN}."
        )
    problems = [
        *([f"it lacks {_some(lacking)}"] if lacking else []),
        *([f"it has {_some(extra)}, which the network has not"] if extra else []),
        *([_some(shapes)] if shapes else []),
    ]
    if extra and not lacking and not shapes:
        raise UserError(
            f"{origin} has {_some(extra)}, which {type(module).__name__} has not, beside all its weights. If the "
            f"network does without, leave all of them out: weights: {{ignore: [{extra[0]}, ...], ...}}, where * stands "
            "for any text."
        )
    if problems:
        raise UserError(
            f"{origin} belongs to another network than {type(module).__name__}: {'; '.join(problems)}. Give the model "
            f"and options that the weights were made for{_options(options)}, and a data set of as many classes or "
            f"head: {{fit: linear}}. If its keys have a prefix, set weights.strip_prefix: {_some(list(state))}."
            + "".join(mode_of_weights(state[key].shape, own[key].shape) for key in own if key in state)
        )
    for key, value in state.items():
        # In the network's precision: the file has fixed none.
        value = value.to(own[key].dtype)
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(
                f"{origin}: {key} holds values that are not finite (NaN or infinite). Its training has probably "
                "diverged; use another checkpoint."
            )
    try:
        # As the file holds them: modules convert what they have kept otherwise once, and may remember that they did.
        _load(module, entries)
    except Exception as error:
        # A method of the user's own, such as set_extra_state, may raise anything.
        raise UserError(
            f"{origin} cannot be put into {type(module).__name__}: its load_state_dict ends in {type(error).__name__}: "
            f"{error}"
        ) from error


def _check_values(state: Mapping[str, Any], own: Mapping[str, Tensor], origin: str) -> None:
    """Refuse tensors that hold no numbers of a network, one each; warn of integers in the place of weights.

    Args:
        state: Tensors of a file.
        own: Those of the network.
        origin: Where the weights come from, for messages.
    """
    for key, value in state.items():
        if not isinstance(value, Tensor):
            continue
        if value.is_meta:
            raise UserError(
                f"{origin}: {key} is on the meta device and holds no values. Save the state dict of the network whose "
                "weights are in memory."
            )
        if value.layout is not torch.strided or value.is_quantized:
            kind, cure = ("quantized", "dequantize") if value.is_quantized else ("sparse", "to_dense")
            raise UserError(f"{origin}: {key} is {kind} ({value.layout}). Save it dense: state[{key!r}].{cure}().")
        if key not in own or not own[key].is_floating_point():
            continue
        if value.is_complex():
            raise UserError(
                f"{origin}: {key} holds complex numbers ({value.dtype}), and the network's are real. Save real ones."
            )
        if not value.is_floating_point():
            log.warning(
                "%s: %s holds numbers of the type %s, which are taken as they are. If they are quantized, multiply "
                "them by their scale before saving.",
                origin,
                key,
                value.dtype,
            )


def _tied(state: Mapping[str, Tensor], shared: Mapping[str, Sequence[str]], origin: str) -> dict[str, Tensor]:
    """Return values for all names of tensors with several, of which a file may have some: the last one's, as PyTorch.

    Args:
        state: Tensors of a file.
        shared: As `shared_names`.
        origin: Where the weights come from, for a warning where they differ.
    """
    values: dict[str, Tensor] = {}
    for key, others in shared.items():
        held = [name for name in (key, *others) if name in state]
        if not others or not held or key in values:
            continue
        last = state[held[-1]]
        values.update(dict.fromkeys((key, *others), last))
        if not all(torch.equal(state[name].to(last.dtype), last) for name in held):
            log.warning(
                "%s holds different values for %s, which are one tensor of the network: those of %s are taken, as "
                "PyTorch does. If the weights were made without sharing, build the network without it.",
                origin,
                " and ".join(held),
                held[-1],
            )
    return values


def _other_shapes(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Describe the tensors of a state dict whose shapes are not those of the network's."""
    return [
        f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]


def _load(module: nn.Module, state: Mapping[str, Any]) -> Any:
    """Load a state dict by PyTorch's own way; return the names that it lacks, and those that the module has not.

    Values are copied into the network's tensors, so that those with several names stay one. Where a tensor has no
    memory for each of its elements (on the meta device, or expanded), all are assigned, in the network's precision.
    """
    tensors = [*module.parameters(), *module.buffers()]
    if not any(tensor.is_meta or 0 in tensor.stride() for tensor in tensors if tensor.numel() > 1):
        return module.load_state_dict(state, strict=False)
    own = module.state_dict()
    values = {
        key: value.to(own[key].dtype if key in own else value.dtype, copy=True) if isinstance(value, Tensor) else value
        for key, value in state.items()
    }
    return module.load_state_dict(with_versions(values, state), strict=False, assign=True)


def _as_torch_loads(module: nn.Module, state: Mapping[str, Any], missing: str) -> dict[str, Any] | None:
    """Return a state dict as modules convert it when they load it, such as an older weight norm; None if they do not.

    Args:
        module: The network, which stays as it is.
        state: A state dict whose keys or shapes are not the network's.
        missing: Prefix of keys that need not be there.
    """
    try:
        trial = copy.deepcopy(module)
        left, extra = _load(trial, with_versions(state, state))
    except Exception:
        # Shapes that differ, parameters that cannot be copied, or methods of the user's own.
        return None
    if extra or any(not (missing and key.startswith(missing)) for key in left):
        return None
    return {key: value for key, value in trial.state_dict().items() if key not in left}


def fits(module: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Return whether the tensors of a state dict have the shapes of the network's."""
    own = {key: value for key, value in module.state_dict().items() if not key.endswith(EXTRA_STATE)}
    return all(state[key].shape == value.shape for key, value in own.items() if key in state)


def output_names(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Return names for classes that nobody has named: the numbers of the outputs that a state dict was made for.

    Args:
        module: A network of the same architecture, with any number of outputs.
        state: Its state dict, in any order.
    """
    tensors = {key for key, value in state.items() if isinstance(value, Tensor) and value.dim()}
    last = next((key for key in reversed(module.state_dict()) if key in tensors), None)
    return [str(number) for number in range(len(state[last]))] if last else []


def _options(names: Sequence[str]) -> str:
    return f" (its options are {', '.join(names)})" if names else ""


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def is_state_dict(state: Any) -> bool:
    """Return whether an object is a mapping from names to tensors, and to what modules keep as extra state."""
    return isinstance(state, dict) and all(
        isinstance(key, str) and (isinstance(value, Tensor) or key.endswith(f".{EXTRA_STATE}") or key == EXTRA_STATE)
        for key, value in state.items()
    )


def checked_state(module: nn.Module) -> dict[str, Any]:
    """Return a network's state dict.

    Raises:
        UserError: It holds more than tensors, and plain values as extra state.
    """
    state: dict[str, Any] = module.state_dict()
    if not _is_plain(getattr(state, "_metadata", {})):
        raise UserError(
            f"The state dict of {type(module).__name__} has more in _metadata, where PyTorch keeps the versions of "
            "modules, than texts, numbers, lists and mappings with texts as keys, which is all that a checkpoint keeps."
        )
    for key, value in state.items():
        if not isinstance(value, Tensor) and not (key.endswith(EXTRA_STATE) and _is_plain(value)):
            raise UserError(
                f"The state dict of {type(module).__name__} holds {key}, which is {type(value).__name__}. A checkpoint "
                "keeps tensors, and what get_extra_state returns if it consists of texts, numbers, lists and mappings "
                "with texts as keys. Quantized networks and other states are not supported."
            )
    return state


def _is_plain(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


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
        told = re.sub(r"\x1b\[[0-9;]*m", "", str(error) or type(error).__name__)
        # PyTorch's own first lines advise to run the code in the file.
        reason = next(iter(told.rpartition("WeightsUnpickler error: ")[2].strip().splitlines()), type(error).__name__)
        raise UserError(
            f"{path} cannot be read as weights: it is cut off, damaged, or holds more than tensors and plain values, "
            f"and nothing here runs code from a file ({reason}). Save it again: torch.save(model.state_dict(), path)."
        ) from error


def _other_kind(content: bytes) -> str:
    """Return what a file is and what to give instead, where it is whole but of another kind; "" where it is not."""
    if content.startswith(b"\x1f\x8b"):
        return "it is compressed. Unpack it first: gunzip"
    if content.lstrip().startswith(b"{") and b'"weight_map"' in content:
        return f"it is the index of weights in several files. {_JOIN}"
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


def _entry(content: bytes, found: str) -> str:
    """Return the key of the entry of a file of `torch.save` that holds an object of some type; "" if it is not found.

    Args:
        content: The file.
        found: Name of the type, with its module.
    """
    last = ""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            pickled = archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
        for operation, value, _ in pickletools.genops(pickled):
            if operation.name == "GLOBAL" and str(value).replace(" ", ".") == found:
                return last
            # Keys are written before their values.
            last = str(value) if operation.name == "BINUNICODE" else last
    except (zipfile.BadZipFile, StopIteration, ValueError):
        # Files of old versions of PyTorch are no archives.
        pass
    return ""
