"""Left-overs: artifacts of earlier settings that no config of the project asks for any more."""

import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unitscope.config.resolve import read
from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.workflow.failures import error_of
from unitscope.workflow.flow import study_words
from unitscope.workflow.ledger import CONTENTS, Ledger
from unitscope.workflow.owners import Owners

CONFIGS = ("config.yaml", "configs/*.yaml", "paper/*.yaml")
"""Where the configs of a project lie."""
SECTIONS = {"data/datasets": "datasets", "data/checkpoints": "networks", "results": "experiments"}
"""Folder of the artifacts of each section of a config."""


@dataclass
class Leftovers:
    """Files of earlier settings.

    Attributes:
        files: Size in bytes of each file that can be removed, by its path.
        changed: Files that have changed since a job wrote them.
    """

    files: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


def clean(configs: Sequence[Path], yes: bool) -> Iterator[str]:
    """Compare the artifacts with those that a study asks for, and yield a line for each of earlier settings.

    Args:
        configs: The config, and others that are laid over it.
        yes: Whether the artifacts are removed.

    Raises:
        UserError: A config cannot be read, or Snakemake cannot plan the study.
    """
    for file in configs:
        read(file)
    config = os.path.relpath(configs[0])
    obsolete = leftovers(config, planned(*study_words([Path(os.path.relpath(file)) for file in configs])))
    for path in obsolete.changed:
        yield f"kept: {path} has changed since a job wrote it"
    for path, size in obsolete.files.items():
        yield f"{size / 1e6:10.3f} MB  {path}"
    total = f"{len(obsolete.files)} files, {sum(obsolete.files.values()) / 1e6:.3f} MB, belong to earlier settings"
    if not obsolete.files:
        yield f"Nothing to remove: all artifacts are those that {config} or another config asks for."
    elif not yes:
        yield f"{total}. Remove them with --yes (`make clean CLEAN=yes`)."
    else:
        remove(obsolete.files)
        yield f"{total}: removed."


def planned(*words: str) -> set[str]:
    """Return all files that a study asks for, whether they are there or not.

    Args:
        words: Of Snakemake's command line; the default study without any.

    Raises:
        UserError: Snakemake cannot plan the study.
    """
    return {row.split("\t")[0] for row in stdout_of("snakemake", *words, "--summary").splitlines()[1:]}


def stdout_of(*command: str) -> str:
    """Return what a call of Snakemake prints.

    Raises:
        UserError: It failed; the message is Snakemake's.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(error_of(done.stderr + done.stdout))
    return done.stdout


def leftovers(config: str, planned_files: Collection[str]) -> Leftovers:
    """Return the artifacts that a config owns and no longer asks for, and those of configs that are gone.

    Files that bear a name of another config are kept: it may share them.

    Args:
        config: Path of the config's file, relative to the project.
        planned_files: All files that the config asks for, by `planned`.
    """
    ledger, owners, contents, obsolete = Ledger(), Owners(), Contents(CONTENTS), Leftovers()
    names = names_in(path for pattern in CONFIGS for path in Path().glob(pattern) if str(path) != config)
    for path in sorted(set(ledger.paths()) - set(planned_files)):
        sha256, owner = contents.sha256(path), owners.of(path)
        if not sha256 or (owner is not None and owner.config != config) or is_named(path, names):
            continue
        if sha256 in {run.outputs[path][0] for run in ledger.runs_of(path)}:
            obsolete.files[path] = Path(path).stat().st_size
        else:
            obsolete.changed.append(path)
    contents.save()
    return obsolete


def names_in(configs: Iterable[Path]) -> dict[str, set[str]]:
    """Return the names of the entries in each section of configs; those that cannot be read have none."""
    names: dict[str, set[str]] = {section: set() for section in SECTIONS.values()}
    for path in configs:
        try:
            config: Any = read(path)
        except UserError:
            continue
        for section in names:
            entries = config.get(section) if isinstance(config, Mapping) else None
            names[section] |= set(map(str, entries)) if isinstance(entries, Mapping) else set()
    return names


def is_named(path: str, names: Mapping[str, Collection[str]]) -> bool:
    """Return whether a path is that of an entry, or of one of its trainings, or of none that is known."""
    for folder, section in SECTIONS.items():
        if path.startswith(f"{folder}/"):
            entries = "|".join(map(re.escape, names[section])) or "(?!)"
            first = path.removeprefix(f"{folder}/").partition("/")[0]
            return bool(re.fullmatch(rf"({entries})(-seed\d+)?(-epoch\d+)?([.].*)?", first))
    return True


def remove(paths: Iterable[str]) -> None:
    """Remove files, and the folders that this leaves empty."""
    for path in map(Path, paths):
        path.unlink()
        for folder in list(path.parents)[:-2]:
            if any(folder.iterdir()):
                break
            folder.rmdir()
