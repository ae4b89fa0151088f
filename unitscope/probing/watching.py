"""Passes of a network in which each layer's output is followed to its activation, and may be replaced there.

The network's own hooks run, too. One that reads a module's output comes after what is followed here, so that it reads
the values of a clamped unit. One that changes the output of a layer, batch norm or nonlinearity belongs to that module:
what is followed is the output that the rest of the network gets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from unitscope.networks.layouts import in_layout
from unitscope.networks.normalization import layout_of
from unitscope.networks.outputs import is_transformed
from unitscope.probing.calls import LAYERS, arguments_of_call, call_name, may_be_in_place, tensors_of, watched
from unitscope.probing.following import NORMS, passes_on
from unitscope.probing.in_place import out_of_place
from unitscope.probing.layer import hold
from unitscope.probing.nonlinearities import is_positive
from unitscope.probing.surveys import Plan


@dataclass
class LayerPass:
    """What has been seen of a layer in one pass.

    Attributes:
        module: The convolution or linear module.
        plan: What follows it.
        tap: The tapped values.
        activation: The activation, the same tensor where no nonlinearity follows.
        function: The nonlinearity, as a function of the tapped values; None where none has followed.
    """

    module: nn.Module
    plan: Plan
    tap: Tensor
    activation: Tensor
    function: Callable[[Tensor], Tensor] | None = None

    @property
    def kind(self) -> str:
        """The layer's kind, "conv" or "linear"."""
        return "conv" if isinstance(self.module, nn.Conv2d) else "linear"


class AllSeen(Exception):
    """Ends a pass: all that was wanted has been seen."""


