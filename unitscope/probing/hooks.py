"""Layers of a network that torch.fx cannot trace: seen by hooks and torch functions while the network runs.

The same functions as in `unitscope.probing.layers`, which calls these where it has to. A first pass records which
operations read what, so that one rule tells layers' taps and activations here and in a traced graph. Nothing can be cut
here: a pass ends at a layer's activation at the earliest, and an ablation is a full pass.

The network's own hooks run, too. One that reads a module's output comes after what is followed here, so that it reads
what a clamped unit gives. One that changes the output of a layer, batch norm or nonlinearity belongs to that module:
what is followed is the output that the rest of the network gets.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import BackwardHook, RemovableHandle

from unitscope.errors import UserError
from unitscope.networks.dependence import METADATA, reachable
from unitscope.networks.forms import form_of
from unitscope.networks.normalization import network_of
from unitscope.networks.outputs import is_transformed, tensors_in
from unitscope.probing.following import NORMS, passes_on, say_unrecognized, tap_and_activation, unrecognized
from unitscope.probing.in_place import out_of_place
from unitscope.probing.layers import (
    Split,
    Tap,
    Tapped,
    hold,
    read_out,
    unit_axis,
)
from unitscope.probing.nonlinearities import elementwise, is_positive

LAYERS = (nn.Conv2d, nn.Linear)

# --- which operations read what --------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Operation:
    """An operation of one pass, standing for what it gives.

    Attributes:
        function: What was called, out of place; None for a layer's module, and for what comes from elsewhere. The class
            of a module that is one operation, as its hooks change what it gives.
        arguments: Gives an argument by its position or its name.
        sources: The operations whose results it reads.
        readers: The operations that read its result.
        whole: Path of the module whose hooks change what it gives, if this is one; else "".
    """

    function: Any = None
    arguments: Callable[[int, str], Any] = lambda _, __: None
    sources: list["_Operation"] = field(default_factory=list)
    readers: list["_Operation"] = field(default_factory=list)
    whole: str = ""


@dataclass
class _Call:
    """A call, not yet over, of a module with hooks.

    Attributes:
        whole: The operation that the call is, if its hooks change something.
        start: Number of operations before it that the pass has recorded.
        values: The tensors that it was given last, or gave, with their versions.
        changed: Whether a hook has put others in their place, or changed them.
    """

    whole: _Operation
    start: int
    values: list[tuple[Tensor, int]]
    changed: bool = False

    def compare(self, values: list[tuple[Tensor, int]]) -> None:
        """Take note of whether these are the same values as before."""
        same = len(values) == len(self.values) and all(
            one is other and version == old for (one, version), (other, old) in zip(values, self.values, strict=True)
        )
        self.changed = self.changed or not same


class _Survey(TorchFunctionMode):
    """Records the operations of a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[str, _Operation] = {}
        self._made: list[_Operation] = []
        self._calls: list[_Call] = []
        # By identity; the tensors are kept, so that no identity is given again.
        self._source: dict[int, _Operation] = {}
        self._kept: list[Any] = []

    def follow(self, name: str, part: nn.Module) -> list[RemovableHandle]:
        """Let the survey see the calls of one module of the network; return the handles of the hooks that do."""
        if isinstance(part, LAYERS):
            return [
                part.register_forward_hook(
                    lambda _, __, output: self._enter(self._layer(name, output), output), prepend=True
                ),
                part.register_forward_hook(lambda _, __, output: self._leave(name, output)),
            ]
        if not _may_be_whole(part):
            return []
        return [
            part.register_forward_pre_hook(
                lambda _, *given: self._enter(_Operation(type(part), _settings_of(part)), given),
                prepend=True,
                with_kwargs=True,
            ),
            part.register_forward_pre_hook(lambda _, *given: self._calls[-1].compare(_states(given)), with_kwargs=True),
            part.register_forward_hook(lambda _, __, output: self._give_back(output), prepend=True),
            part.register_forward_hook(lambda _, __, output: self._leave(name, output)),
        ]

    def _layer(self, name: str, output: Tensor) -> _Operation:
        """Return the operation of a layer's module, before the network's own hooks take its output."""
        made = _Operation(sources=[self.source(output)])
        if is_transformed(output):
            return made
        made.sources[0].readers.append(made)
        self.layers[call_name(name, self.layers)] = made
        self._made.append(made)
        self._give(output, made)
        return made

    def same(self, one: Tensor, other: Tensor) -> None:
        """Take note that a tensor is another one, for the sake of gradients."""
        self._give(other, self.source(one))

    def _enter(self, whole: _Operation, values: Any) -> None:
        self._calls.append(_Call(whole, len(self._made), _states(values)))

    def _give_back(self, output: Any) -> None:
        self._calls[-1].values = _states(output)

    def _leave(self, name: str, output: Any) -> None:
        """Let a call be one operation if hooks have changed what it takes or gives."""
        call = self._calls.pop()
        call.compare(_states(output))
        if not call.changed:
            return
        whole, inner = call.whole, set(self._made[call.start :])
        whole.whole = name
        read = [source for made in self._made[call.start :] for source in made.sources]
        whole.sources = [made for made in dict.fromkeys([*whole.sources, *read]) if made not in inner | {whole}]
        whole.readers = [reader for reader in whole.readers if reader not in inner]
        for source in whole.sources:
            source.readers = list(dict.fromkeys(whole if reader in inner else reader for reader in source.readers))
        self._source |= {key: whole for key, made in self._source.items() if made in inner}
        self._made[call.start :] = [] if whole in self._made else [whole]
        for tensor in _tensors_of(output):
            self._give(tensor, whole)

    def source(self, tensor: Tensor) -> _Operation:
        """Return the operation that gave a tensor."""
        if id(tensor) not in self._source:
            self._give(tensor, _Operation())
        return self._source[id(tensor)]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        read = _tensors_of((args, kwargs))
        made = _Operation(out_of_place(func), _arguments_of(args, kwargs))
        self._made.append(made)
        if _name_of(func) not in METADATA:
            made.sources = list(dict.fromkeys(self.source(tensor) for tensor in read))
            for source in made.sources:
                source.readers.append(made)
        before = _states(read)
        result = func(*args, **kwargs)
        changed = [tensor for tensor, version in before if _version_of(tensor) != version]
        if _may_be_in_place(func, args, kwargs):
            changed += [tensor for tensor in read[:1] if tensor.is_inference()]
        for tensor in (*_tensors_of(result), *changed):
            self._give(tensor, made)
        return result

    def _give(self, tensor: Tensor, made: _Operation) -> None:
        self._source[id(tensor)] = made
        self._kept.append(tensor)


