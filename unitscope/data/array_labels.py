"""Arrays of labels and splits as numbers: one-hot, names, floats that are whole."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from unitscope.data.dataset_settings import ArraysSettings, split_names
from unitscope.data.labels import SPLITS, check_names, composed, numbered, one_spelling, roles
from unitscope.errors import UserError


def flat(labels: np.ndarray) -> np.ndarray:
    """Return labels (images, 1) as (images,)."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def as_labels(
    labels: np.ndarray,
    count: int,
    where: str,
    class_names: Sequence[str | int] | None = None,
    in_file: np.ndarray | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Return labels as int64 (images,), and the class names.

    Args:
        labels: (images,) or (images, 1): numbers from 0, bool, or names; or (images, classes) one-hot.
        count: Number of images.
        where: File and array, for messages.
        class_names: The setting `classes`.
        in_file: The file's array `classes`, the names by number.

    Raises:
        UserError: They are no labels, or do not fit the names.
    """
    labels = flat(labels)
    if labels.ndim == 2 and len(labels) == count:
        labels, width = _from_one_hot(labels, where), labels.shape[1]
    else:
        width = 0
    if labels.shape != (count,):
        raise UserError(
            f"{where} has the shape {labels.shape}; it has to hold one label for each of the {count} images: (n,), (n, "
            "1), or one-hot (n, classes)."
        )
    in_file = None if in_file is None else _as_text(in_file.reshape(-1), f"{where}, classes")
    if labels.dtype.kind in "SUO":
        names = _as_text(labels, where)
        return numbered(
            names.tolist(), class_names if class_names is not None or in_file is None else in_file.tolist(), where
        )
    labels = _as_numbers(labels, count, where)
    numbers = [str(number) for number in range(max(width, labels.max() + 1))]
    names_by_number = in_file.tolist() if class_names is None and in_file is not None else class_names
    if names_by_number is None:
        return labels, numbers
    titles = [composed(str(name)) for name in names_by_number]
    if titles != numbers and sorted(titles) == sorted(numbers):
        raise UserError(
            f"{where} holds the numbers 0 to {len(numbers) - 1}, and classes lists the same numbers in another order "
            f"({', '.join(titles[:5])}{', ...' if len(titles) > 5 else ''}): it would name the class 0 {titles[0]!r}. "
            "Leave classes out; for another order, renumber the labels, or save them as text."
        )
    if len(titles) != max(width, labels.max() + 1) or len(set(titles)) < len(titles) or not all(map(str.strip, titles)):
        raise UserError(
            f"{where} names classes 0 to {max(width - 1, labels.max())}, and classes has {len(titles)} names "
            f"({', '.join(titles[:5])}{', ...' if len(titles) > 5 else ''}). Give each class one name of its own, in "
            "the order of the numbers: datasets.NAME.classes."
        )
    check_names(titles, where)
    return labels, titles


def _from_one_hot(labels: np.ndarray, where: str) -> np.ndarray:
    """Return the places of the ones in rows (images, classes)."""
    is_one = labels == 1
    odd = np.flatnonzero(is_one.sum(1) != 1) if np.isin(labels, (0, 1)).all() else np.arange(1)
    if len(odd):
        raise UserError(
            f"{where} has the shape {labels.shape}, and its row {odd[0]} is not one-hot. Give each image one class: "
            "numbers (n,), or rows with a single 1."
        )
    return is_one.argmax(1)


def _as_text(names: np.ndarray, where: str) -> np.ndarray:
    """Return names (n,) as text without blanks around it, as in a CSV file: padding makes no class of its own."""
    values = names.tolist()
    odd = next((value for value in values if not isinstance(value, str | bytes | int | float)), None)
    if odd is not None:
        kind = "references" if isinstance(odd, h5py.Reference | h5py.RegionReference) else f"values such as {odd!r}"
        more = ", as MATLAB writes cell arrays" if kind == "references" else ""
        raise UserError(f"{where} holds {kind}{more}, not names. Save names as text.")
    try:
        texts = [(value.decode() if isinstance(value, bytes) else str(value)).strip() for value in values]
    except UnicodeDecodeError as error:
        raise UserError(f"{where} holds a name that is not UTF-8 ({error}). Save names as UTF-8.") from None
    return np.array(texts, dtype=object)


def _as_numbers(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    if labels.dtype.kind not in "buif" or (labels.dtype.kind == "f" and not (labels == np.rint(labels)).all()):
        raise UserError(
            f"{where} is {labels.dtype}, and not all of it is whole numbers. Labels are the numbers of classes from 0, "
            "or their names."
        )
    if labels.min() < 0:
        raise UserError(
            f"{where} has to hold one number, 0 or more, for each of the {count} images; it holds {labels.min()}. "
            "Leave images without a label out."
        )
    if labels.max() >= count:
        raise UserError(
            f"{where} names the class {labels.max()}, and there are {count} images. Classes are numbered from 0, and "
            "each has images."
        )
    labels = labels.astype(np.int64)
    if (lowest := labels.min()) > 0:
        raise UserError(
            f"{where} begins at {lowest}: the class '0' has no image. Classes are numbered from 0: subtract {lowest}, "
            "or save the names of the classes as labels."
        )
    return labels


def split_numbers(path: Path, split: np.ndarray | None, count: int, settings: ArraysSettings) -> np.ndarray | None:
    """Return the array `split` as numbers (images,), -1 for images of other splits than train and test."""
    if split is None:
        if split_names(settings.split):
            raise UserError(f"datasets.NAME.split names splits, but {path} has no array 'split'. Remove the setting.")
        return None
    if split.ndim == 2 and split.shape[1] == 1:
        split = split[:, 0]
    if split.shape == (count,) and split.dtype.kind in "SUO":
        names = one_spelling(_as_text(split, f"{path}: split").tolist())
        name_of_role = roles(names, split_names(settings.split), f"{path}: split")
        if set(names) == {name_of_role.get("train")}:
            # Split here, as a folder train alone.
            return None
        if "test" in name_of_role:
            numbers = {name: SPLITS[role] for role, name in name_of_role.items()}
            return np.array([numbers.get(name, -1) for name in names])
    if split.shape != (count,) or not np.isin(split, list(SPLITS.values())).all():
        raise UserError(
            f"{path}: split has to hold 0 (train) or 1 (test), or these names, for each of the {count} images."
        )
    if not split.any():
        return None
    return split.astype(np.int64)
