"""Digests of code, so that a workflow knows when a result was made by other code than today's.

A digest covers a script and the modules of this package that it imports, followed through imports, over their syntax
trees without docstrings: a comment never retrains a network, and neither does another version of Python, which would
write the same tree in other words. The files in `unitscope/pages/{module}/` belong to the module of that name, as they
are.
"""

import ast
import contextlib
import hashlib
import importlib.util
import io
import os
import sys
import tokenize
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from unitscope.contents import Contents, append_lines, read_lines, settled
from unitscope.errors import UserError

PACKAGE = "unitscope"
ONLY_SHOWN = {"console", "errors", "provenance", "contents"}
"""Modules that decide what a person sees, or when something is computed, never what."""
Stamp = tuple[int, int, int]
"""Modification and change time of a file in nanoseconds, and its size."""
MODULES = Path(".snakemake/unitscope/code")
"""File, below the folder that the workflow runs in, that remembers what digests take from each module."""
CHANGED = (
    "The code has changed since Snakemake looked at it, so nothing was recorded. Give the same command again: it "
    "follows the code that is there now."
)


def code_digest(script: Path, root: Path) -> str:
    """Return a digest of a script and of all modules below `root`/unitscope that it needs, with their pages.

    Args:
        script: The script.
        root: Folder that holds the package.
    """
    files = sorted(code_files(script, root), key=lambda path: path.name)
    return _digest(f"{path.name}\n{_module(path).digest}" for path in files)


def code_files(script: Path, root: Path) -> list[Path]:
    """Return a script, all modules below `root`/unitscope that it needs, and their pages."""
    folder = root / PACKAGE
    found = [script]
    for importing in found:
        for module in _module(importing).imported:
            path = folder / f"{module}.py"
            if not path.is_file():
                raise UserError(
                    f"{importing} imports {module!r} from {PACKAGE}, which is no module of it. Import a name from "
                    "its own module, so that the digest of the code can follow it."
                )
            if module not in ONLY_SHOWN and path not in found:
                found.append(path)
    return found + [file for path in found[1:] for file in sorted((folder / "pages" / path.stem).glob("*"))]


def own_code_digest(function: str, root: Path) -> str:
    """Return a digest of the module that holds a function of the user's, and of what it imports beside itself.

    Args:
        function: `package.module:name`.
        root: Folder in which modules are looked for before the import path.
    """
    return _digest(f"{name}\n{_module(path).digest}" for name, path in sorted(own_code_files(function, root).items()))


