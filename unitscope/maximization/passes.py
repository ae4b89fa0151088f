"""The passes of an ascent: the objective as a function of images, in the precision of each stage."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from unitscope.errors import UserError
from unitscope.maximization.objectives import LayerValues, objectives, target_value
from unitscope.maximization.recipe import OBJECTIVES, Recipe
from unitscope.maximization.targets import target_unit, whole_layer
from unitscope.maximization.winograd import lightened
from unitscope.probing.layer import Layer
from unitscope.runtime.devices import compiled


def passes(
    layer: Layer,
    recipe: Recipe,
    readout: str = "mean",
    scale: tuple[Tensor, Tensor] | None = None,
    compile: bool = False,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the objective as a function of images and targets, with no more arithmetic than it needs.

    Args:
        layer: The layer.
        recipe: The method.
        readout: "mean", "max" or "center".
        scale: As `objective` takes it.
        compile: Whether torch.compile is used: it takes minutes first, and gains on a GPU.

    Returns:
        A function from images (images, channels, height, width) and targets (images,) to what each image is to
        maximize, (images,) in float32. Its backward pass may be run once.
    """
    dtype = torch.bfloat16 if recipe.precision == "bfloat16" else torch.float32
    cut = (layer.converted(dtype) if dtype is torch.bfloat16 else layer).tapped()
    # torch.compile orders filters by itself, and traces plain convolutions alone.
    inputs, outputs = (compiled(part, True) if compile else lightened(part) for part in (cut.inputs, cut.outputs))
    cut = replace(cut, inputs=inputs, outputs=outputs)
    maximized = objectives[recipe.objective]
    if "target_alone" in OBJECTIVES[recipe.objective].flags:
        compute_target = target_unit(cut, readout)

        def target_alone(images: Tensor, targets: Tensor) -> Tensor:
            before, after = (values.float() for values in compute_target(images.to(dtype), targets))
            value, first_column = target_value(before, after, recipe.target), torch.zeros_like(targets)
            return _followed(
                maximized(LayerValues(value, after, after[:, None], first_column, None)), images, layer.name
            )

        return target_alone
    compute_layer = whole_layer(cut, readout)

    def against_others(images: Tensor, targets: Tensor) -> Tensor:
        before, activations = (values.float() for values in compute_layer(images.to(dtype), targets))
        after = activations.gather(1, targets[:, None])[:, 0]
        value = target_value(before, after, recipe.target)
        return _followed(maximized(LayerValues(value, after, activations, targets, scale)), images, layer.name)

    return against_others


def _followed(value: Tensor, images: Tensor, layer: str) -> Tensor:
    """Return an objective, if it depends on the images by way of gradients.

    Raises:
        UserError: It does not.
    """
    if images.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
        raise UserError(
            f"The activations of layer {layer} have no gradient with respect to the image, so no image can be made for "
            "its units: the network detaches what lies before (torch.no_grad, detach, numpy). Take that out, or choose "
            "layers before it."
        )
    return value


def stages(layer: Layer, recipe: Recipe) -> list[tuple[Recipe, int]]:
    """Return the recipes by which an ascent is climbed one after the other, and the step up to which each is."""
    if recipe.precision == "float32" or share_of_multiplications(layer) < recipe.float32_share:
        return [(replace(recipe, precision="float32"), recipe.steps)]
    exact = min(recipe.float32_steps, recipe.steps)
    both = [(replace(recipe, precision="float32"), exact), (recipe, recipe.steps)]
    return [stage for stage, before in zip(both, (0, exact), strict=True) if stage[1] > before]


def share_of_multiplications(layer: Layer) -> float:
    """Return the share of a network's multiplications that the way to a layer takes."""
    # Here, because it imports triton.
    from torch.utils.flop_counter import FlopCounterMode

    image = torch.zeros(1, *layer.probe.shape, device=layer.probe.device)
    counts = []
    for function in (layer.prefix("mean"), layer.probe.module):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            function(image)
        counts.append(counter.get_total_flops())
    return counts[0] / counts[1]
