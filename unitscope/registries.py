"""Implementations by name, registered by a decorator where they are written.

The names that a config may use follow from the decorators without importing the module, which may take seconds.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

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
        self._implementations: dict[str, T] = {}

    def register(self, name: str, **flags: Literal[True]) -> Callable[[Decorated], Decorated]:
        """Return a decorator that registers a function or class.

        Args:
            name: Its name in a config, as a literal.
            flags: Properties that have to be known without importing its module; `declared` returns them.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._implementations:
            raise ValueError(f"there are two of the {self.kind} {name}")

        def decorate(implementation: Any) -> Any:
            self._implementations[name] = implementation
            return implementation

        return decorate

    def __getitem__(self, name: str) -> T:
        """Return the implementation of a name.

        Raises:
            UserError: There is none.
        """
        if name not in self._implementations:
            raise UserError(
                f"The {self.kind} {name!r} is not known.{nearest(name, self)} Allowed are {', '.join(self)}."
            )
        return self._implementations[name]

    def __contains__(self, name: object) -> bool:
        return name in self._implementations

    def __iter__(self) -> Iterator[str]:
        return iter(self._implementations)

    def __len__(self) -> int:
        return len(self._implementations)


@dataclass(frozen=True)
class Declaration:
    """An implementation, as the source of its module declares it.

    Attributes:
        summary: The first line of its docstring.
        flags: Its properties.
    """

    summary: str
    flags: frozenset[str]


@cache
def declared(path: Path, registry: str) -> Mapping[str, Declaration]:
    """Return the implementations that a module registers, by name, from its source.

    Args:
        path: File of the module.
        registry: Name of the registry there.
    """
    declarations = {}
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(ast.Attribute(ast.Name(id=called), "register"), [ast.Constant(value=str(name))], flags):
                    if called == registry:
                        summary = (ast.get_docstring(node) or "").partition("\n")[0]
                        declarations[name] = Declaration(summary, frozenset(flag.arg for flag in flags if flag.arg))
    return declarations


def described(declarations: Mapping[str, Declaration]) -> str:
    """Return the description of a setting whose values are implementations: the summary of each."""
    return " ".join(
        f"{name}: {declaration.summary[:1].lower()}{declaration.summary[1:]}"
        for name, declaration in declarations.items()
    )
