"""Data sets in one .npz or .h5 file, as Keras, MedMNIST and others write them: images, labels, perhaps a split.

What has one meaning is read; otherwise the message says what to change. Nothing is unpickled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unitscope.data.dataset_settings import ArraysSettings, split_names
from unitscope.data.labels import SPLITS, USUAL_NAMES, check_names, composed, numbered, one_spelling, roles
from unitscope.errors import UserError
from unitscope.runtime.console import log
from unitscope.storage.hdf5 import ReadFile, lies_elsewhere
from unitscope.storage.walking import home_hint

KINDS = {"images": "images", "x": "images", "labels": "labels", "y": "labels"}
"""What an array holds, by its name in lowercase, or by the part of its name that does not name a split."""
WHOLE = {
    **KINDS,
    "split": "split",
    **dict.fromkeys(("classes", "class_names", "label_names", "labels_names", "y_names"), "classes"),
}
"""What an array of all images holds, by its name in lowercase."""


@dataclass(frozen=True)
class Arrays:
    """Attributes as those of `datasets.Collection`: the images whole, and `split` None where the file has none."""

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]
    split: np.ndarray | None


def read_arrays(path: Path, settings: ArraysSettings) -> Arrays:
    """Read a file of arrays.

    Names, in any case: `images` or `x`, `labels` or `y`, optionally `split` and `classes` (`class_names`,
    `label_names`); or each split by itself: `x_train`, `train_images` and so on, with any name of a split that
    `labels.roles` understands. Other arrays are named in a warning.

    Args:
        path: An .npz or .h5 file.
        settings: Of the data set.

    Raises:
        UserError: An array is missing, or has no meaning, or several.
    """
    names = _names(path)
    wanted, parts = _wanted(path, names, settings)
    found = _read(path, wanted)
    for part in parts.values():
        size, rows = (len(found[part[kind]]) if found[part[kind]].ndim else 0 for kind in ("images", "labels"))
        if "" not in parts and size != rows:
            raise UserError(
                f"{path}: {part['labels']} has {rows} rows, and {part['images']} has {size}. Give each image one label."
            )
    images = _joined_images(path, {part["images"]: found[part["images"]] for part in parts.values()}, settings)
    labels = _joined(path, {part["labels"]: _flat(found[part["labels"]]) for part in parts.values()})
    where = f"{path}: {_named(part['labels'] for part in parts.values())}"
    labels, classes = as_labels(labels, len(images), where, settings.classes, found.get("classes"))
    if "" in parts:
        split = _split(path, found.get("split"), len(images), settings)
        if split is not None and (split < 0).any():
            log.warning("%s: %d images of other splits are not read.", path, (split < 0).sum())
            images, labels, split = images[split >= 0], labels[split >= 0], split[split >= 0]
        return Arrays(images, labels, classes, None if split is None else split.astype(np.uint8))
    sizes = [len(found[part["images"]]) for part in parts.values()]
    split = np.repeat(np.array([SPLITS[name] for name in parts], np.uint8), sizes) if "test" in parts else None
    return Arrays(images, labels, classes, split)


# --- names -----------------------------------------------------------------------------------------------------------


def _wanted(
    path: Path, names: Mapping[str, Any], settings: ArraysSettings
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return what to read, and the names of images and labels by split; "" where they are not apart.

    Images and labels are read by their own names, the others as "split" and "classes".
    """
    whole: dict[str, str] = {}
    apart: dict[str, dict[str, str]] = {}
    for name in names:
        own = name.lower().strip("/").replace("/", "_")
        if own in WHOLE:
            _enter(path, names, whole, WHOLE[own], name)
            continue
        for first, _, last in (own.partition("_"), own.rpartition("_")):
            split, kind = (first, last) if last in KINDS else (last, first)
            if kind in KINDS and split:
                _enter(path, names, apart.setdefault(split, {}), KINDS[kind], name)
                break
    if "images" in whole or not apart:
        for kind in ("images", "labels"):
            if kind not in whole:
                raise UserError(
                    f"{path} has no array {kind!r}; it has {', '.join(names) or 'none'}. Name the arrays images and "
                    "labels, or x_train, y_train, x_test and y_test."
                )
        _refuse_both(path, whole, apart, settings)
        _warn_of_unread(path, names, whole.values())
        return {name if kind in KINDS else kind: name for kind, name in whole.items()}, {"": whole}
    chosen = roles(apart, split_names(settings.split), path)
    if not chosen:
        raise UserError(
            f"{path} has {', '.join(names)}, which are not named as train and test. Name the splits: "
            "datasets.NAME.split: {train: ..., test: ...}."
        )
    parts = {split: apart[name] for split, name in chosen.items()}
    for split, part in parts.items():
        if lost := [kind for kind in ("images", "labels") if kind not in part]:
            have = ", ".join(part.values())
            raise UserError(f"{path} has {have}, but no {lost[0]} of the {split} split. Add the array.")
    reading = {name: name for part in parts.values() for name in part.values()}
    reading |= {kind: whole[kind] for kind in ("classes",) if kind in whole}
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
            f"{path} has {whole['images']} and {whole['labels']}, and also {_named(both)}. Name the splits alike, such "
            "as x_train, y_train, x_test and y_test, and remove what is not to be read."
        )


