"""The flat graph of an exported program as modules again.

Convolutions, linear layers and batch norms stand under the paths that they had, their nonlinearities as functions.
"""

import re
from collections.abc import Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from unitscope.networks.aten import (
    COMPOSED,
    DECOMPOSED_NORM,
    DROPOUTS,
    FUNCTIONS,
    aliases,
    function_called,
    operator_of,
)
from unitscope.networks.dependence import depending_on_images
from unitscope.networks.exported_archives import DECOMPOSED, refusal
from unitscope.runtime.console import log


def tensor_paths(exported: Any) -> dict[str, str]:
    """Return the paths of the tensors of a program by the names of its inputs."""
    signature = exported.graph_signature
    return {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }


def _on_device_of_images(function: Any) -> Any:
    """Return a function whose result lies where the images do: a program names the device that it was exported on."""

    def wrapped(images: Tensor, *arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options, device=images.device)

    return wrapped


def _inline(module: Any, flat: fx.Graph, values: dict[fx.Node, Any]) -> Any:
    """Copy a graph into another, blocks under a context among the rest of it; return what it gives.

    Args:
        module: The graph; its submodules are the blocks.
        flat: Takes its nodes.
        values: What stands in `flat` for nodes of the graph: its inputs where it is a block.

    Raises:
        UserError: A block is under autocast, which converts values without an operator for it.
    """
    for node in module.graph.nodes:
        block = str(node.target)
        if node.op == "output":
            return fx.node.map_arg(node.args[0], values.__getitem__)
        if block == "wrap_with_autocast" and node.args[2]:
            raise refusal(
                "it holds a block under torch.autocast, where values are converted unseen",
                "Export the network again without autocast: take `with torch.autocast(...)` out of its forward pass, "
                "or set enabled=False.",
            )
        if block in ("wrap_with_autocast", "wrap_with_set_grad_enabled"):
            body, *operands = node.args[4 if block == "wrap_with_autocast" else 1 :]
            inner = getattr(module, body.target)
            inputs = [each for each in inner.graph.nodes if each.op == "placeholder"]
            operand_values = fx.node.map_arg(operands, values.__getitem__)
            values[node] = _inline(inner, flat, dict(zip(inputs, operand_values, strict=True)))
        elif node.target is getitem and isinstance(values.get(node.args[0]), list | tuple):
            values[node] = values[node.args[0]][node.args[1]]
        elif node not in values and node.op != "get_attr":
            values[node] = flat.node_copy(node, values.__getitem__)
    raise refusal("a block of its graph has no end")