class Watch(TorchFunctionMode):
    """Follows every layer's output through batch norm and dropout to its nonlinearity, while the network runs."""

    def __init__(self, plans: Mapping[str, Plan], replaced: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.plans = plans
        self.sites: dict[str, LayerPass] = {}
        self.replaced = replaced or {}
        self.hooked_paths = frozenset[str]().union(*(plan.hooked_paths for plan in plans.values()))
        # For each call under way of a module that is followed as a whole: the layer, its stage, and what was given.
        self._calls: list[tuple[str, str, Any]] = []
        # By identity; the tensors are kept, so that no identity is given again.
        self._place: dict[int, tuple[str, str]] = {}
        self._kept: list[Tensor] = []

    def follow(self, name: str, part: nn.Module) -> list[RemovableHandle]:
        """Let the watch see the calls of one module of the network; return the handles of the hooks that do."""
        if isinstance(part, LAYERS):
            # Hooks of the network's own that only read the output are to read what takes its place.
            return [
                part.register_forward_hook(
                    lambda part, _, output: self.layer(name, part, output), prepend=name not in self.hooked_paths
                )
            ]
        if name not in self.hooked_paths:
            return []
        return [
            part.register_forward_pre_hook(
                lambda part, *inputs: self._enter(part, tensors_of(inputs)), prepend=True, with_kwargs=True
            ),
            part.register_forward_hook(lambda part, _, output: self._leave(part, output)),
        ]

    def layer(self, name: str, module: nn.Module, output: Tensor) -> Tensor:
        """Take the output of a layer's module, and return what takes its place."""
        if is_transformed(output):
            return output
        name = call_name(name, self.sites)
        # On these images the network may do what it has not done in the first pass.
        plan = self.plans.get(name, Plan(normed=False, bent=False, positive=False))
        output = self._replacement_for(name, "module", plan, output)
        self.sites[name] = LayerPass(module, plan, output, output)
        self._follow(output, name, "module", plan)
        return output

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if may_be_in_place(func, args, kwargs):
            self._keep_from_change(args, kwargs)
        if any(layer for layer, _, _ in self._calls):
            return func(*args, **kwargs)
        source: Any = args[0] if args else kwargs.get("input")
        name, stage = self._place.get(id(source), ("", "")) if isinstance(source, Tensor) else ("", "")
        if not name:
            return func(*args, **kwargs)
        site, before, plain = self.sites[name], source, out_of_place(func)
        arguments = arguments_of_call(args, kwargs)
        norms = plain is F.batch_norm and site.plan.normed and stage == "module"
        bends = (
            is_positive(plain, arguments) is not None
            and site.plan.bent
            and (stage == ("norm" if site.plan.normed else "module"))
        )
        if may_be_in_place(func, args, kwargs):
            before = source.clone()
        result = func(*args, **kwargs)
        if norms:
            result = self._replacement_for(name, "norm", site.plan, result)
            site.tap = site.activation = result
            self._follow(result, name, "norm", site.plan)
        elif bends:
            options = {key: value for key, value in kwargs.items() if key not in ("input", "inplace")}
            site.tap = before
            site.function = lambda values: func(values.clone(), *args[1:], **options)
            replacement = self._replacement_for(name, "nonlinearity", site.plan, result)
            # What was done in place has to be there for all who hold the tensor.
            result = result.copy_(replacement) if replacement is not result and result is source else replacement
            site.activation = result
            self._follow(result, name, "nonlinearity", site.plan)
        elif passes_on(plain, arguments):
            self._follow(result, name, stage, site.plan)
        elif result is source:
            del self._place[id(source)]
        return result

    def _enter(self, part: nn.Module, inputs: Sequence[Tensor]) -> None:
        """Take note of a call of a module that is followed as a whole."""
        source = next((tensor for tensor in inputs if id(tensor) in self._place), None)
        name, stage = self._place.get(id(source), ("", ""))
        if name:
            plan = self.sites[name].plan
            norms = plan.normed and stage == "module"
            bends = plan.bent and stage == ("norm" if plan.normed else "module")
            name = name if (norms if type(part) in NORMS else bends) else ""
        self._calls.append((name, stage, source))

    def _leave(self, part: nn.Module, output: Any) -> Any:
        """Take the output of a module that is followed as a whole, and return what takes its place."""
        name, _, source = self._calls.pop()
        if not name or not isinstance(output, Tensor):
            return output
        site, stage = self.sites[name], "norm" if type(part) in NORMS else "nonlinearity"
        replacement = self._replacement_for(name, stage, site.plan, output)
        output = output.copy_(replacement) if replacement is not output and output is source else replacement
        site.tap = site.activation = output
        if stage == "nonlinearity":
            # What precedes it is no pre-activation: the hooks may turn its sign.
            site.function = lambda values: values
        self._follow(output, name, stage, site.plan)
        return output

    def same(self, one: Tensor, other: Tensor) -> None:
        """Take note that a tensor is another one, for the sake of gradients."""
        if one is other or id(one) not in self._place:
            return
        self._place[id(other)] = self._place[id(one)]
        self._kept.append(other)
        for site in self.sites.values():
            site.tap = other if site.tap is one else site.tap
            site.activation = other if site.activation is one else site.activation

    def _keep_from_change(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Let sites have copies of values that are about to be changed in place, maybe by a view of them."""
        changed = {tensor.untyped_storage().data_ptr() for tensor in tensors_of((args[:1], kwargs.get("out")))}
        for site in self.sites.values():
            for role in ("tap", "activation"):
                if getattr(site, role).untyped_storage().data_ptr() in changed:
                    setattr(site, role, getattr(site, role).clone())

    def _replacement_for(self, name: str, stage: str, plan: Plan, value: Tensor) -> Tensor:
        # A copy: the network may go on with it in place.
        return self.replaced[name].clone() if stage == plan.stage and name in self.replaced else value

    def _follow(self, value: Tensor, name: str, stage: str, plan: Plan) -> None:
        self._place[id(value)] = name, stage
        self._kept.append(value)
        if stage == plan.stage:
            self.seen(name)

    def seen(self, name: str) -> None:
        """Take note that a layer's activation is there."""


class Holding(Watch):
    """Holds units of some layers on what reaches them: what `layer.hold` takes, by layer."""

    def __init__(self, plans: Mapping[str, Plan], holds: Mapping[str, tuple[int, Tensor, Tensor]]) -> None:
        super().__init__(plans)
        self.holds = holds

    def _replacement_for(self, name: str, stage: str, plan: Plan, value: Tensor) -> Tensor:
        return hold(value, *self.holds[name]) if stage == plan.stage and name in self.holds else value


class Until(Watch):
    """Ends the pass when the activations of some layers have been seen."""

    def __init__(self, plans: Mapping[str, Plan], layers: Sequence[str]) -> None:
        super().__init__(plans)
        self.pending = set(layers)

    def seen(self, name: str) -> None:
        """Take note that a layer's activation is there; after the last of them the pass ends."""
        self.pending.discard(name)
        if not self.pending:
            raise AllSeen


def run_watched(module: nn.Module, images: Tensor, watch: Watch) -> Any:
    """Run a network under a watch; return its output, None where the watch ended the pass."""
    # A copy: the network may change its input in place.
    images = in_layout(images, layout_of(module)).clone()
    with watched(module, watch):
        try:
            return module(images)
        except AllSeen:
            return None
