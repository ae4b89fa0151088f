"""Networks as graphs that torch.fx traces, in which nothing is done in place.

What a layer is in such a graph is told by `unitscope.probing.layers`.
"""

import builtins
import copy
import inspect
import operator
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeGuard, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules import module as of_all_modules
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from unitscope.networks.normalization import network_of
from unitscope.runtime import console

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
TRANSPARENT: tuple[Any, ...] = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout),
)
"""What passes its input on in eval mode, and so does not separate a layer from its nonlinearity."""

_WEIGHTS_COMPUTED = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks of torch's own, which compute a weight from others before a forward pass and do nothing else."""
_OPERATORS = (
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
)
_IN_PLACE = {getattr(operator, f"i{name}"): getattr(operator, f"__{name}__") for name in _OPERATORS}
_SHARING = {
    *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "expand"),
    *("expand_as", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "t", "diagonal", "narrow"),
    *(
        "select",
        "chunk",
        "split",
        "tensor_split",
        "unbind",
        "getitem",
        "getattr",
        "contiguous",
        "to",
        "type",
        "type_as",
    ),
    *("float", "detach", *(kind.__name__ for kind in TRANSPARENT if not isinstance(kind, type))),
}
"""Names of methods and functions that may return memory of what they are given."""
_PASSED_ON = (nn.Flatten, nn.Unflatten, *(kind for kind in TRANSPARENT if isinstance(kind, type)))
"""Modules that do."""


METADATA = {
    *("size", "shape", "dim", "ndim", "ndimension", "numel", "nelement", "element_size", "stride", "storage_offset"),
    *("device", "get_device", "dtype", "layout", "is_cuda", "is_contiguous", "is_floating_point", "is_complex"),
    *("requires_grad", "is_leaf", "is_inference", "_version", "__len__", "len"),
}
"""Attributes, methods and functions that read what a tensor is like, and none of its values."""
_NOT_TENSORS = METADATA | {
    *("item", "tolist", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "topk", "sort", "kthvalue"),
    *("mode", "unique", "unique_consecutive", "aminmax", "frexp", "broadcast_tensors", "meshgrid"),
    *("__index__", "__int__", "__float__", "__bool__"),
}
"""Names of functions and methods whose result may be anything else than one tensor."""
_TENSOR_ATTRIBUTES = {"T", "mT", "H", "mH", "real", "imag", "data"}


@cache
def _say_untraceable(network: str, reason: str) -> None:
    """Say once what a network that cannot be traced means."""
    console.log.warning(
        "The network %s cannot be traced by torch.fx (%s): its layers are followed by hooks instead, and every "
        "ablation is a full pass.",
        network,
        reason,
    )


class _TensorProxy(fx.Proxy):
    """A symbol that passes for the tensor that it stands for, and is changed in place as one.

    torch.fx's own fails `isinstance(x, torch.Tensor)`, so that a network's other branch is traced, and turns `x += y`
    into a new value that readers of the old one do not see.
    """

    _is_param = _is_buffer = False
    """What `isinstance(x, nn.Parameter)` and `isinstance(x, nn.Buffer)` ask."""


