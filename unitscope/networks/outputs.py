"""What a network puts out: where its logits are, and which of them is which class.

A network returns logits (images, classes), or something that holds them: a tuple, a mapping, an object of a library.
Its outputs may be probabilities, one logit for two classes, or more classes than the data set has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, fx

from unitscope.errors import UserError
from unitscope.runtime.console import log

Key = int | str


@dataclass(frozen=True)
class Outputs:
    """How logits (images, classes) come from what a network returns.

    Attributes:
        path: Keys or positions that lead to the tensor.
        kind: "logits" or "probabilities".
        binary: Whether it is one number for two classes: that of the second.
        flat: Whether two axes of length 1 are taken off, where a convolution makes the logits.
        columns: Number of the output of each class; None where output i is class i.
    """

    path: tuple[Key, ...] = ()
    kind: str = "logits"
    binary: bool = False
    flat: bool = False
    columns: tuple[int, ...] | None = None

    def __call__(self, returned: Any) -> Tensor:
        """Return logits (images, classes), differentiable."""
        values: Tensor = _at(returned, self.path)
        values = values.flatten(1) if self.flat else values
        if self.kind == "probabilities":
            least = torch.finfo(torch.float32).tiny
            logs = values.clamp(min=least).log()
            values = logs - (1 - values).clamp(min=least).log() if self.binary else logs
        if self.binary:
            values = torch.cat([torch.zeros_like(values), values], 1)
        return values if self.columns is None else values[:, list(self.columns)]

    def described(self) -> dict[str, Any]:
        """Return the attributes as plain values."""
        return asdict(self)


def outputs_from(described: Mapping[str, Any]) -> Outputs:
    """Return the outputs that `Outputs.described` describes."""
    lists = {key: tuple(value) for key, value in described.items() if isinstance(value, list | tuple)}
    return Outputs(**{**described, **lists})


def _at(returned: Any, path: Sequence[Key]) -> Any:
    # A symbol stands for what the network was seen to return.
    if not path and not isinstance(returned, Tensor | fx.Proxy):
        # While they are trained, torchvision's googlenet and inception_v3 return auxiliary logits beside their own.
        if not isinstance(getattr(returned, "logits", None), Tensor):
            raise UserError(
                f"While it is trained the network returns {type(returned).__name__}; it has to return logits (images, "
                "classes), or a named tuple with logits."
            )
        path = ("logits",)
    for key in path:
        if isinstance(key, str) and not isinstance(returned, Mapping):
            returned = getattr(returned, key)
        else:
            returned = returned[key]
    return returned


def is_transformed(tensor: Tensor) -> bool:
    """Return whether a tensor stands for values within a function of torch.func (vmap, grad): no code outside may."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def tensors_in(returned: Any, path: tuple[Key, ...] = ()) -> dict[tuple[Key, ...], Tensor]:
    """Return the tensors in what a network or a module returns, each by the keys or positions that lead to it.

    Those within a function of torch.func are left out.
    """
    if isinstance(returned, Tensor):
        return {} if is_transformed(returned) else {path: returned}
    if isinstance(returned, Mapping):
        parts: list[tuple[Key, Any]] = list(returned.items())
    elif is_dataclass(returned) and not isinstance(returned, type):
        parts = list(vars(returned).items())
    elif isinstance(returned, list | tuple):
        names = getattr(returned, "_fields", range(len(returned)))
        parts = list(zip(names, returned, strict=True))
    else:
        parts = []
    return {key: tensor for name, part in parts for key, tensor in tensors_in(part, (*path, name)).items()}


def candidates(returned: Any, images: int) -> dict[tuple[Key, ...], int]:
    """Return the tensors that may be logits, by path, each with its number of outputs."""
    return {
        path: tensor.shape[1]
        for path, tensor in tensors_in(returned).items()
        if tensor.dim() >= 2
        and len(tensor) == images
        and set(tensor.shape[2:]) <= {1}
        and tensor.dim() in (2, 4)
        and tensor.is_floating_point()
    }


