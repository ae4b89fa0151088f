"""Programs of `torch.export`, read without running anything that they hold, as networks whose layers have names.

`torch.export.load` unpickles parts of an archive, evaluates its symbolic expressions, and takes operators by their
dotted names. So an archive is looked through first, and only one that is plain tensors and a graph of ATen operators
reaches it. The flat graph then becomes modules again: convolutions, linear layers and batch norms under the paths that
they had, their nonlinearities as functions.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from unitscope.data.preprocessing import mode_to_set
from unitscope.errors import UserError
from unitscope.networks.forms import close
from unitscope.networks.outputs import candidates, tensors_in
from unitscope.runtime.console import log

_RECORDS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/[a-z_]+|\.format_version|\.storage_alignment|models/model\.json"
    r"|data/sample_inputs/model\.pt|data/(weights/(model_weights_config\.json|weight_\d+)"
    r"|constants/(model_constants_config\.json|tensor_\d+))"
)
_SYMBOLIC = re.compile(
    r"(Symbol\('[su]\d+'(, [a-z]+=(True|False))*\)|[su]\d|Integer|Rational|Add|Mul|Pow|Max|Min|(Python)?Mod"
    r"|(Floor|Ceil|Clean)Div|[\d\s+\-*(),])*"
)
"""No text can be taken in two ways: what is refused would be tried in all of them."""
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file)[a-z0-9_]+\.[A-Za-z0-9_]+|_operator\.(add|sub|mul|floordiv|mod|neg|getitem)"
    r"|torch\.sym_(int|max|min)|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
)
_NAME = re.compile(r"[\w.@:-]*", re.ASCII)
"""What may stand in code that torch.fx writes from a graph: names of values and paths of weights."""

_SPECS = {None, "builtins.tuple", "builtins.list", "builtins.dict"}

FUNCTIONS: dict[str, tuple[Any, int]] = {
    "relu": (F.relu, 1),
    "relu6": (F.relu6, 1),
    "sigmoid": (torch.sigmoid, 1),
    "tanh": (torch.tanh, 1),
    "gelu": (F.gelu, 1),
    "silu": (F.silu, 1),
    "mish": (F.mish, 1),
    "hardswish": (F.hardswish, 1),
    "hardsigmoid": (F.hardsigmoid, 1),
    "leaky_relu": (F.leaky_relu, 2),
    "elu": (F.elu, 2),
    "selu": (F.selu, 1),
    "celu": (F.celu, 2),
    "softplus": (F.softplus, 3),
    "prelu": (F.prelu, 2),
    "max_pool2d": (F.max_pool2d, 6),
    "avg_pool2d": (F.avg_pool2d, 7),
    "adaptive_avg_pool2d": (F.adaptive_avg_pool2d, 2),
    "flatten": (torch.flatten, 3),
}
"""What `unitscope.probing.layers` knows an ATen operator (without the "_" of one in place) as, and how many arguments
mean the same to both."""

_COMPOSED: dict[tuple[str, str], Callable[[Any], tuple[Any, ...]]] = {
    # x / (|x| + 1)
    ("softsign", "div"): lambda node: (F.softsign, node.args[0]),
    # x - tanh(x)
    ("tanhshrink", "sub"): lambda node: (F.tanhshrink, node.args[0]),
    # where(|x| > threshold, x - sign(x) threshold, 0 x)
    ("softshrink", "where"): lambda node: (F.softshrink, node.args[1].args[0], node.args[0].args[1]),
    # where(|x| <= threshold, 0, x)
    ("hardshrink", "where"): lambda node: (F.hardshrink, node.args[2], node.args[0].args[1]),
    # The first of what rrelu_with_noise_functional(x, noise, lower, upper, training) gives.
    ("rrelu", ""): lambda node: (F.rrelu, node.args[0].args[0], *node.args[0].args[2:5]),
}
"""Nonlinearities that some programs compute by several operators, by their names and the last operator: the function
and its arguments."""


def read_exported(program: Tensor, shape: Sequence[int]) -> nn.Module:
    """Return the network of an exported program, with its weights.

    Args:
        program: The bytes of what `torch.export.save` writes, uint8.
        shape: (channels, height, width) of an image.

    Raises:
        UserError: The archive is damaged, holds more than tensors and a graph of ATen operators, takes other inputs
            than one batch of images, or was exported for one number of images.
    """
    content = program.numpy().tobytes()
    _check(content)
    # Its import takes seconds.
    import torch.export

    try:
        exported = torch.export.load(io.BytesIO(content))
    # Whatever its readers come upon in a damaged archive.
    except Exception as error:
        raise _refusal(f"it cannot be read ({_first_line(error)})") from error
    try:
        module = _Rebuilt(exported).module()
    # Where the graph is not what an export makes.
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _refusal(f"its graph cannot be followed ({_first_line(error)})") from error
    return _checked_on(module, exported, shape)


# --- looked through --------------------------------------------------------------------------------------------------


def _check(content: bytes) -> None:
    """Refuse an archive that holds more than tensors and a graph of ATen operators."""
    try:
        # The reader that torch.export.load uses too: another one might see other contents.
        reader = torch._C.PyTorchFileReader(io.BytesIO(content))
        records = {name: reader.get_record(name) for name in reader.get_all_records()}
    except (RuntimeError, ValueError) as error:
        raise _refusal(f"it is no archive of torch.export.save, or is cut off ({_first_line(error)})") from error
    if unknown := [name for name in records if not _RECORDS.fullmatch(name)]:
        raise _refusal(f"it holds {unknown[0]!r}, which is neither a tensor nor a graph")
    for name in ("models/model.json", "data/sample_inputs/model.pt", *_CONFIGS):
        if name not in records:
            raise _refusal(f"it lacks {name}")
    try:
        torch.load(io.BytesIO(records["data/sample_inputs/model.pt"]), map_location="cpu", weights_only=True)
    except Exception as error:
        raise _refusal(f"its sample inputs are more than tensors ({_first_line(error)})") from error
    try:
        for name in _CONFIGS:
            for key, entry in json.loads(records[name])["config"].items():
                if not _NAME.fullmatch(key):
                    raise _refusal(f"it holds the name {key[:60]!r}")
                if entry["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
                    raise _refusal(f"its tensor {key!r} is pickled")
        _check_graph(json.loads(records["models/model.json"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refusal(f"its graph cannot be read ({_first_line(error)})") from error


_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")


def _check_graph(model: Any) -> None:
    """Refuse a graph with anything that would be evaluated, looked up beyond ATen, or written into code as a name."""
    for key, value in _walk(model):
        if not _NAME.fullmatch(key):
            raise _refusal(f"it holds the name {key[:60]!r}")
        if key == "expr_str":
            if not (isinstance(value, str) and _SYMBOLIC.fullmatch(value)):
                raise _refusal(f"it computes a size by {str(value)[:60]!r}")
        elif key == "target":
            if not (isinstance(value, str) and _OPERATORS.fullmatch(value)):
                raise _refusal(f"it uses {str(value)[:60]!r}, which is no operator of ATen")
        elif key in ("in_spec", "out_spec"):
            kinds = {kind for inner, kind in _walk(json.loads(value)) if inner == "type"} if value else set()
            if kinds - _SPECS:
                raise _refusal(f"its inputs and outputs are of the types {sorted(map(str, kinds - _SPECS))}")
        # Python quotes the text of an argument itself.
        elif isinstance(value, str) and key != "as_string" and not _NAME.fullmatch(value):
            raise _refusal(f"it holds the name {value[:60]!r}")


def _walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key of nested JSON with its value, None for a nested one; what is never used is left out."""
    pairs = value.items() if isinstance(value, dict) else [(key, inner) for inner in value]
    for name, inner in pairs:
        if name in ("metadata", "guards_code", "torch_version"):
            continue
        nested = isinstance(inner, dict | list)
        yield name, None if nested else inner
        if nested:
            yield from _walk(inner, name)


