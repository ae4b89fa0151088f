"""What is wrong with a config, in words: which key, what was found, what is allowed, and what was probably meant."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from unitscope.config.config_files import ConfigError, Place, shown
from unitscope.config.models import schema
from unitscope.errors import nearest

IN_LIST = "Write a list: [{}]."
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
BOUNDS = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}
BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), "true"),
    **dict.fromkeys(("false", "no", "off", "0"), "false"),
}


def mistake(error: ValidationError, config: Any, name: str) -> ConfigError:
    """Return the first mistake of a config as an error that names its place.

    Args:
        error: By a validation of the config.
        config: The config.
        name: Its name for messages.
    """
    errors = error.errors(include_url=False)
    # A key in other letters is often also one that is missing.
    first = min(errors, key=lambda details: details["type"] not in UNKNOWN)
    kind, context = first["type"], first.get("ctx", {})
    place, is_key = _place(first["loc"], config)
    if kind == "missing":
        return ConfigError(name, place[:-1], _value(config, place[:-1]), _missing(place, config))
    value: Any = place[-1] if is_key else _value(config, place)
    if kind in UNKNOWN:
        return ConfigError(name, place, value, _unknown(place, config))
    if kind == "union_tag_invalid" and "discriminator" in context and context["discriminator"] == "'source'":
        place, value = (*place, "source"), value["source"]
    elif kind == "union_tag_not_found" and isinstance(value, Mapping) and context.get("discriminator") == "'source'":
        return ConfigError(name, place, value, _missing((*place, "source"), config))
    # Of a list it is told which value is wrong: people do not count from zero.
    in_list = bool(place) and isinstance(place[-1], int)
    where = shown(place[:-1] if is_key or in_list else place) or "the config"
    nodes = [] if is_key else list(_nodes(place, config))
    described = next((f" {node['description']}" for node in nodes if "description" in node), "")
    observed = f"{where} {'holds' if in_list else 'is'} {_short(value)}"
    problem = _problem(kind, context, where, observed, value, nodes, described)
    # The line of a key is that of its value.
    return ConfigError(name, place, _value(config, place), problem or f"{where}: {first['msg']}.")


def _problem(
    kind: str,
    context: Mapping[str, Any],
    where: str,
    observed: str,
    value: Any,
    nodes: Sequence[Mapping[str, Any]],
    described: str,
) -> str:
    types = list(dict.fromkeys(node["type"] for node in nodes if "type" in node))
    words = list(dict.fromkeys(word for node in nodes for word in _words(node)))
    if words and kind in ("literal_error", "union_tag_invalid", "union_tag_not_found"):
        if "array" in types and isinstance(value, str | int) and not isinstance(value, bool):
            hint = nearest(value, words) or f" {IN_LIST.format(value)}"
            return f"{observed}.{hint} What is allowed:{described}"
        allowed = ", ".join(map(repr, [*words, *([None] if "null" in types else [])]))
        return f"{observed}; allowed are {allowed}.{nearest(value, words)}{described}"
    if kind == "union_tag_not_found" and isinstance(value, Mapping):
        return f"{observed}. What is allowed:{described}"
    if kind.endswith("_type") or kind.startswith("union_tag"):
        keys = sorted({key for node in nodes if "object" in types for key in node.get("properties", {})})
        hint = _rewritten(value, types) or (f" Its keys are: {', '.join(keys)}." if keys else "")
        return f"{observed}; it has to be of type {' or '.join(types)}.{hint}"
    if kind == "string_pattern_mismatch":
        return f"{where}: {_short(value)} is not allowed; it has to match {context['pattern']}.{described}"
    if kind == "string_too_long":
        return f"{where}: {_short(value)} has {len(value)} characters; at most {context['max_length']} are allowed."
    if kind in ("too_short", "too_long", "string_too_short"):
        bound, count = ("at least", "min_length") if "min_length" in context else ("at most", "max_length")
        singular, plural = ("character", "characters") if isinstance(value, str) else ("entry", "entries")
        return f"{observed}; it has to have {bound} {context[count]} {singular if context[count] == 1 else plural}."
    if kind in BOUNDS:
        return f"{observed}; it has to be {BOUNDS[kind].format(**context)}."
    if kind == "distinct":
        return f"{where} holds {context['value']} twice. Remove one of them."
    return ""


def _unknown(place: Place, config: Any) -> str:
    parent, key = place[:-1], place[-1]
    allowed = sorted(_object(parent, config).get("properties", {}))
    where = shown(parent) or "the config"
    return (
        f"{where} has the unknown key {key!r}.{nearest(key, allowed)} Allowed here: {', '.join(allowed) or 'no keys'}."
    )


def _missing(place: Place, config: Any) -> str:
    where, needed = shown(place[:-1]) or "the config", _object(place[:-1], config).get("required", [place[-1]])
    return f"{where} lacks the key {place[-1]!r}; it needs {', '.join(needed)}."


# --- places ----------------------------------------------------------------------------------------------------------


def _place(loc: Sequence[str | int], config: Any) -> tuple[Place, bool]:
    """Return the keys that lead to a value, without the tags of alternatives, and whether a key itself is meant."""
    place: list[str | int] = []
    is_key = bool(loc) and loc[-1] == "[key]"
    for index, step in enumerate(loc[:-1] if is_key else loc):
        exists = step in config if isinstance(config, Mapping) else isinstance(config, list) and isinstance(step, int)
        if exists:
            config = config[step]
            place.append(step)
        # A key that is not there.
        elif isinstance(config, Mapping) and index == len(loc) - 1 and not str(step).startswith("<"):
            place.append(step)
    return tuple(place), is_key


def _value(config: Any, place: Place) -> Any:
    for step in place:
        config = config[step]
    return config


# --- the schema at a place -------------------------------------------------------------------------------------------


def _branches(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a node of the schema, what it refers to, and its alternatives; its own description comes first."""
    yield {key: value for key, value in node.items() if key not in ("$ref", "anyOf", "oneOf")}
    if "$ref" in node:
        yield from _branches(schema()["$defs"][node["$ref"].removeprefix("#/$defs/")])
    for branch in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _branches(branch)


