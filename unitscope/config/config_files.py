"""Configs as files: read from YAML so that unitscope, Snakemake (YAML 1.1) and DVC (YAML 1.2) see the same values.

What the three would read differently is refused with its line. The exceptions are numbers such as 1e-3, which Snakemake
takes for text (`with_numbers` replaces them), and nested values of `--config`, all of which it takes for text
(`with_arguments` replaces them).
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NoReturn

import yaml

from unitscope.errors import UserError

MOST_BYTES = 2**21
MOST_VALUES = 200_000
"""Size of a config, with each alias counted as what it stands for; beyond, it is a mistake or an attack."""
MOST_LEVELS = 50
"""Depth of a config."""

# Written in C where PyYAML has it: ten times as fast.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_KINDS = {"null": "null", "bool": "a boolean", "int": "a number", "float": "a number", "timestamp": "a date"}
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMBER = re.compile(r"(?=[-+.0-9])[-+]?(?:0o[0-7_]+|[0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9]+)?)")
"""What any version of YAML takes for a number, beside hexadecimal, binary and sexagesimal ones."""
_LEADING_ZERO = re.compile(r"[-+]?0o?[0-9_]+")
_CODE = ("__use_yte__", "__definitions__", "__variables__")
"""Keys by which Snakemake takes a config for a template, and runs what it holds as Python."""


def read(path: Path) -> Any:
    """Read a config from YAML.

    Args:
        path: The file; UTF-8.

    Returns:
        Mappings, lists, text, finite numbers, booleans and None.

    Raises:
        UserError: The file is missing, too large or not YAML; a key occurs twice; a value is of another kind, or
            ambiguous between versions of YAML; it is nested too deeply or contains itself; it is a template with code.
    """
    return _read(path, _text(path))


def _read(source: Path | str, text: str) -> Any:
    """Return what YAML text from a file, or from words of a command, holds."""
    try:
        _check_characters(source, text)
        _check_events(source, text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _Reader(source, loader).value(node, ())
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise UserError(_not_yaml(source, text, error)) from error


def with_arguments(config: Mapping[str, Any], arguments: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return a config with the values of Snakemake's `--config KEY=VALUE`, read as they would be in a file.

    Args:
        config: Snakemake's, which has these values already, but the nested ones as text: `false` is true.
        arguments: Each key with its value as it was written.

    Raises:
        UserError: As `read`, or a value is a plain `None`: null in Python, whose notation Snakemake recommends, but
            text in YAML.
    """
    result = dict(config)
    for key, text in arguments:
        source = f"--config {key}"
        value = _read(source, text)
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.ScalarEvent) and event.value == "None" and not event.style:
                raise UserError(
                    f'{source}: None is text to YAML. Write null, or put it in quotes if it is text: "None".'
                )
        result = merged(result, {key: value})
    return result


