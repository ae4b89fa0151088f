"""A layer of a network, and the network cut or tapped there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from unitscope.probing.traced import Traced


@dataclass(frozen=True)
class LayerDescription:
    """What describes a layer.

    Attributes:
        name: The module path, followed by `-call2` and so on for further calls of a shared module.
        depth: Position among the network's layers in the order of computation, from 1.
        kind: "conv" or "linear".
        units: Number of units: feature maps or neurons.
        map: Shape of what a unit computes for one image: (height, width), (tokens,) or ().
        signed: Whether the activation can be negative.
    """

    name: str
    depth: int
    kind: str
    units: int
    map: tuple[int, ...]
    signed: bool

    @property
    def axis(self) -> int:
        """The axis of an activation tensor along which the units lie."""
        return unit_axis(self.kind)

    def described(self) -> dict[str, Any]:
        """Return the description as plain values, as an entry of taps.json."""
        values = {"depth": self.depth, "kind": self.kind, "units": self.units, "map": self.map, "signed": self.signed}
        return {"layer": self.name, **values}


@dataclass(frozen=True)
class Tapped:
    """A network at the tap of one layer.

    Attributes:
        kind: "conv" or "linear".
        inputs: Maps images to the input of the layer's convolution or linear module.
        outputs: Maps images to the tapped values.
        nonlinearity: Maps tapped values to the activation; returns them where no nonlinearity follows.
        rectified: Whether the nonlinearity is max(x, 0), and may be computed in place on the tapped values.
        filters: The layer's module, a batch norm after it folded in, where each unit is what one row of its weight
            computes from the inputs, padded with zeros; None where that is not known.
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


class Reader(Protocol):
    """A network read at layers that it has, which are named."""

    def prefix(self, layer: str, readout: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return the network up to one layer.

        Args:
            layer: Name of the layer.
            readout: "mean", "max" or "center": how a unit's map becomes a number.

        Returns:
            A function from images (images, channels, height, width) to the pre-activations (images, units) and the
            activations (images, units), both read out. They are the same tensor where no nonlinearity follows.
        """

    def readouts(self, layers: Sequence[str], readout: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """Return a function that computes the activations (images, units) of several layers in one pass.

        Values that no named layer depends on are not computed, and a map is freed as soon as it has been read out.
        """

    def tapped(self, layer: str) -> Tapped:
        """Return the network at the tap of a layer, in pieces from which its units can be computed one by one."""

    def cut(self, layer: str, *, at_activation: bool = False) -> Split:
        """Cut the network at the activation of a layer.

        Args:
            layer: Name of the layer.
            at_activation: Whether the suffix always starts from the activation itself, so that gradients of the output
                with respect to it can be computed. Otherwise, where a convolution or a linear layer alone reads the
                activation, through poolings at most, the suffix starts after that layer: what one unit changes there is
                the response to a single channel.
        """

    def held(self, layers: Sequence[str]) -> Callable[..., Tensor]:
        """Return the network with the activations of several layers held, each as `hold` does.

        Returns:
            A function from images and, for each of the layers in turn, `removed` (units,) and `values` (units,) to the
            network's output. Each layer is held on what reaches it, so that clamps in earlier layers take effect.
        """


class Form(Reader, Protocol):
    """A network as a traced graph, or followed by hooks: the two ways to read one."""

    def describe(self, shape: Sequence[int]) -> list[LayerDescription]:
        """List the layers in the order of computation, for images of (channels, height, width).

        Raises:
            UserError: The network does not accept images of that shape.
        """


class Network(Reader, Protocol):
    """An opened network, as its layers know it: a `unitscope.probing.probe.Probe`."""

    module: nn.Module
    shape: tuple[int, ...]
    device: torch.device

    @property
    def classes(self) -> int:
        """Number of the network's outputs, one per class.

        Raises:
            UserError: The network does not return logits (images, classes).
        """

    @property
    def traced(self) -> Traced | None:
        """The network as a traced graph; None where it is followed by hooks."""

    def converted(self, dtype: torch.dtype) -> Network:
        """Return a copy that computes in another precision."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of computation."""

    def variant(self, module: nn.Module, units: Mapping[str, int] | None = None) -> Network:
        """Return an opened network of the same layers, computed by a graph with other weights or numbers of units."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return the network's output for images (images, channels, height, width) with values in [0, 1]."""


@dataclass(frozen=True)
class Layer(LayerDescription):
    """A layer of an opened network; two layers are equal if they are described alike.

    Attributes:
        probe: The network.
    """

    probe: Network = field(repr=False, compare=False)

    def prefix(self, readout: str = "mean") -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return the network up to this layer: `Reader.prefix`."""
        return self.probe.prefix(self.name, readout)

    def tapped(self) -> Tapped:
        """Return the network at the tap of this layer: `Reader.tapped`."""
        return self.probe.tapped(self.name)

    def cut(self, *, at_activation: bool = False) -> Split:
        """Cut the network at the activation of this layer: `Reader.cut`."""
        return self.probe.cut(self.name, at_activation=at_activation)

    def held(self) -> Callable[..., Tensor]:
        """Return the network with this layer's activation held: `Reader.held`."""
        return self.probe.held([self.name])

    def converted(self, dtype: torch.dtype) -> Layer:
        """Return this layer of a copy of the network that computes in another precision."""
        return replace(self, probe=self.probe.converted(dtype))


def unit_axis(kind: str) -> int:
    """Return the axis of an activation tensor along which the units lie."""
    return 1 if kind == "conv" else -1


def read_out(activation: Tensor, axis: int, readout: str) -> Tensor:
    """Reduce an activation to (images, units): mean, maximum or center over all axes but images and units."""
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


def hold(activation: Tensor, axis: int, removed: Tensor, values: Tensor) -> Tensor:
    """Return an activation with some units at given values: removed (units,) bool, values (units,)."""
    shape = [1] * activation.dim()
    shape[axis] = -1
    return torch.where(removed.reshape(shape), values.reshape(shape).to(activation.dtype), activation)
