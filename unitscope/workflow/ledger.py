"""The ledger: which bytes each job has written, under a key of all that it wrote them from.

Bytes that are known under today's key are fresh, whenever and wherever they were written; everything else is stale. A
key is the SHA-256 of a job's command as the rule states it, its params, the path and content of each input, and the
paths of its outputs. What a key is made from is decided in `unitscope.workflow.snakemake_internals`.

`.snakemake/unitscope/ledger` grows with every job on this machine. `made.lock`, beside DVC's lock file and like it
under version control, vouches for the files of one commit; it is written by the gate, once all of them are fresh.
"""

import contextlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from unitscope.errors import UserError
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.contents import Contents, append_lines, read_lines
from unitscope.workflow.failures import error_of
from unitscope.workflow.provenance import source_digest

FOLDER = Path(".snakemake/unitscope")
LEDGER = FOLDER / "ledger"
CONTENTS = FOLDER / "contents"
SOURCES = FOLDER / "sources"
LOCK = Path("made.lock")
GATE = "UNITSCOPE_GATE"
"""Environment variable with the file into which a dry run that trusts no remembered checksum writes what is fresh."""
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "h5py", "matplotlib", "pillow", "networkx", "mlxtend")
"""Packages whose versions are recorded: those that decide what bytes come out."""


@dataclass(frozen=True)
class Run:
    """One execution of a job.

    Attributes:
        key: What it was executed with.
        outputs: SHA-256 and MD5 of each file that it wrote, by path.
        source: Digest of the raw data that it read, where it is a job that reads some.
        versions: Python and the packages that it ran with.
        code: Digest of the code that it ran.
    """

    key: str
    outputs: Mapping[str, tuple[str, str]]
    source: str = ""
    versions: str = ""
    code: str = ""