@dataclass(frozen=True)
class _Plan:
    """What follows a layer, by `layers.tap_and_activation`.

    Attributes:
        normed: Whether the layer is tapped behind a batch norm.
        bent: Whether its activation is the output of a nonlinearity.
        positive: Whether that nonlinearity is never negative.
        unrecognized: As `layers.unrecognized` gives it.
        wholes: Paths of the layer's module, its batch norm and its nonlinearity, where hooks change what they give.
    """

    normed: bool
    bent: bool
    positive: bool
    unrecognized: tuple[str, ...] = ()
    wholes: frozenset[str] = frozenset()

    @property
    def stage(self) -> str:
        """What the activation comes out of: "module", "norm" or "nonlinearity"."""
        return "nonlinearity" if self.bent else "norm" if self.normed else "module"


_PLANS: WeakKeyDictionary[nn.Module, dict[str, _Plan]] = WeakKeyDictionary()


def _plans(module: nn.Module, images: Tensor) -> dict[str, _Plan]:
    """Return the plan of every layer that a pass shows; looked at once for a network, on its examples if it has any."""
    if module not in _PLANS:
        examples = form_of(module).images
        _PLANS[module] = _surveyed(module, images[:1] if examples is None else examples)
    return _PLANS[module]


def _surveyed(module: nn.Module, images: Tensor) -> dict[str, _Plan]:
    """Return the plan of every layer that a pass over some images shows."""
    survey = _Survey()
    # Tensors of the inference mode do not count their versions.
    with torch.inference_mode(False), torch.no_grad():
        # A copy: the network may change its input in place.
        given = form_of(module).arranged(images.detach()).clone()
        images_read = [survey.source(given)]
        with _watched(module, survey):
            output = module(given)
    ends = [_Operation(sources=[survey.source(tensor)]) for tensor in _tensors_of(output)]
    for end in ends:
        end.sources[0].readers.append(end)
    leading = reachable(ends, lambda made: made.sources)
    of_images = reachable(images_read, lambda made: made.readers)
    return {name: _plan(made, leading, of_images) for name, made in survey.layers.items()}


def with_changing_plans(module: nn.Module, images: Tensor) -> dict[str, str]:
    """Return the layers whose activation is computed otherwise for one image than for another, with the reason."""
    together = _plans(module, images)
    alone = [_surveyed(module, image) for image in images.split(1)]
    reason = "what follows it, and so its activation, differs between images"
    return {
        layer: reason
        for layer, plan in together.items()
        if any(layer in plans and plans[layer] != plan for plans in alone)
    }


