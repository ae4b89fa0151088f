"""A network that torch.fx cannot trace: its layers are seen by hooks and torch functions while it runs.

Nothing can be cut here: a pass ends at a layer's activation at the earliest, and an ablation is a full pass.
"""

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.networks.normalization import network_of
from unitscope.probing.following import say_unrecognized
from unitscope.probing.layer import LayerDescription, Split, Tapped, read_out, unit_axis
from unitscope.probing.surveys import Plan, survey
from unitscope.probing.watching import Holding, LayerPass, Until, Watch, run_watched


class Hooked:
    """A network followed by hooks while it runs: a `unitscope.probing.layer.Form`.

    Args:
        module: The network, in eval mode.
        examples: Images (images, channels, height, width) whose pass shows what follows each layer; by default the
            first image that the network gets.
    """

    def __init__(self, module: nn.Module, examples: Tensor | None = None) -> None:
        self.module = module
        self._examples = examples
        self._plans: dict[str, Plan] | None = None

    def plans(self, images: Tensor) -> dict[str, Plan]:
        """Return what follows each layer that a pass shows, recorded once: on the examples, or on the first image."""
        if self._plans is None:
            self._plans = survey(self.module, images[:1] if self._examples is None else self._examples)
        return self._plans

    def changing_plans(self, images: Tensor) -> dict[str, str]:
        """Return the layers whose activation is computed otherwise for one image than for another, with the reason."""
        together = self.plans(images)
        alone = [survey(self.module, image) for image in images.split(1)]
        reason = "what follows it, and so its activation, differs between images"
        return {
            layer: reason
            for layer, plan in together.items()
            if any(layer in plans and plans[layer] != plan for plans in alone)
        }

    def describe(self, shape: Sequence[int]) -> list[LayerDescription]:
        """List the layers that an example, else a gray image shows: `layer.Form.describe`."""
        device = next((parameter.device for parameter in self.module.parameters()), None)
        image = torch.full((1, *shape), 0.5, device=device)
        if self._examples is not None and self._examples.shape[1:] == image.shape[1:]:
            image = self._examples[:1]
        try:
            with torch.no_grad():
                watch = Watch(self.plans(image))
                run_watched(self.module, image, watch)
        except RuntimeError as error:
            raise UserError(
                f"The network does not accept images of shape {tuple(shape)} (channels, height, width): {error}"
            ) from error
        names = tuple((layer, values.plan.unrecognized) for layer, values in watch.sites.items())
        say_unrecognized(type(network_of(self.module)).__name__, names)
        descriptions = []
        for depth, (layer, values) in enumerate(watch.sites.items(), 1):
            size, kind = tuple(values.activation.shape), values.kind
            if size[0] != 1:
                continue
            units, map_shape = (size[1], size[2:]) if kind == "conv" else (size[-1], size[1:-1])
            descriptions.append(LayerDescription(layer, depth, kind, units, map_shape, not values.plan.positive))
        return descriptions

    def logits(self, images: Tensor) -> Tensor:
        """Return what the network computes while it is watched."""
        output: Tensor = run_watched(self.module, images, Watch(self.plans(images)))
        return output

    def prefix(self, layer: str, readout: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return the network up to one layer: `layer.Reader.prefix`."""

        def run(images: Tensor) -> tuple[Tensor, Tensor]:
            (values,) = self._values(images, [layer])
            axis = unit_axis(values.kind)
            return read_out(values.tap, axis, readout), read_out(values.activation, axis, readout)

        return run

    def readouts(self, layers: Sequence[str], readout: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """Return the activations of several layers in one pass: `layer.Reader.readouts`."""

        def run(images: Tensor) -> tuple[Tensor, ...]:
            layer_passes = self._values(images, layers)
            return tuple(read_out(values.activation, unit_axis(values.kind), readout) for values in layer_passes)

        return run

    def tapped(self, layer: str) -> Tapped:
        """Return the network at the tap of a layer, of which only the whole layer can be computed."""
        last: list[LayerPass] = []

        def outputs(images: Tensor) -> Tensor:
            last[:] = self._values(images, [layer])
            return last[0].tap

        def nonlinearity(values: Tensor) -> Tensor:
            return values if last[0].function is None else last[0].function(values)

        # A further call of a shared module has that module too.
        module = self.module.get_submodule(re.sub(r"-call\d+$", "", layer))
        return Tapped(
            kind="conv" if isinstance(module, nn.Conv2d) else "linear",
            inputs=outputs,
            outputs=outputs,
            nonlinearity=nonlinearity,
            rectified=False,
            filters=None,
        )

    def cut(self, layer: str, *, at_activation: bool = True) -> Split:
        """Return the network "cut" at the activation of a layer: both sides are full passes, whatever is asked for."""

        def prefix(images: Tensor) -> tuple[Tensor, ...]:
            (values,) = self._values(images, [layer])
            return values.activation, values.activation, images

        def suffix(activation: Tensor, images: Tensor) -> Tensor:
            watch = Watch(self.plans(images), {layer: activation})
            output: Tensor = run_watched(self.module, images, watch)
            return output

        return Split(prefix, suffix, None)

    def held(self, layers: Sequence[str]) -> Callable[..., Tensor]:
        """Return the network with the activations of several layers held: `layer.Reader.held`."""

        def run(images: Tensor, *clamps: Tensor) -> Tensor:
            layer_passes = self._values(images[:1], layers)
            holds = {
                layer: (unit_axis(values.kind), removed, clamp)
                for layer, values, removed, clamp in zip(layers, layer_passes, clamps[::2], clamps[1::2], strict=True)
            }
            output: Tensor = run_watched(self.module, images, Holding(self.plans(images), holds))
            return output

        return run

    def _values(self, images: Tensor, layers: Sequence[str]) -> list[LayerPass]:
        """Return what a pass shows of some layers, ended as early as possible.

        Raises:
            UserError: A layer is not called, or is followed by other operations than in the first pass.
        """
        watch = Until(self.plans(images), layers)
        run_watched(self.module, images, watch)
        for layer in layers:
            values = watch.sites.get(layer)
            if values is None or layer not in watch.plans:
                raise UserError(
                    f"There is no layer {layer!r} in this network, or not on these images. Its layers are: "
                    f"{', '.join(watch.sites)}."
                )
            problem = ""
            if len(values.activation) != len(images):
                problem = f"it is called on {len(values.activation)} of {len(images)} images at a time"
            elif values.plan.bent and values.function is None:
                problem = "on some images the nonlinearity after it is missing"
            if problem:
                raise UserError(
                    f"The layer {layer!r} has no activation for each image: {problem}. Choose another layer."
                )
        return [watch.sites[layer] for layer in layers]
