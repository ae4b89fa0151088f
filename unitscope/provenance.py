"""Digests of code, so that a workflow knows when a result was made by other code than today's.

A digest covers a script and the modules of this package that it imports, followed through imports, over their syntax
trees without docstrings: a comment never retrains a network, and neither does another version of Python, which would
write the same tree in other words. The files in `unitscope/pages/{module}/` belong to the module of that name, as they
are.
"""

import ast
import hashlib
import io
import sys
import tokenize
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from unitscope.errors import UserError

PACKAGE = "unitscope"
ONLY_SHOWN = {"console", "errors"}
"""Modules that decide what a person sees, never what is computed."""


def code_digest(script: Path, root: Path) -> str:
    """Return a digest of a script and of all modules below `root`/unitscope that it needs, with their pages.

    Args:
        script: The script.
        root: Folder that holds the package.
    """
    folder = root / PACKAGE
    found = {script: _plain(script)}
    waiting = [script]
    while waiting:
        importing = waiting.pop()
        for module in _imported(importing):
            path = folder / f"{module}.py"
            if not path.is_file():
                raise UserError(
                    f"{importing} imports {module!r} from {PACKAGE}, which is no module of it. Import a name from "
                    "its own module, so that the digest of the code can follow it."
                )
            if module not in ONLY_SHOWN and path not in found:
                found[path] = _plain(path)
                waiting.append(path)
    pages = [file for path in list(found) for file in (folder / "pages" / path.stem).glob("*") if path != script]
    found |= {file: file.read_text(encoding="utf-8") for file in pages}
    return _digest(f"{path.name}\n{text}" for path, text in sorted(found.items(), key=lambda item: item[0].name))


def own_code_digest(function: str, root: Path) -> str:
    """Return a digest of the module that holds a function of the user's, and of what it imports beside itself.

    Followed are the modules that lie in the folder of the first one, or, where that is a folder of installed packages,
    those of its package.

    Args:
        function: `package.module:name`.
        root: Folder in which modules are looked for before the import path.
    """
    module = function.partition(":")[0]
    top = module.split(".")[0]
    home = next((folder for folder in map(Path, [str(root), *sys.path]) if _file_of(folder, module)), None)
    if home is None:
        raise UserError(
            f"model: {function}: there is no module {module}. It has to lie in the project's folder or be "
            "installed, as Python source."
        )
    installed = home.name in ("site-packages", "dist-packages")
    found: dict[str, str] = {}
    waiting = {module}
    while waiting:
        name = waiting.pop()
        path = _file_of(home, name) if name.split(".")[0] == top or not installed else None
        if path is not None:
            found[name] = _plain(path)
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting |= _all_imported(path, package) - found.keys()
            # The files of the packages that it lies in are run as well.
            waiting |= {name[:end] for end, letter in enumerate(name) if letter == "."} - found.keys()
    return _digest(f"{name}\n{text}" for name, text in sorted(found.items()))


def _file_of(folder: Path, module: str) -> Path | None:
    """Return the file of a module below a folder."""
    path = folder.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _all_imported(path: Path, package: str) -> set[str]:
    """Return what a module may import, by full names: modules, and names that may be modules of a package."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            base = parts[: len(parts) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {name, *(f"{name}.{alias.name}".lstrip(".") for alias in node.names)} - {""}
    return found


def listing_digest(path: Path) -> str:
    """Return a digest of a file's content, or of the names and sizes of all files below a folder.

    Time stamps are left out: they differ from clone to clone. A folder may hold a million images, each of a size of its
    own; in a file of arrays other labels take the same room. A ZIP archive, as an .npz is, tells checksums of its own.
    """
    if path.is_dir():
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        return _digest(f"{file.relative_to(path.parent)} {file.stat().st_size}" for file in files)
    if not path.is_file():
        return _digest([])
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _digest(f"{part.filename} {part.CRC} {part.file_size}" for part in archive.infolist())
    with open(path, "rb") as handle:
        return _digest([hashlib.file_digest(handle, "sha256").hexdigest()])


def rules_digest(files: Iterable[Path]) -> str:
    """Return a digest of rule files, without their comments and blank lines."""
    return _digest(" ".join(_tokens(path)) for path in sorted(files))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


@cache
def _tree(path: Path) -> ast.Module:
    """Return a module's syntax tree without docstrings, and without the empty texts that 3.12 puts into f-strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # A string that stands alone does nothing, wherever it stands.
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
        elif isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    return tree


@cache
def _plain(path: Path) -> str:
    """Return what a module's syntax tree says: no comments, no docstrings, one way to lay it out."""
    return _told(_tree(path))


def _told(node: Any) -> str:
    """Return a syntax tree as text, without what is empty: there versions of Python differ."""
    if isinstance(node, list):
        return f"[{','.join(map(_told, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return f"{type(node).__name__}({','.join(f'{name}={_told(value)}' for name, value in fields)})"


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


@cache
def _imported(path: Path) -> frozenset[str]:
    """Return the modules of this package that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom):
            parts = ([PACKAGE] if node.level else []) + (node.module.split(".") if node.module else [])
            if parts == [PACKAGE]:
                found |= {alias.name for alias in node.names}
            elif parts[0] == PACKAGE:
                found.add(parts[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith(f"{PACKAGE}.")}
    return frozenset(found)


def _tokens(path: Path) -> Iterator[str]:
    """Yield the words of a rule file. From Python 3.12 on the parts of an f-string come one by one: it is one word."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    begun: list[tuple[int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":
            begun.append(token.start)
        elif kind == "FSTRING_END":
            start = begun.pop()
            if not begun:
                yield _between(lines, start, token.end)
        elif not begun and token.type not in (tokenize.COMMENT, tokenize.NL):
            yield token.string


def _between(lines: Sequence[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the text between two places (line from 1, column)."""
    own = list(lines[start[0] - 1 : end[0]])
    own[-1] = own[-1][: end[1]]
    own[0] = own[0][start[1] :]
    return "".join(own)
