"""Digests of code, so that a workflow knows when a result was made by other code than today's.

A digest covers a script and the modules of this package that it imports, followed through imports, by what they mean
(`unitscope.workflow.syntax`): a comment, another version of Python, a message in other words or a module in another
folder never retrains a network. A module enters by its name without its folders, which no other may bear. The files in
`web`, a folder of a package, belong to each module of that package, as they are.
"""

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
from typing import NamedTuple

from unitscope.errors import UserError
from unitscope.storage.contents import Contents, append_lines, read_lines, settled
from unitscope.storage.walking import entries_below
from unitscope.workflow import syntax
from unitscope.workflow.syntax import Import, imports, meaning, parse

PACKAGE = "unitscope"
ONLY_SHOWN = {"console", "program", "endings", "errors", "provenance", "syntax", "contents"}
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
    """Return a digest of a script and of all modules below `root`/unitscope that it needs, with their web files.

    Args:
        script: The script.
        root: Folder that holds the package.
    """
    return _digest(sorted(f"{_title(path)}\n{_digest_of(path, root)}" for path in code_files(script, root)))


def code_files(script: Path, root: Path) -> list[Path]:
    """Return a script, all modules below `root`/unitscope that it needs, and the files in `web` beside these."""
    files = [script]
    for importing in files:
        new = imported(importing, root)
        files += [path for path in new if path.stem not in ONLY_SHOWN and path not in files]
    folders = sorted({path.parent / "web" for path in files[1:]})
    return files + [file for folder in folders for file in sorted(folder.glob("*"))]


@cache
def script_named(name: str, root: Path) -> Path:
    """Return the program of a name, in whichever folder below `root`/scripts it is.

    Raises:
        UserError: There is none, or several.
    """
    scripts = sorted((root / "scripts").rglob(f"{name}.py"))
    if len(scripts) != 1:
        raise UserError(f"{root / 'scripts'} holds {len(scripts)} programs named {name}.py, not one.")
    return scripts[0]


def imported(path: Path, root: Path) -> list[Path]:
    """Return the modules below `root`/unitscope that a file imports, and what their packages run."""
    modules = []
    for binding in _module(path, _package_of(path, root), root).imported:
        if binding.module.split(".")[0] != PACKAGE:
            continue
        name = (
            f"{binding.module}.{binding.name}" if binding.name and binding.module in _packages(root) else binding.module
        )
        module = _file_of(root, name)
        if module is None and binding.optional:
            continue
        if module is None or name == PACKAGE:
            raise UserError(
                f"{path} imports {binding.name or name!r} from {binding.module}, which is no module of it. Import a "
                "name from its own module, so that the digest of the code can follow it."
            )
        parts = name.split(".")
        above = [_file_of(root, ".".join(parts[:end])) for end in range(2, len(parts))]
        modules += [module, *(file for file in above if file is not None and _digest_of(file, root) != NOTHING)]
    return list(dict.fromkeys(modules))


def user_code_digest(function: str, root: Path) -> str:
    """Return a digest of the module that holds a function of the user's, and of what it imports beside itself.

    Args:
        function: `package.module:name`.
        root: Folder in which modules are looked for before the import path.
    """
    files = sorted(user_code_files(function, root).items())
    return _digest(f"{name}\n{_module(path, _package_in(name, path), root).digest}" for name, path in files)


def user_code_files(function: str, root: Path) -> dict[str, Path]:
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
    files: dict[str, Path] = {}
    waiting = {module}
    while waiting:
        name = waiting.pop()
        path = _file_of(home, name) if name.split(".")[0] == top or not installed else None
        if path is not None:
            files[name] = path
            for binding in _module(path, _package_in(name, path), root).imported:
                # A name that is taken from a package may be a module of it.
                waiting |= {binding.module, f"{binding.module}.{binding.name}".strip(".")} - files.keys() - {""}
            # The files of the packages that it lies in are run as well.
            waiting |= {name[:end] for end, letter in enumerate(name) if letter == "."} - files.keys()
    return files


class RunningCode:
    """The code that a program runs, to be held against the code that was asked for.

    Args:
        script: The program, in a folder beside the package, or in one below that.
        python: The user's function that makes its network, or an empty text.
        expected: The digest that was asked for.
    """

    def __init__(self, script: Path, python: str, expected: str) -> None:
        self._script, self._python, self._expected = script, python, expected
        self._root = next(folder for folder in script.parents if (folder / PACKAGE).is_dir())
        self._begun = self._stamps()
        self._loaded = set(sys.modules)
        self._compare()

    def _stamps(self) -> dict[str, Stamp]:
        paths = code_files(self._script, self._root)
        if self._python:
            paths += user_code_files(self._python, self._root).values()
        return {str(path.resolve()): _stamp(path) for path in paths}

    def _compare(self) -> None:
        user_code = user_code_digest(self._python, self._root) if self._python else ""
        if code_digest(self._script, self._root) + user_code != self._expected:
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


def _package_of(path: Path, root: Path) -> str:
    """Return the package that a file of the library lies in; an empty text for a script."""
    library = root / PACKAGE
    return ".".join(path.relative_to(root).parent.parts) if path.is_relative_to(library) else ""


def _package_in(name: str, path: Path) -> str:
    """Return the package that a module lies in, by its full name."""
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


@cache
def _packages(root: Path) -> frozenset[str]:
    """Return the full names of the library's packages."""
    return frozenset(
        ".".join(Path(folder).relative_to(root).parts)
        for folder, _, files in os.walk(root / PACKAGE)
        if any(file.endswith(".py") for file in files)
    )


