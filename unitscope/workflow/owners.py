"""Owners of artifacts: the config file that first wrote each, so that no other config overwrites it unnoticed.

`.snakemake/unitscope/owners` grows by one line per job; in a clone, made.lock names the owner of each artifact.
A config that no longer exists owns nothing.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unitscope.errors import UserError
from unitscope.storage.contents import append_lines, read_lines
from unitscope.storage.records import canonical_json
from unitscope.workflow.ledger import FOLDER, LOCK, locked_rows

OWNERS = FOLDER / "owners"
MISSING = "not set"


@dataclass(frozen=True)
class Owner:
    """The config that owns an artifact.

    Attributes:
        config: Path of its file, relative to the project.
        settings: The settings under which the artifact was last written, as canonical JSON.
    """

    config: str
    settings: str


class Owners:
    """The owner of each artifact, by its path.

    Args:
        file: Grows by each job on this machine.
        lock: Names the owners of the artifacts of a commit.
    """

    def __init__(self, file: Path = OWNERS, lock: Path = LOCK) -> None:
        self._file, self._lock = file, lock
        self._exists: dict[str, bool] = {}

    @cached_property
    def _by_path(self) -> dict[str, Owner]:
        by_path = {
            path: Owner(row["config"], row["settings"])
            for path, row in locked_rows(self._lock).items()
            if "config" in row and "settings" in row
        }
        for row in read_lines(self._file):
            if len(row) == 3 and isinstance(row[0], list) and all(isinstance(text, str) for text in row[1:]):
                by_path |= dict.fromkeys(map(str, row[0]), Owner(row[1], row[2]))
        return by_path

    def of(self, path: str) -> Owner | None:
        """Return the owner of an artifact; None if there is none, or if its config no longer exists."""
        owner = self._by_path.get(path)
        if owner is None:
            return None
        if owner.config not in self._exists:
            self._exists[owner.config] = Path(owner.config).is_file()
        return owner if self._exists[owner.config] else None

    def note(self, paths: Iterable[str], owner: Owner) -> None:
        """Write down the owner of the artifacts of one job, where it is another than before."""
        changed = [path for path in paths if self._by_path.get(path) != owner]
        if changed:
            append_lines(self._file, [[changed, owner.config, owner.settings]])
            self._by_path.update(dict.fromkeys(changed, owner))

    def with_owners(self, rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
        """Return rows of made.lock with the owner of each file."""
        owned = [(dict(row), self._by_path.get(row["path"])) for row in rows]
        return [row | ({"config": owner.config, "settings": owner.settings} if owner else {}) for row, owner in owned]


def conflict(path: str, owner: Owner, other: Owner, equal_today: Callable[[str], bool] = lambda config: False) -> str:
    """Return the sentences that refuse to overwrite an artifact with other settings; an empty text if none differs.

    Args:
        path: The artifact.
        owner: Its owner.
        other: The config that would overwrite it, with its settings.
        equal_today: Whether the config of the owner describes the same as the other one. Asked only where all
            differences are settings that one side does not know, as after an upgrade.
    """
    if owner.settings == other.settings or owner.config == other.config:
        return ""
    changes = list(differences(_settings(owner), _settings(other)))
    if not changes:
        # One number, written as 3 and as 3.0.
        return ""
    if all(MISSING in (old, new) for _, old, new in changes) and equal_today(owner.config):
        return ""
    key, *values = changes[0]
    old, new = map(_short, values)
    return (
        f"{path} belongs to {owner.config}, and {other.config} would overwrite it with other settings: "
        f"{key or 'all'} is {old} in {owner.config} and {new} in {other.config}. Choose another name in "
        f"{other.config}, or let it take over what differs: --config takeover=true."
    )


def _settings(owner: Owner) -> Any:
    """Return the settings of an owner; MISSING where what was written down is damaged."""
    try:
        settings = json.loads(owner.settings)
    except (ValueError, RecursionError):
        return MISSING
    return settings if isinstance(settings, dict) else MISSING


def refuse_foreign_page(page: Path, configs: Collection[str]) -> None:
    """Refuse to write the page of a study over a file that is no page of it. The page lies in git, which has no ledger.

    Args:
        page: Where the page of the study goes.
        configs: The study's config files, as the page names them.

    Raises:
        UserError: There is another file, or the page of another study.
    """
    if not page.exists():
        return
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    written_by = re.search(r"^    snakemake --configfile (\S+)", text, re.MULTILINE)
    if written_by is None or written_by[1] not in configs:
        description = f"the page of {written_by[1]}" if written_by else "no page of a study"
        raise UserError(
            f"reproduction.folder: {page} is there already, and is {description}. Choose another folder, or let it be "
            "overwritten: --config takeover=true."
        )


def differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted key of each difference between two JSON values, and both values; MISSING where one has none."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key, MISSING), new.get(key, MISSING), f"{where}.{key}" if where else key)
    elif old != new:
        yield where, old, new


def _short(value: Any, most: int = 100) -> str:
    text = value if value == MISSING else canonical_json(value)
    return text if len(text) <= most else f"{text[:most]}..."
