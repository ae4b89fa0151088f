"""A network as the graph that torch.fx traces: its layers are found in the graph, and it can be cut at them."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from unitscope.networks.closeness import close, same_logits
from unitscope.networks.dependence import reachable
from unitscope.probing.additions import is_unhooked, keeps_no_output
from unitscope.probing.following import say_unrecognized
from unitscope.probing.layer import LayerDescription, Split, Tapped, hold, unit_axis
from unitscope.probing.nonlinearities import is_rectifier
from unitscope.probing.parts import filters_of, lean, modules_called, part_of
from unitscope.probing.sites import Site, kind_of, reader_of, shapes_of, sites_of
from unitscope.runtime.console import log


@dataclass(frozen=True)
class Examples:
    """What parts of a graph are compared on.

    Attributes:
        images: (images, channels, height, width).
        logits: (images, classes), the network's own for these; None where it returns anything else than one tensor.
    """

    images: Tensor
    logits: Tensor | None


class OtherLogits(Exception):
    """A network that is cut computes other logits than the whole one."""


class Traced:
    """A network read as a traced graph, which is never changed: a `unitscope.probing.layer.Form`.

    Args:
        graph: As `tracing.trace` returns it.
        examples: Every part that is built from the graph is compared on them; None compares nothing.
        name: Of the network, for messages.
        layout: Memory layout of folded weights.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        examples: Examples | None = None,
        name: str = "",
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self.graph = graph
        self._examples, self._name, self._layout = examples, name, layout

    @cached_property
    def modules(self) -> dict[str, Any]:
        """The modules that the graph calls, by path."""
        return dict(self.graph.named_modules())

    @cached_property
    def sites(self) -> Mapping[str, Site]:
        """Where each layer is computed, by the layer's name, in the order of computation."""
        return sites_of(self.graph)

    def copied(self) -> fx.GraphModule:
        """Return a copy of the graph that shares no parameter with it."""
        return copy.deepcopy(self.graph)

    def variant(self, graph: fx.GraphModule) -> "Traced":
        """Return the same of a copy of the graph, whose weights are others: nothing is compared."""
        return Traced(graph, None, self._name, self._layout)

    def describe(self, shape: Sequence[int]) -> list[LayerDescription]:
        """List the layers: `layer.Form.describe`. Those whose rows are not images are left out."""
        shapes = shapes_of(self.graph, shape)
        say_unrecognized(self._name, tuple((name, site.unrecognized) for name, site in self.sites.items()))
        descriptions = []
        for depth, (name, site) in enumerate(self.sites.items(), 1):
            size = shapes[site.activation]
            if size[0] != 1:
                continue
            units, map_shape = (size[1], size[2:]) if site.kind == "conv" else (size[-1], size[1:-1])
            descriptions.append(LayerDescription(name, depth, site.kind, units, tuple(map_shape), site.signed))
        return descriptions

    def prefix(self, layer: str, readout: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return the network up to one layer: `layer.Reader.prefix`."""
        site = self.sites[layer]
        ends = site.tap, site.activation
        return part_of(self.graph, [], ends, dict.fromkeys(ends, (unit_axis(site.kind), readout)))

    def readouts(self, layers: Sequence[str], readout: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """Return the activations of several layers in one pass: `layer.Reader.readouts`."""
        sites = [self.sites[layer] for layer in layers]
        ends = tuple(site.activation for site in sites)
        return part_of(self.graph, [], ends, {site.activation: (unit_axis(site.kind), readout) for site in sites})

    def tapped(self, layer: str) -> Tapped:
        """Return the network at the tap of a layer: `layer.Reader.tapped`."""
        site = self.sites[layer]
        nonlinearity = part_of(self.graph, [site.tap], site.activation)
        # A PReLU may hold a slope for each unit.
        alike = all(parameter.numel() == 1 for parameter in nonlinearity.parameters())
        norm = (
            self.modules[str(site.tap.target)] if site.tap.op == "call_module" and site.tap is not site.call else None
        )
        alike = alike and (norm is not None or site.tap is site.call)
        plain = Tapped(
            kind=site.kind,
            inputs=part_of(self.graph, [], site.call.all_input_nodes[0]),
            outputs=part_of(self.graph, [], site.tap),
            nonlinearity=nonlinearity,
            rectified=site.activation is not site.tap
            and is_rectifier(kind_of(site.activation, self.modules))
            and (site.tap.op != "call_module" or keeps_no_output(self.modules[str(site.tap.target)]))
            and all(is_unhooked(module) for module in modules_called(nonlinearity)),
            filters=None,
        )
        lighter = replace(
            plain,
            inputs=lean(part_of(self.graph, [], site.call.all_input_nodes[0]), self._layout),
            outputs=lean(part_of(self.graph, [], site.tap), self._layout),
            filters=filters_of(self.modules[str(site.call.target)], norm) if alike else None,
        )
        if self._examples is not None and not _same_values(plain, lighter, self._examples.images):
            log.warning(
                "The layer %s differs once its batch norm is folded in: it is computed as it is written.", layer
            )
            return plain
        return lighter

    def cut(self, layer: str, *, at_activation: bool = False) -> Split:
        """Cut the network at the activation of a layer: `layer.Reader.cut`.

        Raises:
            OtherLogits: The pieces compute other logits than the network.
        """
        site = self.sites[layer]
        plain = self._cut_at(site, None)
        examples = self._examples
        if examples is not None and examples.logits is not None and not _same_logits(plain, examples):
            raise OtherLogits(layer)
        reader = None if at_activation else reader_of(site, self.modules)
        if reader is None:
            return plain
        at_reader = self._cut_at(site, reader)
        if examples is not None and not _same_changes(plain, at_reader, unit_axis(site.kind), examples.images):
            log.warning("The effect of a unit of %s on %s is computed by the whole layer.", layer, reader.target)
            return plain
        return at_reader

    def _cut_at(self, site: Site, reader: fx.Node | None) -> Split:
        """Return the network cut at a layer's activation, or after the layer that alone reads it."""
        start = reader or site.activation
        downstream = reachable([start], lambda node: (user for user in node.users if user.op != "output")) - {start}
        (output,) = (node for node in self.graph.graph.nodes if node.op == "output")
        # The output's too: a layer may not lead to it, as that of another head.
        needed = {
            operand
            for node in (*downstream, output)
            for operand in node.all_input_nodes
            if operand not in downstream and operand is not start and operand.op != "get_attr"
        }
        live = [start, *(node for node in self.graph.graph.nodes if node in needed)]
        carry = reader and part_of(self.graph, [site.activation], reader.all_input_nodes[0])
        return Split(
            prefix=part_of(self.graph, [], (site.activation, *live)),
            suffix=part_of(self.graph, live, output.args[0]),
            change=_change(self.modules[str(reader.target)], carry) if reader and carry else None,
        )

    def held(self, layers: Sequence[str]) -> Callable[..., Tensor]:
        """Return the network with the activations of several layers held: `layer.Reader.held`."""
        graph = fx.Graph()
        nodes = list(self.graph.graph.nodes)
        copies = {node: graph.node_copy(node) for node in nodes if node.op == "placeholder"}
        clamps: dict[fx.Node, tuple[Any, ...]] = {
            self.sites[layer].activation: (
                unit_axis(self.sites[layer].kind),
                *(graph.placeholder(f"{name}_{number}") for name in ("removed", "values")),
            )
            for number, layer in enumerate(layers)
        }
        for node in nodes:
            if node.op != "placeholder":
                copies[node] = graph.node_copy(node, copies.__getitem__)
            if node in clamps:
                copies[node] = graph.call_function(hold, (copies[node], *clamps[node]))
        return fx.GraphModule(self.graph, graph)


def _same_values(plain: Tapped, lighter: Tapped, images: Tensor) -> bool:
    """Return whether a layer that is computed with less arithmetic has the same values."""
    with torch.no_grad():
        # One by one, as the least that an ascent takes.
        for image in images.split(1):
            expected = plain.outputs(image)
            if not close(lighter.outputs(image), expected):
                return False
            if lighter.filters is not None and not close(lighter.filters(lighter.inputs(image)), expected):
                return False
    return True


def _same_logits(cut: Split, examples: Examples) -> bool:
    """Return whether a network that is cut computes the logits of the whole."""
    assert examples.logits is not None
    with torch.no_grad():
        _, *live = cut.prefix(examples.images)
        return same_logits(cut.suffix(*live), examples.logits)


def _same_changes(at_activation: Split, at_reader: Split, axis: int, images: Tensor) -> bool:
    """Return whether a unit clamped to 0 has the same effect, followed from the activation and from its reader."""
    assert at_reader.change is not None
    with torch.no_grad():
        activation, start, *live = at_activation.prefix(images)
        values = activation.narrow(axis, 0, 1)
        clamped = start.clone()
        clamped.narrow(axis, 0, 1).zero_()
        _, later, *reader_live = at_reader.prefix(images)
        changed = later + at_reader.change(0, values, torch.zeros_like(values))
        return same_logits(at_reader.suffix(changed, *reader_live), at_activation.suffix(clamped, *live))


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
