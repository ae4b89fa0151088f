"""A network opened at its layers."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, fx, nn

from unitscope.errors import UserError, nearest
from unitscope.networks.examples import example_images
from unitscope.networks.normalization import (
    OnPixels,
    is_borrowed,
    layout_of,
    network_of,
    refuse_scripts,
)
from unitscope.networks.outputs import Key
from unitscope.networks.wrappers import unwrapped
from unitscope.probing.copies import device_of, on_pixels, per_channel
from unitscope.probing.faithful import verify
from unitscope.probing.hooked import Hooked
from unitscope.probing.layer import Form, Layer, Split, Tapped
from unitscope.probing.left_out import left_out
from unitscope.probing.traced import Examples, OtherLogits, Traced
from unitscope.runtime.console import log
from unitscope.runtime.devices import pixels


class Probe:
    """A network opened at its layers: `probe.layers` lists them, `probe["layer3.0.conv2"]` is one of them.

    The network is traced once by torch.fx; where that fails, or the graph computes something else, hooks follow it
    while it runs. Both are compared with the network itself on `examples` first.

    Args:
        model: Takes normalized images. The probe reads a copy of it in eval mode, as it is now, so that the caller's
            module is never changed.
        shape: (channels, height, width) of an image.
        mean: Subtracted from the pixels, which are in [0, 1]: one number, or one per channel. `mean=0, std=1` for a
            network that takes pixels without normalization.
        std: Divides them after that, likewise.
        output: Key or position of the logits, where the network returns several candidates.
        examples: Real images, uint8 (images, height, width, channels); by default forms are compared on noise.

    Attributes:
        module: The network with its normalization: maps pixels to logits.
        shape: (channels, height, width) of an image.
        device: The device of the network, on which images are expected.
        traced: The network as a traced graph; None where it is followed by hooks.
        hooked: The network followed by hooks.
        refused: Layers that have no activation for each image, by name, with the reason.

    Raises:
        UserError: Arguments do not fit the images, the network does not accept them, or cannot be read in any form.

    Example: two linear layers; a ReLU follows the first.
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> probe = Probe(model, shape=(1, 2, 2), mean=0.5, std=0.25)
        >>> [(layer.name, layer.kind, layer.units, layer.signed) for layer in probe.layers]
        [('1', 'linear', 3, False), ('3', 'linear', 2, True)]
    """

    module: nn.Module
    shape: tuple[int, ...]
    device: torch.device
    traced: Traced | None
    hooked: Hooked
    refused: dict[str, str]
    _outputs: tuple[int, ...] | None

    def __init__(
        self,
        model: nn.Module,
        shape: Sequence[int],
        mean: float | Sequence[float],
        std: float | Sequence[float],
        *,
        output: Key | None = None,
        examples: np.ndarray | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise UserError(f"model is a {type(model).__name__}; a Probe opens a torch.nn.Module.")
        if len(shape) != 3 or not all(isinstance(side, int | np.integer) and side > 0 for side in shape):
            raise UserError(f"shape is {tuple(shape)!r}; write (channels, height, width) of an image, without a batch.")
        scales = [per_channel(name, values, shape[0]) for name, values in (("mean", mean), ("std", std))]
        if min(scales[1]) <= 0:
            raise UserError(f"std is {std!r}; each standard deviation has to be greater than 0.")
        model = unwrapped(model)
        refuse_scripts(model)
        device = device_of(model)
        images = example_pixels(shape, device, examples)
        self._open(on_pixels(model, images, scales, output), images)

    @classmethod
    def owning(cls, module: OnPixels, images: Tensor) -> "Probe":
        """Open a network that nobody else uses, without a copy of it.

        Args:
            module: The network with its normalization, frozen, in eval mode. Its weights are converted in place to the
                memory layout in which it runs.
            images: Examples (images, channels, height, width), on the network's device, with values in [0, 1].

        Raises:
            UserError: As `faithful.verify`.
        """
        probe = cls.__new__(cls)
        probe._open(module, images)
        return probe

    def _open(self, module: OnPixels, images: Tensor) -> None:
        verified = verify(module, images)
        self.module, self.shape, self.device = module, tuple(images.shape[1:]), images.device
        self.hooked, self.refused = verified.hooked, dict(verified.refused)
        self._outputs = None if verified.logits is None else tuple(verified.logits.shape[1:])
        self.traced = None
        if verified.graph is not None:
            examples = Examples(verified.images, verified.logits)
            self.traced = Traced(verified.graph, examples, type(network_of(module)).__name__, layout_of(module))

    @property
    def form(self) -> Form:
        """The form in which the network is read: `traced`, or else `hooked`."""
        return self.hooked if self.traced is None else self.traced

    @property
    def classes(self) -> int:
        """Number of the network's outputs, one per class.

        Raises:
            UserError: The network does not return logits (images, classes).
        """
        if self._outputs is None or len(self._outputs) != 1:
            raise UserError(
                f"{type(network_of(self.module)).__name__} returns no logits (images, classes), and classification is "
                "what an ablation measures. Open the whole classifier."
            )
        return self._outputs[0]

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of computation."""
        return tuple(
            Layer(**vars(description), probe=self)
            for description in self.form.describe(self.shape)
            if description.name not in self.refused
        )

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Modules with weights that are no layers, by path, with the reason."""
        return left_out(self.module, [layer.name for layer in self.layers], self.refused)

    def __getitem__(self, name: str) -> Layer:
        """Return a layer.

        Raises:
            UserError: There is no such layer; the message names the nearest match and all layers, or the reason.
        """
        self._check([name])
        return next(layer for layer in self.layers if layer.name == name)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __contains__(self, name: object) -> bool:
        return any(layer.name == name for layer in self.layers)

    def __repr__(self) -> str:
        lines = [
            f"  {layer.name}: {layer.kind}, {layer.units} units{f' of {_times(layer.map)}' if layer.map else ''}"
            f"{', signed' if layer.signed else ''}"
            for layer in self.layers
        ]
        form = "followed by hooks" if self.traced is None else "traced"
        return "\n".join([f"Probe of {type(network_of(self.module)).__name__} ({form}), images {self.shape}", *lines])

    def __call__(self, images: Tensor) -> Tensor:
        """Return the network's output for images (images, channels, height, width) with values in [0, 1]."""
        output: Tensor = self.module(images)
        return output

    def prefix(self, layer: str, readout: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return the network up to one layer: `layer.Reader.prefix`."""
        self._check([layer])
        return self.form.prefix(layer, readout)

    def readouts(self, layers: Iterable[str], readout: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """Return the activations of several layers in one pass: `layer.Reader.readouts`."""
        names = self._check(layers)
        return self.form.readouts(names, readout)

    def tapped(self, layer: str) -> Tapped:
        """Return the network at the tap of a layer: `layer.Reader.tapped`."""
        self._check([layer])
        return self.form.tapped(layer)

    def cut(self, layer: str, *, at_activation: bool = False) -> Split:
        """Cut the network at the activation of a layer: `layer.Reader.cut`."""
        self._check([layer])
        if self.traced is not None:
            try:
                return self.traced.cut(layer, at_activation=at_activation)
            except OtherLogits:
                log.warning(
                    "The network cut at %s computes other logits: its layers are followed by hooks instead.", layer
                )
        return self.hooked.cut(layer)

    def held(self, layers: Iterable[str]) -> Callable[..., Tensor]:
        """Return the network with the activations of several layers held: `layer.Reader.held`."""
        names = self._check(layers)
        return self.form.held(names)

    def converted(self, dtype: torch.dtype) -> "Probe":
        """Return an opened copy of the network that computes in another precision.

        Raises:
            UserError: The network cannot be copied.
        """
        if self.traced is not None:
            return self.variant(self.traced.copied().to(dtype))
        if is_borrowed(self.module):
            name = type(network_of(self.module)).__name__
            raise UserError(f"{name} cannot be copied, so it computes in float32 alone. Set precision: float32.")
        return self.variant(copy.deepcopy(self.module).to(dtype))

    def variant(self, module: nn.Module, units: Mapping[str, int] | None = None) -> "Probe":
        """Return an opened network with the same layers and other weights, which is not compared with anything.

        Args:
            module: A copy of the traced graph; where there is none, of the network.
            units: Number of units of each layer that has another number than here, by the layer's name.
        """
        probe = self.__class__.__new__(self.__class__)
        probe.module, probe.shape, probe.device, probe.refused = module, self.shape, self.device, self.refused
        probe.hooked, probe._outputs = Hooked(module), self._outputs
        traced = self.traced is not None and isinstance(module, fx.GraphModule)
        probe.traced = self.traced.variant(module) if traced else None  # type: ignore[union-attr, arg-type]
        # The layers are those of this one.
        counts = {layer.name: layer.units for layer in self.layers} | dict(units or {})
        vars(probe)["layers"] = tuple(replace(layer, probe=probe, units=counts[layer.name]) for layer in self.layers)
        return probe

    def _check(self, names: Iterable[str]) -> list[str]:
        """Return names of layers as a list.

        Raises:
            UserError: There is no such layer.
        """
        names, layer_names = list(names), [layer.name for layer in self.layers]
        for name in names:
            if name in layer_names:
                continue
            if reason := self.refused.get(name):
                raise UserError(f"The layer {name!r} has no activation for each image: {reason}. Choose another layer.")
            reason = self.left_out.get(name, "")
            hint = "" if reason else nearest(name, layer_names)
            raise UserError(
                f"There is no layer {name!r} in this network{f': {reason}' if reason else ''}.{hint} Its layers are: "
                f"{', '.join(layer_names)}."
            )
        return names


def example_pixels(shape: Sequence[int], device: torch.device, images: np.ndarray | None = None) -> Tensor:
    """Return images on which forms of a network are compared, (images, channels, height, width) in [0, 1].

    Args:
        shape: (channels, height, width).
        device: Where they go.
        images: Real ones, uint8 (images, height, width, channels), of which two are taken; by default noise alone.

    Raises:
        UserError: The real images are not such an array.
    """
    channels, height, width = shape
    real = np.empty((0, height, width, channels), np.uint8) if images is None else np.asarray(images)
    if real.dtype != np.uint8 or real.shape[1:] != (height, width, channels):
        raise UserError(
            f"examples are {real.dtype} of shape {real.shape}; give uint8 (images, {height}, {width}, {channels})."
        )
    return pixels(example_images(real[:2], shape), device)


def _times(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))
