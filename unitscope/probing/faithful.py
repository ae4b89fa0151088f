"""Whether a form of a network is the network: each is held against the module itself before anything is computed.

Tracing, folding and other layouts of memory make a network quicker to read, and may make another network of it: one
whose code branches on what torch.fx cannot show, changes a tensor in place, or needs its memory in one order. So each
form computes the module's own logits first, and the outputs of its layers, on a few images.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from unitscope.errors import UserError
from unitscope.networks.checkpoints import example_images
from unitscope.networks.closeness import close, same_logits
from unitscope.networks.forms import Form, choose, form_of, is_chosen
from unitscope.networks.layouts import arrange, in_layout
from unitscope.networks.normalization import network_of, refuse_scripts
from unitscope.networks.outputs import are_probabilities, is_transformed, tensors_in
from unitscope.probing.hooks import LAYERS, call_name, with_changing_plans
from unitscope.probing.hooks import logits as watched_logits
from unitscope.probing.layers import Tap, read_out, unit_axis
from unitscope.probing.layers import taps as layers_of
from unitscope.probing.tracing import trace
from unitscope.runtime.console import log
from unitscope.runtime.devices import pixels

INPUT = "input of "
TOGETHER = 5
"""Images of the pass whose rows are held against those of each image alone; more than small parts of a batch hold."""


def faithful(module: nn.Module, images: Tensor) -> Form:
    """Choose the form in which a network is read: the quickest that computes what the module computes.

    Args:
        module: The network, in eval mode, which gives logits (images, classes). Its weights are brought into the
            layout of the form.
        images: (images, channels, height, width), on the module's device, with values as the module takes them.

    Returns:
        The form, which `unitscope.probing.layers` uses from here on.

    Raises:
        UserError: The network gives values that are not finite, does not take one image alone, or no form computes what
            the module computes.
    """
    name = type(network_of(module)).__name__
    refuse_scripts(network_of(module))
    images = images.detach()
    arrange(module, torch.contiguous_format)
    buffers = _copies(module.named_buffers())
    expected = _run(module, in_layout(images, torch.contiguous_format))
    changed = _changed(module, buffers)
    _check_finite(expected, name)
    refused = _without_rows(module, in_layout(images, torch.contiguous_format))
    layout = torch.channels_last
    if not _agrees(lambda: _run(arrange(module, layout), in_layout(images, layout)), expected):
        layout = torch.contiguous_format
        arrange(module, layout)
        log.warning("%s differs or fails in the layout channels last: it runs in the contiguous one.", name)
    ends = [value for path, value in expected if not path]
    form = Form(True, layout, images, ends[0] if len(ends) == 1 else None, refused)
    # What the network keeps of a pass, and a graph would hold as constants, is then not that of these images.
    _run(module, form.arranged(images[:1]))
    traced = trace(module)
    if traced is None:
        form = replace(form, traced=False)
    # Twice: a graph may hold what its passes change, such as a generator of random numbers.
    elif not (
        _agrees(partial(_run_traced, traced, form.arranged(images)), expected)
        and _agrees(
            partial(_run_traced, traced, form.arranged(images), seed=1), _run(module, form.arranged(images), seed=1)
        )
    ):
        form = replace(form, traced=False)
        log.warning(
            "%s computes something else once torch.fx has traced it: its layers are followed by hooks instead, and "
            "every ablation is a full pass.",
            name,
        )
    choose(module, form)
    if not form.traced and not _agrees(lambda: _ends(watched_logits(module, images)), expected[-len(ends) :]):
        raise UserError(
            f"{name} computes something else while its layers are followed than by itself, in every way that there is "
            f"to follow them. {changed or 'Its forward pass may depend on how often it has run.'}"
        )
    if not form.traced:
        form = replace(form, refused={**with_changing_plans(module, images), **refused})
        choose(module, form)
    return form


def ensured(module: nn.Module, batches: Iterable[np.ndarray | tuple[np.ndarray, np.ndarray]]) -> Iterator[Any]:
    """Return batches of images, or of images and labels, after the form of a network has been chosen on the first.

    Args:
        module: The network.
        batches: Images, uint8 (images, height, width, channels).
    """
    coming = iter(batches)
    first = list(islice(coming, 1))
    if first and not is_chosen(module):
        images = first[0] if isinstance(first[0], np.ndarray) else first[0][0]
        device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
        shape = (images.shape[3], *images.shape[1:3])
        faithful(module, pixels(example_images(images[:2], shape), device))
    return chain(first, coming)


def ensure_on_noise(module: nn.Module, shape: Sequence[int]) -> Form:
    """Return the form of a network, chosen on noise of (channels, height, width) if it has none yet."""
    if is_chosen(module):
        return form_of(module)
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    return faithful(module, pixels(example_images(np.empty(0), shape), device))


def taps(module: nn.Module, shape: Sequence[int]) -> list[Tap]:
    """List the layers that can be tapped, as `unitscope.probing.layers.taps`, of a network that is checked first."""
    ensure_on_noise(module, shape)
    return layers_of(module, shape)


def check_repeats(module: nn.Module, images: Tensor, allowed: Collection[str] = ()) -> None:
    """Refuse a network that does not repeat itself: that draws random numbers, or looks at an image's neighbours.

    Args:
        module: The network, in eval mode. Its weights are brought into the contiguous layout, which all networks take.
        images: (images, channels, height, width), at least two.
        allowed: "randomness", "batch_dependence", or both, where that is allowed.

    Raises:
        UserError: The message names the module in which results begin to differ; or values are not finite.
    """
    images = in_layout(images.detach(), torch.contiguous_format)
    arrange(module, torch.contiguous_format)
    buffers = _copies(module.named_buffers())
    once = _run(module, images)
    changed = _changed(module, buffers)
    again = _run(module, images, seed=1)
    # What overflows may be infinite in one pass and undefined in another.
    _check_finite(once, type(network_of(module)).__name__)
    if "randomness" not in allowed and _first_difference(once, again) is not None:
        # What all modules give is kept only where it is to be told: of a large network it is gigabytes.
        place = _first_difference(*(_run(module, images, nn.Module, seed) for seed in (0, 1)))
        if changed:
            cause = f"{changed} Change it only while self.training is true"
        elif _first_difference(_run(module, images), _run(module, images)) is None:
            cause = (
                "It draws random numbers in eval mode, such as functional dropout with training=True. Switch that off"
            )
        else:
            cause = (
                "It does so with the same random numbers of torch, too: it may count its passes, keep values of the "
                "last one, or draw numbers elsewhere. Switch that off"
            )
        raise UserError(
            f"{type(network_of(module)).__name__} gives another answer when it runs again: results differ from "
            f"{_told(place)} on. {cause}, or set networks.NAME.allow: [randomness]."
        )
    if "batch_dependence" in allowed or "randomness" in allowed:
        return
    # What depends on the place in a batch, or on the image before, is the same for the first.
    for compared, kinds in ((_of_first_image, LAYERS), (_of_last_image, ())):
        if _first_difference(*compared(module, images, kinds)) is None:
            continue
        place = _first_difference(*compared(module, images, nn.Module))
        raise UserError(
            f"{type(network_of(module)).__name__} gives an image another answer when it is alone than among others: "
            f"results differ from {_told(place)} on. It may use statistics of the batch, other images of it, or the "
            "image's place in it (random numbers of one seed for a whole batch). Switch that off, or set "
            "networks.NAME.allow: [batch_dependence]."
        )


def warn_of_probabilities(module: nn.Module, images: Tensor) -> None:
    """Warn where a network's outputs look like probabilities: losses would be those of a softmax of a softmax."""
    with torch.no_grad():
        logits = module(form_of(module).arranged(images))
    if logits.shape[1] > 1 and are_probabilities(logits):
        log.warning(
            "The outputs of %s are not negative and sum to 1, as probabilities do. If they are, set "
            "networks.NAME.outputs: probabilities; if they are logits, set outputs: logits.",
            type(network_of(module)).__name__,
        )


