"""Layers of a network: which can be tapped, and the network cut at one of them.

A layer is a convolution or linear module. It is tapped at the last module before its nonlinearity: the module itself,
or the batch norm behind it. Its activation is the output of the nonlinearity that directly follows, else the tapped
output itself (signed). Everything here works on the graph that torch.fx traces; where it can trace none, the functions
of `unitscope.probing.hooks` take over. What is computed from activations belongs to the modules above.
"""

import copy
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unitscope.errors import UserError
from unitscope.networks.closeness import close, same_logits
from unitscope.networks.dependence import depending_on_images, reachable, reads_values
from unitscope.networks.forms import Form, form_of, like, refuse_layers, with_arranged_images
from unitscope.networks.layouts import arrange
from unitscope.networks.normalization import network_of
from unitscope.probing.additions import is_plain, is_unhooked, keeps_no_output
from unitscope.probing.following import NORMS, passes_on, say_unrecognized, tap_and_activation, unrecognized
from unitscope.probing.nonlinearities import elementwise, is_positive, is_rectifier
from unitscope.probing.tracing import trace
from unitscope.runtime.console import log

POOLINGS: tuple[Any, ...] = (
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d),
)
"""Operations on each unit's map by itself."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Tap:
    """A layer that can be tapped.

    Attributes:
        layer: Its name: the module path, with `-call2` and so on behind it for further calls of a shared module.
        depth: Position among the network's layers in the order of computation, from 1.
        kind: "conv" or "linear".
        units: Number of units: feature maps or neurons.
        map: Shape of what a unit gives for one image: (height, width), (tokens,) or ().
        signed: Whether the activation can be negative.
    """

    layer: str
    depth: int
    kind: str
    units: int
    map: tuple[int, ...]
    signed: bool


@dataclass(frozen=True)
class Site:
    """Where in the traced graph a layer is computed.

    `unrecognized` is as `unrecognized` gives it.
    """

    call: fx.Node
    kind: str
    tap: fx.Node
    activation: fx.Node
    signed: bool
    unrecognized: tuple[str, ...]


@dataclass(frozen=True)
class Tapped:
    """A network at the tap of one layer.

    Attributes:
        kind: "conv" or "linear".
        inputs: Maps images to the input of the layer's convolution or linear module.
        outputs: Maps images to the tapped values.
        nonlinearity: Maps tapped values to the activation; passes them on where no nonlinearity follows.
        rectified: Whether the nonlinearity is max(x, 0), and may be done in place on the tapped values.
        filters: The layer's module, a batch norm behind it folded in, where each unit is what one row of its weight
            makes of the inputs, zeros around them; None where that is not known.
    """

    kind: str
    inputs: Callable[[Tensor], Tensor]
    outputs: Callable[[Tensor], Tensor]
    nonlinearity: Callable[[Tensor], Tensor]
    rectified: bool
    filters: nn.Conv2d | nn.Linear | None


@dataclass(frozen=True)
class Split:
    """A network cut at the activation of one layer, so that a change of one unit can be followed to the output.

    Attributes:
        prefix: Maps images to a tuple: the activation, the value from which the suffix starts, then whatever else the
            suffix needs (skip connections).
        suffix: Maps that value and what else it needs to the network's output.
        change: Maps a unit's number, its values before and after the change (the axis of units having length 1), to
            the change of the value from which the suffix starts. None where the suffix starts from the activation.
    """

    prefix: Callable[[Tensor], tuple[Tensor, ...]]
    suffix: Callable[..., Tensor]
    change: Callable[[int, Tensor, Tensor], Tensor] | None


# --- what others use -------------------------------------------------------------------------------------------------


def taps(module: nn.Module, shape: Sequence[int]) -> list[Tap]:
    """List the layers that can be tapped, in the order of computation.

    A layer whose output does not have the images along its first axis (attention within windows, a loop over images,
    learned queries) has no activation for each image, and is left out, as is one that is not called for every image.

    Args:
        module: The network, in eval mode.
        shape: (channels, height, width) of an image.

    Raises:
        UserError: The network does not accept images of that shape.
    """
    traced = traced_of(module)
    if traced is None:
        return _hooks().taps(module, shape)
    sites = _sites(traced)
    shapes, refused = _Shapes(traced).of(shape), form_of(module).refused
    found = tuple((layer, site.unrecognized) for layer, site in sites.items())
    say_unrecognized(type(network_of(module)).__name__, found)
    result = []
    for depth, (layer, site) in enumerate(sites.items(), 1):
        size = shapes[site.activation]
        if layer in refused or size[0] != 1:
            continue
        units, rest = (size[1], size[2:]) if site.kind == "conv" else (size[-1], size[1:-1])
        result.append(Tap(layer, depth, site.kind, units, tuple(rest), site.signed))
    return result


def left_out(module: nn.Module, known: Sequence[Tap]) -> dict[str, str]:
    """Return why modules with weights cannot be tapped, and which norm a layer is tapped before, by module path.

    Args:
        module: The network.
        known: What `taps` lists of it.
    """
    tapped_paths = {re.sub(r"-call\d+$", "", each.layer) for each in known}
    parts, refused = dict(module.named_modules()), form_of(module).refused
    reasons = {}
    for path, part in parts.items():
        parent = parts.get(path.rpartition(".")[0])
        if path in tapped_paths or not path:
            # Further calls of a module that is tapped at its first.
            reasons.update(
                {call: reason for call, reason in refused.items() if path and call.startswith(f"{path}-call")}
            )
        elif path in refused:
            reasons[path] = refused[path]
        elif isinstance(part, nn.Conv2d | nn.Linear):
            attention = isinstance(parent, nn.MultiheadAttention)
            reasons[path] = (
                "attention uses its weights without calling it"
                if attention
                else "it is not called for an image, or its output has not one row per image (attention in windows)"
            )
        elif isinstance(part, _ConvNd | nn.RNNBase | nn.RNNCellBase | nn.MultiheadAttention | nn.Bilinear):
            reasons[path] = f"a {type(part).__name__} is neither a 2-D convolution nor a linear layer"
        elif isinstance(part, nn.GroupNorm | nn.LayerNorm | _InstanceNorm):
            reasons[path] = (
                f"a {type(part).__name__} uses statistics of the image: a layer before it is tapped before it, and is "
                "signed"
            )
        elif not isinstance(part, _BatchNorm | nn.PReLU | nn.Embedding) and any(
            parameter.dim() > 1 for parameter in part._parameters.values() if parameter is not None
        ):
            reasons[path] = f"weights of a {type(part).__name__}, which are used without a module of torch.nn"
    return reasons


def tap(module: nn.Module, layer: str, shape: Sequence[int]) -> Tap:
    """Return one layer of `taps`.

    Raises:
        UserError: There is no such layer; the message lists those that there are.
    """
    refuse_layers(module, [layer])
    known = {candidate.layer: candidate for candidate in taps(module, shape)}
    _check([layer], known)
    return known[layer]


def prefix(module: nn.Module, layer: str, readout: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return the network up to one layer, and nothing behind it.

    Args:
        module: The network, in eval mode.
        layer: Name of the layer.
        readout: "mean", "max" or "center": how a unit's map becomes a number.

    Returns:
        A function from images (images, channels, height, width) to the pre-activations (images, units) and the
        activations (images, units), both read out. They are the same tensor where no nonlinearity follows.
    """
    refuse_layers(module, [layer])
    traced = traced_of(module)
    if traced is None:
        return _hooks().prefix(module, layer, readout)
    site = site_of(traced, layer)
    read = [_add_readout(traced.graph, node, site.kind, readout) for node in (site.tap, site.activation)]
    return _cut(traced, [], tuple(read))


