"""Which operations of a network read what: recorded in one pass, so that one rule finds taps and activations.

The rule is that of `unitscope.probing.following`, as for a traced graph. A hook of the network that changes the output
of a layer, batch norm or nonlinearity belongs to that module.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from unitscope.networks.dependence import METADATA, reachable
from unitscope.networks.layouts import in_layout
from unitscope.networks.normalization import layout_of
from unitscope.networks.outputs import is_transformed
from unitscope.probing.calls import (
    LAYERS,
    arguments_of_call,
    call_name,
    may_be_in_place,
    name_of,
    states,
    tensors_of,
    version_of,
    watched,
)
from unitscope.probing.following import NORMS, passes_on, tap_and_activation, unrecognized
from unitscope.probing.in_place import out_of_place
from unitscope.probing.nonlinearities import elementwise, is_positive


@dataclass(eq=False)
class Operation:
    """An operation of one pass, standing for what it gives.

    Attributes:
        function: What was called, out of place; None for a layer's module, and for what comes from elsewhere. The class
            of a module that is one operation, as its hooks change what it gives.
        arguments: Gives an argument by its position or its name.
        sources: The operations whose results it reads.
        readers: The operations that read its result.
        module_path: Path of the module whose hooks change what it gives, if this is one; else "".
    """

    function: Any = None
    arguments: Callable[[int, str], Any] = lambda _, __: None
    sources: list["Operation"] = field(default_factory=list)
    readers: list["Operation"] = field(default_factory=list)
    module_path: str = ""


@dataclass
class _Call:
    """A call, not yet over, of a module with hooks.

    Attributes:
        operation: The operation that the call is, if its hooks change something.
        start: Number of operations before it that the pass has recorded.
        values: The tensors that it was given last, or gave, with their versions.
        changed: Whether a hook has put others in their place, or changed them.
    """

    operation: Operation
    start: int
    values: list[tuple[Tensor, int]]
    changed: bool = False

    def compare(self, values: list[tuple[Tensor, int]]) -> None:
        """Take note of whether these are the same values as before."""
        same = len(values) == len(self.values) and all(
            one is other and version == old for (one, version), (other, old) in zip(values, self.values, strict=True)
        )
        self.changed = self.changed or not same


class Survey(TorchFunctionMode):
    """Records the operations of a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[str, Operation] = {}
        self._operations: list[Operation] = []
        self._calls: list[_Call] = []
        # By identity; the tensors are kept, so that no identity is given again.
        self._source: dict[int, Operation] = {}
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
        if not _may_be_one_operation(part):
            return []
        return [
            part.register_forward_pre_hook(
                lambda _, *inputs: self._enter(Operation(type(part), _settings_of(part)), inputs),
                prepend=True,
                with_kwargs=True,
            ),
            part.register_forward_pre_hook(
                lambda _, *inputs: self._calls[-1].compare(states(inputs)), with_kwargs=True
            ),
            part.register_forward_hook(lambda _, __, output: self._give_back(output), prepend=True),
            part.register_forward_hook(lambda _, __, output: self._leave(name, output)),
        ]

    def _layer(self, name: str, output: Tensor) -> Operation:
        """Return the operation of a layer's module, before the network's own hooks take its output."""
        operation = Operation(sources=[self.source(output)])
        if is_transformed(output):
            return operation
        operation.sources[0].readers.append(operation)
        self.layers[call_name(name, self.layers)] = operation
        self._operations.append(operation)
        self._set_source(output, operation)
        return operation

    def same(self, one: Tensor, other: Tensor) -> None:
        """Take note that a tensor is another one, for the sake of gradients."""
        self._set_source(other, self.source(one))

    def _enter(self, operation: Operation, values: Any) -> None:
        self._calls.append(_Call(operation, len(self._operations), states(values)))

    def _give_back(self, output: Any) -> None:
        self._calls[-1].values = states(output)

    def _leave(self, name: str, output: Any) -> None:
        """Let a call be one operation if hooks have changed what it takes or gives."""
        call = self._calls.pop()
        call.compare(states(output))
        if not call.changed:
            return
        merged, inner = call.operation, set(self._operations[call.start :])
        merged.module_path = name
        sources = [source for operation in self._operations[call.start :] for source in operation.sources]
        merged.sources = [
            operation for operation in dict.fromkeys([*merged.sources, *sources]) if operation not in inner | {merged}
        ]
        merged.readers = [reader for reader in merged.readers if reader not in inner]
        for source in merged.sources:
            source.readers = list(dict.fromkeys(merged if reader in inner else reader for reader in source.readers))
        self._source |= {key: merged for key, operation in self._source.items() if operation in inner}
        self._operations[call.start :] = [] if merged in self._operations else [merged]
        for tensor in tensors_of(output):
            self._set_source(tensor, merged)

    def source(self, tensor: Tensor) -> Operation:
        """Return the operation that gave a tensor."""
        if id(tensor) not in self._source:
            self._set_source(tensor, Operation())
        return self._source[id(tensor)]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = tensors_of((args, kwargs))
        operation = Operation(out_of_place(func), arguments_of_call(args, kwargs))
        self._operations.append(operation)
        if name_of(func) not in METADATA:
            operation.sources = list(dict.fromkeys(self.source(tensor) for tensor in inputs))
            for source in operation.sources:
                source.readers.append(operation)
        before = states(inputs)
        result = func(*args, **kwargs)
        changed = [tensor for tensor, version in before if version_of(tensor) != version]
        if may_be_in_place(func, args, kwargs):
            changed += [tensor for tensor in inputs[:1] if tensor.is_inference()]
        for tensor in (*tensors_of(result), *changed):
            self._set_source(tensor, operation)
        return result

    def _set_source(self, tensor: Tensor, operation: Operation) -> None:
        self._source[id(tensor)] = operation
        self._kept.append(tensor)