def _plan(layer: _Operation, leading: set[_Operation], of_images: set[_Operation]) -> _Plan:
    def readers(made: _Operation) -> list[_Operation]:
        return [reader for reader in made.readers if reader in leading or layer not in leading]

    # Of a layer that is not seen to lead to the output, as where compiled code lies between, all readers count.
    tap, activation = tap_and_activation(
        layer,
        readers,
        lambda made: passes_on(made.function, made.arguments),
        lambda made: made.function in (*NORMS, F.batch_norm),
        lambda made: is_positive(made.function, made.arguments) is not None,
    )
    # What a hook makes of a nonlinearity's values can have any sign.
    positive = (
        activation is not None and not activation.whole and bool(is_positive(activation.function, activation.arguments))
    )
    wholes = frozenset(made.whole for made in (layer, tap, activation) if made is not None and made.whole)
    others: tuple[str, ...] = ()
    if activation is None:
        others = unrecognized(
            tap,
            readers,
            lambda made: of_images.intersection(made.sources),
            lambda made: elementwise(made.function, len(made.sources)),
        )
    return _Plan(tap is not layer, activation is not None, positive, others, wholes)


def _may_be_whole(part: nn.Module) -> bool:
    """Return whether a module with hooks is torch's own batch norm or nonlinearity, called as its class says."""
    if not (part._forward_hooks or part._forward_pre_hooks) or "forward" in vars(part):
        return False
    return type(part) in NORMS or is_positive(type(part), _settings_of(part)) is not None


def _settings_of(part: nn.Module) -> Callable[[int, str], Any]:
    """Return a function that gives a setting of a module by its name, as `is_positive` takes it."""
    return lambda _, name: getattr(part, name, None)


def _states(value: Any) -> list[tuple[Tensor, int]]:
    """Return the tensors in a value with their versions, which tell whether they were changed in place."""
    return [(tensor, _version_of(tensor)) for tensor in _tensors_of(value)]


def _version_of(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; 0 of one of the inference mode, which does not count that."""
    return 0 if tensor.is_inference() else tensor._version


def call_name(name: str, known: Mapping[str, Any]) -> str:
    """Return the name of a call of a module, which may be a further one."""
    calls = sum(other == name or re.fullmatch(rf"{re.escape(name)}-call\d+", other) is not None for other in known)
    return f"{name}-call{calls + 1}" if calls else name


def _name_of(function: Any) -> str:
    """Return a function's name; of what reads an attribute, that of the attribute."""
    name = getattr(function, "__name__", "")
    return getattr(function.__self__, "__name__", name) if name == "__get__" else name


def _arguments_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[int, str], Any]:
    """Return a function that gives an argument of a call by its position or its name."""
    # The tensors need not stay.
    plain = [None if isinstance(value, Tensor) else value for value in args]
    named = {name: None if isinstance(value, Tensor) else value for name, value in kwargs.items()}
    return lambda place, name: plain[place] if len(plain) > place else named.get(name)


def _tensors_of(value: Any) -> list[Tensor]:
    return list(tensors_in(value).values())


# --- passes ----------------------------------------------------------------------------------------------------------


@dataclass
class _Site:
    """What has been seen of a layer in one pass.

    Attributes:
        module: The convolution or linear module.
        plan: What follows it.
        tap: The tapped values.
        activation: The activation, the same tensor where no nonlinearity follows.
        function: The nonlinearity, as a function of the tapped values; None where none has followed.
    """

    module: nn.Module
    plan: _Plan
    tap: Tensor
    activation: Tensor
    function: Callable[[Tensor], Tensor] | None = None


class _Seen(Exception):
    """Ends a pass: all that was wanted has been seen."""