def with_numbers(config: Any, reading: Any) -> Any:
    """Return a config as Snakemake has it, with the numbers that Snakemake takes for text, such as 1e-3.

    Args:
        config: Snakemake's, with what `--config` has changed.
        reading: The same config as `read` gives it.
    """
    if isinstance(config, Mapping) and isinstance(reading, Mapping):
        return {key: with_numbers(value, reading.get(key)) for key, value in config.items()}
    if isinstance(config, list) and isinstance(reading, list) and len(config) == len(reading):
        return [with_numbers(*pair) for pair in zip(config, reading, strict=True)]
    is_text = isinstance(config, str) and isinstance(reading, float) and _FLOAT.fullmatch(config)
    return reading if is_text and float(config) == reading else config


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`, merged through nested mappings as by Snakemake.

    An empty mapping changes nothing, whatever it is laid over.
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(value, Mapping) and key in result:
            result[key] = merged(old, value) if isinstance(old, Mapping) else value or old
        else:
            result[key] = value
    return result


def read_all(paths: Sequence[Path]) -> Any:
    """Read a config and others that are laid over it, in this order.

    Raises:
        UserError: As `read`, or a file is empty or is not a mapping.
    """
    configs = [read(path) for path in paths]
    for path, config in zip(paths, configs, strict=True):
        if config is None:
            raise UserError(f"{path}: the config is empty. It needs the keys networks and experiments.")
        if not isinstance(config, Mapping):
            kind = "a list" if isinstance(config, list) else f"the value {config!r}"
            raise UserError(f"{path}: the config is {kind}; it has to be of type object: keys with values.")
    return reduce(merged, configs)


# --- text ------------------------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"The config {path} is not a file. Name a file, such as config.yaml.")
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"The config {path} does not exist. Name one that does, such as config.yaml.") from None
    except PermissionError:
        raise UserError(f"The config {path} cannot be read: permission denied. Fix the permissions.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"The config {str(path)!r} cannot be read ({error}). Name another file.") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: larger than {MOST_BYTES >> 20} MiB, which no config is. Name another file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: the config is not YAML in UTF-8 (byte 0x{content[error.start]:02x}). Save it as "
            "UTF-8."
        ) from None


def _check_characters(source: Path | str, text: str) -> None:
    """Refuse what only some of the parsers take for white space or for the end of a line."""
    if match := re.search("[\x85\u2028\u2029]", text):
        line = len(re.findall("\r\n|\r|\n", text[: match.start()])) + 1
        raise UserError(
            f"{source}, line {line}: it holds the character U+{ord(match[0]):04X}, at which a line ends for some "
            "programs and not for others. Remove it."
        )
    if "\t" in text:
        # Snakemake's parser, which is stricter than the one in C.
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass


def _check_events(source: Path | str, text: str) -> None:
    """Refuse tags and deep nesting, without recursion: deep nesting would exhaust the stack of what follows."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_LEVELS:
            line = getattr(event.start_mark, "line", 0) + 1
            raise UserError(f"{source}, line {line}: nested more than {MOST_LEVELS} levels deep, which no config is.")
        if tag := getattr(event, "tag", None):
            line = getattr(event.start_mark, "line", 0) + 1
            word = tag.replace(_TAG, "!!")
            raise UserError(
                f"{source}, line {line}: the tag {word} is not allowed. A config holds text, numbers, booleans, null, "
                "lists and mappings; put text in quotes."
            )


def _not_yaml(source: Path | str, text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    number: int = getattr(mark, "line", -1)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    problem = " ".join(str(problem).split())
    if number < 0:
        return f"{source}: not valid YAML: {problem}."
    lines = re.split("\r\n|\r|\n", text)
    line = lines[number] if number < len(lines) else ""
    hint = ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        hint = " Indent with spaces, not tabs."
    elif "\t" in line:
        hint = " Write spaces, not tabs."
    elif "mapping values" in problem:
        hint = " Put text that contains ': ' in quotes, or align the keys."
    elif "undefined alias" in problem or "%" in line or "@" in line or "`" in line:
        hint = " Put text with special characters in quotes."
    return f"{source}, line {number + 1}: not valid YAML: {problem}.{hint}"


# --- values ----------------------------------------------------------------------------------------------------------

Place = tuple[str | int, ...]


def shown(place: Place) -> str:
    """Return the place of a value in a config as text: keys joined by dots; of a deep one the beginning."""
    words = [str(key) if str(key).isprintable() else ascii(key) for key in place[:12]]
    return ".".join(words + ["..."] * (len(place) > len(words)))


def _where(place: Place) -> str:
    return f"{shown(place)}: " if place else ""


