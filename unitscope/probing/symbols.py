"""Symbols that a network's code runs on while torch.fx traces it."""

import builtins
import inspect
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, fx, nn

from unitscope.networks.dependence import METADATA
from unitscope.networks.normalization import network_of
from unitscope.probing.additions import refuse_additions
from unitscope.probing.following import NORMS
from unitscope.probing.in_place import OPERATORS

_NOT_TENSORS = METADATA | {
    *("item", "tolist", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "topk", "sort", "kthvalue"),
    *("mode", "unique", "unique_consecutive", "aminmax", "frexp", "broadcast_tensors", "meshgrid"),
    *("__index__", "__int__", "__float__", "__bool__"),
}
"""Names of functions and methods whose result may be anything else than one tensor."""
_TENSOR_ATTRIBUTES = {"T", "mT", "H", "mH", "real", "imag", "data"}


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
def symbols_pass_for_tensors() -> Iterator[None]:
    """Let `isinstance(x, torch.Tensor)` be true of a symbol, in Python alone.

    C code asks Python's API instead. It would take a symbol whose class is that of tensors for one, and crash.
    """
    original_isinstance = builtins.isinstance

    def passes(value: Any, kinds: Any) -> bool:
        if type(value) is not _TensorProxy:
            return original_isinstance(value, kinds)
        return original_isinstance(value, kinds) or any(kind is Tensor for kind in _flat(kinds))

    def _flat(kinds: Any) -> Iterator[Any]:
        parts = kinds if original_isinstance(kinds, tuple) else getattr(kinds, "__args__", None)
        yield from (kind for part in parts for kind in _flat(part)) if parts is not None else (kinds,)

    with patch.object(builtins, "isinstance", passes):
        yield


@contextmanager
def custom_gradients_refused() -> Iterator[None]:
    """Let no function with a gradient of its own be traced: the graph would hold its forward pass alone."""
    original_apply = inspect.getattr_static(torch.autograd.Function, "apply")

    def apply(function: Any, *args: Any, **kwargs: Any) -> Any:
        if any(issubclass(type(value), fx.Proxy) for value in (*args, *kwargs.values())):
            raise TypeError(f"it calls {function.__name__}, which has a gradient of its own")
        return original_apply.__get__(None, function)(*args, **kwargs)

    with patch.object(torch.autograd.Function, "apply", classmethod(apply)):
        yield


for _name in OPERATORS:
    setattr(_TensorProxy, f"__i{_name}__", _augmented(getattr(operator, f"i{_name}")))


class Tracer(fx.Tracer):
    """Traces a network down to its layers, those of classes made from torch's own included."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether the graph holds calls of a module as one operation."""
        return isinstance(m, (nn.Conv2d, nn.Linear, *NORMS)) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Record the call of a module, or trace through it.

        Raises:
            TypeError: The graph would hold a module as one operation that runs code of the user's own.
        """
        if m is network_of(self.root) and m is not self.root:
            # Its submodules are those of the root, under the same paths.
            return forward(*args, **kwargs)
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            refuse_additions(m, f"its module {path!r}")
        return super().call_module(m, forward, args, kwargs)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the symbol of a node."""
        if self._gives_tensor(node):
            node.meta["tensor"] = True
            return _TensorProxy(node, self)
        return super().proxy(node)

    def create_arg(self, a: Any) -> Any:
        """Return an argument as a graph holds it."""
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