def _copies(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors}


def _changed(module: nn.Module, before: Mapping[str, Tensor]) -> str:
    """Return a sentence on the first buffer that is not what it was; empty where there is none."""
    for name, buffer in module.named_buffers():
        old = before.get(name)
        if old is None or old.shape != buffer.shape or not torch.equal(old, buffer):
            return f"Its buffer {name!r} changes in eval mode."
    return ""


@dataclass(frozen=True)
class _Call:
    """What one call of a layer gave.

    Attributes:
        shape: Of its output.
        rows: (images, units), the largest value of each map, as means may cancel; None where the first axis is not the
            images, or values are complex.
        is_complex: Whether its values are complex numbers.
    """

    shape: tuple[int, ...]
    rows: Tensor | None
    is_complex: bool


def _without_rows(module: nn.Module, images: Tensor) -> dict[str, str]:
    """Return the layers whose output does not have one row for each image, by name, with the reason.

    Args:
        module: The network, in eval mode.
        images: (images, channels, height, width).

    Raises:
        UserError: The network does not take one image alone.
    """
    name, many = type(network_of(module)).__name__, images[torch.arange(TOGETHER) % len(images)]
    together, ends = _calls(module, many)
    same, alone = True, []
    for place, image in enumerate(many[: len(images)].split(1)):
        fault = ""
        try:
            calls, own = _calls(module, image)
        # Whatever a network's own code comes upon where an axis is missing.
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        else:
            for end, own_end in zip(ends, own, strict=False):
                if end.dim() and len(end) == len(many) and own_end.shape != (1, *end.shape[1:]):
                    fault = f"its output has the shape {tuple(own_end.shape)} instead of {(1, *end.shape[1:])}"
                same = same and (
                    not end.dim() or own_end.shape != end[:1].shape or same_logits(end[place : place + 1], own_end)
                )
        if fault:
            raise UserError(
                f"{name} takes {len(many)} images, but not one image alone ({fault}). x.squeeze() without an axis "
                "removes the axis of the images too, if there is one image: write x.flatten(1), or x.squeeze(-1)."
            )
        alone.append(calls)
    reasons = {}
    for layer in dict.fromkeys([*together, *(layer for calls in alone for layer in calls)]):
        calls_alone = [calls[layer] for calls in alone if layer in calls]
        if layer not in together or len(calls_alone) < len(alone):
            reasons[layer] = "it is not called once for all images and once for each image alone"
            continue
        call, rows = together[layer], [each.rows for each in calls_alone if each.rows is not None]
        if call.is_complex:
            reasons[layer] = "its values are complex numbers; layers that read their real part or size can be tapped"
        elif call.rows is None or len(rows) < len(alone):
            reasons[layer] = (
                f"its output has the shape {call.shape} for {len(many)} images, and {calls_alone[0].shape} for one: "
                "the first axis is not the images"
            )
        # Of a network that depends on the batch no layer gives the same.
        elif same and not all(close(call.rows[place], row[0]) for place, row in enumerate(rows)):
            reasons[layer] = "its output for an image among others is not the one for that image alone"
    return reasons