class ConfigError(UserError):
    """A mistake at a place of a config.

    Attributes:
        name: Name of the config.
        place: The keys that lead to the value.
        value: The value.
        problem: What is wrong with it.
    """

    def __init__(self, name: str, place: Place, value: Any, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name, self.place, self.value, self.problem = name, place, value, problem

    def located(self, paths: Sequence[Path]) -> UserError:
        """Return the error with the line of the last of these files that has the value; else as it is."""
        for path in reversed(paths):
            line = _line_of(path, self.place, self.value)
            if line:
                return UserError(f"{path}, line {line}: {self.problem}")
        return self


def _line_of(path: Path, place: Place, value: Any) -> int:
    """Return the line of a value in a config that has been read, counted from 1; 0 where it is not there."""
    current = read(path)
    node = yaml.compose(_text(path), Loader=_Loader)
    line = 0
    for key in place:
        if isinstance(node, yaml.MappingNode) and isinstance(current, Mapping) and key in current:
            pairs = [pair for pair in node.value if pair[0].value == key]
        elif isinstance(node, yaml.SequenceNode) and isinstance(current, list) and isinstance(key, int):
            pairs = [(item, item) for item in node.value[key : key + 1]]
        else:
            pairs = []
        if not pairs:
            # From a merge key, or of another file.
            return 0
        line, node, current = pairs[0][0].start_mark.line + 1, pairs[0][1], current[key]
    return line if current == value else 0


class _Reader:
    """Turns nodes of YAML into plain values."""

    def __init__(self, source: Path | str, loader: yaml.SafeLoader) -> None:
        self._source = source
        self._loader = loader
        self._values = 0
        self._above: list[yaml.Node] = []

    def refuse(self, node: yaml.Node, place: Place, why: str) -> NoReturn:
        """Raise an error about a node.

        Raises:
            UserError: Always.
        """
        raise UserError(f"{self._source}, line {node.start_mark.line + 1}: {_where(place)}{why}")

    def value(self, node: yaml.Node, place: Place) -> Any:
        """Return the value of a node."""
        self._values += 1
        if self._values > MOST_VALUES:
            self.refuse(node, (), f"more than {MOST_VALUES:,} values, aliases included, which no config has.")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if any(node is other for other in self._above):
            self.refuse(node, place, "contains itself through an alias. Write the values out.")
        self._above.append(node)
        result: Any
        if isinstance(node, yaml.SequenceNode):
            result = [self.value(item, (*place, number)) for number, item in enumerate(node.value)]
        else:
            result = self._mapping(node, place)
        self._above.pop()
        return result

    def _mapping(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merges: list[tuple[yaml.Node, yaml.Node]] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse(key_node, place, "a key is a list or a mapping. Keys are text.")
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in lines:
                advice = "Write <<: [*a, *b]." if key == "<<" else "Remove or rename one of them."
                self.refuse(key_node, place, f"the key {key!r} occurs twice (first in line {lines[key]}). {advice}")
            lines[key] = line
            if key_node.tag == f"{_TAG}merge":
                merges.append((key_node, value_node))
                continue
            if problem := self._ambiguous_name(key_node):
                self.refuse(key_node, place, problem)
            if not place and key in _CODE:
                self.refuse(
                    key_node,
                    place,
                    f"the key {key!r} makes the config a template, whose code Snakemake runs. Remove it, and write the "
                    "values out.",
                )
            result[key] = self.value(value_node, (*place, key))
        inherited: dict[str, Any] = {}
        for key_node, value_node in merges:
            sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for source in reversed(sources):
                if not isinstance(source, yaml.MappingNode):
                    self.refuse(key_node, place, "<< merges a mapping or a list of mappings, not another value.")
                inherited |= self.value(source, place)
        return inherited | result if merges else result

    def _ambiguous_name(self, node: yaml.ScalarNode) -> str:
        """Return why a key is not the same text to every reader of YAML; an empty text if it is."""
        kind = _kind(node)
        if kind == "text":
            return ""
        return f"the name {node.value or '(empty)'} is {kind} to YAML. Put it in quotes: {_quoted(node.value)}."

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        text, tag = node.value, node.tag.removeprefix(_TAG)
        if not _is_plain(node):
            return text
        quotes = f"put it in quotes if it is text: {_quoted(text)}"
        if tag in ("timestamp", "value", "merge"):
            kind = _KINDS.get(tag, "a special character")
            self.refuse(node, place, f"{text} is {kind} to YAML. Put it in quotes: {_quoted(text)}.")
        if tag in ("int", "float") and ":" in text:
            why = f"{text} is a number in base 60 to some versions of YAML. Write the number, or {quotes}."
            self.refuse(node, place, why)
        if _LEADING_ZERO.fullmatch(text):
            why = f"{text} is octal to some versions of YAML. Write it without the leading 0, or {quotes}."
            self.refuse(node, place, why)
        if tag == "str" and _FLOAT.fullmatch(text):
            return self._finite(node, place, float(text))
        if tag == "str" and _NUMBER.fullmatch(text) and text not in ("-", "+", "."):
            self.refuse(node, place, f"{text} is a number to some versions of YAML. Write it without '_', or {quotes}.")
        if tag in ("int", "float"):
            try:
                number = self._loader.construct_object(node)
            except (ValueError, OverflowError):
                number = math.inf
            return self._finite(node, place, number)
        return self._loader.construct_object(node)

    def _finite(self, node: yaml.ScalarNode, place: Place, number: float) -> Any:
        if problem := problem_of_number(number):
            self.refuse(node, place, f"{node.value[:40]} {problem}")
        return number


def _is_plain(node: yaml.ScalarNode) -> bool:
    """Return whether a scalar is written without quotes."""
    return not node.style


def _kind(node: yaml.ScalarNode) -> str:
    """Return what a key is to YAML 1.1 or 1.2: "text", or something else."""
    tag = node.tag.removeprefix(_TAG)
    if not _is_plain(node):
        return "text"
    if tag == "str":
        return "a number" if _NUMBER.fullmatch(node.value) else "text"
    return _KINDS.get(tag, "a special character")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def check_values(config: Any, name: str) -> None:
    """Refuse values that are no settings, wherever a config comes from.

    Args:
        config: The config.
        name: Name of its file, for messages.

    Raises:
        UserError: A key is not text; a value is of a kind that JSON does not have, is not finite, is beyond 64 bits,
            contains control characters, or is nested too deeply.
    """
    pending: list[tuple[Place, Any]] = [((), config)]
    values = 0
    while pending:
        place, value = pending.pop()
        values += 1
        if problem := _problem(place, value) or ("more values than any config has." if values > MOST_VALUES else ""):
            raise ConfigError(name, place, value, f"{_where(place)}{problem}")
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if problem := _problem_of_key(key):
                    raise ConfigError(name, place, value, f"{_where(place)}{problem}")
                pending.append(((*place, key), inner))
        elif isinstance(value, list):
            pending += [((*place, number), inner) for number, inner in enumerate(value)]


def _problem(place: Place, value: Any) -> str:
    if len(place) > MOST_LEVELS:
        return f"nested more than {MOST_LEVELS} levels deep, or contains itself."
    if isinstance(value, str):
        # A function of the user's own may take text of several lines.
        free = "\n\t" if place[2:3] == ("options",) else ""
        return _problem_of_text(value, free)
    if isinstance(value, bool | Mapping | list) or value is None:
        return ""
    if isinstance(value, int | float):
        problem = problem_of_number(value)
        return f"{str(value)[:40]} {problem}" if problem else ""
    kind = type(value).__name__
    return f"a value of the kind {kind} is not allowed. Allowed are text, numbers, booleans, null, lists and mappings."


def _problem_of_key(key: Any) -> str:
    if not isinstance(key, str):
        return f"the name {key!r} is not text. Put it in quotes: {_quoted(str(key))}."
    problem = _problem_of_text(key)
    return f"the name {ascii(key)[:60]} {problem} Names have to match [A-Za-z0-9_][A-Za-z0-9._-]*." if problem else ""


def _problem_of_text(text: str, free: str = "") -> str:
    odd = next(
        (character for character in text if unicodedata.category(character) in ("Cc", "Cs") and character not in free),
        None,
    )
    return f"contains the control character U+{ord(odd):04X}. Remove it." if odd else ""


def problem_of_number(number: float) -> str:
    """Return why a number cannot be a setting; an empty text if it can."""
    if isinstance(number, float) and not math.isfinite(number):
        return "is not a finite number. Write a finite one."
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        return "is beyond 64 bits. Write a smaller number."
    return ""