_CURE = (
    "Nothing here runs code from a file. Export the network again: torch.export.save(torch.export.export(module, "
    '(images,), dynamic_shapes=({0: Dim("images")},)), path).'
)
_DECOMPOSED = _CURE.replace(", path)", ".run_decompositions({}), path)")


def _refusal(reason: str, cure: str = _CURE) -> UserError:
    return UserError(f"The exported program (.pt2) is refused: {reason}. {cure}")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


# --- as modules ------------------------------------------------------------------------------------------------------


def _beside(function: Any) -> Any:
    """Return a function whose result lies where the images do: a program names the device that it was exported on."""

    def made(images: Tensor, *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named, device=images.device)

    return made


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
            raise _refusal(
                "it holds a block under torch.autocast, where values are converted unseen",
                "Export the network again without autocast: take `with torch.autocast(...)` out of its forward pass, "
                "or set enabled=False.",
            )
        if block in ("wrap_with_autocast", "wrap_with_set_grad_enabled"):
            body, *operands = node.args[4 if block == "wrap_with_autocast" else 1 :]
            inner = getattr(module, body.target)
            inputs = [each for each in inner.graph.nodes if each.op == "placeholder"]
            given = fx.node.map_arg(operands, values.__getitem__)
            values[node] = _inline(inner, flat, dict(zip(inputs, given, strict=True)))
        elif node.target is getitem and isinstance(values.get(node.args[0]), list | tuple):
            values[node] = values[node.args[0]][node.args[1]]
        elif node not in values and node.op != "get_attr":
            values[node] = flat.node_copy(node, values.__getitem__)
    raise _refusal("a block of its graph has no end")


