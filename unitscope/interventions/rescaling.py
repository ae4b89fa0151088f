"""Networks that compute the same function with other scales of their units.

A ReLU passes positive factors on: relu(c x) = c relu(x) for c > 0. A unit that is multiplied by c, and divided by c
wherever it is read, so leaves the network's outputs as they are (Neyshabur et al. 2015, "Path-SGD"; Dinh et al. 2017,
"Sharp minima can generalize for deep nets"), and any score that moves under it is not one of the function. What
moves is measured in `unitscope.interventions.scale`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.interventions.unit_weights import Obstacle, WeightReader, called, check_unshared, readers_of
from unitscope.maximization.recipe import Recipe
from unitscope.probing.layer import Layer
from unitscope.probing.nonlinearities import is_rectifier
from unitscope.probing.sites import kind_of


@dataclass(frozen=True)
class _Places:
    """Where the factors of a layer go: into the module that is tapped, and out of all that read it."""

    tap: str
    readers: list[WeightReader]


def recipes_to_remake(recipes: Mapping[str, Mapping[str, Any]], steps: int | None = None) -> dict[str, Recipe]:
    """Return the methods whose images are made anew: those that set a unit against the others.

    "iam_z" is always among them: it is the form of IAM that is to stay where IAM does not. Where an experiment has no
    method with that objective, it is its first "iam" (or its first method), by name, with the objective replaced.

    No ascent ends because its RS is settled: when that is so depends on scales itself. Methods that minimize are left
    out: a unit is silent on its image by them.

    Args:
        recipes: The experiment's methods by name; where none of them maximizes, there is nothing to be made.
        steps: After how many steps an ascent ends at the latest; None leaves the methods' own. Whether an image depends
            on scales shows long before it is finished.
    """
    maximizing = {name: recipe for name, recipe in recipes.items() if not recipe.get("minimize")}
    if not maximizing:
        return {}
    contrastive = {name: recipe for name, recipe in maximizing.items() if recipe["objective"] in ("iam", "iam_z")}
    if all(recipe["objective"] != "iam_z" for recipe in contrastive.values()):
        model = recipes[min(contrastive or maximizing)]
        # A name of the user's own for something else is not taken from him.
        name = "iam_z" if "iam_z" not in recipes else "iam_z-added"
        contrastive[name] = {**model, "objective": "iam_z"}
    full_length = {name: Recipe(**{**recipe, "settled": 0.0}) for name, recipe in contrastive.items()}
    return {
        name: replace(recipe, steps=min(steps or recipe.steps, recipe.steps)) for name, recipe in full_length.items()
    }


def obstacle(layer: Layer) -> str:
    """Return why the units of a layer cannot be rescaled without changing the function; empty where they can."""
    try:
        _places(layer)
    except Obstacle as error:
        return str(error)
    return ""


def rescaled(layer: Layer, factors: np.ndarray | Sequence[float]) -> Layer:
    """Return a layer of a copy of its network that computes the same, with each unit multiplied by a factor.

    Weights and bias that make unit j are multiplied by factors[j] (gamma and beta where a batch norm follows: it would
    take a factor of the convolution out again), and all weights that read it are divided by factors[j]. With powers of
    two nothing is rounded: the outputs are equal bit by bit, as long as nothing leaves the range of float32.

    Args:
        layer: A layer that a plain ReLU follows, and that only convolutions and linear layers read, through poolings,
            means over space, dropout and flattening. Its network is left as it is.
        factors: (units,), above 0.

    Raises:
        UserError: The layer is not such a one, or the factors are not such numbers.

    Example: the second unit is four times as large, and the network's output is the same.
        >>> from unitscope.probing.probe import Probe
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> layer, image = Probe(model, shape=(1, 1, 1), mean=0, std=1)["1"], torch.ones(1, 1, 1, 1)
        >>> larger = rescaled(layer, [1, 4])
        >>> bool((larger.probe.module.get_submodule("1").weight[1] == 4 * model[1].weight[1]).all())
        True
        >>> bool((larger.probe(image) == layer.probe(image)).all())
        True
    """
    try:
        places = _places(layer)
    except Obstacle as error:
        raise UserError(f"The layer {layer.name!r} cannot be rescaled: {error}. Choose another layer.") from None
    assert layer.probe.traced is not None
    scaled = layer.probe.traced.copied()
    tapped: Any = scaled.get_submodule(places.tap)
    scaling = torch.as_tensor(np.asarray(factors, np.float64), dtype=tapped.weight.dtype, device=tapped.weight.device)
    if scaling.shape != (len(tapped.weight),) or not bool(((scaling > 0) & scaling.isfinite()).all()):
        raise UserError(
            f"factors has the shape {tuple(scaling.shape)}; layer {layer.name!r} takes {len(tapped.weight)} numbers "
            "above 0."
        )
    _multiply(tapped, "weight", scaling.view(-1, *[1] * (tapped.weight.dim() - 1)))
    if tapped.bias is not None:
        _multiply(tapped, "bias", scaling)
    for reader in places.readers:
        reading: Any = scaled.get_submodule(reader.path)
        _multiply(reading, "weight", 1 / _by_input(reading, scaling, reader.flat))
    return replace(layer, probe=layer.probe.variant(scaled))


def _multiply(module: nn.Module, name: str, factors: Tensor) -> None:
    """Give a module a parameter of its own that is `factors` times what it has: others may share that."""
    old: Any = getattr(module, name)
    setattr(module, name, nn.Parameter((old * factors).detach(), requires_grad=old.requires_grad))


def _by_input(reader: nn.Conv2d | nn.Linear, factors: Tensor, flat: bool) -> Tensor:
    """Return the factor of the unit that each weight of a reader is for, in a shape that multiplies the weight."""
    if isinstance(reader, nn.Linear):
        return factors.repeat_interleave(reader.in_features // len(factors)) if flat else factors
    # Filters of one group read the same units.
    groups = factors.view(reader.groups, -1).repeat_interleave(reader.out_channels // reader.groups, 0)
    return groups[:, :, None, None]


# --- where the factors go --------------------------------------------------------------------------------------------


def _places(layer: Layer) -> _Places:
    """Return where the factors of a layer go.

    Raises:
        Obstacle: There is something that they would change.
    """
    if layer.probe.traced is None:
        raise Obstacle("torch.fx cannot trace the network, so it is not known what reads the layer")
    site, traced = layer.probe.traced.sites[layer.name], layer.probe.traced.graph
    modules = layer.probe.traced.modules
    if site.activation is site.tap:
        raise Obstacle("no nonlinearity follows it directly")
    if not is_rectifier(kind_of(site.activation, modules)):
        raise Obstacle(f"its nonlinearity is {called(site.activation, modules)}, not a plain ReLU")
    if site.tap.op != "call_module":
        raise Obstacle("its batch norm is a function, whose weights may be used elsewhere")
    tap = str(site.tap.target)
    check_unshared(traced, modules, tap)
    units = len(modules[tap].weight)
    readers = readers_of(traced, modules, site, units)
    return _Places(tap, readers)