class Rebuilt:
    """A graph of modules, while it is made node by node from the flat one of an exported program."""

    def __init__(self, exported: Any) -> None:
        signature = exported.graph_signature
        if len(signature.user_inputs) != 1 or not signature.user_outputs:
            raise refusal("it does not take one batch of images and give their logits")
        if signature.buffers_to_mutate:
            raise refusal("it changes a buffer, so that it is another network after each pass")
        self.structure = exported.call_spec.out_spec
        self.names = tensor_paths(exported)
        self.tensors: dict[str, Any] = {**exported.state_dict, **exported.constants}
        self.root, self.graph = nn.Module(), fx.Graph()
        self.values: dict[fx.Node, fx.Node] = {}
        flat = fx.Graph()
        flat.output(_inline(exported.graph_module, flat, {}))
        self.of_images = depending_on_images(
            node for node in flat.nodes if node.op == "placeholder" and node.name not in self.names
        )
        self.ends: dict[fx.Node, str] = {}
        for node in flat.nodes:
            self._add(node)
            if node in self.ends:
                self.values[node] = self.graph.call_module(self.ends[node], (self.values[node],))

    def module(self) -> nn.Module:
        """Return the whole."""
        module = fx.GraphModule(self.root, self.graph, "Exported")
        module.graph.eliminate_dead_code()
        module.recompile()
        return module.eval()

    def _add(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if node.name not in self.names:
                self.images = self.values[node] = self.graph.placeholder("images")
        elif node.op == "output":
            values = [self._value(each) if isinstance(each, fx.Node) else each for each in node.args[0]]  # type: ignore[union-attr]
            # As the network returned it: a tensor, or tuples, lists and dicts of them.
            self.graph.output(pytree.tree_unflatten(values, self.structure))
        else:
            operator, overload = operator_of(node)
            if operator == "_assert_tensor_metadata":
                # It holds on the device that the program was exported on.
                return
            source = node.args[0] if node.args else None
            if isinstance(source, fx.Node) and operator_of(source)[0] == DECOMPOSED_NORM:
                # Its other values are statistics, which nothing reads in eval mode.
                if node.args[1] == 0:
                    self.values[node] = self._value(source)
                return
            build = _LAYERS.get(operator)
            if build and function_called(node).startswith("wrap_with"):
                raise refusal(
                    "run_decompositions took the names of layers under torch.no_grad or torch.autocast",
                    "Export the network again without run_decompositions, and without autocast.",
                )
            if build is None and "batch_norm" in operator:
                raise refusal(f"it holds {operator}, which is no batch norm in eval mode; call module.eval() first")
            call = build(self, node, overload) if build else None
            self.values[node] = call or self._function(node, operator, overload)

    def _value(self, node: fx.Node) -> fx.Node:
        """Return what stands for a value of the flat graph; weights that no layer has taken are fetched by name."""
        if node not in self.values:
            path = self.names[node.name]
            self._put(path, self.tensors[path])
            self.values[node] = self.graph.get_attr(path)
        return self.values[node]

    def _function(self, node: fx.Node, operator: str, overload: str) -> fx.Node:
        """Return a call of the function that a node is; one that works in place works into a new value."""
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        if operator.rstrip("_") in DROPOUTS and source is not None and node.args[2] is False:
            return self._value(source)
        called = function_called(node)
        if (called, operator) in COMPOSED:
            function, *operands = COMPOSED[called, operator](node)
            return self.graph.call_function(function, tuple(fx.node.map_arg(operands, self._value)))
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._value)
        without_device = {name: value for name, value in kwargs.items() if name != "device"}
        if source in self.of_images:
            # What is made from the images lies where they do.
            if operator == "to":
                kinds = [value for value in (*args[1:], *without_device.values()) if isinstance(value, torch.dtype)]
                return self.graph.call_method("to", (args[0], *kinds)) if kinds else args[0]  # type: ignore[return-value]
            kwargs = without_device
        if "device" in kwargs:
            return self.graph.call_function(_on_device_of_images(node.target), (self.images, *args), without_device)
        name = operator.rstrip("_")
        function, max_arguments = FUNCTIONS.get(name, (None, 0))
        if name == "hardtanh" and args[1:] == (0.0, 6.0):
            call = self.graph.call_function(F.relu6, args[:1])
        elif function and len(args) <= max_arguments:
            call = self.graph.call_function(function, args, kwargs)
        elif operator.endswith("_"):
            call = self.graph.call_function(getattr(getattr(torch.ops.aten, name), overload), args, kwargs)
        else:
            return self.graph.call_function(node.target, args, kwargs)  # type: ignore[arg-type]
        if operator.endswith("_") and source is not None:
            changed = [path for each in aliases(source) if (path := self.names.get(each.name))]
            # A batch norm that is trained counts its batches first, and is told as such.
            if any(not path.endswith("num_batches_tracked") for path in changed):
                raise refusal(f"it changes a buffer ({operator}), so that it is another network after each pass")
            if any(user > node for other in aliases(source) - {source} for user in other.users):
                raise refusal(f"it works in place on views ({operator})", DECOMPOSED)
            # Who reads the old value from here on reads the new one.
            self.values[source] = call
        return call

    def layer(self, node: fx.Node, module: nn.Module, operands: Sequence[Any], names: Sequence[str]) -> fx.Node | None:
        """Return a call of a module that holds the tensors `operands` under the names `names`; None where it cannot."""
        paths = [self.names.get(getattr(operand, "name", "")) for operand in operands]
        path_names = [(path, name) for path, name in zip(paths, names, strict=True) if path]
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        module_path = stack[-1][0] if stack else ""
        # Not where another module has borrowed the weights, as attention does.
        if (
            not module_path
            or not path_names
            or not all(self._same(path, f"{module_path}.{name}") for path, name in path_names)
        ):
            return None
        for path, name in path_names:
            tensor = self.tensors[path]
            setattr(module, name, nn.Parameter(tensor, False) if name in module._parameters else tensor)
        end = node if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) else _end(node)
        if end is not node:
            # A class made from torch's own, which computes more: its layer is what the whole gives.
            if end is None:
                log.warning(
                    "%s is no layer of the exported program: no single operation gives its units' values.", module_path
                )
                return None
            module.__class__ = _WHOLES[type(module)]
            self.ends[end] = module_path
            self._put(module_path, module)
            return None
        self._put(module_path, module)
        return self.graph.call_module(module_path, (self._value(node.args[0]),))  # type: ignore[arg-type]

    def _same(self, path: str, other: str) -> bool:
        """Return whether two paths lead to the same numbers, as where a module has two names: programs use one."""
        one, two = self.tensors[path], self.tensors.get(other)
        return path == other or (isinstance(two, Tensor) and one.dtype == two.dtype and torch.equal(one, two))

    def _put(self, path: str, value: Any) -> None:
        """Put a module or tensor to its path, if nothing is there."""
        *parents, name = path.split(".")
        owner = self.root
        for parent in parents:
            if not hasattr(owner, parent):
                owner.add_module(parent, nn.Module())
            owner = getattr(owner, parent)
        before = getattr(owner, name, None)
        if type(before) is nn.Module and isinstance(value, nn.Module):
            # It holds what has been put into the module so far.
            for inner, held in {**before._modules, **before._parameters, **before._buffers}.items():
                if getattr(value, inner, None) is None:
                    setattr(value, inner, held)
        elif hasattr(owner, name):
            return
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            owner.register_buffer(name, value)
        else:
            setattr(owner, name, value)