class _Rebuilt:
    """A graph of modules, while it is made node by node from the flat one of an exported program."""

    def __init__(self, exported: Any) -> None:
        signature = exported.graph_signature
        if len(signature.user_inputs) != 1 or not signature.user_outputs:
            raise _refusal("it does not take one batch of images and give their logits")
        if signature.buffers_to_mutate:
            raise _refusal("it changes a buffer, so that it is another network after each pass")
        self.structure = exported.call_spec.out_spec
        self.names = _names(exported)
        self.tensors: dict[str, Any] = {**exported.state_dict, **exported.constants}
        self.root, self.graph = nn.Module(), fx.Graph()
        self.values: dict[fx.Node, fx.Node] = {}
        flat = fx.Graph()
        flat.output(_inline(exported.graph_module, flat, {}))
        # What is computed from the images.
        self.of_images: set[fx.Node] = set()
        self.ends: dict[fx.Node, str] = {}
        for node in flat.nodes:
            given = node.op == "placeholder" and node.name not in self.names
            if given or self.of_images.intersection(node.all_input_nodes):
                self.of_images.add(node)
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
            operator, overload = _operator(node)
            if operator == "_assert_tensor_metadata":
                # It holds on the device that the program was exported on.
                return
            source = node.args[0] if node.args else None
            if isinstance(source, fx.Node) and _operator(source)[0] == _DECOMPOSED_NORM:
                # Its other values are statistics, which nothing reads in eval mode.
                if node.args[1] == 0:
                    self.values[node] = self._value(source)
                return
            build = _LAYERS.get(operator)
            if build and _called(node).startswith("wrap_with"):
                raise _refusal(
                    "run_decompositions took the names of layers under torch.no_grad or torch.autocast",
                    "Export the network again without run_decompositions, and without autocast.",
                )
            if build is None and "batch_norm" in operator:
                raise _refusal(f"it holds {operator}, which is no batch norm in eval mode; call module.eval() first")
            made = build(self, node, overload) if build else None
            self.values[node] = made or self._function(node, operator, overload)

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
        if operator.rstrip("_") in _DROPOUTS and source is not None and node.args[2] is False:
            return self._value(source)
        called = _called(node)
        if (called, operator) in _COMPOSED:
            function, *given = _COMPOSED[called, operator](node)
            return self.graph.call_function(function, tuple(fx.node.map_arg(given, self._value)))
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._value)
        rest = {name: value for name, value in kwargs.items() if name != "device"}
        if source in self.of_images:
            # What is made from the images lies where they do.
            if operator == "to":
                kinds = [value for value in (*args[1:], *rest.values()) if isinstance(value, torch.dtype)]
                return self.graph.call_method("to", (args[0], *kinds)) if kinds else args[0]  # type: ignore[return-value]
            kwargs = rest
        if "device" in kwargs:
            return self.graph.call_function(_beside(node.target), (self.images, *args), rest)
        plain = operator.rstrip("_")
        function, most = FUNCTIONS.get(plain, (None, 0))
        if plain == "hardtanh" and args[1:] == (0.0, 6.0):
            made = self.graph.call_function(F.relu6, args[:1])
        elif function and len(args) <= most:
            made = self.graph.call_function(function, args, kwargs)
        elif operator.endswith("_"):
            made = self.graph.call_function(getattr(getattr(torch.ops.aten, plain), overload), args, kwargs)
        else:
            return self.graph.call_function(node.target, args, kwargs)  # type: ignore[arg-type]
        if operator.endswith("_") and source is not None:
            changed = [path for each in _aliases(source) if (path := self.names.get(each.name))]
            # A batch norm that is trained counts its batches first, and is told as such.
            if any(not path.endswith("num_batches_tracked") for path in changed):
                raise _refusal(f"it changes a buffer ({operator}), so that it is another network after each pass")
            if any(user > node for other in _aliases(source) - {source} for user in other.users):
                raise _refusal(f"it works in place on views ({operator})", _DECOMPOSED)
            # Who reads the old value from here on reads the new one.
            self.values[source] = made
        return made

    def layer(self, node: fx.Node, module: nn.Module, operands: Sequence[Any], own: Sequence[str]) -> fx.Node | None:
        """Return a call of a module that holds the tensors `operands` under the names `own`; None where it cannot."""
        paths = [self.names.get(getattr(operand, "name", "")) for operand in operands]
        found = [(path, name) for path, name in zip(paths, own, strict=True) if path]
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        home = stack[-1][0] if stack else ""
        # Not where another module has borrowed the weights, as attention does.
        if not home or not found or not all(self._same(path, f"{home}.{name}") for path, name in found):
            return None
        for path, name in found:
            tensor = self.tensors[path]
            setattr(module, name, nn.Parameter(tensor, False) if name in module._parameters else tensor)
        end = node if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) else _end(node)
        if end is not node:
            # A class made from torch's own, which computes more: its layer is what the whole gives.
            if end is None:
                log.warning(
                    "%s is no layer of the exported program: no single operation gives its units' values.", home
                )
                return None
            module.__class__ = _WHOLES[type(module)]
            self.ends[end] = home
            self._put(home, module)
            return None
        self._put(home, module)
        return self.graph.call_module(home, (self._value(node.args[0]),))  # type: ignore[arg-type]

    def _same(self, path: str, other: str) -> bool:
        """Return whether two paths lead to the same numbers, as where a module has two names: programs use one."""
        one, two = self.tensors[path], self.tensors.get(other)
        return path == other or (isinstance(two, Tensor) and one.dtype == two.dtype and torch.equal(one, two))

    def _put(self, path: str, value: Any) -> None:
        """Put a module or tensor to its path, if nothing is there."""
        *parents, name = path.split(".")
        place = self.root
        for parent in parents:
            if not hasattr(place, parent):
                place.add_module(parent, nn.Module())
            place = getattr(place, parent)
        before = getattr(place, name, None)
        if type(before) is nn.Module and isinstance(value, nn.Module):
            # It holds what has been put into the module so far.
            for inner, held in {**before._modules, **before._parameters, **before._buffers}.items():
                if getattr(value, inner, None) is None:
                    setattr(value, inner, held)
        elif hasattr(place, name):
            return
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            place.register_buffer(name, value)
        else:
            setattr(place, name, value)


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
    changed = ends == [node] and any(_operator(user)[0].endswith("_") for user in node.users if user in inside)
    return ends[0] if len(ends) == 1 and not changed and _units(ends[0], node) == _units(node, node) else None


