"""Layers of a network that torch.fx cannot trace: seen by hooks and torch functions while the network runs.

The same functions as in `unitscope.layers`, which calls these where it has to. Nothing can be cut here: a pass ends at
a layer's activation at the earliest, and an ablation is a full pass.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from unitscope.errors import UserError
from unitscope.layers import POSITIVE, SIGNED, Split, Tap, Tapped, hold, read_out, unit_axis
from unitscope.tracing import TRANSPARENT, out_of_place


def _functions(operations: Iterable[Any]) -> tuple[Any, ...]:
    """Return the functions and methods among operations as torch.fx names them."""
    found = (getattr(Tensor, kind) if isinstance(kind, str) else kind for kind in operations)
    return tuple(function for function in found if not isinstance(function, type))


NONLINEARITIES = _functions(POSITIVE + SIGNED)
PASSING = _functions(TRANSPARENT)


@dataclass
class _Site:
    """What has been seen of a layer in one pass.

    Attributes:
        module: The convolution or linear module.
        tap: The tapped values.
        activation: The activation, the same tensor where no nonlinearity has followed.
        stage: What the activation comes out of: "module", "norm" or "nonlinearity".
        function: The nonlinearity, as a function of the tapped values; None where none has followed.
        positive: Whether that nonlinearity is never negative.
    """

    module: nn.Module
    tap: Tensor
    activation: Tensor
    stage: str = "module"
    function: Callable[[Tensor], Tensor] | None = None
    positive: bool = False


class _Seen(Exception):
    """Ends a pass: all that was wanted has been seen."""


class _Watch(TorchFunctionMode):
    """Follows every layer's output through batch norm and dropout to its nonlinearity, while the network runs."""

    def __init__(self, replaced: Mapping[str, tuple[str, Tensor]]) -> None:
        super().__init__()
        self.sites: dict[str, _Site] = {}
        self.replaced = replaced
        # By identity; the tensors are kept, so that no identity is given again.
        self._place: dict[int, tuple[str, str]] = {}
        self._kept: list[Tensor] = []

    def layer(self, name: str, module: nn.Module, output: Tensor) -> Tensor:
        """Take the output of a layer's module, and return what takes its place."""
        calls = sum(known == name or known.startswith(f"{name}-call") for known in self.sites)
        name = f"{name}-call{calls + 1}" if calls else name
        output = self._instead(name, "module", output)
        self.sites[name] = _Site(module, output, output)
        self._follow(output, name, "tap")
        return output

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        source: Any = args[0] if args else kwargs.get("input")
        name, stage = self._place.get(id(source), ("", "")) if isinstance(source, Tensor) else ("", "")
        if not name:
            return func(*args, **kwargs)
        site, before, plain = self.sites[name], source, out_of_place(func)
        if _may_be_in_place(func, args, kwargs):
            before = source.clone()
            site.tap, site.activation = (before if value is source else value for value in (site.tap, site.activation))
        result = func(*args, **kwargs)
        # How nn.ReLU6 calls it.
        clipped = plain is F.hardtanh and (kwargs.get("min_val"), kwargs.get("max_val")) == (0.0, 6.0)
        if stage == "activation" or not (clipped or plain in (F.batch_norm, *NONLINEARITIES, *PASSING)):
            if result is source:
                del self._place[id(source)]
            return result
        if plain is F.batch_norm:
            site.stage = "norm"
            result = site.tap = self._instead(name, "norm", result)
        elif plain not in PASSING:
            rest = {key: value for key, value in kwargs.items() if key not in ("input", "inplace")}
            site.tap, site.stage = before, "nonlinearity"
            site.function = lambda values: func(values.clone(), *args[1:], **rest)
            site.positive = clipped or plain in _functions(POSITIVE)
            stage = "activation"
            put = self._instead(name, "nonlinearity", result)
            # What was done in place has to be there for all who hold the tensor.
            result = result.copy_(put) if put is not result and result is source else put
        site.activation = result
        self._follow(result, name, stage)
        return result

    def _instead(self, name: str, stage: str, value: Tensor) -> Tensor:
        wanted, replacement = self.replaced.get(name, ("", value))
        # A copy: the network may go on with it in place.
        return replacement.clone() if stage == wanted else value

    def _follow(self, value: Tensor, name: str, stage: str) -> None:
        self._place[id(value)] = name, stage
        self._kept.append(value)
        if stage == "activation":
            self.seen(name)

    def seen(self, name: str) -> None:
        """Take note that a layer's activation is there."""


class _Holding(_Watch):
    """Holds units of some layers on what reaches them: the stage of each, then what `layers.hold` takes."""

    def __init__(self, holds: Mapping[str, tuple[str, int, Tensor, Tensor]]) -> None:
        super().__init__({})
        self.holds = holds

    def _instead(self, name: str, stage: str, value: Tensor) -> Tensor:
        if name not in self.holds or self.holds[name][0] != stage:
            return value
        _, axis, removed, values = self.holds[name]
        return hold(value, axis, removed, values)


