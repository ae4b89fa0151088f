"""What settings are made of: sections, and the kinds of values that their fields take.

A section stands beside the code that it steers, in a small module of its own: what a setting is called, what it may be,
its default and what it means are said there and nowhere else. The text below a field is its description in the schema.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from annotated_types import Ge, Gt, Lt, MaxLen, MinLen
from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Strict, Tag, TypeAdapter
from pydantic_core import PydanticCustomError

T = TypeVar("T")

CONFIG = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)


Absent = Field(exclude_if=lambda value: value is None)
"""Marks a key that is left out, rather than null, while it is not set."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type[T]) -> type[T]:
    """Make a class a section of settings: a frozen dataclass whose keys are all known and given by name."""
    cls.__pydantic_config__ = CONFIG  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


@cache
def adapter(section: Any) -> TypeAdapter[Any]:
    """Return the adapter that validates, completes and describes a section."""
    return TypeAdapter(section)


def as_mapping(section: Any, value: Any) -> dict[str, Any]:
    """Return a validated section as plain mappings with sorted keys, without keys that are `Absent`."""
    plain: dict[str, Any] = json.loads(json.dumps(adapter(section).dump_python(value), sort_keys=True))
    return plain


def _distinct(values: list[Any]) -> list[Any]:
    seen = set()
    for value in values:
        if value in seen:
            raise PydanticCustomError("distinct", "{value} occurs twice", {"value": repr(value)})
        seen.add(value)
    return values


# Strict: neither `yes` nor "3" nor 3.0 is a whole number, and 1 is no flag.
Integer = Annotated[int, Strict()]
NaturalNumber = Annotated[int, Strict(), Ge(0)]
Count = Annotated[int, Strict(), Ge(1)]
Seed = NaturalNumber
Number = Annotated[float, Strict()]
Positive = Annotated[float, Strict(), Gt(0)]
NotNegative = Annotated[float, Strict(), Ge(0)]
Fraction = Annotated[float, Strict(), Gt(0), Lt(1)]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]
Named = Annotated[str, Strict(), MinLen(1)]
"""Text that is not empty."""

NonEmpty = Annotated[list[T], MinLen(1)]
Unique = Annotated[list[T], AfterValidator(_distinct), Field(json_schema_extra={"uniqueItems": True})]
"""A list without anything twice."""
Distinct = Annotated[list[T], MinLen(1), AfterValidator(_distinct), Field(json_schema_extra={"uniqueItems": True})]
"""A list, not empty, without anything twice."""

# The end forbids a line break behind the last character.
Name = Annotated[str, Strict(), Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"), MaxLen(100)]
"""What can stand in a path and in a command."""


def kind(value: Any) -> str | None:
    """Return what a value is that may be of several kinds: a tag that no key of a config looks like."""
    if isinstance(value, bool):
        return None
    kinds = {str: "<word>", int: "<number>", list: "<list>"}
    return kinds.get(type(value), "<mapping>" if isinstance(value, Mapping) or hasattr(value, "__dict__") else None)


@section
class Sample:
    """A random sample of a layer's units."""

    sample: Count
    """How many."""
    seed: Seed = 0
    """Of the sample."""


Readout = Literal["mean", "max", "center"]
"""How a unit's map becomes its activation."""

Units = Annotated[
    Annotated[Literal["all"], Tag("<word>")]
    | Annotated[Distinct[NaturalNumber], Tag("<list>")]
    | Annotated[Sample, Tag("<mapping>")],
    Discriminator(kind),
]
"""Units of a layer: all, a list, or a random sample."""

Batch = Annotated[
    Annotated[Count, Tag("<number>")] | Annotated[dict[Text, Count], MinLen(1), Tag("<mapping>")], Discriminator(kind)
]
"""How many images are computed at once: in all layers, or in each, by names or patterns."""