def _warn_of_unread(path: Path, names: Mapping[str, Any], read: Iterable[str]) -> None:
    arrays = {names[name] for name in read}
    if unread := sorted(name for name, array in names.items() if array not in arrays):
        shown = ", ".join(unread[:9]) + (f" and {len(unread) - 9} more" if len(unread) > 9 else "")
        log.warning("%s: %s %s not read.", path, shown, "is" if len(unread) == 1 else "are")


def _enter(path: Path, names: Mapping[str, Any], part: dict[str, str], kind: str, name: str) -> None:
    if names[part.setdefault(kind, name)] != names[name]:
        raise UserError(f"{path} has {part[kind]} and {name}, which may both be the {kind}. Rename one of them.")


def _named(names: Iterable[str]) -> str:
    return " and ".join(names)


# --- files -----------------------------------------------------------------------------------------------------------


def _names(path: Path) -> dict[str, Any]:
    """Return the names of the arrays in a file, each with a key that is the same for names of the same array."""

    def names(file: Any) -> dict[str, Any]:
        return _linked(file) if isinstance(file, h5py.File) else {name: name for name in file.files}

    return dict(_opened(path, names))


def _linked(file: h5py.File) -> dict[str, Any]:
    """Return the paths of all arrays in an HDF5 file, each with its address, through hard and soft links.

    A path goes through a group at most once, and by at most one link beside the first that leads to a group: links that
    branch again and again would make more paths than can be counted.
    """
    first: dict[Any, tuple[Any, str]] = {_address(file): (None, "")}
    found: dict[str, Any] = {}
    waiting: list[tuple[h5py.Group, str, tuple[Any, ...], bool]] = [(file, "", (_address(file),), False)]
    while waiting:
        group, prefix, above, is_aliased = waiting.pop()
        for name in sorted(group, reverse=True):
            # None where a soft link leads nowhere.
            item = group.get(name)
            if isinstance(item, h5py.Dataset):
                found[f"{prefix}{name}"] = _address(item)
            elif isinstance(item, h5py.Group) and (address := _address(item)) not in above:
                link = above[-1], name
                is_alias = first.setdefault(address, link) != link
                if not (is_alias and is_aliased):
                    waiting.append((item, f"{prefix}{name}/", (*above, address), is_alias or is_aliased))
    return {name: found[name] for name in sorted(found, key=lambda name: name.split("/"))}


def _address(item: Any) -> Any:
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def _read(path: Path, wanted: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return arrays by what they are called in `wanted`."""

    def array(item: Any, name: str) -> np.ndarray:
        if isinstance(item, h5py.Dataset) and (problem := _problem_of_hdf5(item)):
            raise UserError(f"{path}: {name} {problem}")
        return np.asarray(item[()])

    return dict(_opened(path, lambda file: {key: array(file[name], name) for key, name in wanted.items()}))


def _problem_of_hdf5(item: h5py.Dataset) -> str:
    """Return why an array in an HDF5 file cannot be read as it was meant; empty where it can."""
    if "MATLAB_class" in item.attrs and item.ndim > 2:
        return (
            "was saved by MATLAB, in whose files the axes are in reverse order, so that height and width would be "
            "swapped. Read it in Python, restore the order by numpy.transpose, and save it by np.savez."
        )
    filters = item.id.get_create_plist()
    for code, _, _, name in map(filters.get_filter, range(filters.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            shown = f" {name.decode(errors='replace')}" if name else ""
            return (
                f"is compressed by the filter{shown} ({code}), which h5py lacks here. Save it with compression='gzip'."
            )
    return ""


def _opened(path: Path, function: Any) -> Any:
    """Return a function's value of an open file of arrays."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise UserError(f"datasets.NAME.path is {path}, a folder. Folders of images are read by source: image_folder.")
    if not path.exists():
        raise UserError(f"{path} does not exist; datasets.NAME.path has to name an .npz or .h5 file.{home_hint(path)}")
    if not path.is_file():
        raise UserError(f"{path} is no regular file. Save the arrays images and labels as .npz or .h5.")
    if suffix not in (".npz", ".h5", ".hdf5"):
        more = {
            ".npy": " An .npy file holds one array: save images and labels together by np.savez.",
            **dict.fromkeys((".zip", ".tar", ".tgz"), " Unpack it; images are read by source: image_folder."),
            **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth"), " Pickled files are never loaded, as that runs code."),
        }.get(suffix, "")
        raise UserError(f"{path} is neither .npz nor .h5.{more} Save the arrays images and labels as .npz or .h5.")
    try:
        if suffix == ".npz":
            with open(path, "rb") as raw:
                if raw.read(4) != b"PK\x03\x04":
                    raise UserError(
                        f"{path} is not an .npz file, it may be cut off or damaged, or another format. Write it by "
                        "np.savez."
                    )
                raw.seek(0)
                with np.load(raw, allow_pickle=False) as file:
                    return function(file)
        with ReadFile(path) as read, h5py.File(read, "r") as file:
            if elsewhere := lies_elsewhere(file):
                raise UserError(f"{path}: {elsewhere} lies in another file. Copy it into this one.")
            return function(file)
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(
            f"{path} does not fit into memory ({error}). Save fewer or smaller images, or save them as files, of which "
            "source: image_folder with store: index keeps none in memory."
        ) from error
    except Exception as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{path} holds Python objects, which are never loaded, as that runs code. Save arrays of numbers, and "
                "names as text: np.array(names, dtype=str)."
            ) from error
        # numpy, zipfile and h5py raise whatever they come upon in a damaged file.
        raise UserError(f"{path} cannot be read, it may be cut off or damaged ({error}).") from error