def _title(path: Path) -> str:
    """Return by what name a file counts: a module's without its folders, so that it may be moved."""
    return path.name if path.suffix != ".py" else path.parent.name if path.name == "__init__.py" else path.stem


def source_digest(
    path: Path, contents: Contents, suffixes: Collection[str] = (), extra_files: Iterable[Path] = ()
) -> str:
    """Return a digest of the content of a file, or of the names and contents of all files below a folder.

    Links count by what they lead to. What is hidden, by a name that begins with a dot, is left out, as it is by those
    who read such a folder.

    Args:
        path: The file or folder.
        contents: Remembers checksums, so that a million images are read once.
        suffixes: Of the files in a folder that are read, in small letters; by default all are.
        extra_files: Files that are read with the folder, wherever they lie.

    Returns:
        An empty text if there is nothing at `path`, or an empty folder, as where a disk is not mounted.
    """
    if path.is_dir():
        entries = _files_below(path)
        files = sorted(entry for entry in entries if not suffixes or os.path.splitext(entry[0])[1].lower() in suffixes)
        texts = [f"{name} {contents.sha256(file, stat)}" for name, file, stat in files]
        return (
            _digest([*texts, *(f"{file.name} {contents.sha256(str(file))}" for file in extra_files)]) if files else ""
        )
    return contents.sha256(str(path))[:16]


def _files_below(folder: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield the files below a folder: path below it, path, and what `os.stat` returns. Links in a circle end."""
    for name, entry in entries_below(str(folder)):
        if os.path.isfile(entry.path):
            yield name, entry.path, entry.stat()


def modules_digest(folder: Path, root: Path) -> str:
    """Return a digest of the modules in a folder of the library by themselves, whatever they import."""
    return _digest(sorted(f"{_title(path)}\n{_digest_of(path, root)}" for path in folder.glob("*.py")))


def rules_digest(files: Iterable[Path]) -> str:
    """Return a digest of rule files, without their comments and blank lines."""
    return _digest(" ".join(_tokens(path)) for path in sorted(files))


def _digest(texts: Iterable[str]) -> str:
    # Names of files need not be UTF-8.
    return hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()[:16]


NOTHING = _digest([meaning(parse("", ""), "", lambda binding: None)])
"""The digest of a file that holds nothing, as those of most packages do."""


class Module(NamedTuple):
    """What a digest of code takes from a file: a digest of its own, and what it imports."""

    digest: str
    imported: tuple[Import, ...]


def _digest_of(path: Path, root: Path) -> str:
    """Return the digest of a file of the library by itself."""
    if path.suffix != ".py":
        return _digest([path.read_text(encoding="utf-8")])
    return _module(path, _package_of(path, root), root).digest


def _module(path: Path, package: str, root: Path) -> Module:
    """Return what a digest takes from a file, remembered from call to call: parsing all of them takes a second.

    Args:
        path: The file.
        package: The package that it lies in.
        root: Folder that holds the library.
    """
    stamp, key = _stamp(path), (str(path.resolve()), package)
    cached = _remembered(root).get(key)
    if cached is None or cached[0] != stamp:
        cached = stamp, _read(path, package, root, stamp)
        if _stamp(path) == stamp and settled(stamp[1]):
            _remembered(root)[key] = cached
            with contextlib.suppress(OSError):
                append_lines(MODULES, [[_algorithm(root), *key, *cached]])
    return cached[1]


@cache
def _read(path: Path, package: str, root: Path, stamp: Stamp) -> Module:
    """Return what a digest takes from a file, once for each time that it was written."""
    # Python takes what it has compiled for that of the file by whole seconds and size alone.
    with contextlib.suppress(OSError, NotImplementedError):
        Path(importlib.util.cache_from_source(str(path))).unlink()
    tree = parse(path.read_text(encoding="utf-8"), str(path))
    imported = tuple(sorted(set(imports(tree, package))))
    return Module(_digest([meaning(tree, package, lambda binding: _imported_name(binding, root))]), imported)


def _imported_name(binding: Import, root: Path) -> str | None:
    """Return what an import brings from the library, wherever that lies there; None for another import."""
    if binding.module.split(".")[0] != PACKAGE:
        return None
    if binding.name and binding.module in _packages(root):
        return binding.name
    return ".".join(filter(None, [binding.module.rpartition(".")[2], binding.name]))


@cache
def _remembered(root: Path) -> dict[tuple[str, str], tuple[Stamp, Module]]:
    modules: dict[tuple[str, str], tuple[Stamp, Module]] = {}
    for row in read_lines(MODULES):
        # What is no such row was damaged, or is of other rules.
        with contextlib.suppress(ValueError, TypeError):
            algorithm, path, package, (modified, changed, size), (digest, imported) = row
            if algorithm == _algorithm(root):
                module = Module(digest, tuple(Import(*binding) for binding in imported))
                modules[path, package] = (modified, changed, size), module
    return modules


@cache
def _algorithm(root: Path) -> str:
    """Return a digest of what decides how a file is read: by other rules, other digests come out."""
    rules = [Path(file).read_text(encoding="utf-8") for file in (__file__, syntax.__file__)]
    return _digest([*rules, *sorted(_packages(root))])


def _stamp(path: Path) -> Stamp:
    """Return when a file was changed, and its size: what was read of it under another stamp no longer counts."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


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
    excerpt = list(lines[start[0] - 1 : end[0]])
    excerpt[-1] = excerpt[-1][: end[1]]
    excerpt[0] = excerpt[0][start[1] :]
    return "".join(excerpt)