class _Until(_Watch):
    """Ends the pass when the activations of some layers have been seen."""

    def __init__(self, wanted: Sequence[str]) -> None:
        super().__init__({})
        self.wanted = set(wanted)

    def seen(self, name: str) -> None:
        self.wanted.discard(name)
        if not self.wanted:
            raise _Seen


def _may_be_in_place(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a function may change its first argument: torch says so by name or by a flag."""
    name = getattr(function, "__name__", "")
    augmented = name.startswith("__i") and name not in ("__index__", "__int__", "__invert__")
    return (
        (name.endswith("_") and not name.endswith("__"))
        or augmented
        or any(flag is True for flag in (*args, *kwargs.values()))
    )


@contextlib.contextmanager
def _watched(module: nn.Module, watch: _Watch) -> Iterator[None]:
    """Let a watch see what a network does."""
    handles = []
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            handles.append(
                part.register_forward_hook(lambda part, _, output, name=name: watch.layer(name, part, output))
            )
    try:
        with watch:
            yield
    finally:
        for handle in handles:
            handle.remove()


def _run(module: nn.Module, images: Tensor, watch: _Watch) -> Any:
    """Run a network under a watch; return its output, None where the watch ended the pass."""
    with _watched(module, watch):
        try:
            return module(images)
        except _Seen:
            return None


def _sites(module: nn.Module, images: Tensor, layers: Sequence[str]) -> list[_Site]:
    """Return what a pass shows of some layers, ended as early as it may be."""
    watch = _Until(layers)
    _run(module, images, watch)
    for layer in layers:
        if layer not in watch.sites:
            raise UserError(
                f"There is no layer {layer!r} in this network, or not on these images. Its layers are: "
                f"{', '.join(watch.sites)}."
            )
    return [watch.sites[layer] for layer in layers]


def _kind(site: _Site) -> str:
    return "conv" if isinstance(site.module, nn.Conv2d) else "linear"


# --- what `unitscope.layers` has too ---------------------------------------------------------------------------------


def taps(module: nn.Module, shape: Sequence[int]) -> list[Tap]:
    """List the layers that a grey image shows, in the order of computation."""
    watch = _Watch({})
    device = next((parameter.device for parameter in module.parameters()), None)
    try:
        with torch.no_grad():
            _run(module, torch.full((1, *shape), 0.5, device=device), watch)
    except RuntimeError as error:
        raise UserError(
            f"The network does not accept images of shape {tuple(shape)} (channels, height, width): {error}"
        ) from error
    result = []
    for depth, (layer, site) in enumerate(watch.sites.items(), 1):
        size = tuple(site.activation.shape)
        if size[0] != 1:
            continue
        units, rest = (size[1], size[2:]) if _kind(site) == "conv" else (size[-1], size[1:-1])
        result.append(Tap(layer, depth, _kind(site), units, rest, not site.positive))
    return result


def prefix(module: nn.Module, layer: str, readout: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return a function from images to a layer's pre-activations and activations, both read out."""

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        (site,) = _sites(module, images, [layer])
        axis = unit_axis(_kind(site))
        return read_out(site.tap, axis, readout), read_out(site.activation, axis, readout)

    return run


def readouts(module: nn.Module, layers: Sequence[str], readout: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a function from images to the activations of several layers, read out."""

    def run(images: Tensor) -> tuple[Tensor, ...]:
        sites = _sites(module, images, layers)
        return tuple(read_out(site.activation, unit_axis(_kind(site)), readout) for site in sites)

    return run


def split(module: nn.Module, layer: str) -> Split:
    """Return the network "cut" at the activation of a layer: both sides are full passes."""
    stage = ""

    def before(images: Tensor) -> tuple[Tensor, ...]:
        nonlocal stage
        (site,) = _sites(module, images, [layer])
        stage = site.stage
        return site.activation, site.activation, images

    def behind(activation: Tensor, images: Tensor) -> Tensor:
        output: Tensor = _run(module, images, _Watch({layer: (stage, activation)}))
        return output

    return Split(before, behind, None)


def held(module: nn.Module, layers: Sequence[str]) -> Callable[..., Tensor]:
    """Return the network with the activations of several layers held."""

    def run(images: Tensor, *given: Tensor) -> Tensor:
        sites = _sites(module, images[:1], layers)
        holds = {
            layer: (site.stage, unit_axis(_kind(site)), removed, values)
            for layer, site, removed, values in zip(layers, sites, given[::2], given[1::2], strict=True)
        }
        output: Tensor = _run(module, images, _Holding(holds))
        return output

    return run


def tapped(module: nn.Module, layer: str) -> Tapped:
    """Return the network at the tap of a layer, of which only the whole layer can be computed."""
    last: list[_Site] = []

    def outputs(images: Tensor) -> Tensor:
        last[:] = _sites(module, images, [layer])
        return last[0].tap

    def nonlinearity(values: Tensor) -> Tensor:
        return values if last[0].function is None else last[0].function(values)

    # A further call of a shared module has that module too.
    own = module.get_submodule(re.sub(r"-call\d+$", "", layer))
    return Tapped(
        kind="conv" if isinstance(own, nn.Conv2d) else "linear",
        inputs=outputs,
        outputs=outputs,
        nonlinearity=nonlinearity,
        rectified=False,
        filters=None,
    )