def _units(node: fx.Node, layer: fx.Node) -> tuple[int, Any] | None:
    """Return the number of axes of a value, and the length of the one that has the units of a layer."""
    value, axis = node.meta.get("val"), -1 if _operator(layer)[0] == "linear" else 1
    return (value.dim(), value.shape[axis]) if isinstance(value, Tensor) and value.dim() > 1 else None


def _convolution(rebuilt: _Rebuilt, node: fx.Node, overload: str) -> fx.Node | None:
    operands = (*node.args[1:], None)[:2]
    weight = rebuilt.tensors.get(rebuilt.names.get(getattr(operands[0], "name", ""), ""))
    if overload not in ("default", "padding") or weight is None:
        return None
    given: list[Any] = list(node.args[3:])
    usual: list[Any] = [(1, 1), (0, 0), (1, 1), 1]
    stride, padding, dilation, groups = given + usual[len(given) :]
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


def _linear(rebuilt: _Rebuilt, node: fx.Node, overload: str) -> fx.Node | None:
    operands = (*node.args[1:], None)[:2]
    weight = rebuilt.tensors.get(rebuilt.names.get(getattr(operands[0], "name", ""), ""))
    if weight is None:
        return None
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=operands[1] is not None, device="meta")
    return rebuilt.layer(node, module, operands, ("weight", "bias"))


def _batch_norm(rebuilt: _Rebuilt, node: fx.Node, overload: str) -> fx.Node | None:
    return _normalized(rebuilt, node, *node.args[1:8])


def _decomposed_batch_norm(rebuilt: _Rebuilt, node: fx.Node, overload: str) -> fx.Node | None:
    """Return a batch norm that `run_decompositions` has replaced: the first of three values is its output."""
    return _normalized(rebuilt, node, *node.args[1:5], False, *node.args[5:7])


