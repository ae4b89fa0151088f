"""Labels of a folder's images in a CSV file: a class, and perhaps a split, for each file that it names."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unitscope.data.dataset_settings import DatasetSettings, ImageFolderSettings, split_names
from unitscope.data.folder_tree import Tree, first_few, loose_images
from unitscope.data.labels import SPLITS, composed, one_spelling, ordered, roles
from unitscope.errors import UserError, printable
from unitscope.runtime.console import log

LABELS = "labels.csv"
"""The file of labels that is read if images are in no class folder; its name counts whatever its case."""
COLUMNS = ("file", "label", "split")


@dataclass(frozen=True)
class LabelTable:
    """A CSV file of labels: for each file that it names, its row number, label and split."""

    path: Path
    rows: dict[str, tuple[int, str, str]]
    has_split: bool


def label_files(settings: DatasetSettings) -> list[Path]:
    """Return the CSV files from which the labels of a folder of images are read, if there are any."""
    if not isinstance(settings, ImageFolderSettings):
        return []
    root = Path(settings.path)
    if settings.labels:
        return [root / settings.labels]
    names = sorted(os.listdir(root), key=lambda name: (name != LABELS, name)) if root.is_dir() else []
    return [root / name for name in names if name.lower() == LABELS and (root / name).is_file()][:1]


def read_label_table(root: Path, settings: ImageFolderSettings, images: Sequence[str]) -> LabelTable | None:
    """Return the labels in a CSV file by the images' paths below the root; None if there is no such file.

    A row may name a file by the end of its path, as long as no other image ends so; blanks around a name and
    backslashes between its parts count as if they were not there, unless they are part of it.
    """
    paths = label_files(settings)
    if not paths:
        return None
    path = paths[0]
    image_paths = set(images)
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
        normalized = os.path.normpath(row["file"].strip().replace("\\", "/")) if row["file"].strip() else ""
        forms = [
            [form] if form in image_paths else places.get(composed(form), []) for form in (row["file"], normalized)
        ]
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
            first_few(map(printable, unread)),
            ", ".join(COLUMNS),
        )
    return LabelTable(path, rows, "split" in header)


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


def is_labelled_by(place: str, tree: Tree, table: LabelTable, settings: ImageFolderSettings) -> bool:
    """Return whether a part takes its labels from the file: it names some, or the images are in no class folder."""
    named = bool(settings.labels) and any(name in table.rows for name in tree.images)
    return named or bool(loose_images(place, tree))


def classes_by_table(root: Path, tree: Tree, table: LabelTable) -> dict[str, str | None]:
    """Return the class of each image of a part, by the file."""
    if lost := [name for name in tree.images if name not in table.rows]:
        raise UserError(
            f"{table.path} has no row for {len(lost)} of the images in {root}, the first of which is "
            f"{printable(lost[0])}. Add rows, or remove the images."
        )
    return {name: table.rows[name][1] for name in tree.images}


def split_by_column(
    files: list[str],
    names: list[str | None],
    split: np.ndarray | None,
    table: LabelTable,
    settings: ImageFolderSettings,
) -> tuple[list[str], list[str | None], np.ndarray | None]:
    """Return the images that the column puts into one of both splits, their class names and splits."""
    column = one_spelling([table.rows[name][2] if name in table.rows else "" for name in files])
    values = set(column) - {""}
    if not values:
        return files, names, split
    name_of_role = roles(values, split_names(settings.split), f"{table.path}, column split,")
    if set(column) == {name_of_role.get("train")} and "test" not in name_of_role:
        # Split here, as a folder train alone.
        return files, names, split
    if "test" not in name_of_role:
        raise UserError(
            f"{table.path}: the column split has {', '.join(ordered(values))}, which are not train and test. Use these "
            "names, or name the splits: datasets.NAME.split: {train: ..., test: ...}."
        )
    numbers = {name_of_role[name]: number for name, number in SPLITS.items()}
    for position, (name, value) in enumerate(zip(files, column, strict=True)):
        by_folder = None if split is None else int(split[position])
        if by_folder is None and not value:
            raise UserError(f"{table.path}: {printable(name)} has no split. Fill in the column.")
        if by_folder is not None and value and numbers.get(value) != by_folder:
            raise UserError(
                f"{table.path}: {printable(name)} is in the split {value!r} there, but is in the folder of another "
                "split. Correct one of them."
            )
    if split is not None:
        return files, names, split
    positions = [position for position, value in enumerate(column) if value in numbers]
    if len(positions) < len(files):
        log.warning("%s: %d images of other splits are not read.", table.path, len(files) - len(positions))
    return (
        [files[position] for position in positions],
        [names[position] for position in positions],
        np.array([numbers[column[position]] for position in positions]),
    )
