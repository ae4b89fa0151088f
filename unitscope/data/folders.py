"""Folders of images: which files are images, their splits and classes, by folders or by a CSV file.

Names of files in, names of files out; nothing is decoded here.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unitscope.data.dataset_settings import DatasetSettings, ImageFolderSettings, split_names
from unitscope.data.decoding import IMAGE_SUFFIXES, leads_nowhere, leads_out
from unitscope.data.labels import SPLITS, are_splits, composed, numbered, one_spelling, ordered, roles, split_by_name
from unitscope.errors import UserError, printable
from unitscope.runtime.console import log
from unitscope.storage.walking import OF_SYSTEMS, entries_below

LABELS = "labels.csv"
"""The file of labels that is read if images are in no class folder; its name counts whatever its case."""
COLUMNS = ("file", "label", "split")


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


@dataclass
class _Found:
    """Files below a folder, relative to the root: images, and what is not read; and whether there are links."""

    images: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    linked: bool = False


@dataclass(frozen=True)
class _Table:
    """A CSV file of labels: for each file that it names, its row number, label and split."""

    path: Path
    rows: dict[str, tuple[int, str, str]]
    has_split: bool


def listed(root: Path, settings: ImageFolderSettings) -> Listing:
    """Return the images of a folder with their labels and splits, in the order of classes and names.

    Args:
        root: The folder.
        settings: Of the data set.

    Raises:
        UserError: Something is missing, or has several meanings; the message names it.
    """
    chosen = settings.classes
    _warn_of_hidden(root, "", settings)
    parts = split_folders(root, settings) or {"": ""}
    for place in filter(None, parts.values()):
        _warn_of_hidden(root, place, settings)
    others = [] if "" in parts else [name for name in _names(root) if name not in parts.values()]
    trees = {place: _walked(root, place, settings.links) for place in parts.values()}
    table = None
    if settings.labels or any(_beside(place, tree) for place, tree in trees.items()):
        folders = [name for name in others if (root / name).is_dir()]
        unread = [name for folder in folders for name in _walked(root, folder, "anywhere").images]
        table = _table(root, settings, [*(name for tree in trees.values() for name in tree.images), *unread])
    files: list[str] = []
    names: list[str | None] = []
    numbers: list[int] = []
    for split, place in parts.items():
        by_table = table is not None and _is_by_table(place, trees[place], table, settings)
        own = (
            _by_table(root, trees[place], table)
            if by_table and table
            else _by_folder(root, place, trees[place], chosen)
        )
        files += own
        names += own.values()
        numbers += [SPLITS.get(split, -1)] * len(own)
    skipped = [*others, *(name for tree in trees.values() for name in tree.skipped)]
    _warn_of_skipped(root, [name for name in skipped if table is None or root / name != table.path])
    if table is None:
        _refuse_unread_labels(root, names, skipped, is_split="test" in parts, chosen=chosen)
    if len({composed(name) for name in names if name}) < len({name for name in names if name}):
        log.warning("%s: names of classes that differ only in Unicode's form of accents (NFC, NFD) count as one.", root)
    names = [name and composed(name) for name in names]
    split_numbers = None
    if "test" in parts:
        _check_parts(root, parts, names, numbers)
        split_numbers = np.array(numbers, np.uint8)
    if table is not None and table.has_split:
        files, names, split_numbers = _split_by_column(files, names, split_numbers, table, settings)
    real = None
    if any(tree.linked for tree in trees.values()):
        real = [os.path.realpath(root / name) for name in files]
    if set(names) == {None}:
        if chosen is not None:
            raise UserError(
                f"datasets.NAME.classes lists classes, but the images in {root} are in no class folder, and there is "
                f"no {root / LABELS}. Remove classes, or name the labels."
            )
        return Listing(files, np.full(len(files), -1, np.int64), [], split_numbers, real)
    labels, classes = numbered([str(name) for name in names], chosen, root)
    return Listing(files, labels, classes, split_numbers, real)


def split_folders(root: Path, settings: ImageFolderSettings) -> dict[str, str]:
    """Return the names of the folders of the splits below a folder, by "train" and "test"; empty if it has none.

    Raises:
        UserError: As in `labels.roles`.
    """
    folders = [name for name in _names(root) if (root / name).is_dir()]
    chosen = split_names(settings.split)
    if chosen and label_files(settings):
        values = {name.lower() for name in chosen.values()}
        if not values & {name.lower() for name in folders}:
            # Of the column.
            return {}
    return roles(folders, chosen, root)


def class_count(root: Path, settings: ImageFolderSettings) -> int:
    """Return how many classes a folder of images has, without a look at its images; 0 where it is not known."""
    if settings.classes:
        return len(settings.classes)
    if not root.is_dir() or not _names(root):
        return 0
    if label_files(settings):
        return len(listed(root, settings).classes)
    train = root / split_folders(root, settings).get("train", "")
    return sum((train / name).is_dir() for name in _names(train))


def label_files(settings: DatasetSettings) -> list[Path]:
    """Return the CSV files from which the labels of a folder of images are read, if there are any."""
    if not isinstance(settings, ImageFolderSettings):
        return []
    root = Path(settings.path)
    if settings.labels:
        return [root / settings.labels]
    names = sorted(os.listdir(root), key=lambda name: (name != LABELS, name)) if root.is_dir() else []
    return [root / name for name in names if name.lower() == LABELS and (root / name).is_file()][:1]


# --- folders ---------------------------------------------------------------------------------------------------------


def _names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith(".") and name not in OF_SYSTEMS)


def _walked(root: Path, place: str, links: str) -> _Found:
    """Return the files below `root/place`, without hidden ones; links are followed, circles end.

    What is no regular file, such as a pipe, is not read.
    """
    found = _Found(linked=os.path.islink(root / place))
    real_root = os.path.realpath(root)
    prefix = f"{place}/" if place else ""

    def enter(name: str, real: str) -> None:
        found.linked = True
        if links != "anywhere" and not f"{real}/".startswith(f"{real_root.rstrip('/')}/"):
            raise UserError(leads_out(root, name))

    if links != "anywhere" and not f"{os.path.realpath(root / place)}/".startswith(f"{real_root.rstrip('/')}/"):
        raise UserError(leads_out(root, place))
    for below, entry in entries_below(str(root / place), lambda name, real: enter(f"{prefix}{name}", real)):
        _check_name(root, f"{prefix}{below}")
        is_image = _is_image_name(entry.name)
        if is_image and entry.is_symlink():
            found.linked = True
            is_image = os.path.isfile(entry.path)
            if not os.path.exists(entry.path):
                raise UserError(leads_nowhere(root, f"{prefix}{below}"))
        else:
            is_image = is_image and entry.is_file()
        (found.images if is_image else found.skipped).append(f"{prefix}{below}")
    for names in (found.images, found.skipped):
        names.sort(key=lambda name: name.split("/"))
    return found


def _check_name(root: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise UserError(f"{root}: the name of the file {shown} is not UTF-8. Rename it.") from None


def _beside(place: str, tree: _Found) -> list[str]:
    """Return the images of a part in none of its folders."""
    depth = len(place) + 1 if place else 0
    return [name for name in tree.images if "/" not in name[depth:]]


def _by_folder(root: Path, place: str, tree: _Found, chosen: Sequence[str | int] | None) -> dict[str, str | None]:
    """Return the class of each image of a part, by class folders; None in a folder without classes."""
    folder = root / place
    depth = len(place) + 1 if place else 0
    subfolders = ordered(name for name in _names(folder) if (folder / name).is_dir())
    beside = _beside(place, tree)
    if subfolders and beside:
        raise UserError(
            f"{folder} holds images ({printable(Path(beside[0]).name)}) beside the folder {printable(subfolders[0])}. "
            "Give every class a folder of its own, or, without classes, put all images into one folder."
        )
    allowed = ", ".join(sorted(IMAGE_SUFFIXES))
    if not subfolders:
        if not tree.images:
            raise UserError(f"{folder} holds no images ({allowed}). Add some, or remove the folder.")
        return dict.fromkeys(tree.images)
    if len(subfolders) == 2 and chosen is None and (split := split_by_name(subfolders)):
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
    _check_nested(folder, members, depth, chosen)
    return {image: name for name, images in members.items() for image in images}


def _check_nested(
    folder: Path, members: Mapping[str, list[str]], depth: int, chosen: Sequence[str | int] | None
) -> None:
    """Refuse class folders that hold only folders: the classes may be one level below."""
    nested = [name for name, images in members.items() if all(image[depth:].count("/") > 1 for image in images)]
    if nested and chosen is not None and are_splits({image[depth:].split("/")[1] for image in members[nested[0]]}):
        log.warning(
            "%s holds folders of splits, which are not read as splits below a class.", printable(folder / nested[0])
        )
    if not nested or chosen is not None:
        return
    first = nested[0]
    below = ordered({image[depth:].split("/")[1] for name in nested for image in members[name]})
    inner = _some(below)
    if len(nested) < len(members):
        log.warning(
            "%s holds only folders (%s): all their images belong to the class %r.",
            *(printable(folder / first), inner, first),
        )
        return
    if len(members) > 1 and are_splits(below):
        raise UserError(
            f"{folder}: each class folder ({_some(members)}) has folders of splits ({inner}). Put the splits above the "
            f"classes: {below[0]}/{first}, and so on."
        )
    split = split_by_name(list(members))
    if split:
        raise UserError(
            f"{folder} has the folders {_some(members)}, which hold only folders ({inner}). If they are splits, set "
            f"datasets.NAME.split: {{train: {split['train']}, test: {split['test']}}}. If they are classes, list them: "
            f"datasets.NAME.classes: [{_some(members)}]."
        )
    raise UserError(
        f"{folder}: the class folders ({_some(members)}) hold only folders ({inner}). If these are the classes, set "
        f"datasets.NAME.path: {printable(folder / first)}. If not, list the "
        f"classes: datasets.NAME.classes: [{_some(members)}]."
    )


def _some(names: Iterable[str]) -> str:
    names = [printable(name) for name in names]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _check_parts(root: Path, parts: Mapping[str, str], names: Sequence[str | None], numbers: Sequence[int]) -> None:
    """Raise a UserError if the folders of the splits have different classes."""
    train, test = ({name for name, own in zip(names, numbers, strict=True) if own == n} for n in SPLITS.values())
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
    root: Path, names: Sequence[str | None], skipped: Sequence[str], is_split: bool, chosen: object
) -> None:
    """Refuse one class folder, or folders of splits without classes, that have a CSV file of labels."""
    tables = [name for name in skipped if name.rpartition("/")[2].lower() == LABELS]
    classes = set(names)
    if classes == {None} and is_split and tables:
        raise UserError(
            f"{root}: the images are in no class folder, and {' and '.join(map(printable, tables[:2]))} may hold their "
            f"labels. Join them into one file, {root / LABELS}, or move them elsewhere."
        )
    if len(classes) == 1 and None not in classes and chosen is None and tables:
        name = next(iter(classes))
        raise UserError(
            f"{root} has one class folder, {name!r}, and {printable(tables[0])}, which is not read. Set "
            f"datasets.NAME.labels: {printable(tables[0])}, or, if there is one class, datasets.NAME.classes: [{name}]."
        )


def _warn_of_hidden(root: Path, place: str, settings: ImageFolderSettings) -> None:
    """Name hidden folders with images where the folders of splits or classes lie: they may be meant as some."""
    names = os.listdir(root / place)
    hidden = sorted(name for name in names if name.startswith(".") and _holds_images(root / place / name, settings))
    # Beside images that are in no folder, it may only be a program's: thumbnails and the like.
    if hidden and not any(
        _is_image_name(name) and os.path.isfile(root / place / name) for name in _names(root / place)
    ):
        log.warning(
            "%s: hidden folders with images are not read: %s. Where they are classes or splits, rename them without "
            "the dot.",
            *(printable(root / place), _some(hidden)),
        )


def _holds_images(folder: Path, settings: ImageFolderSettings) -> bool:
    """Return whether what is not hidden below a folder holds an image; a folder that cannot be read holds none."""
    if not folder.is_dir() or (folder.is_symlink() and settings.links != "anywhere"):
        return False
    try:
        return any(_is_image_name(name) for name, _ in entries_below(str(folder)))
    except OSError:
        return False


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _warn_of_skipped(root: Path, skipped: Sequence[str]) -> None:
    if not skipped:
        return
    suffixes = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in skipped)
    kinds = ", ".join(
        f"{count} {printable(suffix)}" for suffix, count in sorted(suffixes.items(), key=lambda item: -item[1])[:6]
    )
    examples = ", ".join(map(printable, skipped[:3])) + (", ..." if len(skipped) > 3 else "")
    log.warning(
        "%s: files that are not read: %d (%s): %s. Formats that are read: %s.",
        *(root, len(skipped), kinds, examples, ", ".join(sorted(IMAGE_SUFFIXES))),
    )


# --- labels in a CSV file --------------------------------------------------------------------------------------------


def _table(root: Path, settings: ImageFolderSettings, images: Sequence[str]) -> _Table | None:
    """Return the labels in a CSV file by the images' paths below the root; None if there is no such file.

    A row may name a file by the end of its path, as long as no other image ends so; blanks around a name and
    backslashes between its parts count as if they were not there, unless they are part of it.
    """
    paths = label_files(settings)
    if not paths:
        return None
    path = paths[0]
    own = set(images)
    places: dict[str, list[str]] = {}
    for image in images:
        steps = image.split("/")
        for first in range(len(steps)):
            places.setdefault(composed("/".join(steps[first:])), []).append(image)
    rows: dict[str, tuple[int, str, str]] = {}
    header, lines = _read_csv(path)
    for number, line in lines:
        where = f"{path}, line {number}"
        if len(line) != len(header):
            raise UserError(f"{where} has {len(line)} fields; the header has {len(header)}. Quote names with commas.")
        row = dict(zip(header, line, strict=True))
        usual = os.path.normpath(row["file"].strip().replace("\\", "/")) if row["file"].strip() else ""
        forms = [[form] if form in own else places.get(composed(form), []) for form in (row["file"], usual)]
        matches = next(filter(None, forms), [])
        if not matches:
            raise UserError(
                f"{where}: there is no image {row['file']!r} in {root}. Correct the name, or remove the row."
            )
        if len(matches) > 1:
            raise UserError(
                f"{where}: {row['file']!r} may be {printable(matches[0])} or {printable(matches[1])}. Write "
                f"the path below {root}."
            )
        if matches[0] in rows:
            raise UserError(f"{where}: {row['file']!r} is listed already in line {rows[matches[0]][0]}. List it once.")
        if not row["label"].strip():
            raise UserError(f"{where}: {row['file']!r} has no label. Give it one, or remove the image and the row.")
        rows[matches[0]] = (number, row["label"].strip(), row.get("split", "").strip())
    # One without a name is pandas' index.
    if unread := [name for name in header if name and name not in COLUMNS]:
        log.warning(
            "%s: columns that are not read: %s. Those that are: %s.",
            path,
            _some(map(printable, unread)),
            ", ".join(COLUMNS),
        )
    return _Table(path, rows, "split" in header)


def _read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and the rows, each with its line number, of a CSV file with the columns file and label."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"datasets.NAME.labels: {path} cannot be read ({error.strerror}). Correct the path.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}). Save it as CSV in UTF-8.") from None
    first = text.partition("\n")[0]
    try:
        # The delimiter is the one by which the header has the columns.
        candidates = sorted(",;\t", key=first.count, reverse=True)
        readings = [_rows(text, delimiter) for delimiter in candidates if delimiter in first] or [_rows(text, ",")]
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file ({error}).") from None
    header, rows = next((each for each in readings if set(COLUMNS[:2]) <= set(each[0])), readings[0])
    if lost := [name for name in COLUMNS[:2] if header.count(name) != 1]:
        raise UserError(
            f"{path}: there is no single column {lost[0]!r}; its first line is {first.strip()[:100]!r}. Name the "
            "columns file, label and optionally split."
        )
    if not rows:
        raise UserError(f"{path} has no row below its header. Give each image a row.")
    if text.count('"') % 2 and any("\n" in field for field in rows[-1][1]):
        raise UserError(f"{path}, line {rows[-1][0]}: a quote is opened and never closed. Close or remove it.")
    return header, rows


def _rows(text: str, delimiter: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, in lowercase, and the rows that are not blank, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    header: list[str] = []
    rows = []
    number = 1
    for row in reader:
        if not header:
            header = [name.strip().lower() for name in row]
        elif any(map(str.strip, row)):
            rows.append((number, row))
        number = reader.line_num + 1
    return header, rows


def _is_by_table(place: str, tree: _Found, table: _Table, settings: ImageFolderSettings) -> bool:
    """Return whether a part takes its labels from the file: it names some, or the images are in no class folder."""
    named = bool(settings.labels) and any(name in table.rows for name in tree.images)
    return named or bool(_beside(place, tree))


def _by_table(root: Path, tree: _Found, table: _Table) -> dict[str, str | None]:
    """Return the class of each image of a part, by the file."""
    if lost := [name for name in tree.images if name not in table.rows]:
        raise UserError(
            f"{table.path} has no row for {len(lost)} of the images in {root}, the first of which is "
            f"{printable(lost[0])}. Add rows, or remove the images."
        )
    return {name: table.rows[name][1] for name in tree.images}


def _split_by_column(
    files: list[str],
    names: list[str | None],
    split: np.ndarray | None,
    table: _Table,
    settings: ImageFolderSettings,
) -> tuple[list[str], list[str | None], np.ndarray | None]:
    """Return the images that the column puts into one of both splits, their class names and splits."""
    column = one_spelling([table.rows[name][2] if name in table.rows else "" for name in files])
    values = set(column) - {""}
    if not values:
        return files, names, split
    chosen = roles(values, split_names(settings.split), f"{table.path}, column split,")
    if set(column) == {chosen.get("train")} and "test" not in chosen:
        # Split here, as a folder train alone.
        return files, names, split
    if "test" not in chosen:
        raise UserError(
            f"{table.path}: the column split has {', '.join(ordered(values))}, which are not train and test. Use these "
            "names, or name the splits: datasets.NAME.split: {train: ..., test: ...}."
        )
    numbers = {chosen[name]: number for name, number in SPLITS.items()}
    for place, (name, value) in enumerate(zip(files, column, strict=True)):
        by_folder = None if split is None else int(split[place])
        if by_folder is None and not value:
            raise UserError(f"{table.path}: {printable(name)} has no split. Fill in the column.")
        if by_folder is not None and value and numbers.get(value) != by_folder:
            raise UserError(
                f"{table.path}: {printable(name)} is in the split {value!r} there, but is in the folder of another "
                "split. Correct one of them."
            )
    if split is not None:
        return files, names, split
    kept = [place for place, value in enumerate(column) if value in numbers]
    if len(kept) < len(files):
        log.warning("%s: %d images of other splits are not read.", table.path, len(files) - len(kept))
    return (
        [files[place] for place in kept],
        [names[place] for place in kept],
        np.array([numbers[column[place]] for place in kept]),
    )