def tapped(module: nn.Module, layer: str) -> Tapped:
    """Return the network at the tap of a layer, in pieces from which its units can be computed one by one."""
    refuse_layers(module, [layer])
    traced = traced_of(module)
    if traced is None:
        return _hooks().tapped(module, layer)
    site = site_of(traced, layer)
    modules: dict[str, Any] = dict(traced.named_modules())
    nonlinearity = _cut(traced, [site.tap], site.activation)
    # A PReLU may hold a slope for each unit.
    alike = all(parameter.numel() == 1 for parameter in nonlinearity.parameters())
    norm = modules[str(site.tap.target)] if site.tap.op == "call_module" and site.tap is not site.call else None
    alike = alike and (norm is not None or site.tap is site.call)
    plain = Tapped(
        kind=site.kind,
        inputs=_cut(traced, [], site.call.all_input_nodes[0]),
        outputs=_cut(traced, [], site.tap),
        nonlinearity=nonlinearity,
        rectified=site.activation is not site.tap
        and is_rectifier(kind_of(site.activation, modules))
        and (site.tap.op != "call_module" or keeps_no_output(modules[str(site.tap.target)]))
        and all(is_unhooked(part) for part in _called(nonlinearity)),
        filters=None,
    )
    form = form_of(module)
    lean = replace(
        plain,
        inputs=_lean(_cut(traced, [], site.call.all_input_nodes[0]), form.layout),
        outputs=_lean(_cut(traced, [], site.tap), form.layout),
        filters=_filters(modules[str(site.call.target)], norm) if alike else None,
    )
    if form.images is not None and not _same_values(plain, lean, form.images):
        log.warning("The layer %s differs once its batch norm is folded in: it is computed as it is written.", layer)
        return plain
    return lean