def _calls(module: nn.Module, images: Tensor) -> tuple[dict[str, _Call], list[Tensor]]:
    """Return what every call of a layer gives, by the name of the layer, and what the whole gives."""
    calls: dict[str, _Call] = {}

    def keep(part: nn.Module, _: Any, output: Any, path: str) -> None:
        if not isinstance(output, Tensor) or is_transformed(output):
            return
        kind, dimensions = ("conv", {4}) if isinstance(part, nn.Conv2d) else ("linear", range(2, 9))
        by_image = output.dim() in dimensions and len(output) == len(images) and not output.is_complex()
        rows = read_out(output, unit_axis(kind), "max").clone() if by_image else None
        calls[call_name(path, calls)] = _Call(tuple(output.shape), rows, output.is_complex())

    handles = [
        part.register_forward_hook(partial(keep, path=path))
        for path, part in module.named_modules()
        if isinstance(part, LAYERS) and not isinstance(part, torch.jit.ScriptModule)
    ]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            returned = module(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    return calls, list(tensors_in(returned).values())


Values = list[tuple[str, Tensor]]
"""What the parts of a network give, by path, in the order of computation; the whole, "", last."""


def _run(module: nn.Module, images: Tensor, kinds: Any = LAYERS, seed: int = 0) -> Values:
    """Return what the modules of some kinds give, and the whole last; random numbers are those of the seed.

    Of all modules, inputs are among them.
    """
    values: Values = []
    with _recording(module, kinds, values), torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # A copy: the network may change its input in place.
        returned = module(images.clone())
    return [*values, *_ends(returned)]


def _ends(returned: Any) -> Values:
    return [("", tensor) for tensor in tensors_in(returned).values()]


@contextmanager
def _recording(module: nn.Module, kinds: Any, values: Values) -> Iterator[None]:
    def keep(place: str, passed: Any) -> None:
        for tensor in tensors_in(passed).values():
            # Of layers the first image alone: all of them, on all images, would be more than memory holds.
            kept = tensor if kinds is nn.Module or not tensor.dim() else tensor[:1]
            # Copies: the network may go on with them in place.
            values.append((place, kept.detach().clone()))

    parts = {
        path: part
        for path, part in module.named_modules()
        if path and isinstance(part, kinds) and not isinstance(part, torch.jit.ScriptModule)
    }
    handles = [
        part.register_forward_hook(lambda _, __, returned, path=path: keep(path, returned))
        for path, part in parts.items()
    ]
    if kinds is nn.Module:
        handles += [
            part.register_forward_pre_hook(lambda _, given, path=path: keep(f"{INPUT}{path}", given))
            for path, part in parts.items()
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run_traced(traced: fx.GraphModule, images: Tensor, seed: int = 0) -> Values:
    """Return the same of a traced network."""
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
    return [*values, *_ends(returned)]


def _agrees(run: Callable[[], Values], expected: Values) -> bool:
    """Return whether a form gives what is expected; one that fails does not."""
    try:
        found = run()
    # Whatever a network's own code comes upon where memory lies otherwise, or symbols have run through it.
    except Exception:
        return False
    if [path for path, _ in found] != [path for path, _ in expected]:
        return False
    return all(_same(path, one, other) for (path, one), (_, other) in zip(found, expected, strict=True))


def _same(path: str, one: Tensor, other: Tensor) -> bool:
    """Return whether a part of a network, "" being the whole, gives the same twice."""
    return close(one, other) if path else same_logits(one, other)


def _of_first_image(module: nn.Module, images: Tensor, kinds: Any) -> tuple[Values, Values]:
    """Return what parts give for the first image among others, and alone; only of parts whose rows are images."""
    together, alone = _run(module, images, kinds), _run(module, images[:1], kinds)
    pairs = [
        ((path, value[:1]), (path, own[:1]))
        for (path, value), (_, own) in zip(together, alone, strict=False)
        if value.dim() and own.dim() and value[:1].shape == own[:1].shape
    ]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _of_last_image(module: nn.Module, images: Tensor, kinds: Any) -> tuple[Values, Values]:
    """Return the same for the last image, whose row is not the first; kinds are none, or those of all modules."""
    together, alone = _run(module, images, kinds), _run(module, images[-1:], kinds)
    pairs = [
        ((path, value[-1:]), (path, own))
        for (path, value), (_, own) in zip(together, alone, strict=False)
        if value.dim() and len(value) == len(images) and value[-1:].shape == own.shape
    ]
    return [last for last, _ in pairs], [own for _, own in pairs]


def _first_difference(one: Values, other: Values) -> str | None:
    """Return the path of the first part that gives something else; None where none does."""
    pairs = zip(one, other, strict=False)
    return next((path for (path, first), (_, second) in pairs if not _same(path, first, second)), None)


def _told(place: str | None) -> str:
    if place and place.startswith(INPUT):
        return f"the input of the module {place.removeprefix(INPUT)!r}"
    return f"the module {place!r}" if place else "the end of its own forward pass"


def _check_finite(values: Values, name: str) -> None:
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