def own_code_files(function: str, root: Path) -> dict[str, Path]:
    """Return the module that holds a function of the user's, and what it imports beside itself, by name.

    Followed are the modules that lie in the folder of the first one, or, where that is a folder of installed packages,
    those of its package. Modules that are loaded by a name that is computed, as by importlib, are not.
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
    found: dict[str, Path] = {}
    waiting = {module}
    while waiting:
        name = waiting.pop()
        path = _file_of(home, name) if name.split(".")[0] == top or not installed else None
        if path is not None:
            found[name] = path
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting |= _all_imported(path, package) - found.keys()
            # The files of the packages that it lies in are run as well.
            waiting |= {name[:end] for end, letter in enumerate(name) if letter == "."} - found.keys()
    return found


class RunningCode:
    """The code that a program runs, to be held against the code that was asked for.

    Args:
        script: The program, in a folder beside the package.
        python: The user's function that makes its network, or an empty text.
        asked: The digest that was asked for.
    """

    def __init__(self, script: Path, python: str, asked: str) -> None:
        self._script, self._root, self._python, self._asked = script, script.parent.parent, python, asked
        self._begun = self._stamps()
        self._loaded = set(sys.modules)
        self._compare()

    def _stamps(self) -> dict[str, Stamp]:
        paths = code_files(self._script, self._root)
        if self._python:
            paths += own_code_files(self._python, self._root).values()
        return {str(path.resolve()): _stamp(path) for path in paths}

    def _compare(self) -> None:
        own = own_code_digest(self._python, self._root) if self._python else ""
        if code_digest(self._script, self._root) + own != self._asked:
            raise UserError(f"{self._script.name}: {CHANGED}")

    def check(self) -> None:
        """Compare again what has been written since the program began.

        Raises:
            UserError: The code is another, or a module was loaded after its file had been changed, and changed back.
        """
        now = self._stamps()
        changed = {file for file in {*now, *self._begun} if now.get(file) != self._begun.get(file)}
        if not changed:
            return
        late = {getattr(module, "__file__", None) for name, module in sys.modules.items() if name not in self._loaded}
        if changed & {str(Path(file).resolve()) for file in late if file}:
            raise UserError(f"{self._script.name}: {CHANGED}")
        self._compare()


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


def source_digest(path: Path, contents: Contents, suffixes: Collection[str] = ()) -> str:
    """Return a digest of the content of a file, or of the names and contents of all files below a folder.

    Links count by what they lead to. What is hidden, by a name that begins with a dot, is left out, as it is by those
    who read such a folder.

    Args:
        path: The file or folder.
        contents: Remembers checksums, so that a million images are read once.
        suffixes: Of the files in a folder that are read, in small letters; by default all are.

    Returns:
        An empty text if there is nothing at `path`, or an empty folder, as where a disk is not mounted.
    """
    if path.is_dir():
        found = _files_below(path)
        files = sorted(each for each in found if not suffixes or os.path.splitext(each[0])[1].lower() in suffixes)
        return _digest(f"{name} {contents.sha256(file, stat)}" for name, file, stat in files) if files else ""
    return contents.sha256(str(path))[:16]


def _files_below(folder: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield the files below a folder: path below it, path, and what `os.stat` returns. Links in a circle end."""
    waiting = [(str(folder), "", frozenset({os.path.realpath(folder)}))]
    while waiting:
        place, name, above = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                below = f"{name}{entry.name}"
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    # A folder is its own inode; only a link can lead back.
                    real = os.path.realpath(entry.path) if entry.is_symlink() else ""
                    if real not in above:
                        waiting.append((entry.path, f"{below}/", above | {real} if real else above))
                elif entry.is_file():
                    yield below, entry.path, entry.stat()


def rules_digest(files: Iterable[Path]) -> str:
    """Return a digest of rule files, without their comments and blank lines."""
    return _digest(" ".join(_tokens(path)) for path in sorted(files))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


class Module(NamedTuple):
    """What a digest of code takes from a file: a digest of its own, and the modules of this package that it imports."""

    digest: str
    imported: tuple[str, ...]


def _module(path: Path) -> Module:
    """Return what a digest takes from a file, remembered from call to call: parsing all of them takes a second."""
    stamp = _stamp(path)
    known = _remembered().get(str(path.resolve()))
    if known is None or known[0] != stamp:
        if path.suffix == ".py":
            known = stamp, Module(_digest([_plain(path)]), tuple(sorted(_imported(path))))
        else:
            known = stamp, Module(_digest([path.read_text(encoding="utf-8")]), ())
        if _stamp(path) == stamp and settled(stamp[1]):
            _remembered()[str(path.resolve())] = known
            with contextlib.suppress(OSError):
                append_lines(MODULES, [[_algorithm(), str(path.resolve()), *known]])
    return known[1]


@cache
def _remembered() -> dict[str, tuple[Stamp, Module]]:
    found: dict[str, tuple[Stamp, Module]] = {}
    for row in read_lines(MODULES):
        # What is no such row was damaged, or is of other rules.
        with contextlib.suppress(ValueError, TypeError):
            algorithm, path, (modified, changed, size), (digest, imported) = row
            if algorithm == _algorithm():
                found[path] = (modified, changed, size), Module(digest, tuple(imported))
    return found


@cache
def _algorithm() -> str:
    """Return a digest of this module: by other rules other digests come out."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


def _stamp(path: Path) -> Stamp:
    """Return when a file was changed, and its size: what was read of it under another stamp no longer counts."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


def _tree(path: Path) -> ast.Module:
    """Return a module's syntax tree without docstrings, and without the empty texts that 3.12 puts into f-strings."""
    return _tree_of(path, _stamp(path))


@cache
def _tree_of(path: Path, stamp: Stamp) -> ast.Module:
    # Python takes what it has compiled for that of the file by whole seconds and size alone.
    with contextlib.suppress(OSError, NotImplementedError):
        Path(importlib.util.cache_from_source(str(path))).unlink()
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # A string that stands alone does nothing, wherever it stands.
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
        elif isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    return tree


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
