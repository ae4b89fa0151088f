"""Networks whose layer has further units: each a copy of one of its units, with which it shares the outgoing weights.

Half of each weight that reads the original is given to its copy. With an exact copy the network so computes the same
function up to rounding, and the copy can replace the original by construction: a positive control for any score that
claims to find substitutes. How copies are made noisy belongs to `unitscope.interventions.noisy_copies`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.interventions.unit_weights import Obstacle, WeightReader, check_unshared, readers_of
from unitscope.probing.additions import is_unhooked
from unitscope.probing.layer import Layer


@dataclass(frozen=True)
class Copies:
    """Units that are added to a layer, each a copy of one of its units; arrays are in the order of the originals.

    Attributes:
        originals: Number of the unit that each copies, each at most once.
        weight: (copies, ...) incoming weights, a row of the module's weight each.
        bias: (copies,) added to the outputs of the module; 0 where it has no bias.
        mean: (copies,) that the batch norm subtracts; None where there is no batch norm.
        variance: (copies,) that it divides by, as `running_var` holds it; None likewise.
    """

    originals: list[int]
    weight: Tensor
    bias: Tensor
    mean: Tensor | None = None
    variance: Tensor | None = None

    def select(self, rows: Sequence[int]) -> "Copies":
        """Return the copies in some rows."""
        parts = [None if part is None else part[list(rows)] for part in (self.mean, self.variance)]
        return Copies([self.originals[row] for row in rows], self.weight[list(rows)], self.bias[list(rows)], *parts)


@dataclass(frozen=True)
class LayerModules:
    """The modules of a layer that can be widened, and those that read it, as paths in the traced graph.

    Attributes:
        module: The convolution or linear module.
        norm: The batch norm after it; None where there is none.
        readers: All layers that read the activation.
    """

    module: str
    norm: str | None
    readers: list[WeightReader]


def obstacle(layer: Layer) -> str:
    """Return why no units can be added to a layer; empty where they can."""
    try:
        modules_of(layer)
    except Obstacle as error:
        return str(error)
    return ""


def modules_of(layer: Layer) -> LayerModules:
    """Return the modules of a layer that change with its number of units.

    Raises:
        Obstacle: Something else would change, too.
    """
    if layer.probe.traced is None:
        raise Obstacle("torch.fx cannot trace the network, so it is not known what reads the layer")
    site, traced = layer.probe.traced.sites[layer.name], layer.probe.traced.graph
    modules = layer.probe.traced.modules
    module = str(site.call.target)
    check_unshared(traced, modules, module)
    if getattr(modules[module], "groups", 1) != 1:
        raise Obstacle(f"{module!r} is a grouped convolution, whose units read different inputs")
    norm = None
    if site.tap is not site.call:
        if site.tap.op != "call_module":
            raise Obstacle("its batch norm is a function, whose weights may be used elsewhere")
        norm = str(site.tap.target)
        check_unshared(traced, modules, norm)
        if modules[norm].running_mean is None:
            raise Obstacle(f"the batch norm {norm!r} has no running statistics")
    node = site.call
    while node is not site.activation:
        # Readers of the shape, or a branch that leads nowhere, would see another number of units.
        if len(node.users) != 1:
            raise Obstacle("its pre-activation is read elsewhere, too")
        (node,) = node.users
    nonlinearity: Any = layer.tapped().nonlinearity
    if any(parameter.numel() > 1 for parameter in nonlinearity.parameters()):
        raise Obstacle("its nonlinearity has parameters for each unit")
    readers = readers_of(traced, modules, site, layer.units)
    for path in (module, *filter(None, [norm]), *(reader.path for reader in readers)):
        if not is_unhooked(modules[path]):
            raise Obstacle(f"{path!r} has a hook or method that may depend on its number of units")
    for reader in readers:
        if getattr(modules[reader.path], "groups", 1) != 1:
            raise Obstacle(f"{reader.path!r} reads its activation in groups of units")
    return LayerModules(module, norm, readers)


def exact_copies(layer: Layer, originals: Sequence[int]) -> Copies:
    """Return exact copies of units of a layer without an `obstacle`."""
    paths, modules = modules_of(layer), layer.probe.traced.modules  # type: ignore[union-attr]
    module, rows = modules[paths.module], list(originals)
    bias = torch.zeros(len(module.weight)).to(module.weight) if module.bias is None else module.bias
    statistics: list[Tensor | None] = [None, None]
    if paths.norm is not None:
        norm = modules[paths.norm]
        statistics = [norm.running_mean[rows].detach(), norm.running_var[rows].detach()]
    return Copies(rows, module.weight[rows].detach(), bias[rows].detach(), *statistics)


def widened(layer: Layer, copies: Copies) -> Layer:
    """Return a layer of a copy of its network that has further units: copies of some of its units.

    The copies follow the layer's own units, in their order. Weights that read an original are halved, and its copy is
    read by the other half.

    Args:
        layer: A layer with a convolution or linear module of one group, a batch norm at most and a nonlinearity without
            parameters for each unit, that only such modules read, through poolings, means over space, dropout and
            flattening. Its network is left as it is.
        copies: The copies.

    Raises:
        UserError: The layer is not such a one.

    Example: the second unit has a copy, and the network's output is the same.
        >>> from unitscope.probing.probe import Probe
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> layer, image = Probe(model, shape=(1, 1, 1), mean=0, std=1)["1"], torch.ones(1, 1, 1, 1)
        >>> wider = widened(layer, exact_copies(layer, [1]))
        >>> wider.units, bool(torch.isclose(wider.probe(image), layer.probe(image)).all())
        (3, True)
    """
    try:
        paths = modules_of(layer)
    except Obstacle as error:
        raise UserError(f"No units can be added to layer {layer.name!r}: {error}. Choose another layer.") from None
    assert len(set(copies.originals)) == len(copies.originals), "a unit has two copies"
    assert layer.probe.traced is not None
    graph = layer.probe.traced.copied()
    module: Any = graph.get_submodule(paths.module)
    add_rows(module, copies.weight, copies.bias, needs_bias=paths.norm is None)
    if paths.norm is not None:
        norm: Any = graph.get_submodule(paths.norm)
        for name in ("weight", "bias"):
            old = getattr(norm, name)
            if old is not None:
                _set(norm, name, torch.cat([old, old[copies.originals]]))
        for name, values in (("running_mean", copies.mean), ("running_var", copies.variance)):
            assert values is not None, "copies of a layer with a batch norm need its statistics"
            norm.register_buffer(name, torch.cat([getattr(norm, name), values.to(getattr(norm, name))]))
        norm.num_features += len(copies.originals)
    for reader in paths.readers:
        _share_columns(graph.get_submodule(reader.path), copies.originals, layer.units, reader.flat)
    units = layer.units + len(copies.originals)
    return next(each for each in layer.probe.variant(graph, {layer.name: units}).layers if each.name == layer.name)


def add_rows(module: Any, weight: Tensor, bias: Tensor, needs_bias: bool = True) -> None:
    """Add outputs to a convolution or linear module, in place.

    Args:
        module: The module, which shares no parameter with another network.
        weight: (outputs, ...).
        bias: (outputs,).
        needs_bias: Whether a module without a bias gets one, 0 for its own outputs, where a new one is not 0.
    """
    old, rows = module.bias, len(module.weight)
    _set(module, "weight", torch.cat([module.weight, weight.to(module.weight)]))
    if old is not None or (needs_bias and bool(bias.any())):
        existing_bias = torch.zeros(rows).to(module.weight) if old is None else old
        _set(module, "bias", torch.cat([existing_bias, bias.to(existing_bias)]))
    if isinstance(module, nn.Conv2d):
        module.out_channels += len(weight)
    else:
        module.out_features += len(weight)


def only_rows(module: Any, weight: Tensor) -> nn.Module:
    """Return a convolution or linear module like another, with these weights (outputs, ...) and without a bias."""
    other: Any = copy.deepcopy(module)
    _set(other, "weight", weight.to(module.weight))
    other.bias = None
    if isinstance(other, nn.Conv2d):
        other.out_channels = len(weight)
    else:
        other.out_features = len(weight)
    return other


def _share_columns(reader: Any, originals: Sequence[int], units: int, flat: bool) -> None:
    """Halve the weights of a module that read some units, and add as much for their copies, in place."""
    rows = list(originals)
    if isinstance(reader, nn.Conv2d):
        by_unit = reader.weight[:, :, None]
        reader.in_channels += len(rows)
    else:
        width = reader.in_features // units if flat else 1
        by_unit = reader.weight.view(reader.out_features, units, width)
        reader.in_features += len(rows) * width
    halves = by_unit[:, rows] / 2
    shared = by_unit.clone()
    shared[:, rows] = halves
    columns = torch.cat([shared, halves], 1)
    _set(reader, "weight", columns[:, :, 0] if isinstance(reader, nn.Conv2d) else columns.flatten(1))


def _set(module: nn.Module, name: str, values: Tensor) -> None:
    """Give a module a parameter of its own, in the memory layout of the old one."""
    old: Any = getattr(module, name)
    is_channels_last = old is not None and old.dim() == 4 and old.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    parameter = values.detach().contiguous(memory_format=layout)
    setattr(module, name, nn.Parameter(parameter, requires_grad=old is not None and old.requires_grad))