def _nodes(place: Place, config: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all that the schema says of a place."""
    nodes: list[Mapping[str, Any]] = list(_branches(schema()))
    for step in place:
        branches: list[Mapping[str, Any]] = []
        for node in nodes:
            if isinstance(step, int):
                candidates = [node["items"]] if "items" in node else []
            elif step in node.get("properties", {}):
                candidates = [node["properties"][step]]
            else:
                candidates = [*node.get("patternProperties", {}).values(), node.get("additionalProperties", False)]
            branches += [
                branch for candidate in candidates if isinstance(candidate, Mapping) for branch in _branches(candidate)
            ]
        nodes = branches
    yield from nodes


def _object(place: Place, config: Any) -> Mapping[str, Any]:
    """Return what the schema says of a mapping: of several alternatives that which fits its keys best."""
    value = _value(config, place)

    def fits(node: Mapping[str, Any]) -> tuple[bool, int]:
        rules = node["properties"]
        consts = all(value[key] in _words(rule) for key, rule in rules.items() if key in value and _words(rule))
        return consts, len(set(rules) & set(value))

    nodes = [node for node in _nodes(place, config) if "properties" in node]
    return max(nodes, key=fits, default={})


def _words(node: Mapping[str, Any]) -> list[Any]:
    return list(node.get("enum", [node["const"]] if "const" in node else []))


# --- values ----------------------------------------------------------------------------------------------------------


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _rewritten(value: Any, kinds: Sequence[str]) -> str:
    """Say how a value is written so that it is of another type, where that is clear; otherwise return an empty text."""
    if "string" in kinds and isinstance(value, bool | int | float):
        return " YAML takes it for a number or a boolean. Put it in quotes."
    if "string" in kinds and value is None:
        return " Give it a value, in quotes where it is meant as text."
    if "integer" in kinds and isinstance(value, float) and value.is_integer():
        return f" Write {int(value)}."
    if isinstance(value, str) and {"integer", "number"} & set(kinds):
        for written in (value.strip(), value.strip().replace(",", ".", 1)):
            with contextlib.suppress(ValueError, OverflowError):
                number = float(written)
                if math.isfinite(number) and ("number" in kinds or number.is_integer()):
                    return f" Write {int(number) if number.is_integer() else number}, without quotes."
    if "boolean" in kinds and str(value).lower() in BOOLEANS:
        return f" Write {BOOLEANS[str(value).lower()]}, without quotes."
    if "array" in kinds and isinstance(value, str | int | float) and not isinstance(value, bool):
        return f" {IN_LIST.format(value)}"
    if value is None and "object" in kinds:
        return " Its keys are missing, or not indented."
    return ""
