"""Implementations by name, registered by a decorator where they are written.

The names that a config may use follow from the decorators without importing the module, which may take seconds.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from unitscope.errors import UserError, nearest

T = TypeVar("T")
Decorated = TypeVar("Decorated")


class Registry(Mapping[str, T], Generic[T]):
    """Implementations of one kind by name.

    Args:
        kind: What they are, for messages, such as "optimizer".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._found: dict[str, T] = {}

    def register(self, name: str, **properties: Any) -> Callable[[Decorated], Decorated]:
        """Return a decorator that registers a function or class.

        Args:
            name: Its name in a config, as a literal.
            properties: What has to be known of it without importing its module, as literals; `declared` returns them.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._found:
            raise ValueError(f"there are two of the {self.kind} {name}")

        def decorate(implementation: Any) -> Any:
            self._found[name] = implementation
            return implementation

        return decorate

    def __getitem__(self, name: str) -> T:
        """Return the implementation of a name.

        Raises:
            UserError: There is none.
        """
        if name not in self._found:
            raise UserError(
                f"The {self.kind} {name!r} is not known.{nearest(name, self)} Allowed are {', '.join(self)}."
            )
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@dataclass(frozen=True)
class Declaration:
    """What the source of a module says of an implementation.

    Attributes:
        summary: The first line of its docstring.
        properties: Its properties.
    """

    summary: str
    properties: Mapping[str, Any]


@cache
def declared(path: Path) -> Mapping[str, Declaration]:
    """Return the implementations that a module registers, by name, from its source.

    Args:
        path: File of the module.
    """
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Attribute(attr="register"), args=[ast.Constant(value=str(name))]):
                    summary = (ast.get_docstring(node) or "").partition("\n")[0]
                    properties = {each.arg: ast.literal_eval(each.value) for each in decorator.keywords if each.arg}
                    found[name] = Declaration(summary, properties)
    return found


def described(declarations: Mapping[str, Declaration]) -> str:
    """Return the summaries of implementations, each after its name, as the description of a setting."""
    return " ".join(f"{name}: {each.summary[:1].lower()}{each.summary[1:]}" for name, each in declarations.items())
