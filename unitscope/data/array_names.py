"""What the arrays of a file hold, by their names: images, labels, splits and classes, whole or split by split."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unitscope.data.dataset_settings import ArraysSettings, split_names
from unitscope.data.labels import USUAL_NAMES, roles
from unitscope.errors import UserError, some
from unitscope.runtime.console import log

KINDS = {"images": "images", "x": "images", "labels": "labels", "y": "labels"}
"""What an array holds, by its name in lowercase, or by the part of its name that does not name a split."""
WHOLE = {
    **KINDS,
    "split": "split",
    **dict.fromkeys(("classes", "class_names", "label_names", "labels_names", "y_names"), "classes"),
}
"""What an array of all images holds, by its name in lowercase."""


def named_arrays(
    path: Path, names: Mapping[str, Any], settings: ArraysSettings
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return what to read, and the names of images and labels by split; "" where they are not apart.

    Images and labels are read by their own names, the others as "split" and "classes".
    """
    unsplit: dict[str, str] = {}
    by_split: dict[str, dict[str, str]] = {}
    for name in names:
        normalized = name.lower().strip("/").replace("/", "_")
        if normalized in WHOLE:
            _enter(path, names, unsplit, WHOLE[normalized], name)
            continue
        for first, _, last in (normalized.partition("_"), normalized.rpartition("_")):
            split, kind = (first, last) if last in KINDS else (last, first)
            if kind in KINDS and split:
                _enter(path, names, by_split.setdefault(split, {}), KINDS[kind], name)
                break
    if "images" in unsplit or not by_split:
        for kind in ("images", "labels"):
            if kind not in unsplit:
                raise UserError(
                    f"{path} has no array {kind!r}; it has {', '.join(names) or 'none'}. Name the arrays images and "
                    "labels, or x_train, y_train, x_test and y_test."
                )
        _refuse_both(path, unsplit, by_split, settings)
        _warn_of_unread(path, names, unsplit.values())
        return {name if kind in KINDS else kind: name for kind, name in unsplit.items()}, {"": unsplit}
    name_of_role = roles(by_split, split_names(settings.split), path)
    if not name_of_role:
        raise UserError(
            f"{path} has {', '.join(names)}, which are not named as train and test. Name the splits: "
            "datasets.NAME.split: {train: ..., test: ...}."
        )
    parts = {split: by_split[name] for split, name in name_of_role.items()}
    for split, part in parts.items():
        if missing := [kind for kind in ("images", "labels") if kind not in part]:
            present = ", ".join(part.values())
            raise UserError(f"{path} has {present}, but no {missing[0]} of the {split} split. Add the array.")
    reading = {name: name for part in parts.values() for name in part.values()}
    reading |= {kind: unsplit[kind] for kind in ("classes",) if kind in unsplit}
    _warn_of_unread(path, names, reading.values())
    return reading, parts


def _refuse_both(
    path: Path, whole: Mapping[str, str], apart: Mapping[str, Mapping[str, str]], settings: ArraysSettings
) -> None:
    """Refuse images of all splits beside those of one split: either may be the training images."""
    usual = {name for names in USUAL_NAMES.values() for name in names}
    usual |= {name.lower() for name in split_names(settings.split).values() if "split" not in whole}
    if both := [name for split, part in apart.items() if split in usual for name in part.values()]:
        raise UserError(
            f"{path} has {whole['images']} and {whole['labels']}, and also {conjoined(both)}. Name the splits alike, "
            "such as x_train, y_train, x_test and y_test, and remove what is not to be read."
        )


def _warn_of_unread(path: Path, names: Mapping[str, Any], read: Iterable[str]) -> None:
    arrays = {names[name] for name in read}
    if unread := sorted(name for name, array in names.items() if array not in arrays):
        log.warning("%s: %s %s not read.", path, some(unread, 9), "is" if len(unread) == 1 else "are")


def _enter(path: Path, names: Mapping[str, Any], part: dict[str, str], kind: str, name: str) -> None:
    if names[part.setdefault(kind, name)] != names[name]:
        raise UserError(f"{path} has {part[kind]} and {name}, which may both be the {kind}. Rename one of them.")


def conjoined(names: Iterable[str]) -> str:
    """Return names of arrays for a message, joined by "and"."""
    return " and ".join(names)