def _same_values(plain: Tapped, lean: Tapped, images: Tensor) -> bool:
    """Return whether a layer that is computed with less arithmetic gives the same values."""
    with torch.no_grad():
        # One by one, as the least that an ascent takes.
        for image in images.split(1):
            expected = plain.outputs(image)
            if not close(lean.outputs(image), expected):
                return False
            if lean.filters is not None and not close(lean.filters(lean.inputs(image)), expected):
                return False
    return True


def readouts(module: nn.Module, layers: Iterable[str], readout: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a function that gives the activations (images, units) of several layers in one pass.

    What no named layer depends on is not computed, and a map is freed as soon as it has been read out.
    """
    layers = list(layers)
    refuse_layers(module, layers)
    traced = traced_of(module)
    if traced is None:
        return _hooks().readouts(module, layers, readout)
    sites = [site_of(traced, layer) for layer in layers]
    read = [_add_readout(traced.graph, site.activation, site.kind, readout) for site in sites]
    return _cut(traced, [], tuple(read))


def split(module: nn.Module, layer: str) -> Split:
    """Cut the network at the activation of a layer.

    Where a convolution or a linear layer alone reads the activation, through poolings at most, the suffix starts behind
    it: what one unit changes there is the answer to a single channel.
    """
    refuse_layers(module, [layer])
    form, traced = form_of(module), traced_of(module)
    if traced is None:
        return _hooks().split(module, layer)
    site = site_of(traced, layer)
    plain = _split_at(traced, site, None)
    if form.logits is not None and not _same_logits(plain, form):
        log.warning("The network cut at %s gives other logits: its layers are followed by hooks instead.", layer)
        return _hooks().split(module, layer)
    reader = _reader(site, dict(traced.named_modules()))
    if reader is None:
        return plain
    behind = _split_at(traced, site, reader)
    if form.images is not None and not _same_changes(plain, behind, unit_axis(site.kind), form.images):
        log.warning("What a unit of %s changes in %s is computed by the whole layer.", layer, reader.target)
        return plain
    return behind


def _split_at(traced: fx.GraphModule, site: Site, reader: fx.Node | None) -> Split:
    """Return the network cut at a layer's activation, or behind the layer that alone reads it."""
    modules: dict[str, Any] = dict(traced.named_modules())
    start = reader or site.activation
    behind = _descendants(start)
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    # The output's too: a layer may not lead to it, as that of another head.
    needed = {
        operand
        for node in (*behind, output)
        for operand in node.all_input_nodes
        if operand not in behind and operand is not start and operand.op != "get_attr"
    }
    live = [start, *(node for node in traced.graph.nodes if node in needed)]
    carry = reader and _cut(traced, [site.activation], reader.all_input_nodes[0])
    return Split(
        prefix=_cut(traced, [], (site.activation, *live)),
        suffix=_cut(traced, live, output.args[0]),
        change=_change(modules[str(reader.target)], carry) if reader and carry else None,
    )


def _same_logits(cut: Split, form: Form) -> bool:
    """Return whether a network that is cut gives the logits of the whole."""
    assert form.images is not None and form.logits is not None
    with torch.no_grad():
        _, *live = cut.prefix(form.images)
        return same_logits(cut.suffix(*live), form.logits)


def _same_changes(plain: Split, behind: Split, axis: int, images: Tensor) -> bool:
    """Return whether a unit clamped to 0 has the same effect, followed from the activation and from its reader."""
    assert behind.change is not None
    with torch.no_grad():
        activation, start, *live = plain.prefix(images)
        own = activation.narrow(axis, 0, 1)
        clamped = start.clone()
        clamped.narrow(axis, 0, 1).zero_()
        _, later, *others = behind.prefix(images)
        changed = later + behind.change(0, own, torch.zeros_like(own))
        return same_logits(behind.suffix(changed, *others), plain.suffix(clamped, *live))


def held(module: nn.Module, layers: Sequence[str]) -> Callable[..., Tensor]:
    """Return the network with the activations of several layers held, each as `hold` does.

    Args:
        module: The network, in eval mode.
        layers: Names of the layers.

    Returns:
        A function from images and, for each of the layers in turn, `removed` (units,) and `values` (units,) to the
        network's output. Each layer is held on what reaches it, so that what is held before it is felt.
    """
    refuse_layers(module, layers)
    traced = traced_of(module)
    if traced is None:
        return _hooks().held(module, layers)
    graph = traced.graph
    first = next(node for node in graph.nodes if node.op != "placeholder")
    for number, layer in enumerate(layers):
        site = site_of(traced, layer)
        with graph.inserting_before(first):
            given = [graph.placeholder(f"{name}_{number}") for name in ("removed", "values")]
        with graph.inserting_after(site.activation):
            node = graph.call_function(hold, (site.activation, unit_axis(site.kind), *given))
        for user in list(site.activation.users):
            if user is not node:
                user.replace_input_with(site.activation, node)
    traced.recompile()
    return traced


def hold(activation: Tensor, axis: int, removed: Tensor, values: Tensor) -> Tensor:
    """Return an activation with some units at a value of their own: removed (units,) bool, values (units,)."""
    shape = [1] * activation.dim()
    shape[axis] = -1
    return torch.where(removed.reshape(shape), values.reshape(shape).to(activation.dtype), activation)


def copied(module: nn.Module) -> nn.Module:
    """Return a network that computes the same and shares no parameter with the given one.

    It is the traced graph where there is one: modules whose class was made from that of a graph, as an exported
    program's is, cannot be copied as they are. Paths of the layers stay.
    """
    traced = traced_of(module)
    return like(copy.deepcopy(module if traced is None else traced), module)


def unit_axis(kind: str) -> int:
    """Return the axis of an activation tensor along which the units lie."""
    return 1 if kind == "conv" else -1


def read_out(activation: Tensor, axis: int, readout: str) -> Tensor:
    """Reduce an activation to (images, units): mean, maximum or centre over all axes but images and units."""
    if activation.dim() == 2:
        return activation
    maps = activation.movedim(axis, 1).flatten(2) if readout != "center" else activation.movedim(axis, 1)
    if readout == "mean":
        return maps.mean(2)
    if readout == "max":
        return maps.amax(2)
    for _ in range(maps.dim() - 2):
        maps = maps.select(2, maps.shape[2] // 2)
    return maps


def traced_of(module: nn.Module) -> fx.GraphModule | None:
    """Return a network as the graph in which its layers are found; None where it is followed by hooks."""
    form = form_of(module)
    traced = trace(module) if form.traced else None
    if traced is None or form.layout is torch.channels_last:
        return traced
    return with_arranged_images(traced, form.layout)


# --- layers in the graph --------------------------------------------------------------------------------------------


def _hooks() -> ModuleType:
    # Loaded where it is needed: it stands on this module.
    from unitscope.probing import hooks

    return hooks


def _sites(traced: fx.GraphModule) -> dict[str, Site]:
    modules = dict(traced.named_modules())
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    leading = _ancestors([output], [])
    calls: dict[str, int] = {}
    sites = {}

    def readers_behind(layer: fx.Node, value: fx.Node) -> list[fx.Node]:
        # Of a layer that does not lead to the output, as that of another head, all readers count.
        return [user for user in value.users if (user in leading or layer not in leading) and reads_values(user)]

    def positive(node: fx.Node) -> bool | None:
        return is_positive(kind_of(node, modules), _arguments_of(node, modules))

    def operation(node: fx.Node) -> str | None:
        return elementwise(kind_of(node, modules), len(node.all_input_nodes))

    def operands(node: fx.Node) -> set[fx.Node]:
        return of_images.intersection(node.all_input_nodes)

    of_images = depending_on_images(node for node in traced.graph.nodes if node.op == "placeholder")
    for node in traced.graph.nodes:
        target = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(target, nn.Conv2d | nn.Linear):
            continue
        calls[node.target] = calls.get(node.target, 0) + 1
        name = node.target if calls[node.target] == 1 else f"{node.target}-call{calls[node.target]}"
        readers = partial(readers_behind, node)
        tap, activation = tap_and_activation(
            node,
            readers,
            lambda user: passes_on(kind_of(user, modules), _arguments_of(user, modules)),
            lambda user: kind_of(user, modules) in (*NORMS, F.batch_norm),
            lambda user: positive(user) is not None,
        )
        signed = activation is None or not positive(activation)
        kind = "conv" if isinstance(target, nn.Conv2d) else "linear"
        others = () if activation else unrecognized(tap, readers, operands, operation)
        sites[name] = Site(node, kind, tap, activation or tap, signed, others)
    return sites


def _arguments_of(node: fx.Node, modules: dict[str, Any]) -> Callable[[int, str], Any]:
    """Return a function that gives an argument of what a node does, by its position or its name."""
    if node.op == "call_module":
        # As torch.nn's own modules keep the bounds that they were given.
        return lambda _, name: getattr(modules[str(node.target)], name, None)
    return lambda place, name: node.args[place] if len(node.args) > place else node.kwargs.get(name)


def kind_of(node: fx.Node, modules: dict[str, nn.Module]) -> Any:
    """Return what a node does: the class of its module, its function, or the name of its method."""
    if node.op == "call_module":
        return type(modules[str(node.target)])
    return node.target if node.op in ("call_function", "call_method") else None


def site_of(traced: fx.GraphModule, layer: str) -> Site:
    """Return where a layer is computed in what `trace` gives.

    Raises:
        UserError: There is no such layer; the message lists those that there are.
    """
    sites = _sites(traced)
    _check([layer], sites)
    return sites[layer]


def _check(wanted: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for layer in wanted:
        if layer not in known:
            raise UserError(f"There is no layer {layer!r} in this network. Its layers are: {', '.join(known)}.")


def _reader(site: Site, modules: dict[str, Any]) -> fx.Node | None:
    """Return the layer that alone reads an activation, if what lies between keeps the units apart."""
    node, flat = site.activation, False
    while len(node.users) == 1:
        (node,) = node.users
        kind = kind_of(node, modules)
        if kind in (nn.Linear, nn.Conv2d) and not is_plain(modules[str(node.target)], kind):
            return None
        if kind is nn.Linear:
            return node if flat == (site.kind == "conv") else None
        if kind is nn.Conv2d and not flat and site.kind == "conv":
            reader = modules[str(node.target)]
            return node if reader.groups == 1 and reader.padding_mode == "zeros" else None
        if kind in (nn.Flatten, torch.flatten, "flatten") and site.kind == "conv":
            flat = flat or flattens_units(node, modules)
            if not flat:
                return None
        elif len(node.all_input_nodes) > 1 or (
            not passes_on(kind, _arguments_of(node, modules))
            and not (kind in POOLINGS and not flat and site.kind == "conv")
        ):
            return None
    return None


def flattens_units(node: fx.Node, modules: dict[str, Any]) -> bool:
    """Return whether a flattening joins all axes behind the first."""
    if node.op == "call_module":
        return (modules[str(node.target)].start_dim, modules[str(node.target)].end_dim) == (1, -1)
    return (*node.args[1:], *node.kwargs.values()) in ((1,), (1, -1))


def _change(reader: nn.Conv2d | nn.Linear, carry: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return how much a layer's output changes with one unit of the layer that it reads through `carry`."""

    def change(unit: int, before: Tensor, after: Tensor) -> Tensor:
        difference = carry(after) - carry(before)
        if isinstance(reader, nn.Conv2d):
            filters = reader.weight[:, unit : unit + 1]
            return F.conv2d(difference, filters, None, reader.stride, reader.padding, reader.dilation)
        width = difference.shape[-1]
        return F.linear(difference, reader.weight[:, unit * width : (unit + 1) * width])

    return change


class _Shapes(fx.Interpreter):
    """Record the shape of every value while a graph runs on one image."""

    def of(self, shape: Sequence[int]) -> dict[fx.Node, tuple[int, ...]]:
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        parameter = next(self.module.parameters(), torch.empty(0))
        try:
            with torch.no_grad():
                self.run(torch.zeros(1, *shape, device=parameter.device))
        except RuntimeError as error:
            raise UserError(
                f"The network does not accept images of shape {tuple(shape)} (channels, height, width): {error}"
            ) from error
        return self.shapes

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value


# --- cutting ---------------------------------------------------------------------------------------------------------


def _add_readout(graph: fx.Graph, node: fx.Node, kind: str, readout: str) -> fx.Node:
    with graph.inserting_after(node):
        return graph.call_function(read_out, (node, unit_axis(kind), readout))


def _descendants(start: fx.Node) -> set[fx.Node]:
    return reachable([start], lambda node: (user for user in node.users if user.op != "output")) - {start}


def _ancestors(ends: Iterable[fx.Node], inputs: Sequence[fx.Node]) -> set[fx.Node]:
    """Return what has to be computed, from the inputs on, to have the ends."""
    return reachable(
        (end for end in ends if end not in inputs),
        lambda node: (operand for operand in node.all_input_nodes if operand not in inputs),
    )


def _cut(traced: fx.GraphModule, inputs: Sequence[fx.Node], outputs: Any) -> fx.GraphModule:
    """Return the part of a graph between some values (or the network's own input) and others."""
    ends: list[fx.Node] = []
    fx.node.map_arg(outputs, ends.append)
    needed = _ancestors(ends, inputs)
    graph = fx.Graph()
    copies = {node: graph.placeholder(node.name) for node in inputs}
    for node in traced.graph.nodes:
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(fx.node.map_arg(outputs, copies.__getitem__))
    return fx.GraphModule(traced, graph)


def _called(part: fx.GraphModule) -> list[nn.Module]:
    """Return the modules that a part of a graph calls."""
    return [part.get_submodule(str(node.target)) for node in part.graph.nodes if node.op == "call_module"]


def _folded(module: nn.Module, norm: nn.Module) -> nn.Conv2d | None:
    """Return a convolution with the batch norm behind it folded in; None where they are anything else."""
    if not (is_plain(module, nn.Conv2d) and is_plain(norm, nn.BatchNorm2d)) or norm.running_mean is None:
        return None
    return fuse_conv_bn_eval(module, norm)


def _filters(module: nn.Module, norm: nn.Module | None) -> nn.Conv2d | nn.Linear | None:
    """Return what `Tapped.filters` is for a layer's module and the batch norm behind it."""
    if is_plain(module, nn.Linear) and norm is None:
        return module
    if not is_plain(module, nn.Conv2d) or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return None
    return module if norm is None else _folded(module, norm)


def _lean(part: fx.GraphModule, layout: torch.memory_format) -> fx.GraphModule:
    """Return a part that does the same with fewer passes over memory: batch norms folded, rectified in place."""
    modules: dict[str, Any] = dict(part.named_modules())
    for node in list(part.graph.nodes):
        source = node.all_input_nodes[0] if len(node.all_input_nodes) == 1 else None
        if source is None or source.op != "call_module" or len(source.users) > 1:
            continue
        if not keeps_no_output(modules[str(source.target)]):
            continue
        own = modules[str(node.target)] if node.op == "call_module" else None
        folded = own and _folded(modules[str(source.target)], own)
        if folded is not None:
            # A name of its own for each call: the module may be shared.
            source.target = f"folded_{node.name}"
            modules[source.target] = arrange(folded, layout)
            part.add_submodule(source.target, modules[source.target])
            node.replace_all_uses_with(source)
            part.graph.erase_node(node)
        elif is_rectifier(kind_of(node, modules)) and (own is None or is_unhooked(own)):
            # No convolution, linear layer or batch norm needs its output for its gradient.
            node.op, node.target, node.args, node.kwargs = "call_function", torch.relu_, (source,), {}
    part.recompile()
    return part