class _Watch(TorchFunctionMode):
    """Follows every layer's output through batch norm and dropout to its nonlinearity, while the network runs."""

    def __init__(self, plans: Mapping[str, _Plan], replaced: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.plans = plans
        self.sites: dict[str, _Site] = {}
        self.replaced = replaced or {}
        self.wholes = frozenset[str]().union(*(plan.wholes for plan in plans.values()))
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
                    lambda part, _, output: self.layer(name, part, output), prepend=name not in self.wholes
                )
            ]
        if name not in self.wholes:
            return []
        return [
            part.register_forward_pre_hook(
                lambda part, *given: self._enter(part, _tensors_of(given)), prepend=True, with_kwargs=True
            ),
            part.register_forward_hook(lambda part, _, output: self._leave(part, output)),
        ]

    def layer(self, name: str, module: nn.Module, output: Tensor) -> Tensor:
        """Take the output of a layer's module, and return what takes its place."""
        if is_transformed(output):
            return output
        name = call_name(name, self.sites)
        # On these images the network may do what it has not done in the first pass.
        plan = self.plans.get(name, _Plan(normed=False, bent=False, positive=False))
        output = self._instead(name, "module", plan, output)
        self.sites[name] = _Site(module, plan, output, output)
        self._follow(output, name, "module", plan)
        return output

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if _may_be_in_place(func, args, kwargs):
            self._keep_from_change(args, kwargs)
        if any(layer for layer, _, _ in self._calls):
            return func(*args, **kwargs)
        source: Any = args[0] if args else kwargs.get("input")
        name, stage = self._place.get(id(source), ("", "")) if isinstance(source, Tensor) else ("", "")
        if not name:
            return func(*args, **kwargs)
        site, before, plain = self.sites[name], source, out_of_place(func)
        arguments = _arguments_of(args, kwargs)
        norms = plain is F.batch_norm and site.plan.normed and stage == "module"
        bends = (
            is_positive(plain, arguments) is not None
            and site.plan.bent
            and (stage == ("norm" if site.plan.normed else "module"))
        )
        if _may_be_in_place(func, args, kwargs):
            before = source.clone()
        result = func(*args, **kwargs)
        if norms:
            result = self._instead(name, "norm", site.plan, result)
            site.tap = site.activation = result
            self._follow(result, name, "norm", site.plan)
        elif bends:
            rest = {key: value for key, value in kwargs.items() if key not in ("input", "inplace")}
            site.tap = before
            site.function = lambda values: func(values.clone(), *args[1:], **rest)
            put = self._instead(name, "nonlinearity", site.plan, result)
            # What was done in place has to be there for all who hold the tensor.
            result = result.copy_(put) if put is not result and result is source else put
            site.activation = result
            self._follow(result, name, "nonlinearity", site.plan)
        elif passes_on(plain, arguments):
            self._follow(result, name, stage, site.plan)
        elif result is source:
            del self._place[id(source)]
        return result

    def _enter(self, part: nn.Module, given: Sequence[Tensor]) -> None:
        """Take note of a call of a module that is followed as a whole."""
        source = next((tensor for tensor in given if id(tensor) in self._place), None)
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
        put = self._instead(name, stage, site.plan, output)
        output = output.copy_(put) if put is not output and output is source else put
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
        changed = {tensor.untyped_storage().data_ptr() for tensor in _tensors_of((args[:1], kwargs.get("out")))}
        for site in self.sites.values():
            for role in ("tap", "activation"):
                if getattr(site, role).untyped_storage().data_ptr() in changed:
                    setattr(site, role, getattr(site, role).clone())

    def _instead(self, name: str, stage: str, plan: _Plan, value: Tensor) -> Tensor:
        # A copy: the network may go on with it in place.
        return self.replaced[name].clone() if stage == plan.stage and name in self.replaced else value

    def _follow(self, value: Tensor, name: str, stage: str, plan: _Plan) -> None:
        self._place[id(value)] = name, stage
        self._kept.append(value)
        if stage == plan.stage:
            self.seen(name)

    def seen(self, name: str) -> None:
        """Take note that a layer's activation is there."""


class _Holding(_Watch):
    """Holds units of some layers on what reaches them: what `layers.hold` takes, by layer."""

    def __init__(self, plans: Mapping[str, _Plan], holds: Mapping[str, tuple[int, Tensor, Tensor]]) -> None:
        super().__init__(plans)
        self.holds = holds

    def _instead(self, name: str, stage: str, plan: _Plan, value: Tensor) -> Tensor:
        return hold(value, *self.holds[name]) if stage == plan.stage and name in self.holds else value


class _Until(_Watch):
    """Ends the pass when the activations of some layers have been seen."""

    def __init__(self, plans: Mapping[str, _Plan], wanted: Sequence[str]) -> None:
        super().__init__(plans)
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
        or name == "__setitem__"
        or kwargs.get("out") is not None
        or any(flag is True for flag in (*args, *kwargs.values()))
    )