def _flat(labels: np.ndarray) -> np.ndarray:
    """Return labels (images, 1) as (images,)."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _joined(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the arrays of all splits, by their names, under one another."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if len({array.shape[1:] for array in arrays.values()}) > 1 or not all(array.ndim for array in arrays.values()):
        shapes = _named(f"{name} {array.shape}" for name, array in arrays.items())
        raise UserError(f"{path}: {shapes} differ beyond their first axis. Give both splits the same shape.")
    try:
        return np.concatenate(list(arrays.values()))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {_named(arrays)} cannot be joined ({error}). Give them one type.") from error


def _joined_images(path: Path, arrays: Mapping[str, np.ndarray], settings: ArraysSettings) -> np.ndarray:
    """Return the images of all splits, by the names of their arrays, as `as_images` does, each by its own range."""
    channels = settings.channels
    images = {name: as_images(array, f"{path}: {name}", channels) for name, array in arrays.items()}
    white = {name: "1" if array.max() <= 1 else "255" for name, array in arrays.items() if array.dtype.kind == "f"}
    dark = {name: "black" if array.max() <= 1 else "not" for name, array in images.items()}
    if len(set(white.values())) > 1 or len(set(dark.values())) > 1:
        ranges = _named(
            f"{name} is {each.dtype} from {each.min()!s} to {each.max()!s}" for name, each in arrays.items()
        )
        raise UserError(f"{path}: {ranges}. Save both splits in one range, from 0 to 1 or from 0 to 255.")
    return _joined(path, images)


# --- images ----------------------------------------------------------------------------------------------------------


def as_images(images: np.ndarray, where: str, channels: str | None = None) -> np.ndarray:
    """Return images as uint8 (images, height, width, channels).

    Args:
        images: (images, height, width) or with channels in front of or after height and width; integers from 0 to 255,
            bool, floating-point numbers from 0 to 1, or whole ones from 0 to 255.
        where: File and array, for messages.
        channels: "first" or "last"; None to derive it from the shape.

    Raises:
        UserError: Shape or values have no meaning, or several.
    """
    shape = images.shape
    if images.ndim not in (3, 4) or not images.size:
        cure = " Reshape it: images.reshape(n, height, width, channels)." if images.ndim < 3 and images.size else ""
        raise UserError(
            f"{where} is {images.dtype} of shape {shape}; it has to be (n, height, width) or (n, height, width, "
            f"channels), and not empty.{cure}"
        )
    pixels = as_pixels(images, where)
    if images.ndim == 3:
        return pixels[..., None]
    side = channels or channel_axis(shape)
    if side is None:
        raise UserError(
            f"{where} has the shape {shape}, which does not determine the axis of the channels. Set "
            "datasets.NAME.channels: first or last."
        )
    return np.ascontiguousarray(np.moveaxis(pixels, 1, -1)) if side == "first" else pixels


def channel_axis(shape: Sequence[int]) -> str | None:
    """Return "first" or "last" where one of them is plausible for images (n, ., ., .); None otherwise.

    Plausible are 1 and 3 channels, and any number of channels of square images.
    """
    _, first, middle, last = shape
    plausible = {"first": first in (1, 3) or middle == last, "last": last in (1, 3) or first == middle}
    sides = [side for side, is_plausible in plausible.items() if is_plausible]
    return sides[0] if len(sides) == 1 else None


def as_pixels(values: np.ndarray, where: str) -> np.ndarray:
    """Return pixel values as uint8; 0 to 255 where they are so, and from 0 to 1 by 255."""
    if values.dtype.kind not in "buif":
        raise UserError(f"{where} is {values.dtype}; pixels have to be numbers. Save them as uint8.")
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * 255
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu":
        if low < 0:
            cure = " Bytes that were read with a sign are images.view('uint8')." if values.dtype == np.int8 else ""
            raise UserError(
                f"{where} is {values.dtype} from {low} to {high}; pixels are not negative. Save the images as they "
                f"were before normalization, from 0 to 255.{cure}"
            )
        if high > 255:
            raise UserError(
                f"{where} is {values.dtype} from {low} to {high}; pixels have 8 bits, 0 to 255. Scale them, for "
                f"example (images / {high} * 255).astype('uint8')."
            )
        if high <= 1:
            log.warning(
                "%s: the largest pixel is %d of 255, so all images are black. Save 0 and 1 as bool.", where, high
            )
        return values.astype(np.uint8, copy=False)
    if not np.isfinite(low) or not np.isfinite(high):
        raise UserError(f"{where} holds NaN or infinite values. Replace them.")
    if low < 0:
        raise UserError(
            f"{where} is {values.dtype} from {low!s} to {high!s}; pixels are not negative. Save the images as they "
            "were before normalization, from 0 to 1 or from 0 to 255."
        )
    if high <= 1:
        if high * 255 <= 1:
            log.warning(
                "%s: the largest pixel is %.4g, where 1 is white, so all images are black. Save them from 0 to 1.",
                *(where, high),
            )
        return _rounded(values, 255)
    if high > 255 or not all((block == np.rint(block)).all() for block in _blocks(values)):
        raise UserError(
            f"{where} is {values.dtype} from {low!s} to {high!s}; floating-point pixels are from 0 to 1, or whole "
            "numbers from 0 to 255. Where 1 is white, clip them: np.clip(images, 0, 1); where 255 is, round them: "
            "np.rint(images).astype('uint8')."
        )
    return _rounded(values, 1)


def _rounded(values: np.ndarray, scale: int) -> np.ndarray:
    result = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), 4096):
        result[first : first + 4096] = np.rint(values[first : first + 4096].astype(np.float64) * scale)
    return result


def _blocks(values: np.ndarray) -> list[np.ndarray]:
    return [values[first : first + 4096] for first in range(0, len(values), 4096)]


# --- labels ----------------------------------------------------------------------------------------------------------


def as_labels(
    labels: np.ndarray,
    count: int,
    where: str,
    chosen: Sequence[str | int] | None = None,
    in_file: np.ndarray | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Return labels as int64 (images,), and the class names.

    Args:
        labels: (images,) or (images, 1): numbers from 0, bool, or names; or (images, classes) one-hot.
        count: Number of images.
        where: File and array, for messages.
        chosen: The setting `classes`.
        in_file: The file's array `classes`, the names by number.

    Raises:
        UserError: They are no labels, or do not fit the names.
    """
    labels = _flat(labels)
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
        return numbered(names.tolist(), chosen if chosen is not None or in_file is None else in_file.tolist(), where)
    labels = _as_numbers(labels, count, where)
    numbers = [str(number) for number in range(max(width, labels.max() + 1))]
    given = in_file.tolist() if chosen is None and in_file is not None else chosen
    if given is None:
        return labels, numbers
    titles = [composed(str(name)) for name in given]
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


def _split(path: Path, split: np.ndarray | None, count: int, settings: ArraysSettings) -> np.ndarray | None:
    """Return the array `split` as numbers (images,), -1 for images of other splits than train and test."""
    if split is None:
        if split_names(settings.split):
            raise UserError(f"datasets.NAME.split names splits, but {path} has no array 'split'. Remove the setting.")
        return None
    if split.ndim == 2 and split.shape[1] == 1:
        split = split[:, 0]
    if split.shape == (count,) and split.dtype.kind in "SUO":
        names = one_spelling(_as_text(split, f"{path}: split").tolist())
        chosen = roles(names, split_names(settings.split), f"{path}: split")
        if set(names) == {chosen.get("train")}:
            # Split here, as a folder train alone.
            return None
        if "test" in chosen:
            numbers = {name: SPLITS[role] for role, name in chosen.items()}
            return np.array([numbers.get(name, -1) for name in names])
    if split.shape != (count,) or not np.isin(split, list(SPLITS.values())).all():
        raise UserError(
            f"{path}: split has to hold 0 (train) or 1 (test), or these names, for each of the {count} images."
        )
    if not split.any():
        return None
    return split.astype(np.int64)
