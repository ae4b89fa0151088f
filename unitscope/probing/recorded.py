"""Outputs of a network's modules, recorded in a pass, and compared between passes and forms of the network."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from unitscope.errors import UserError
from unitscope.networks.closeness import close, same_logits
from unitscope.networks.outputs import tensors_in
from unitscope.probing.calls import LAYERS

INPUT = "input of "

Values = list[tuple[str, Tensor]]
"""What the modules of a network compute, by path, in the order of computation; the whole, "", last."""


def record(module: nn.Module, images: Tensor, kinds: Any = LAYERS, seed: int = 0) -> Values:
    """Return the outputs of the modules of some kinds, and the whole last; random numbers are those of the seed.

    For all modules, inputs are recorded too.
    """
    values: Values = []
    with _recording(module, kinds, values), torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # A copy: the network may change its input in place.
        returned = module(images.clone())
    return [*values, *ends_of(returned)]


def ends_of(returned: Any) -> Values:
    """Return the tensors in what a network returns, as entries of the whole."""
    return [("", tensor) for tensor in tensors_in(returned).values()]


@contextmanager
def _recording(module: nn.Module, kinds: Any, values: Values) -> Iterator[None]:
    def record_tensors(path: str, value: Any) -> None:
        for tensor in tensors_in(value).values():
            # Of layers the first image alone: all of them, on all images, would be more than memory holds.
            recorded = tensor if kinds is nn.Module or not tensor.dim() else tensor[:1]
            # Copies: the network may go on with them in place.
            values.append((path, recorded.detach().clone()))

    parts = {
        path: part
        for path, part in module.named_modules()
        if path and isinstance(part, kinds) and not isinstance(part, torch.jit.ScriptModule)
    }
    handles = [
        part.register_forward_hook(lambda _, __, returned, path=path: record_tensors(path, returned))
        for path, part in parts.items()
    ]
    if kinds is nn.Module:
        handles += [
            part.register_forward_pre_hook(lambda _, inputs, path=path: record_tensors(f"{INPUT}{path}", inputs))
            for path, part in parts.items()
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def record_graph(traced: fx.GraphModule, images: Tensor, seed: int = 0) -> Values:
    """Return what `record` returns, of a traced network."""
    values: Values = []

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if n.op == "call_module" and isinstance(traced.get_submodule(str(n.target)), LAYERS):
                values.append((str(n.target), value[:1]))
            return value

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        returned = Recorder(traced).run(images)
    return [*values, *ends_of(returned)]


def agrees(run: Callable[[], Values], expected: Values) -> bool:
    """Return whether a run computes the expected values; one that fails does not."""
    try:
        values = run()
    # Whatever a network's own code raises where memory is laid out otherwise, or symbols have run through it.
    except Exception:
        return False
    if [path for path, _ in values] != [path for path, _ in expected]:
        return False
    return all(same_output(path, one, other) for (path, one), (_, other) in zip(values, expected, strict=True))


def same_output(path: str, one: Tensor, other: Tensor) -> bool:
    """Return whether two outputs of a module are equal, "" being the whole network."""
    return close(one, other) if path else same_logits(one, other)


def first_difference(one: Values, other: Values) -> str | None:
    """Return the path of the first module whose outputs differ; None where none does."""
    pairs = zip(one, other, strict=False)
    return next((path for (path, first), (_, second) in pairs if not same_output(path, first, second)), None)


def described_place(place: str | None) -> str:
    """Return a path of `record` in words."""
    if place and place.startswith(INPUT):
        return f"the input of the module {place.removeprefix(INPUT)!r}"
    return f"the module {place!r}" if place else "the end of its own forward pass"


def buffers_of(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's buffers, by name."""
    return {name: buffer.detach().clone() for name, buffer in module.named_buffers()}


def changed_buffer(module: nn.Module, before: Mapping[str, Tensor]) -> str:
    """Return a sentence on the first buffer that differs from its copy; empty where none does."""
    for name, buffer in module.named_buffers():
        old = before.get(name)
        if old is None or old.shape != buffer.shape or not torch.equal(old, buffer):
            return f"Its buffer {name!r} changes in eval mode."
    return ""


def check_finite(values: Values, name: str) -> None:
    """Refuse values of a network that are not finite.

    Raises:
        UserError: A value is NaN or infinite; the message names the layer.
    """
    for path, value in values:
        if not path and value.dim() == 2 and bool((masked := (value == -torch.inf).all(0)).any()):
            outputs = ", ".join(map(str, masked.nonzero().flatten().tolist()[:8]))
            raise UserError(
                f"The logits of {name} are -inf for every image in output {outputs} (counted from 0), as where a mask "
                "leaves classes out. The loss of such a class is infinite: mask with a finite number, such as -1e4."
            )
        if not torch.isfinite(value).all():
            raise UserError(
                f"The activations of {name} are not finite (NaN or infinite) in "
                f"{f'layer {path}' if path else 'its logits'}, on an image of the data set or on noise. Its weights or "
                "its normalization do not fit."
            )