def _augmented(function: Any) -> Any:
    def change(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return change


@contextmanager
def _symbols_pass_for_tensors() -> Iterator[None]:
    """Let `isinstance(x, torch.Tensor)` be true of a symbol, in Python alone.

    C code asks Python's API instead. It would take a symbol whose class is that of tensors for one, and crash.
    """
    plain = builtins.isinstance

    def passes(thing: Any, kinds: Any) -> bool:
        if type(thing) is not _TensorProxy:
            return plain(thing, kinds)
        return plain(thing, kinds) or any(kind is Tensor for kind in _flat(kinds))

    def _flat(kinds: Any) -> Iterator[Any]:
        parts = kinds if plain(kinds, tuple) else getattr(kinds, "__args__", None)
        yield from (kind for part in parts for kind in _flat(part)) if parts is not None else (kinds,)

    with patch.object(builtins, "isinstance", passes):
        yield


@contextmanager
def _own_gradients_refused() -> Iterator[None]:
    """Let no function with a gradient of its own be traced: the graph would hold its forward pass alone."""
    plain = inspect.getattr_static(torch.autograd.Function, "apply")

    def apply(function: Any, *args: Any, **kwargs: Any) -> Any:
        if any(issubclass(type(value), fx.Proxy) for value in (*args, *kwargs.values())):
            raise TypeError(f"it calls {function.__name__}, which has a gradient of its own")
        return plain.__get__(None, function)(*args, **kwargs)

    with patch.object(torch.autograd.Function, "apply", classmethod(apply)):
        yield


for _name in _OPERATORS:
    setattr(_TensorProxy, f"__i{_name}__", _augmented(getattr(operator, f"i{_name}")))


class _Tracer(fx.Tracer):
    """Traces a network down to its layers, those of classes made from torch's own included."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (nn.Conv2d, nn.Linear, *NORMS)) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if m is network_of(self.root) and m is not self.root:
            # Its submodules are those of the root, under the same paths.
            return forward(*args, **kwargs)
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            _refuse_additions(m, f"its module {path!r}")
        return super().call_module(m, forward, args, kwargs)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        if self._gives_tensor(node):
            node.meta["tensor"] = True
            return _TensorProxy(node, self)
        return super().proxy(node)

    def create_arg(self, a: Any) -> Any:
        # torch.fx would take it for a constant: it passes for a Tensor.
        return a.node if issubclass(type(a), fx.Proxy) else super().create_arg(a)

    def _gives_tensor(self, node: fx.Node) -> bool:
        """Return whether a node surely gives one tensor, and neither a number nor several tensors."""
        if node.op in ("placeholder", "get_attr"):
            return True
        if node.op == "call_module":
            module = self.root.get_submodule(str(node.target))
            return not isinstance(module, nn.RNNBase | nn.RNNCellBase | nn.MultiheadAttention)
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if name == "getitem":
            # Of a tensor; of several, or of a shape, it may be anything.
            return bool(getattr(node.args[0], "meta", {}).get("tensor"))
        if name == "getattr":
            return node.args[1] in _TENSOR_ATTRIBUTES
        # Maxima along an axis come with their places, norms of an axis with nothing.
        several = (
            name in ("max", "min", "median", "nanmedian", "cummax", "cummin") and len(node.args) + len(node.kwargs) > 1
        )
        return (
            not several and name not in _NOT_TENSORS and any(value.meta.get("tensor") for value in node.all_input_nodes)
        )


def forward_addition(module: nn.Module) -> str:
    """Return what of the user's own runs when a module is called, beside the code of its class; "" where nothing does.

    The hooks by which torch computes a weight from others (weight norm, spectral norm, pruning) do not count.
    """
    if method := next((name for name in vars(module) if callable(getattr(type(module), name, None))), ""):
        return f"a method {method} of its own"
    if module._forward_hooks:
        return "a forward hook"
    if not all(isinstance(hook, _WEIGHTS_COMPUTED) for hook in module._forward_pre_hooks.values()):
        return "a forward pre-hook"
    return ""


def _refuse_additions(module: nn.Module, called: str) -> None:
    """Refuse code of the user's own in a module that a graph holds as one operation.

    It may keep values for the rest of the network, which reads those of the last pass while it is traced, and may do to
    one channel something else than to all of them.
    """
    for part in module.modules():
        if addition := forward_addition(part):
            raise TypeError(f"{called} has {addition}, which a graph does not show")


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
        with _symbols_pass_for_tensors(), _own_gradients_refused():
            graph = _Tracer().trace(copied)
        traced = fx.GraphModule(copied, graph)
    # Whatever the network's own code raises when it is run on symbols.
    except Exception as error:
        _say_untraceable(name, str(error).partition("\n")[0])
        return None
    _open_norms(traced)
    try:
        changing = _into_new_tensors(traced)
    except _NoSuchOperation as error:
        _say_untraceable(name, str(error))
        return None
    if not _later_readers_see(traced, changing):
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


class _NoSuchOperation(Exception):
    """An operation in place has no counterpart that works into a new tensor."""


def _into_new_tensors(traced: fx.GraphModule) -> set[fx.Node]:
    """Let nothing be done in place; return the nodes that did."""
    changing = set()
    flagged = set()
    for node in traced.graph.nodes:
        if node.op == "call_module":
            target: Any = traced.get_submodule(node.target)
            if getattr(target, "inplace", False):
                # A shallow copy: the original keeps its flag, the parameters stay shared.
                target = copy.copy(target)
                target.inplace = False
                traced.set_submodule(node.target, target)
                flagged.add(node.target)
            # A module may be called several times.
            if node.target in flagged:
                changing.add(node)
        elif node.op == "call_function":
            function = out_of_place(node.target)
            # A call without the flag is recorded with inplace=False.
            flag, node.args, node.kwargs = _without_flag(node, function)
            if flag or function is not node.target:
                changing.add(node)
            node.target = function
        elif node.op == "call_method" and node.target.endswith("_") and not node.target.endswith("__"):
            if not callable(getattr(Tensor, node.target.removesuffix("_"), None)):
                raise _NoSuchOperation(f"it calls {node.target}, which changes a tensor in place")
            node.target = node.target.removesuffix("_")
            changing.add(node)
    return changing


def _later_readers_see(traced: fx.GraphModule, changing: set[fx.Node]) -> bool:
    """Let who reads a tensor after a change in place read what the change gave; False where that cannot be told."""
    place = {node: number for number, node in enumerate(traced.graph.nodes)}
    sharing: dict[fx.Node, set[fx.Node]] = {}
    for node in traced.graph.nodes:
        given = next(iter(node.all_input_nodes), None)
        sharing[node] = {node}
        if node in changing and given is not None:
            for other in sharing[given]:
                late = [user for user in other.users if place[user] > place[node]]
                if late and other is not given:
                    return False
                for user in late:
                    user.replace_input_with(other, node)
        if given is not None and (node in changing or _shares(node, traced)):
            sharing[node] = sharing[given]
            sharing[node].add(node)
    return True


def _shares(node: fx.Node, traced: fx.GraphModule) -> bool:
    """Return whether what a node gives may lie in the memory of what it is given."""
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), _PASSED_ON)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _SHARING


def _open_norms(traced: fx.GraphModule) -> None:
    """Put torch's own batch norms in the place of those of classes that are made from them.

    A class without a forward pass of its own is the same; one that holds a nonlinearity too, as timm's
    `BatchNormAct2d`, is parted into `norm`, `drop` and `act`.
    """
    opened: dict[str, list[str]] = {}
    for node in list(traced.graph.nodes):
        if node.op != "call_module":
            continue
        if node.target not in opened:
            whole: Any = traced.get_submodule(node.target)
            plain = next((norm for norm in NORMS if isinstance(whole, norm)), None)
            if plain is None or plain is type(whole):
                continue
            # A shallow copy, which shares the parameters.
            norm = copy.copy(whole)
            norm.__class__, norm._modules = plain, {}
            if type(whole).forward is plain.forward:
                traced.set_submodule(node.target, norm)
                continue
            if [name for name, _ in whole.named_children()] != ["drop", "act"]:
                continue
            parts = {"norm": norm, "drop": whole.drop, "act": whole.act}
            traced.set_submodule(node.target, nn.Sequential(OrderedDict(parts)))
            opened[node.target] = [f"{node.target}.{name}" for name in parts]
        users, last = list(node.users), node
        node.target, *others = opened[node.target]
        for part in others:
            with traced.graph.inserting_after(last):
                last = traced.graph.call_module(part, (last,))
        for user in users:
            user.replace_input_with(node, last)


Kind = TypeVar("Kind", bound=nn.Module)


def is_unhooked(module: nn.Module) -> bool:
    """Return whether a module does, forward and backward, what its class does: other code may do the same for it."""
    return not (forward_addition(module) or module._backward_hooks or module._backward_pre_hooks)


def keeps_no_output(module: nn.Module) -> bool:
    """Return whether a module is a layer or batch norm of torch's own, whose gradient does not need its output.

    What it gives may be changed in place then. A weight that is computed from others changes nothing about that.
    """
    return type_before_parametrizations(module) in (nn.Conv2d, nn.Linear, *NORMS) and is_unhooked(module)


def is_plain(module: Any, kind: type[Kind]) -> TypeGuard[Kind]:
    """Return whether a module computes what its class does, from parameters of its own.

    A subclass, a hook, or a weight that is computed from others (pruned, normalized) may do something else.
    """
    if type(module) is not kind or not is_unhooked(module) or module._forward_pre_hooks:
        return False
    return "weight" in module._parameters or not hasattr(module, "weight")


def out_of_place(function: Any) -> Any:
    """Return what a function does, done into a new tensor: `torch.relu` for `torch.relu_`."""
    name = getattr(function, "__name__", "")
    if name.endswith("_") and not name.endswith("__"):
        for home in (torch, F, Tensor):
            if getattr(home, name, None) is function and hasattr(home, name[:-1]):
                return getattr(home, name[:-1])
    return _IN_PLACE.get(function, function)


def _without_flag(node: fx.Node, function: Any) -> tuple[bool, tuple[Any, ...], dict[str, Any]]:
    """Return a function's flag `inplace`, named or by position, and the arguments of its call without it."""
    kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    flag = node.kwargs.get("inplace", False)
    try:
        place = list(inspect.signature(function).parameters).index("inplace")
    except (TypeError, ValueError):
        return flag is not False, node.args, kwargs
    if len(node.args) <= place:
        return flag is not False, node.args, kwargs
    return node.args[place] is not False, (*node.args[:place], False, *node.args[place + 1 :]), kwargs
