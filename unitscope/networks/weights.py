"""Put a state dict into a network, or report why it belongs to another one."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.data.preprocessing import mode_of_weights
from unitscope.errors import UserError, some
from unitscope.networks.state_dicts import EXTRA_STATE, shared_names, with_versions
from unitscope.networks.weight_files import JOIN_FILES
from unitscope.runtime.console import log


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
    module_state, original = module.state_dict(), state
    # A file may hold tensors alone. What a module keeps beside them goes by no shape.
    plain = {key: state.get(key, value) for key, value in module_state.items() if key.endswith(EXTRA_STATE)}
    state = {key: value for key, value in state.items() if key not in plain}
    module_state = {key: value for key, value in module_state.items() if key not in plain}
    _check_values(state, module_state, origin)
    # Counts of batches came with later versions of PyTorch; nothing is computed with them here.
    state = {**{key: torch.tensor(0) for key in module_state if key.endswith(".num_batches_tracked")}, **state}
    tied = _tied(state, shared_names(module), origin)
    state.update({key: value for key, value in tied.items() if key in module_state})
    entries = with_versions({**plain, **state}, original)
    lacking = [key for key in module_state if key not in state and not (missing and key.startswith(missing))]
    extra = [key for key in state if key not in module_state]
    shapes = _other_shapes(state, module_state)
    if (lacking or extra or shapes) and (converted := _as_torch_loads(module, entries, missing)) is not None:
        state = {key: value for key, value in converted.items() if key not in plain}
        lacking, extra, shapes = [], [], []
    if lacking and (piece := re.search(r"-(\d{5})-of-(\d{5})\.", origin)):
        raise UserError(
            f"{origin} is one of several files of these weights, by its name number {int(piece[1])} of "
            f"{int(piece[2])}: it lacks {some(lacking)}. {JOIN_FILES}."
        )
    problems = [
        *([f"it lacks {some(lacking)}"] if lacking else []),
        *([f"it has {some(extra)}, which the network has not"] if extra else []),
        *([some(shapes)] if shapes else []),
    ]
    if extra and not lacking and not shapes:
        raise UserError(
            f"{origin} has {some(extra)}, which {type(module).__name__} has not, beside all its weights. If the "
            f"network does without, leave all of them out: weights: {{ignore: [{extra[0]}, ...], ...}}, where * stands "
            "for any text."
        )
    if problems:
        raise UserError(
            f"{origin} belongs to another network than {type(module).__name__}: {'; '.join(problems)}. Give the model "
            f"and options that the weights were made for{_options(options)}, and a data set of as many classes or "
            f"head: {{fit: linear}}. If its keys have a prefix, set weights.strip_prefix: {some(list(state))}."
            + "".join(
                mode_of_weights(state[key].shape, module_state[key].shape) for key in module_state if key in state
            )
        )
    for key, value in state.items():
        # In the network's precision: the file has fixed none.
        value = value.to(module_state[key].dtype)
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


def _check_values(state: Mapping[str, Any], module_state: Mapping[str, Tensor], origin: str) -> None:
    """Refuse tensors that hold no numbers of a network, one each; warn of integers in the place of weights.

    Args:
        state: Tensors of a file.
        module_state: Those of the network.
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
        if key not in module_state or not module_state[key].is_floating_point():
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
    for key, other_names in shared.items():
        present_names = [name for name in (key, *other_names) if name in state]
        if not other_names or not present_names or key in values:
            continue
        last = state[present_names[-1]]
        values.update(dict.fromkeys((key, *other_names), last))
        if not all(torch.equal(state[name].to(last.dtype), last) for name in present_names):
            log.warning(
                "%s holds different values for %s, which are one tensor of the network: those of %s are taken, as "
                "PyTorch does. If the weights were made without sharing, build the network without it.",
                origin,
                " and ".join(present_names),
                present_names[-1],
            )
    return values


def _other_shapes(state: Mapping[str, Tensor], module_state: Mapping[str, Tensor]) -> list[str]:
    """Describe the tensors of a state dict whose shapes are not those of the network's."""
    return [
        f"{key} is {tuple(state[key].shape)}, not {tuple(module_state[key].shape)}"
        for key in module_state
        if key in state and state[key].shape != module_state[key].shape
    ]


def _load(module: nn.Module, state: Mapping[str, Any]) -> Any:
    """Load a state dict by PyTorch's own way; return the names that it lacks, and those that the module has not.

    Values are copied into the network's tensors, so that those with several names stay one. Where a tensor has no
    memory for each of its elements (on the meta device, or expanded), all are assigned, in the network's precision.
    """
    tensors = [*module.parameters(), *module.buffers()]
    if not any(tensor.is_meta or 0 in tensor.stride() for tensor in tensors if tensor.numel() > 1):
        return module.load_state_dict(state, strict=False)
    module_state = module.state_dict()
    values = {
        key: value.to(module_state[key].dtype if key in module_state else value.dtype, copy=True)
        if isinstance(value, Tensor)
        else value
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
        missing_keys, extra = _load(trial, with_versions(state, state))
    except Exception:
        # Shapes that differ, parameters that cannot be copied, or methods of the user's own.
        return None
    if extra or any(not (missing and key.startswith(missing)) for key in missing_keys):
        return None
    return {key: value for key, value in trial.state_dict().items() if key not in missing_keys}


def fits(module: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Return whether the tensors of a state dict have the shapes of the network's."""
    module_state = {key: value for key, value in module.state_dict().items() if not key.endswith(EXTRA_STATE)}
    return all(state[key].shape == value.shape for key, value in module_state.items() if key in state)


def _options(names: Sequence[str]) -> str:
    return f" (its options are {', '.join(names)})" if names else ""
