"""Parts of a traced graph: from the images, or from some of its values, to others."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unitscope.networks.dependence import reachable
from unitscope.networks.layouts import arrange
from unitscope.probing.additions import is_plain, is_unhooked, keeps_no_output
from unitscope.probing.layer import read_out
from unitscope.probing.nonlinearities import is_rectifier
from unitscope.probing.sites import kind_of


def part_of(
    traced: fx.GraphModule,
    inputs: Sequence[fx.Node],
    outputs: Any,
    readouts: Mapping[fx.Node, tuple[int, str]] | None = None,
) -> fx.GraphModule:
    """Return the part of a graph between some values and others. The graph itself is not changed.

    Args:
        traced: The graph.
        inputs: The values that the part takes; the network's own input if there are none.
        outputs: The values that it returns: a node, or nested tuples of nodes.
        readouts: Axis of units and readout of those of them that are read out, as soon as they are computed.
    """
    ends: list[fx.Node] = []
    fx.node.map_arg(outputs, ends.append)
    needed = reachable(
        (end for end in ends if end not in inputs),
        lambda node: (operand for operand in node.all_input_nodes if operand not in inputs),
    )
    graph = fx.Graph()
    copies = {node: graph.placeholder(node.name) for node in inputs}
    returned = {}
    for node in traced.graph.nodes:
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
        if readouts and node in readouts:
            returned[node] = graph.call_function(read_out, (copies[node], *readouts[node]))
    graph.output(fx.node.map_arg(outputs, lambda node: returned.get(node, copies[node])))
    return fx.GraphModule(traced, graph)


def modules_called(part: fx.GraphModule) -> list[nn.Module]:
    """Return the modules that a part of a graph calls."""
    return [part.get_submodule(str(node.target)) for node in part.graph.nodes if node.op == "call_module"]


def folded(module: nn.Module, norm: nn.Module) -> nn.Conv2d | None:
    """Return a convolution with the batch norm after it folded in; None where they are anything else."""
    if not (is_plain(module, nn.Conv2d) and is_plain(norm, nn.BatchNorm2d)) or norm.running_mean is None:
        return None
    return fuse_conv_bn_eval(module, norm)


def filters_of(module: nn.Module, norm: nn.Module | None) -> nn.Conv2d | nn.Linear | None:
    """Return `Tapped.filters` for a layer's module and the batch norm after it."""
    if is_plain(module, nn.Linear) and norm is None:
        return module
    if not is_plain(module, nn.Conv2d) or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return None
    return module if norm is None else folded(module, norm)


def lean(part: fx.GraphModule, layout: torch.memory_format) -> fx.GraphModule:
    """Let a part do the same with fewer passes over memory: batch norms folded, rectified in place."""
    modules: dict[str, Any] = dict(part.named_modules())
    for node in list(part.graph.nodes):
        source = node.all_input_nodes[0] if len(node.all_input_nodes) == 1 else None
        if source is None or source.op != "call_module" or len(source.users) > 1:
            continue
        if not keeps_no_output(modules[str(source.target)]):
            continue
        module = modules[str(node.target)] if node.op == "call_module" else None
        convolution = module and folded(modules[str(source.target)], module)
        if convolution is not None:
            # A name of its own for each call: the module may be shared.
            source.target = f"folded_{node.name}"
            modules[source.target] = arrange(convolution, layout)
            part.add_submodule(source.target, modules[source.target])
            node.replace_all_uses_with(source)
            part.graph.erase_node(node)
        elif is_rectifier(kind_of(node, modules)) and (module is None or is_unhooked(module)):
            # No convolution, linear layer or batch norm needs its output for its gradient.
            node.op, node.target, node.args, node.kwargs = "call_function", torch.relu_, (source,), {}
    part.recompile()
    return part