@dataclass(frozen=True)
class Plan:
    """What follows a layer, by `following.tap_and_activation`.

    Attributes:
        normed: Whether the layer is tapped behind a batch norm.
        bent: Whether its activation is the output of a nonlinearity.
        positive: Whether that nonlinearity is never negative.
        unrecognized: As `following.unrecognized` returns it.
        hooked_paths: Paths of the layer's module, batch norm and nonlinearity, where hooks change what they give.
    """

    normed: bool
    bent: bool
    positive: bool
    unrecognized: tuple[str, ...] = ()
    hooked_paths: frozenset[str] = frozenset()

    @property
    def stage(self) -> str:
        """What the activation comes out of: "module", "norm" or "nonlinearity"."""
        return "nonlinearity" if self.bent else "norm" if self.normed else "module"


def survey(module: nn.Module, images: Tensor) -> dict[str, Plan]:
    """Return the plan of every layer that a pass over some images shows."""
    recorder = Survey()
    # Tensors of the inference mode do not count their versions.
    with torch.inference_mode(False), torch.no_grad():
        # A copy: the network may change its input in place.
        inputs = in_layout(images.detach(), layout_of(module)).clone()
        input_operations = [recorder.source(inputs)]
        with watched(module, recorder):
            output = module(inputs)
    ends = [Operation(sources=[recorder.source(tensor)]) for tensor in tensors_of(output)]
    for end in ends:
        end.sources[0].readers.append(end)
    leading = reachable(ends, lambda operation: operation.sources)
    of_images = reachable(input_operations, lambda operation: operation.readers)
    return {name: _plan(operation, leading, of_images) for name, operation in recorder.layers.items()}


def _plan(layer: Operation, leading: set[Operation], of_images: set[Operation]) -> Plan:
    def readers(operation: Operation) -> list[Operation]:
        return [reader for reader in operation.readers if reader in leading or layer not in leading]

    # Of a layer that is not seen to lead to the output, as where compiled code lies between, all readers count.
    tap, activation = tap_and_activation(
        layer,
        readers,
        lambda operation: passes_on(operation.function, operation.arguments),
        lambda operation: operation.function in (*NORMS, F.batch_norm),
        lambda operation: is_positive(operation.function, operation.arguments) is not None,
    )
    # What a hook makes of a nonlinearity's values can have any sign.
    positive = (
        activation is not None
        and not activation.module_path
        and bool(is_positive(activation.function, activation.arguments))
    )
    hooked_paths = frozenset(
        operation.module_path
        for operation in (layer, tap, activation)
        if operation is not None and operation.module_path
    )
    unrecognized_names: tuple[str, ...] = ()
    if activation is None:
        unrecognized_names = unrecognized(
            tap,
            readers,
            lambda operation: of_images.intersection(operation.sources),
            lambda operation: elementwise(operation.function, len(operation.sources)),
        )
    return Plan(tap is not layer, activation is not None, positive, unrecognized_names, hooked_paths)


def _may_be_one_operation(part: nn.Module) -> bool:
    """Return whether a module with hooks is torch's own batch norm or nonlinearity, called as its class says."""
    if not (part._forward_hooks or part._forward_pre_hooks) or "forward" in vars(part):
        return False
    return type(part) in NORMS or is_positive(type(part), _settings_of(part)) is not None


def _settings_of(part: nn.Module) -> Callable[[int, str], Any]:
    """Return a function that gives a setting of a module by its name, as `is_positive` takes it."""
    return lambda _, name: getattr(part, name, None)
