"""Names of classes and splits, wherever a data set has them from: folders, a CSV file, arrays.

Names in, numbers out. Which file a name comes from is for the callers.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from unitscope.errors import UserError, printable, some
from unitscope.randomness import generator

SPLITS = {"train": 0, "test": 1}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What GraphML cannot hold, and of these NUL and surrogates HDF5 neither."""
_WHOLE = re.compile(r"([-+]?)([0-9]+)(?:[.]0*)?")
USUAL_NAMES = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}
"""Names of splits in lowercase, whatever their case in the data."""


def ordered(names: Iterable[str]) -> list[str]:
    """Return class names in their order: by value if all are whole numbers, otherwise by code points.

    Example:
        >>> ordered(["10", "2", "0"]), ordered(["b", "B", "a10", "a2"]), ordered(["10.0", "-1.0", "2.0"])
        (['0', '2', '10'], ['B', 'a10', 'a2', 'b'], ['-1.0', '2.0', '10.0'])
    """
    unique = set(names)
    values = {name: _whole(name) for name in unique}
    if all(values.values()):
        return sorted(unique, key=lambda name: (values[name], name))
    return sorted(unique)


def _whole(name: str) -> tuple[int, int, list[int]] | None:
    """Return what whole numbers, also as pandas writes them ("10.0"), are sorted by; None for other names.

    Not by int(), which refuses very long numbers.
    """
    match = _WHOLE.fullmatch(name)
    if match is None:
        return None
    sign, digits = -1 if match[1] == "-" else 1, match[2].lstrip("0")
    return sign, sign * len(digits), [sign * int(digit) for digit in digits]


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), as letters with accents have two."""
    return unicodedata.normalize("NFC", name)


def numbered(
    names: Sequence[str], class_names: Sequence[str | int] | None, where: object
) -> tuple[np.ndarray, list[str]]:
    """Return the label of each image and the class names.

    Args:
        names: (images,) class of each image.
        class_names: The setting `classes`: all class names in the order of their labels; None for the usual order.
            Where all names are numbers from 0, these are the labels, and `class_names` names them.
        where: What has the names, for messages.

    Returns:
        (images,) int64, and the class names.

    Raises:
        UserError: `class_names` and `names` differ, or a class has no name.
    """
    check_names(names, where)
    names = [composed(name) for name in names]
    present = ordered(names)
    classes = present if class_names is None else [composed(str(name)) for name in class_names]
    titles = {str(label): title for label, title in enumerate(classes)}
    if set(present) <= set(titles) and not set(present) & set(classes):
        names = [titles[name] for name in names]
        present = classes
    check_classes(classes, present, where)
    number = {name: label for label, name in enumerate(classes)}
    return np.array([number[name] for name in names], np.int64), classes


def check_names(names: Iterable[str], where: object) -> None:
    """Raise a UserError for names of classes that an artifact cannot hold: empty ones, and what is no text to XML."""
    for name in dict.fromkeys(names):
        if not name.strip():
            raise UserError(f"{where}: a class has no name. Name it.")
        if odd := _NOT_IN_XML.search(name):
            raise UserError(
                f"{where}: the name {ascii(name)[:60]} of a class contains the character U+{ord(odd[0]):04X}. Rename "
                "the class."
            )


def check_classes(class_names: Sequence[str], present: Sequence[str], where: object) -> None:
    """Raise a UserError that names what only one of the setting `classes` and the data has."""
    missing = [name for name in class_names if name not in present]
    unlisted = [name for name in present if name not in class_names]
    if len(set(class_names)) < len(class_names):
        duplicate = next(name for position, name in enumerate(class_names) if name in class_names[:position])
        raise UserError(f"datasets.NAME.classes lists {duplicate!r} twice. List each class once.")
    if not missing and not unlisted:
        return
    wrong = []
    if missing:
        close = difflib.get_close_matches(missing[0], unlisted, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        wrong.append(f"it lists {some([*map(repr, missing)], 5)}, which {where} does not have{hint}")
    if unlisted:
        wrong.append(f"{where} has {some([*map(repr, unlisted)], 5)}, which it does not list")
    raise UserError(f"datasets.NAME.classes: {', and '.join(wrong)}. List each class of the data once.")


def one_spelling(names: Sequence[str]) -> list[str]:
    """Return names of splits, those that differ only in case as the first of them."""
    spelled: dict[str, str] = {}
    return [spelled.setdefault(name.lower(), name) for name in names]


def are_splits(names: Iterable[str]) -> bool:
    """Return whether all names are usual ones of splits."""
    return all(name.lower() in (*USUAL_NAMES["train"], *USUAL_NAMES["test"]) for name in names)


def split_by_name(names: Sequence[str]) -> dict[str, str]:
    """Return which names look like those of the splits, such as Train_set and dev; empty unless both do."""
    train = [name for name in names if "train" in name.lower()]
    test = [
        name for name in names if name not in train and any(word in name.lower() for word in ("test", "val", "dev"))
    ]
    return {"train": train[0], "test": test[0]} if train and test else {}


def roles(names: Iterable[str], configured_names: Mapping[str, str] | None, where: object) -> dict[str, str]:
    """Return which names are the splits, by "train" and "test"; empty if the names are not those of splits.

    Names count whatever their case. A training split alone, without any other name, is returned without a test split.

    Args:
        names: Of folders, of values in a column, or of groups of arrays.
        configured_names: The setting `split`, by "train" and "test"; it may name one split or both.
        where: What has these names, for messages.

    Raises:
        UserError: Several names could be a split, a chosen one is not there, or there is no training split.
    """
    names = ordered(names)
    configured_names = {split: str(name) for split, name in (configured_names or {}).items() if name is not None}
    result = {split: _chosen(split, name, names, where) for split, name in configured_names.items()}
    if len(set(result.values())) < len(result):
        raise UserError(f"datasets.NAME.split: train and test are both {result['test']!r}. Name two splits.")
    usual_names = {
        split: [name for name in names if name.lower() in USUAL_NAMES[split] and name not in result.values()]
        for split in SPLITS
        if split not in result
    }
    if not configured_names and not all(usual_names.values()):
        # Names that may be classes, such as bus, car and train.
        if any(name.lower() not in (*USUAL_NAMES["train"], *USUAL_NAMES["test"]) for name in names):
            return {}
        if not usual_names["train"] and names:
            cure = (
                "name it: datasets.NAME.split: {train: ...}"
                if len(names) > 1
                else "rename this one to train: then test_fraction of it is held out"
            )
            raise UserError(f"{where} has {_listed(names)}, but no training split. Add one, or {cure}.")
    for split, candidates in usual_names.items():
        if len(candidates) > 1:
            choices = " or ".join(f"{{{split}: {name}}}" for name in candidates)
            raise UserError(f"{where} has {_listed(names)}. Set datasets.NAME.split to {choices}.")
        if not candidates and configured_names:
            raise UserError(
                f"{where} has {_listed(names)}, none of which is known as the {split} split. Name it: "
                f"datasets.NAME.split: {{{split}: ...}}."
            )
        if candidates:
            result[split] = candidates[0]
    return {split: result[split] for split in SPLITS if split in result}


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return a split (images,) that holds out the same share of every class, and leaves some of each where it can."""
    split = np.zeros(len(labels), np.uint8)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, min(round(fraction * len(members)), len(members) - 1))
        split[generator("held out", seed, int(label)).permutation(members)[:count]] = SPLITS["test"]
    return split


