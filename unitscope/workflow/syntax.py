"""What a Python file means: its syntax tree without layout, docstrings, words for people, and places of modules.

Two files with the same meaning compute the same. Left out of it are comments, docstrings, the words of errors,
warnings, log lines, progress bars and command-line help, and the folders in which imported modules lie. All else
counts. So does each call among these words that may do something: `raise UserError(f"... {next(numbers)}")` holds
`next(numbers)`.
"""

import ast
import builtins
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

SHOWING = {"console", "errors"}
"""Modules of the library that hold what words are given to: `log` and `progress`, and the classes of errors."""
CARRIERS = {"StopIteration", "StopAsyncIteration"}
"""Exceptions of Python's whose argument is a value for the program."""
HARMLESS = {
    *("abs", "all", "any", "bool", "dict", "enumerate", "float", "format", "frozenset", "int", "isinstance", "len"),
    *("list", "max", "min", "range", "repr", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip"),
}
"""Functions of Python's that do nothing but return a value."""
LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}


class Import(NamedTuple):
    """One name that an import statement binds.

    Attributes:
        module: The module, by its full name.
        name: What is taken from it; empty where it is the module itself. It may be a module of a package.
        local: How it is called here.
        optional: Whether the file goes on where it cannot be imported.
    """

    module: str
    name: str
    local: str
    optional: bool = False


def parse(text: str, file: str) -> ast.Module:
    """Return a file's syntax tree without docstrings, and without the empty texts that 3.12 puts into f-strings."""
    tree = ast.parse(text, file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # A string that stands alone does nothing, wherever it stands.
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
        elif isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    return tree


def imports(tree: ast.AST, package: str) -> list[Import]:
    """Return what a file imports, wherever in it.

    Args:
        tree: Its syntax tree.
        package: The package that it lies in; an empty text for a script.
    """
    optional = {
        node
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try) and any(_is_of_absence(handler.type) for handler in attempt.handlers)
        for line in attempt.body
        for node in ast.walk(line)
    }
    return [binding._replace(optional=node in optional) for node in ast.walk(tree) for binding in _bound(node, package)]


def meaning(tree: ast.Module, package: str, name_of: Callable[[Import], str | None]) -> str:
    """Return what a file means, as text that is equal in all versions of Python.

    Args:
        tree: Its syntax tree, by `parse`; it is changed.
        package: The package that it lies in.
        name_of: Returns what an import brings, wherever that lies; None for one that counts as it is written.
    """
    ours = [binding for binding in imports(tree, package) if name_of(binding) is not None]
    showing = {
        binding.local: binding.name
        for binding in ours
        if binding.name in SHOWING or binding.module.rpartition(".")[2] in SHOWING
    }
    for node in ast.walk(tree):
        _drop_words(node, showing)
        for field in ("body", "orelse", "finalbody"):
            lines = getattr(node, field, None)
            if isinstance(lines, list):
                setattr(node, field, list(_without_locations(lines, package, name_of)))
    return _dump(tree)


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _is_of_absence(caught: ast.expr | None) -> bool:
    """Return whether an exception that is caught by its name says that a module is not there."""
    return isinstance(caught, ast.Name) and caught.id in ("ImportError", "ModuleNotFoundError")


def _bound(node: ast.AST, package: str) -> list[Import]:
    if isinstance(node, ast.Import):
        return [Import(alias.name, "", alias.asname or alias.name) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parts = package.split(".") if package else []
        base = parts[: len(parts) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        return [Import(module, alias.name, alias.asname or alias.name) for alias in node.names]
    return []


# --- places ----------------------------------------------------------------------------------------------------------


def _without_locations(
    lines: list[ast.stmt], package: str, name_of: Callable[[Import], str | None]
) -> Iterator[ast.stmt]:
    """Yield statements, with those that import from the library by what they bring, in an order that is no place's."""
    waiting: list[str] = []
    for line in lines:
        bound = _bound(line, package)
        names = [name_of(binding) for binding in bound]
        if bound and None not in names:
            waiting += [f"{binding.local}={name}" for binding, name in zip(bound, names, strict=True)]
            continue
        if waiting:
            yield _brought(waiting)
            waiting = []
        yield line
    if waiting:
        yield _brought(waiting)


def _brought(names: list[str]) -> ast.stmt:
    return ast.Expr(ast.Constant("import " + ", ".join(sorted(names))))


# --- words -----------------------------------------------------------------------------------------------------------


def _drop_words(node: ast.AST, showing: dict[str, str]) -> None:
    """Take the words for people out of a node.

    Args:
        node: Of the tree; it is changed.
        showing: What names of this file mean in a module of `SHOWING`; an empty text for such a module itself.
    """
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _is_error(node.exc.func, showing):
        _keep_side_effects(node.exc, everything=True)
    elif isinstance(node, ast.Call):
        match node.func:
            case ast.Attribute(value=logger, attr=level) if level in LEVELS and _is(logger, "log", showing):
                _keep_side_effects(node, everything=True)
            case ast.Attribute(value=ast.Name(id="warnings"), attr="warn"):
                _keep_side_effects(node, everything=True)
            case ast.Attribute(attr="add_argument"):
                _keep_side_effects(node, named=("help",))
            case function if _is(function, "progress", showing):
                _keep_side_effects(node, positions=(1, 2), named=("label", "unit"))


def _is(node: ast.expr, name: str, showing: dict[str, str]) -> bool:
    """Return whether a node is a name of a module of `SHOWING`."""
    match node:
        case ast.Name(id=local):
            return showing.get(local) == name
        case ast.Attribute(value=ast.Name(id=module), attr=attribute):
            return attribute == name and showing.get(module) in SHOWING
    return False


def _is_error(node: ast.expr, showing: dict[str, str]) -> bool:
    """Return whether a node is an exception whose arguments are words: one of the library's, or of Python's."""
    match node:
        case ast.Name(id=local):
            builtin = getattr(builtins, local, None)
            ours = showing.get(local, "")
            return bool(ours[:1].isupper()) or (
                isinstance(builtin, type) and issubclass(builtin, Exception) and local not in CARRIERS
            )
        case ast.Attribute(value=ast.Name(id=module)):
            return showing.get(module) in SHOWING
    return False


def _keep_side_effects(
    call: ast.Call, everything: bool = False, positions: tuple[int, ...] = (), named: tuple[str, ...] = ()
) -> None:
    """Leave of the arguments of a call that are words what may do something beside returning a value."""
    call.args = [
        expression
        for position, argument in enumerate(call.args)
        for expression in (_acting(argument) if everything or position in positions else [argument])
    ]
    keywords = []
    for keyword in call.keywords:
        if everything or keyword.arg in named:
            call.args += _acting(keyword.value)
        else:
            keywords.append(keyword)
    call.keywords = keywords


def _acting(node: ast.AST) -> list[ast.expr]:
    """Return the parts of an expression that may do something beside returning a value."""
    harmless = False
    match node:
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            harmless = name in HARMLESS
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str()))):
            harmless = True
    acts = isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom)
    if acts or (isinstance(node, ast.Call) and not harmless):
        return [cast(ast.expr, node)]
    return [part for child in ast.iter_child_nodes(node) for part in _acting(child)]


# --- text ------------------------------------------------------------------------------------------------------------


def _dump(node: Any) -> str:
    """Return a syntax tree as text, without what is empty: there versions of Python differ."""
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return f"{type(node).__name__}({','.join(f'{name}={_dump(value)}' for name, value in fields)})"