def _normalized(
    rebuilt: _Rebuilt, node: fx.Node, weight: Any, bias: Any, mean: Any, variance: Any, training: Any, *settings: Any
) -> fx.Node:
    momentum, eps = settings
    if training:
        raise _refusal("its batch norms are in training mode; call module.eval() before the export")
    source: Any = node.args[0]
    running = rebuilt.tensors.get(rebuilt.names.get(getattr(mean, "name", ""), ""))
    made = None
    if running is not None:
        kind = nn.BatchNorm2d if source.meta["val"].dim() == 4 else nn.BatchNorm1d
        module = kind(len(running), eps, momentum, affine=weight is not None, device="meta")
        module.num_batches_tracked = torch.tensor(0)
        operands = (weight, bias, mean, variance)
        made = rebuilt.layer(node, module, operands, ("weight", "bias", "running_mean", "running_var"))
    if made is not None:
        return made
    given = fx.node.map_arg((source, mean, variance, weight, bias), rebuilt._value)
    return rebuilt.graph.call_function(F.batch_norm, (*given, False, momentum, eps))


_DROPOUTS = ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
_DECOMPOSED_NORM = "_native_batch_norm_legit_no_training"
_LAYERS = {
    "conv2d": _convolution,
    "linear": _linear,
    "batch_norm": _batch_norm,
    _DECOMPOSED_NORM: _decomposed_batch_norm,
}


def _operator(node: fx.Node) -> tuple[str, str]:
    """Return name and overload of an ATen operator; empty texts for other functions."""
    schema = getattr(node.target, "_schema", None)
    return (schema.name.removeprefix("aten::"), schema.overload_name or "default") if schema else ("", "")


def _called(node: fx.Node) -> str:
    """Return the name of the function that was called from Python for a node; an empty text where it is not known."""
    call, *_ = node.meta.get("torch_fn") or ("",)
    return re.sub(r"(_\d+)?$", "", str(call), count=1).rstrip("_")


def _aliases(node: fx.Node) -> set[fx.Node]:
    """Return all values that share their memory with one."""
    base = node
    while _is_view(base) and isinstance(base.args[0], fx.Node):
        base = base.args[0]
    found, waiting = {base}, [base]
    while waiting:
        views = {user for user in waiting.pop().users if _is_view(user)} - found
        found |= views
        waiting.extend(views)
    return found


def _is_view(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    returns = schema.returns if schema else ()
    return any(value.alias_info and not value.alias_info.is_write for value in returns)


def _plain(values: Any) -> Any:
    return tuple(values) if isinstance(values, list | tuple) else values


def _checked_on(module: nn.Module, exported: Any, shape: Sequence[int]) -> nn.Module:
    """Return a network that takes images of a shape, any number of them, and computes what the program computes."""

    def run(shape: Sequence[int], images: int = 3) -> Any:
        with torch.no_grad():
            return module(torch.zeros(images, *shape))

    for images in (1, 3):
        try:
            returned = run(shape, images)
        except RuntimeError as error:
            mode = mode_to_set(shape, run).removesuffix(".")
            taken = _images_of(exported)
            kind, count = str(taken.dtype).removeprefix("torch."), [*taken.shape, 0][0]
            fixed = isinstance(count, int) and count > 0
            raise _refusal(
                f"it does not take {images} images of shape {tuple(shape)} ({_first_line(error)})"
                f"{f'; it was exported for images in {kind}, and gets float32' if kind != 'float32' else ''}"
                f"{f'; it was exported for {count} images alone, without dynamic_shapes' if fixed else ''}"
                f"{'.' * bool(mode)}{mode}"
            ) from error
        if not candidates(returned, images):
            raise _refusal(f"it does not give logits (images, classes) for {images} images")
    noise = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)) * 4 - 2
    _check_rebuilt(module, exported, noise)
    return module


def _images_of(exported: Any) -> Tensor:
    """Return what stands for the images that a program was exported for: their shape and type, without values."""
    (name,) = exported.graph_signature.user_inputs
    (images,) = (node.meta["val"] for node in exported.graph.nodes if node.name == name)
    return images


def _names(exported: Any) -> dict[str, str]:
    """Return the paths of the tensors of a program by the names of its inputs."""
    signature = exported.graph_signature
    return {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }


def _check_rebuilt(module: nn.Module, exported: Any, images: Tensor) -> None:
    """Refuse a program that computes something else once it is modules again."""
    names, tensors = _names(exported), {**exported.state_dict, **exported.constants}
    given = [node for node in exported.graph.nodes if node.op == "placeholder"]
    inputs = [tensors[names[node.name]] if node.name in names else images for node in given]
    results = []
    for run in (lambda: exported.graph_module(*inputs), lambda: module(images)):
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                results.append(list(tensors_in(run()).values()))
            except RuntimeError:
                # The program names the device that it was exported on, which this machine lacks.
                return
    if not all(close(one, other) for one, other in zip(*results, strict=True)):
        raise _refusal("its modules, put together again, compute something else", _DECOMPOSED)
