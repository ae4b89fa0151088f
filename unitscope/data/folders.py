"""Folders of images: which files are images, their splits and classes, by folders or by a CSV file.

Names of files in, names of files out; nothing is decoded here.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unitscope.data.dataset_settings import ImageFolderSettings, split_names
from unitscope.data.folder_tree import (
    Tree,
    entry_names,
    first_few,
    loose_images,
    walked,
    warn_of_hidden,
    warn_of_skipped,
)
from unitscope.data.image_files import IMAGE_SUFFIXES
from unitscope.data.label_table import (
    LABELS,
    classes_by_table,
    is_labelled_by,
    label_files,
    read_label_table,
    split_by_column,
)
from unitscope.data.labels import SPLITS, are_splits, composed, numbered, ordered, roles, split_by_name
from unitscope.errors import UserError, printable
from unitscope.runtime.console import log


@dataclass(frozen=True)
class Listing:
    """The images of a folder.

    Attributes:
        files: Paths relative to the folder.
        labels: (images,) int64, -1 where there are no classes.
        classes: Names of the classes.
        split: (images,) uint8, 0 train and 1 test; None where the folder has no split.
        real: Real paths of the images; None where no link leads to them.
    """

    files: list[str]
    labels: np.ndarray
    classes: list[str]
    split: np.ndarray | None
    real: list[str] | None = None


def listed(root: Path, settings: ImageFolderSettings) -> Listing:
    """Return the images of a folder with their labels and splits, in the order of classes and names.

    Args:
        root: The folder.
        settings: Of the data set.

    Raises:
        UserError: Something is missing, or has several meanings; the message names it.
    """
    class_names = settings.classes
    warn_of_hidden(root, "", settings)
    parts = split_folders(root, settings) or {"": ""}
    for place in filter(None, parts.values()):
        warn_of_hidden(root, place, settings)
    other_names = [] if "" in parts else [name for name in entry_names(root) if name not in parts.values()]
    trees = {place: walked(root, place, settings.links) for place in parts.values()}
    table = None
    if settings.labels or any(loose_images(place, tree) for place, tree in trees.items()):
        folders = [name for name in other_names if (root / name).is_dir()]
        unread = [name for folder in folders for name in walked(root, folder, "anywhere").images]
        table = read_label_table(root, settings, [*(name for tree in trees.values() for name in tree.images), *unread])
    files: list[str] = []
    names: list[str | None] = []
    numbers: list[int] = []
    for split, place in parts.items():
        by_table = table is not None and is_labelled_by(place, trees[place], table, settings)
        class_of_image = (
            classes_by_table(root, trees[place], table)
            if by_table and table
            else _by_folder(root, place, trees[place], class_names)
        )
        files += class_of_image
        names += class_of_image.values()
        numbers += [SPLITS.get(split, -1)] * len(class_of_image)
    skipped = [*other_names, *(name for tree in trees.values() for name in tree.skipped)]
    warn_of_skipped(root, [name for name in skipped if table is None or root / name != table.path])
    if table is None:
        _refuse_unread_labels(root, names, skipped, is_split="test" in parts, class_names=class_names)
    if len({composed(name) for name in names if name}) < len({name for name in names if name}):
        log.warning("%s: names of classes that differ only in Unicode's form of accents (NFC, NFD) count as one.", root)
    names = [name and composed(name) for name in names]
    split_numbers = None
    if "test" in parts:
        _check_parts(root, parts, names, numbers)
        split_numbers = np.array(numbers, np.uint8)
    if table is not None and table.has_split:
        files, names, split_numbers = split_by_column(files, names, split_numbers, table, settings)
    real = None
    if any(tree.linked for tree in trees.values()):
        real = [os.path.realpath(root / name) for name in files]
    if set(names) == {None}:
        if class_names is not None:
            raise UserError(
                f"datasets.NAME.classes lists classes, but the images in {root} are in no class folder, and there is "
                f"no {root / LABELS}. Remove classes, or name the labels."
            )
        return Listing(files, np.full(len(files), -1, np.int64), [], split_numbers, real)
    labels, classes = numbered([str(name) for name in names], class_names, root)
    return Listing(files, labels, classes, split_numbers, real)


def split_folders(root: Path, settings: ImageFolderSettings) -> dict[str, str]:
    """Return the names of the folders of the splits below a folder, by "train" and "test"; empty if it has none.

    Raises:
        UserError: As in `labels.roles`.
    """
    folders = [name for name in entry_names(root) if (root / name).is_dir()]
    configured_names = split_names(settings.split)
    if configured_names and label_files(settings):
        values = {name.lower() for name in configured_names.values()}
        if not values & {name.lower() for name in folders}:
            # Of the column.
            return {}
    return roles(folders, configured_names, root)


def class_count(root: Path, settings: ImageFolderSettings) -> int:
    """Return how many classes a folder of images has, without a look at its images; 0 where it is not known."""
    if settings.classes:
        return len(settings.classes)
    if not root.is_dir() or not entry_names(root):
        return 0
    if label_files(settings):
        return len(listed(root, settings).classes)
    train = root / split_folders(root, settings).get("train", "")
    return sum((train / name).is_dir() for name in entry_names(train))


def _by_folder(root: Path, place: str, tree: Tree, class_names: Sequence[str | int] | None) -> dict[str, str | None]:
    """Return the class of each image of a part, by class folders; None in a folder without classes."""
    folder = root / place
    depth = len(place) + 1 if place else 0
    subfolders = ordered(name for name in entry_names(folder) if (folder / name).is_dir())
    loose = loose_images(place, tree)
    if subfolders and loose:
        raise UserError(
            f"{folder} holds images ({printable(Path(loose[0]).name)}) beside the folder {printable(subfolders[0])}. "
            "Give every class a folder of its own, or, without classes, put all images into one folder."
        )
    allowed = ", ".join(sorted(IMAGE_SUFFIXES))
    if not subfolders:
        if not tree.images:
            raise UserError(f"{folder} holds no images ({allowed}). Add some, or remove the folder.")
        return dict.fromkeys(tree.images)
    if len(subfolders) == 2 and class_names is None and (split := split_by_name(subfolders)):
        log.warning(
            "%s: the folders %s and %s are read as classes. If they are splits, set datasets.NAME.split: {train: %s, "
            "test: %s}.",
            *(folder, *map(printable, (*split.values(), *split.values()))),
        )
    members: dict[str, list[str]] = {name: [] for name in subfolders}
    for name in tree.images:
        members[name[depth:].partition("/")[0]].append(name)
    for name, images in members.items():
        if not images:
            raise UserError(f"{printable(folder / name)} holds no images ({allowed}). Add some, or remove the folder.")
    _check_nested(folder, members, depth, class_names)
    return {image: name for name, images in members.items() for image in images}


def _check_nested(
    folder: Path, members: Mapping[str, list[str]], depth: int, class_names: Sequence[str | int] | None
) -> None:
    """Refuse class folders that hold only folders: the classes may be one level below."""
    nested = [name for name, images in members.items() if all(image[depth:].count("/") > 1 for image in images)]
    if nested and class_names is not None and are_splits({image[depth:].split("/")[1] for image in members[nested[0]]}):
        log.warning(
            "%s holds folders of splits, which are not read as splits below a class.", printable(folder / nested[0])
        )
    if not nested or class_names is not None:
        return
    first = nested[0]
    below = ordered({image[depth:].split("/")[1] for name in nested for image in members[name]})
    inner = first_few(below)
    if len(nested) < len(members):
        log.warning(
            "%s holds only folders (%s): all their images belong to the class %r.",
            *(printable(folder / first), inner, first),
        )
        return
    if len(members) > 1 and are_splits(below):
        raise UserError(
            f"{folder}: each class folder ({first_few(members)}) has folders of splits ({inner}). Put the splits above "
            f"the classes: {below[0]}/{first}, and so on."
        )
    split = split_by_name(list(members))
    if split:
        raise UserError(
            f"{folder} has the folders {first_few(members)}, which hold only folders ({inner}). If they are splits, "
            f"set datasets.NAME.split: {{train: {split['train']}, test: {split['test']}}}. If they are classes, list "
            f"them: datasets.NAME.classes: [{first_few(members)}]."
        )
    raise UserError(
        f"{folder}: the class folders ({first_few(members)}) hold only folders ({inner}). If these are the classes, "
        f"set datasets.NAME.path: {printable(folder / first)}. If not, list the classes: "
        f"datasets.NAME.classes: [{first_few(members)}]."
    )


def _check_parts(root: Path, parts: Mapping[str, str], names: Sequence[str | None], numbers: Sequence[int]) -> None:
    """Raise a UserError if the folders of the splits have different classes."""
    train, test = ({name for name, number in zip(names, numbers, strict=True) if number == n} for n in SPLITS.values())
    if None in train ^ test:
        flat = parts["train"] if None in train else parts["test"]
        raise UserError(
            f"{root / flat} holds images in no class folder. Name their classes in a CSV file with the columns file "
            f"and label: {root / LABELS}, or another one as datasets.NAME.labels."
        )
    if train != test:
        only = ordered(str(name) for name in train ^ test)[0]
        raise UserError(
            f"{root}: the class {only!r} has images in only one of the folders {parts['train']} and {parts['test']}."
        )


def _refuse_unread_labels(
    root: Path, names: Sequence[str | None], skipped: Sequence[str], is_split: bool, class_names: object
) -> None:
    """Refuse one class folder, or folders of splits without classes, that have a CSV file of labels."""
    tables = [name for name in skipped if name.rpartition("/")[2].lower() == LABELS]
    classes = set(names)
    if classes == {None} and is_split and tables:
        raise UserError(
            f"{root}: the images are in no class folder, and {' and '.join(map(printable, tables[:2]))} may hold their "
            f"labels. Join them into one file, {root / LABELS}, or move them elsewhere."
        )
    if len(classes) == 1 and None not in classes and class_names is None and tables:
        name = next(iter(classes))
        raise UserError(
            f"{root} has one class folder, {name!r}, and {printable(tables[0])}, which is not read. Set "
            f"datasets.NAME.labels: {printable(tables[0])}, or, if there is one class, datasets.NAME.classes: [{name}]."
        )
