"""Networks as graphs that torch.fx traces, in which no operation is in place.

`unitscope.probing.sites` finds the layers of such a graph.
"""

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules import module as of_all_modules

from unitscope.networks.normalization import network_of
from unitscope.probing.additions import forward_addition
from unitscope.probing.in_place import NoSuchOperation, into_new_tensors, later_readers_see
from unitscope.probing.norms import open_norms
from unitscope.probing.symbols import Tracer, custom_gradients_refused, symbols_pass_for_tensors
from unitscope.runtime import console


@cache
def _say_untraceable(network: str, reason: str) -> None:
    """Say once what a network that cannot be traced means."""
    console.log.warning(
        "The network %s cannot be traced by torch.fx (%s): its layers are followed by hooks instead, and every "
        "ablation is a full pass.",
        network,
        reason,
    )


def trace(module: nn.Module) -> fx.GraphModule | None:
    """Trace a network into a graph in which nothing is done in place; the module given is left as it is.

    None where torch.fx cannot trace it, or where it does not show who reads what was changed in place, or what code of
    the user's own (a hook, a method of one instance) does in a module that it does not look into.
    """
    name = type(network_of(module)).__name__
    try:
        if addition := forward_addition(module):
            raise TypeError(f"it has {addition}, which a graph does not show")
        if of_all_modules._has_any_global_hook():
            raise TypeError("a hook is registered for all modules, which a graph does not show")
        # The network's code may keep symbols: in a copy, so that the module is as it was.
        copied = _sharing_tensors(module)
        with symbols_pass_for_tensors(), custom_gradients_refused():
            graph = Tracer().trace(copied)
        traced = fx.GraphModule(copied, graph)
    # Whatever the network's own code raises when it is run on symbols.
    except Exception as error:
        _say_untraceable(name, str(error).partition("\n")[0])
        return None
    open_norms(traced)
    try:
        changing = into_new_tensors(traced)
    except NoSuchOperation as error:
        _say_untraceable(name, str(error))
        return None
    if not later_readers_see(traced, changing):
        _say_untraceable(
            type(network_of(module)).__name__, "it changes a tensor in place that is read through a view of it"
        )
        return None
    traced.recompile()
    return traced


def _sharing_tensors(module: nn.Module) -> nn.Module:
    """Return a copy of a network that shares its tensors, and nothing else that its code may change.

    A graph as torch.fx makes it keeps nothing, and its class cannot be copied.
    """
    if isinstance(network_of(module), fx.GraphModule):
        return module
    memo: dict[int, Any] = {}
    for part in (*module.modules(), *network_of(module).modules()):
        if isinstance(part, torch.jit.ScriptModule):
            memo[id(part)] = part
            continue
        for values in (vars(part), part._parameters, part._buffers):
            memo.update({id(value): value for value in values.values() if isinstance(value, Tensor)})
    return copy.deepcopy(module, memo)