@contextlib.contextmanager
def _through_backward_hooks(watch: "_Watch | _Survey") -> Iterator[None]:
    """Let a watch follow tensors through the function in which torch wraps them for backward hooks, unseen by modes."""

    def passing(wrap: Callable[[BackwardHook, Any], Any]) -> Callable[[BackwardHook, Any], Any]:
        def wrapped(hook: BackwardHook, given: Any) -> Any:
            passed = wrap(hook, given)
            for one, other in zip(_tensors_of(given), _tensors_of(passed), strict=True):
                watch.same(one, other)
            return passed

        return wrapped

    with (
        patch.object(BackwardHook, "setup_input_hook", passing(BackwardHook.setup_input_hook)),
        patch.object(BackwardHook, "setup_output_hook", passing(BackwardHook.setup_output_hook)),
    ):
        yield


@contextlib.contextmanager
def _watched(module: nn.Module, watch: _Watch | _Survey) -> Iterator[None]:
    """Let a watch see what a network does."""
    handles = [handle for name, part in module.named_modules() for handle in watch.follow(name, part)]
    try:
        with watch, _through_backward_hooks(watch):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _run(module: nn.Module, images: Tensor, watch: _Watch | _Survey) -> Any:
    """Run a network under a watch; return its output, None where the watch ended the pass."""
    # A copy: the network may change its input in place.
    images = form_of(module).arranged(images).clone()
    with _watched(module, watch):
        try:
            return module(images)
        except _Seen:
            return None


def _sites(module: nn.Module, images: Tensor, layers: Sequence[str]) -> list[_Site]:
    """Return what a pass shows of some layers, ended as early as it may be.

    Raises:
        UserError: A layer is not called, or does not give what it gave when the network was looked at first.
    """
    watch = _Until(_plans(module, images), layers)
    _run(module, images, watch)
    for layer in layers:
        site = watch.sites.get(layer)
        if site is None or layer not in watch.plans:
            raise UserError(
                f"There is no layer {layer!r} in this network, or not on these images. Its layers are: "
                f"{', '.join(watch.sites)}."
            )
        problem = ""
        if len(site.activation) != len(images):
            problem = f"it is called on {len(site.activation)} of {len(images)} images at a time"
        elif site.plan.bent and site.function is None:
            problem = "on some images the nonlinearity after it is missing"
        if problem:
            raise UserError(f"The layer {layer!r} has no activation for each image: {problem}. Choose another layer.")
    return [watch.sites[layer] for layer in layers]


def _kind(site: _Site) -> str:
    return "conv" if isinstance(site.module, nn.Conv2d) else "linear"


# --- what `unitscope.probing.layers` has too
# ---------------------------------------------------------------------------------


def taps(module: nn.Module, shape: Sequence[int]) -> list[Tap]:
    """List the layers that an example, else a grey image shows, in the order of computation."""
    device = next((parameter.device for parameter in module.parameters()), None)
    form, image = form_of(module), torch.full((1, *shape), 0.5, device=device)
    if form.images is not None and form.images.shape[1:] == image.shape[1:]:
        image = form.images[:1]
    try:
        with torch.no_grad():
            watch = _Watch(_plans(module, image))
            _run(module, image, watch)
    except RuntimeError as error:
        raise UserError(
            f"The network does not accept images of shape {tuple(shape)} (channels, height, width): {error}"
        ) from error
    found = tuple((layer, site.plan.unrecognized) for layer, site in watch.sites.items())
    say_unrecognized(type(network_of(module)).__name__, found)
    result = []
    for depth, (layer, site) in enumerate(watch.sites.items(), 1):
        size = tuple(site.activation.shape)
        if layer in form.refused or size[0] != 1:
            continue
        units, rest = (size[1], size[2:]) if _kind(site) == "conv" else (size[-1], size[1:-1])
        result.append(Tap(layer, depth, _kind(site), units, rest, not site.plan.positive))
    return result


def logits(module: nn.Module, images: Tensor) -> Tensor:
    """Return what a network gives while it is watched."""
    output: Tensor = _run(module, images, _Watch(_plans(module, images)))
    return output


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

    def before(images: Tensor) -> tuple[Tensor, ...]:
        (site,) = _sites(module, images, [layer])
        return site.activation, site.activation, images

    def behind(activation: Tensor, images: Tensor) -> Tensor:
        output: Tensor = _run(module, images, _Watch(_plans(module, images), {layer: activation}))
        return output

    return Split(before, behind, None)


def held(module: nn.Module, layers: Sequence[str]) -> Callable[..., Tensor]:
    """Return the network with the activations of several layers held."""

    def run(images: Tensor, *given: Tensor) -> Tensor:
        sites = _sites(module, images[:1], layers)
        holds = {
            layer: (unit_axis(_kind(site)), removed, values)
            for layer, site, removed, values in zip(layers, sites, given[::2], given[1::2], strict=True)
        }
        output: Tensor = _run(module, images, _Holding(_plans(module, images), holds))
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