@dataclass
class Ledger:
    """All runs that are known here.

    Args:
        file: Grows by each run on this machine.
        lock: Runs that the commit vouches for.
    """

    file: Path = LEDGER
    lock: Path = LOCK
    _by_key: dict[str, list[Run]] = field(default_factory=dict)
    _by_path: dict[str, list[Run]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The commit's last: where several are known, they are the ones that belong to the files that came with it.
        for run in [*runs_in(self.file), *locked_runs(self.lock)]:
            self._take(run)

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def _take(self, run: Run) -> None:
        self._by_key.setdefault(run.key, []).append(run)
        for path in run.outputs:
            self._by_path.setdefault(path, []).append(run)

    def runs(self, key: str) -> list[Run]:
        """Return all runs with a key, the latest first."""
        return self._by_key.get(key, [])[::-1]

    def runs_of(self, path: str) -> list[Run]:
        """Return all runs that wrote a path, the latest first."""
        return self._by_path.get(path, [])[::-1]

    def paths(self) -> Iterable[str]:
        """Return all paths that a run wrote."""
        return self._by_path.keys()

    def note(self, run: Run) -> None:
        """Add a run."""
        if run not in self._by_key.get(run.key, []):
            append_runs(self.file, [run])
            self._take(run)


def append_runs(file: Path, runs: Iterable[Run]) -> None:
    """Add runs to a file."""
    append_lines(file, ([run.key, run.outputs, run.source, run.versions, run.code] for run in runs))


def runs_in(file: Path) -> list[Run]:
    """Return the runs in a file by `append_runs`."""
    return [
        Run(row[0], {path: (pair[0], pair[1]) for path, pair in row[1].items()}, *row[2:])
        for row in read_lines(file)
        if _is_run(row)
    ]


def is_below(path: object) -> bool:
    """Return whether something is a path below this folder, as those of all artifacts are.

    A ledger may come from elsewhere, and what it names is touched, compared and removed.
    """
    return isinstance(path, str) and path.isprintable() and not os.path.isabs(path) and ".." not in Path(path).parts


def _is_run(row: list[Any]) -> bool:
    return (
        # Without the code, which earlier versions did not write down.
        len(row) in (4, 5)
        and all(isinstance(row[column], str) for column in range(len(row)) if column != 1)
        and isinstance(row[1], dict)
        and all(map(is_below, row[1]))
        and all(isinstance(pair, list) and len(pair) == 2 for pair in row[1].values())
        and all(isinstance(text, str) for pair in row[1].values() for text in pair)
    )


@cache
def versions() -> str:
    """Return the versions of Python and of the packages that decide what bytes come out."""
    package_versions = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            package_versions.append(f"{package} {metadata.version(package)}")
    return ", ".join(package_versions)


# --- made.lock -------------------------------------------------------------------------------------------------------


def rows_of(run: Run) -> list[dict[str, str]]:
    """Return a run as rows of made.lock, one per file."""
    more = {"versions": run.versions, "code": run.code} | ({"source": run.source} if run.source else {})
    return [
        {"path": path, "key": run.key, "sha256": sha256, "md5": md5, **more}
        for path, (sha256, md5) in run.outputs.items()
    ]


def locked_rows(lock: Path = LOCK) -> dict[str, dict[str, str]]:
    """Return the rows of made.lock by path; lines that are none, such as git's marks of a conflict, are passed over.

    Raises:
        UserError: It cannot be read.
    """
    try:
        text = lock.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{lock} cannot be read ({error.strerror}). Fix its permissions, or remove it.") from None
    rows = {}
    for line in text.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            row = json.loads(line)
            required_keys = ("path", "key", "sha256", "md5", "versions")
            if is_below(row["path"]):
                rows[row["path"]] = {key: str(row[key]) for key in required_keys} | {
                    key: str(row[key]) for key in ("code", "source", "config", "settings") if key in row
                }
    return rows


def locked_runs(lock: Path = LOCK) -> list[Run]:
    """Return the runs that made.lock vouches for."""
    by_key: dict[str, list[dict[str, str]]] = {}
    for row in locked_rows(lock).values():
        by_key.setdefault(row["key"], []).append(row)
    return [
        Run(
            key,
            {row["path"]: (row["sha256"], row["md5"]) for row in rows},
            next((row["source"] for row in rows if "source" in row), ""),
            rows[0]["versions"],
            rows[0].get("code", ""),
        )
        for key, rows in by_key.items()
    ]


def write_lock(rows: Iterable[Mapping[str, str]], keep: bool = False, lock: Path = LOCK) -> None:
    """Write made.lock, sorted by path.

    Args:
        rows: Rows by `rows_of`.
        keep: Whether rows of other paths stay.
        lock: The file.
    """
    rows_by_path = {**(locked_rows(lock) if keep else {}), **{row["path"]: dict(row) for row in rows}}
    text = "".join(json.dumps(rows_by_path[path]) + "\n" for path in sorted(rows_by_path))
    if not lock.is_file() or lock.read_text(encoding="utf-8", errors="replace") != text:
        write_bytes(lock, text.encode())


def source_or_recorded(
    path: Path, artifact: str, contents: Contents, suffixes: Collection[str] = (), extra_files: Iterable[Path] = ()
) -> tuple[str, bool]:
    """Return the digest of raw data, and whether they are here.

    Where they are not, as on a colleague's machine, it is the digest that was recorded when the artifact was written,
    and an empty text if none was.

    Args:
        path: The raw data.
        artifact: The file that is written from them.
        contents: Remembers checksums of raw data.
        suffixes: Of the files in a folder that are read.
        extra_files: Files that are read besides, such as labels.
    """
    digest = source_digest(path, contents, suffixes, extra_files)
    contents.save()
    if digest:
        return digest, True
    present = contents.sha256(artifact)
    runs = sorted(Ledger().runs_of(artifact), key=lambda run: run.outputs[artifact][0] != present)
    return runs[0].source if runs else "", False


def not_here(name: str, path: str) -> str:
    """Return the line that says that raw data of a data set are not here."""
    return f"datasets.{name}.path: {path} is not here; the data set that was made from it is used."


# --- the gate --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gate:
    """What a look at everything has come to.

    Attributes:
        rows: A row of made.lock for each file of the study that is fresh.
        reasons: Why the gate is closed; none if it is open.
    """

    rows: list[dict[str, str]]
    reasons: list[str]


def gate(*words: str) -> Gate:
    """Look whether all files that a study's targets are made from are fresh.

    A dry run of Snakemake that reads every file and believes no checksum of an earlier look. A file of earlier settings
    that has changed since is named, and stands in the way as well.

    Args:
        words: Of Snakemake's command line; the default study without any.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vouched"
        done = subprocess.run(
            # Whatever a profile says.
            ["snakemake", "-n", "--rerun-triggers", "code", "input", "mtime", "params", "software-env", *words],
            env={**os.environ, GATE: str(file)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode or not file.is_file():
            return Gate([], [f"Snakemake cannot plan the study: {error_of(done.stdout)}"])
        rows = [row for run in runs_in(file) for row in rows_of(run)]
        reasons = [row[1] for row in read_lines(file) if len(row) == 2 and row[0] == "stale"]
    reasons += [
        f"{path} belongs to earlier settings, and has changed since a job wrote it: delete it"
        for path in altered_leftovers(rows)
    ]
    return Gate(rows, reasons or [] if rows else ["there is nothing to look at"])


def altered_leftovers(rows: Iterable[Mapping[str, str]], results: Path = Path("results")) -> list[str]:
    """Return files of earlier settings that lie beside today's and have changed since a job wrote them.

    DVC records the folder of an experiment as a whole; what no job ever wrote there is the user's own.
    """
    ledger, vouched, contents = Ledger(), {row["path"] for row in rows}, Contents(None)
    folders = {Path(*Path(path).parts[:2]) for path in vouched if Path(path).is_relative_to(results)}
    return sorted(
        path
        for path in (str(file) for folder in folders if folder.is_dir() for file in folder.rglob("*") if file.is_file())
        if path not in vouched
        and (runs := ledger.runs_of(path))
        and contents.sha256(path) not in {run.outputs[path][0] for run in runs}
    )


# --- what stands beside it -------------------------------------------------------------------------------------------


def other_versions(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Return a line for each set of versions other than today's that files were made with.

    Args:
        rows: Of made.lock.
    """
    today = dict(word.split(" ", 1) for word in versions().split(", "))
    counts: dict[str, int] = {}
    for row in rows:
        row_versions = dict(word.split(" ", 1) for word in row["versions"].split(", ") if " " in word)
        changed = [
            f"{name} {row_versions[name]} (now {today.get(name, 'absent')})"
            for name in row_versions
            if row_versions[name] != today.get(name)
        ]
        if changed:
            counts[", ".join(changed)] = counts.get(", ".join(changed), 0) + 1
    return [f"{count} files were made with {text}" for text, count in sorted(counts.items())]


def recorded(runs: Sequence[Run], lock: Path = LOCK) -> bool:
    """Return whether made.lock vouches for all of these runs."""
    rows = locked_rows(lock)
    return all(vouches(rows, row) for run in runs for row in rows_of(run))


def vouches(locked: Mapping[str, Mapping[str, str]], row: Mapping[str, str]) -> bool:
    """Return whether the rows of made.lock, by path, contain a row; they also name its owner."""
    return row.items() <= locked.get(row["path"], {}).items()