class _WholeConvolution(nn.Conv2d):
    """Stands where a module made from a convolution has given its output, which the graph has computed."""

    def forward(self, images: Tensor) -> Tensor:
        """Return a copy of the output: a nonlinearity that follows may be computed in place."""
        return images.clone()


class _WholeLinear(nn.Linear):
    """The same for one made from a linear layer."""

    def forward(self, images: Tensor) -> Tensor:
        """Return a copy of the output."""
        return images.clone()


_WHOLES = {nn.Conv2d: _WholeConvolution, nn.Linear: _WholeLinear}


def _end(node: fx.Node) -> fx.Node | None:
    """Return what gives the output of the module that a layer is called in; None if no operation gives a layer's."""
    scope, (_, kind) = list(node.meta["nn_module_stack"].items())[-1]
    if re.match(r"(<class ')?torch\.nn\.", str(kind)):
        return node
    inside = {each for each in node.graph.nodes if scope in (each.meta.get("nn_module_stack") or {})}
    ends = [each for each in inside if set(each.users) - inside]
    # What is changed in place leaves by its old name.
    changed = ends == [node] and any(operator_of(user)[0].endswith("_") for user in node.users if user in inside)
    return ends[0] if len(ends) == 1 and not changed and _units(ends[0], node) == _units(node, node) else None


def _units(node: fx.Node, layer: fx.Node) -> tuple[int, Any] | None:
    """Return the number of axes of a value, and the length of the one that has the units of a layer."""
    value, axis = node.meta.get("val"), -1 if operator_of(layer)[0] == "linear" else 1
    return (value.dim(), value.shape[axis]) if isinstance(value, Tensor) and value.dim() > 1 else None


def _convolution(rebuilt: Rebuilt, node: fx.Node, overload: str) -> fx.Node | None:
    operands = (*node.args[1:], None)[:2]
    weight = rebuilt.tensors.get(rebuilt.names.get(getattr(operands[0], "name", ""), ""))
    if overload not in ("default", "padding") or weight is None:
        return None
    arguments: list[Any] = list(node.args[3:])
    defaults: list[Any] = [(1, 1), (0, 0), (1, 1), 1]
    stride, padding, dilation, groups = arguments + defaults[len(arguments) :]
    module = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        _plain(stride),
        padding if isinstance(padding, str) else _plain(padding),
        _plain(dilation),
        groups,
        bias=operands[1] is not None,
        device="meta",
    )
    return rebuilt.layer(node, module, operands, ("weight", "bias"))


def _linear(rebuilt: Rebuilt, node: fx.Node, overload: str) -> fx.Node | None:
    operands = (*node.args[1:], None)[:2]
    weight = rebuilt.tensors.get(rebuilt.names.get(getattr(operands[0], "name", ""), ""))
    if weight is None:
        return None
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=operands[1] is not None, device="meta")
    return rebuilt.layer(node, module, operands, ("weight", "bias"))


def _batch_norm(rebuilt: Rebuilt, node: fx.Node, overload: str) -> fx.Node | None:
    return _normalized(rebuilt, node, *node.args[1:8])


def _decomposed_batch_norm(rebuilt: Rebuilt, node: fx.Node, overload: str) -> fx.Node | None:
    """Return a batch norm that `run_decompositions` has replaced: the first of three values is its output."""
    return _normalized(rebuilt, node, *node.args[1:5], False, *node.args[5:7])


def _normalized(
    rebuilt: Rebuilt, node: fx.Node, weight: Any, bias: Any, mean: Any, variance: Any, training: Any, *settings: Any
) -> fx.Node:
    momentum, eps = settings
    if training:
        raise refusal("its batch norms are in training mode; call module.eval() before the export")
    source: Any = node.args[0]
    running = rebuilt.tensors.get(rebuilt.names.get(getattr(mean, "name", ""), ""))
    call = None
    if running is not None:
        kind = nn.BatchNorm2d if source.meta["val"].dim() == 4 else nn.BatchNorm1d
        module = kind(len(running), eps, momentum, affine=weight is not None, device="meta")
        module.num_batches_tracked = torch.tensor(0)
        operands = (weight, bias, mean, variance)
        call = rebuilt.layer(node, module, operands, ("weight", "bias", "running_mean", "running_var"))
    if call is not None:
        return call
    inputs = fx.node.map_arg((source, mean, variance, weight, bias), rebuilt._value)
    return rebuilt.graph.call_function(F.batch_norm, (*inputs, False, momentum, eps))


_LAYERS = {
    "conv2d": _convolution,
    "linear": _linear,
    "batch_norm": _batch_norm,
    DECOMPOSED_NORM: _decomposed_batch_norm,
}


def _plain(values: Any) -> Any:
    return tuple(values) if isinstance(values, list | tuple) else values