def in_several(images: Sequence[str], groups: np.ndarray) -> int:
    """Return how many images, by a text that is the same for the same image, are in more than one of the groups."""
    first: dict[str, int] = {}
    several = {
        image for image, group in zip(images, groups.tolist(), strict=True) if first.setdefault(image, group) != group
    }
    return len(several)


def weaknesses(labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Return what the labels (images,) of a test split cannot support, a sentence or two for each."""
    if len(classes) == 1:
        return [
            f"there is one class, {classes[0]!r}. Scores that compare classes, such as selectivity and "
            "class_information, are void (NaN)."
        ]
    if len(classes) and np.bincount(labels).max() == 1:
        return [
            "each class has a single image in the test split. The columns selectivity (it equals "
            "selectivity_permuted), class_information (it is log2 of the number of bins) and selectivity_half1 (its "
            "half is empty) are void. Add images, or raise test_fraction."
        ]
    return []


def _chosen(split: str, name: str, names: Sequence[str], where: object) -> str:
    matches = [each for each in names if each == name] or [each for each in names if each.lower() == name.lower()]
    if len(matches) != 1:
        raise UserError(
            f"datasets.NAME.split.{split} is {name!r}, but {where} has {_listed(names) if names else 'no such names'}."
        )
    return matches[0]


def _listed(names: Sequence[str]) -> str:
    names = [printable(name) for name in names]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
