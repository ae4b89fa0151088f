"""State dicts: whose names they have, which names share a tensor, the versions and plain values that they keep."""

import fnmatch
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from unitscope.errors import UserError, some
from unitscope.runtime.console import log

EXTRA_STATE = "_extra_state"
"""Last part of a key under which a module's own get_extra_state is kept in a state dict."""


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


def aligned(
    state: Mapping[str, Tensor],
    network_names: Sequence[str],
    origin: str,
    strip_prefix: str | None = None,
    shared: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """Return a state dict with the names of a network: without the prefix that a wrapper has put before them.

    Args:
        state: As a file holds it.
        network_names: Names in the network's state dict that it should have.
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
                f"{origin}: weights.strip_prefix is {strip_prefix!r}, with which no key begins: {some(list(state))}. "
                "Correct it."
            )
        return _without_prefix(state, strip_prefix, origin)
    required_names = [name for name in network_names if not name.endswith((".num_batches_tracked", EXTRA_STATE))]
    names = [(name, *shared.get(name, ())) for name in required_names]

    def is_complete(prefix: str) -> bool:
        return all(any(prefix + name in state for name in aliases) for aliases in names)

    if is_complete(""):
        return with_versions(state, state)
    prefixes = [key.removesuffix(last) for last in names[-1] for key in state if key.endswith(f".{last}")]
    complete = [prefix for prefix in dict.fromkeys(prefixes) if is_complete(prefix)]
    if len(complete) > 1:
        raise UserError(
            f"{origin} holds the network's weights under several prefixes: {', '.join(complete)}. Name one: weights: "
            f"{{strip_prefix: {complete[0]}, ...}}."
        )
    if not complete:
        return with_versions(state, state)
    return _without_prefix(state, complete[0], origin)


def _without_prefix(state: Mapping[str, Tensor], prefix: str, origin: str) -> dict[str, Tensor]:
    other_names = [name for name in state if not name.startswith(prefix)]
    log.info(
        "%s: the prefix %r is taken off its keys%s",
        origin,
        prefix,
        f"; {some(other_names)} are left out" if other_names else "",
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
                f"{origin}: weights.ignore has {pattern!r}, which no key fits: {some(list(state))}. Correct it."
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


def output_names(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Return names for classes that nobody has named: the numbers of the outputs that a state dict was made for.

    Args:
        module: A network of the same architecture, with any number of outputs.
        state: Its state dict, in any order.
    """
    tensors = {key for key, value in state.items() if isinstance(value, Tensor) and value.dim()}
    last = next((key for key in reversed(module.state_dict()) if key in tensors), None)
    return [str(number) for number in range(len(state[last]))] if last else []


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