def find_outputs(returned: Any, images: int, classes: Sequence[str], settings: Mapping[str, Any], name: str) -> Outputs:
    """Return how the logits of a data set's classes come from what a network returns.

    Args:
        returned: What the network gives for some images.
        images: Their number.
        classes: The data set's classes, in its order; empty where there are none.
        settings: Of the network: `output`, the key or position of the logits; `outputs`, "logits" or "probabilities";
            `classes`, the names of the network's outputs; each absent or None where it is not given.
        name: The network's, for messages.

    Raises:
        UserError: No tensor, or several, may be the logits; or their number is not that of the classes.
    """
    path = _logits_path(candidates(returned, images), returned, classes, settings, name)
    logits = tensors_in(returned)[path]
    count, flat = logits.shape[1], logits.dim() > 2
    named, kind = settings.get("classes"), settings.get("outputs") or "logits"
    if named is None:
        if not classes or count == len(classes):
            return Outputs(path, kind, flat=flat)
        raise UserError(_mismatch(name, count, len(classes)))
    binary = count == 1 and len(named) == 2
    if len(named) != count and not binary:
        raise UserError(
            f"{name}.classes names {len(named)} classes, and the network has {count} outputs. Name one class for each "
            "output, or two for a single output: that of the second."
        )
    if missing := [each for each in classes if each not in named]:
        raise UserError(
            f"{name}.classes lacks {missing[0]!r}, a class of the data set. It names {', '.join(map(str, named[:12]))}"
            f"{', ...' if len(named) > 12 else ''}. Write the data set's names there."
        )
    columns = tuple(list(named).index(each) for each in classes) if classes else tuple(range(len(named)))
    same = columns == tuple(range(len(named)))
    return Outputs(path, kind, binary, flat, None if same else columns)


def named_outputs(names: Sequence[str], classes: Sequence[str], origin: str) -> list[str] | None:
    """Return the names of the outputs that weights carry, where the data set's classes are among them.

    None where there is nothing to match by: no names, or others than the data set's. A warning says where as many
    classes are then matched by their place.

    Args:
        names: Of the outputs; empty where the weights carry none.
        classes: Of the data set.
        origin: Where the weights come from, for the warning.
    """
    if classes and set(classes) <= {name for name in names if list(names).count(name) == 1}:
        return list(names)
    if len(names) == len(classes) and list(names) != list(classes):
        position = next(position for position, name in enumerate(names) if name != classes[position])
        log.warning(
            "%s name their outputs otherwise than the data set its classes: output %d is %r, class %d is %r. They are "
            "matched by place. If that is wrong, write the data set's names into networks.NAME.classes, in the order "
            "of the outputs.",
            origin,
            position,
            names[position],
            position,
            classes[position],
        )
    return None


def _logits_path(
    counts: Mapping[tuple[Key, ...], int],
    returned: Any,
    classes: Sequence[str],
    settings: Mapping[str, Any],
    name: str,
) -> tuple[Key, ...]:
    """Return the path of the logits."""
    output = settings.get("output")
    if output is not None:
        counts = {path: count for path, count in counts.items() if output == _dotted(path) or path == (output,)}
        if not counts:
            raise UserError(
                f"{name}.output is {output!r}, where the network gives no logits (images, classes). It gives "
                f"{_shapes(returned)}."
            )
    if not counts:
        raise UserError(
            f"{name}: the network gives {_shapes(returned)}, none of which is (images, classes). unitscope analyzes "
            "classifiers: return one row of logits per image."
        )
    if len(counts) > 1:
        # Auxiliary features have another number of columns than there are classes.
        expected = {len(settings.get("classes") or classes)} - {0}
        fitting = {path: count for path, count in counts.items() if count in expected}
        counts = fitting if len(fitting) == 1 else counts
    if len(counts) > 1:
        raise UserError(
            f"{name}: the network gives {_shapes(returned)}, several of which may be its logits. Name one: output: "
            f"{_dotted(next(iter(counts)))}."
        )
    return next(iter(counts))


def _mismatch(name: str, outputs: int, classes: int) -> str:
    message = f"{name}: the network has {outputs} output{'s' * (outputs != 1)}, and the data set {classes} classes."
    if outputs == 1 and classes == 2:
        return f"{message} If it is the logit of one of them, name both, that one last: classes: [the other, that one]."
    if outputs == classes + 1:
        return (
            f"{message} If one output is a background, name all of them in their order: classes: [background, ...]. "
            "Those that the data set lacks are left out."
        )
    return (
        f"{message} If it was made for other classes, name its outputs in their order: classes: [...], the data set's "
        "names among them; those that the data set lacks are left out. Or fit a new head: head: {fit: linear}."
    )


def _dotted(path: Sequence[Key]) -> str:
    return ".".join(map(str, path))


def _shapes(returned: Any) -> str:
    shapes = {_dotted(path) or "one tensor": tuple(tensor.shape) for path, tensor in tensors_in(returned).items()}
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or type(returned).__name__


def are_probabilities(outputs: Tensor) -> bool:
    """Return whether outputs (images, classes) look like probabilities: not negative, and each row sums to 1."""
    sums = outputs.double().sum(1)
    return bool((outputs >= 0).all() and torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=1e-4))
