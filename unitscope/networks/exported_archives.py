"""Archives of `torch.export.save`, checked to hold nothing but tensors and a graph of ATen operators.

`torch.export.load` unpickles parts of an archive, evaluates its symbolic expressions, and takes operators by their
dotted names. So an archive is checked first, and only a plain one reaches it.
"""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import torch

from unitscope.errors import UserError

_RECORDS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/[a-z_]+|\.format_version|\.storage_alignment|models/model\.json"
    r"|data/sample_inputs/model\.pt|data/(weights/(model_weights_config\.json|weight_\d+)"
    r"|constants/(model_constants_config\.json|tensor_\d+))"
)
_SYMBOLIC = re.compile(
    r"(Symbol\('[su]\d+'(, [a-z]+=(True|False))*\)|[su]\d|Integer|Rational|Add|Mul|Pow|Max|Min|(Python)?Mod"
    r"|(Floor|Ceil|Clean)Div|[\d\s+\-*(),])*"
)
"""No text can be taken in two ways: what is refused would be tried in all of them."""
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file)[a-z0-9_]+\.[A-Za-z0-9_]+|_operator\.(add|sub|mul|floordiv|mod|neg|getitem)"
    r"|torch\.sym_(int|max|min)|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
)
_NAME = re.compile(r"[\w.@:-]*", re.ASCII)
"""What may stand in code that torch.fx writes from a graph: names of values and paths of weights."""

_SPECS = {None, "builtins.tuple", "builtins.list", "builtins.dict"}

CURE = (
    "Nothing here runs code from a file. Export the network again: torch.export.save(torch.export.export(module, "
    '(images,), dynamic_shapes=({0: Dim("images")},)), path).'
)
DECOMPOSED = CURE.replace(", path)", ".run_decompositions({}), path)")


def refusal(reason: str, cure: str = CURE) -> UserError:
    """Return the error that refuses an exported program, with the reason and what to do."""
    return UserError(f"The exported program (.pt2) is refused: {reason}. {cure}")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its class."""
    return (str(error) or type(error).__name__).splitlines()[0]


def check_archive(content: bytes) -> None:
    """Refuse an archive that holds more than tensors and a graph of ATen operators."""
    try:
        # The reader that torch.export.load uses too: another one might see other contents.
        reader = torch._C.PyTorchFileReader(io.BytesIO(content))
        records = {name: reader.get_record(name) for name in reader.get_all_records()}
    except (RuntimeError, ValueError) as error:
        raise refusal(f"it is no archive of torch.export.save, or is cut off ({first_line(error)})") from error
    if unknown := [name for name in records if not _RECORDS.fullmatch(name)]:
        raise refusal(f"it holds {unknown[0]!r}, which is neither a tensor nor a graph")
    for name in ("models/model.json", "data/sample_inputs/model.pt", *_CONFIGS):
        if name not in records:
            raise refusal(f"it lacks {name}")
    try:
        torch.load(io.BytesIO(records["data/sample_inputs/model.pt"]), map_location="cpu", weights_only=True)
    except Exception as error:
        raise refusal(f"its sample inputs are more than tensors ({first_line(error)})") from error
    try:
        for name in _CONFIGS:
            for key, entry in json.loads(records[name])["config"].items():
                if not _NAME.fullmatch(key):
                    raise refusal(f"it holds the name {key[:60]!r}")
                if entry["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
                    raise refusal(f"its tensor {key!r} is pickled")
        _check_graph(json.loads(records["models/model.json"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refusal(f"its graph cannot be read ({first_line(error)})") from error


_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")


def _check_graph(model: Any) -> None:
    """Refuse a graph with anything that would be evaluated, looked up beyond ATen, or written into code as a name."""
    for key, value in _walk(model):
        if not _NAME.fullmatch(key):
            raise refusal(f"it holds the name {key[:60]!r}")
        if key == "expr_str":
            if not (isinstance(value, str) and _SYMBOLIC.fullmatch(value)):
                raise refusal(f"it computes a size by {str(value)[:60]!r}")
        elif key == "target":
            if not (isinstance(value, str) and _OPERATORS.fullmatch(value)):
                raise refusal(f"it uses {str(value)[:60]!r}, which is no operator of ATen")
        elif key in ("in_spec", "out_spec"):
            kinds = {kind for inner, kind in _walk(json.loads(value)) if inner == "type"} if value else set()
            if kinds - _SPECS:
                raise refusal(f"its inputs and outputs are of the types {sorted(map(str, kinds - _SPECS))}")
        # Python quotes the text of an argument itself.
        elif isinstance(value, str) and key != "as_string" and not _NAME.fullmatch(value):
            raise refusal(f"it holds the name {value[:60]!r}")


def _walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key of nested JSON with its value, None for a nested one; what is never used is left out."""
    pairs = value.items() if isinstance(value, dict) else [(key, inner) for inner in value]
    for name, inner in pairs:
        if name in ("metadata", "guards_code", "torch_version"):
            continue
        nested = isinstance(inner, dict | list)
        yield name, None if nested else inner
        if nested:
            yield from _walk(inner, name)
