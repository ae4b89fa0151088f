"""Files of arrays as Keras, MedMNIST and others write them: what is read, and what the messages tell to change."""

import pickle
import re

import h5py
import numpy as np
import pytest
from real_images import collected

from unitscope.errors import UserError

LABELS = np.arange(12) % 3
PIXELS = np.arange(12 * 8 * 8 * 3).reshape(12, 8, 8, 3).astype(np.uint8)


def read(path, **settings):
    return collected({"source": "arrays", "path": str(path), "test_fraction": 0.5, "seed": 0, **settings})


def write(path, **arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            text = array.dtype.kind == "U"
            file.create_dataset(
                name, data=array.astype(object) if text else array, dtype=h5py.string_dtype() if text else None
            )
    return path


def all_of(collection):
    return collection.images(np.arange(len(collection.labels)))


@pytest.fixture(params=[".npz", ".h5"])
def file(request, tmp_path):
    return tmp_path / f"x{request.param}"


# --- names -----------------------------------------------------------------------------------------------------------


def test_internal_links_are_resolved(tmp_path, caplog):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["store/pixels"], file["store/numbers"] = PIXELS, LABELS
        file["images"] = h5py.SoftLink("/store/pixels")
        # One array by two names, a way back to the top, and one that leads nowhere.
        file["labels"] = file["y"] = file["store/numbers"]
        file["store/top"] = file
        file["lost"] = h5py.SoftLink("/nowhere")
    collection = read(path)
    np.testing.assert_array_equal(all_of(collection), PIXELS)
    assert collection.labels.tolist() == LABELS.tolist()
    assert not caplog.messages


@pytest.mark.parametrize("whole", [True, False])
def test_splits_may_be_links_to_one_another(tmp_path, whole):
    path = write(tmp_path / "x.h5", **{"train/images": PIXELS, "train/labels": LABELS})
    with h5py.File(path, "a") as file:
        for name in [""] if whole else ["/images", "/labels"]:
            file[f"test{name}"] = file[f"train{name}"]
    collection = read(path)
    assert collection.split.tolist() == [0] * 12 + [1] * 12
    np.testing.assert_array_equal(all_of(collection), np.concatenate([PIXELS, PIXELS]))


def test_branching_links_terminate(tmp_path):
    path = write(tmp_path / "x.h5", images=PIXELS, labels=LABELS)
    with h5py.File(path, "a") as file:
        group = file
        for _ in range(40):
            below = group.create_group("a")
            below["z"], group["b"] = [1], below
            group = below
    assert read(path).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_val", "Y_val"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("train/images", "train/labels", "test/images", "test/labels"),
    ],
)
def test_names_of_keras_and_medmnist(file, names):
    arrays = dict(zip(names, (PIXELS[:9], LABELS[:9, None], PIXELS[9:], LABELS[9:, None]), strict=True))
    collection = read(write(file, **arrays))
    np.testing.assert_array_equal(all_of(collection), PIXELS)
    assert collection.labels.tolist() == LABELS.tolist() and collection.split.tolist() == [0] * 9 + [1] * 3


def test_three_splits_need_the_setting_split(file, caplog):
    arrays = {}
    for number, name in enumerate(("train", "val", "test")):
        arrays |= {f"{name}_images": PIXELS[4 * number :][:4], f"{name}_labels": np.array([0, 0, 1, 1])[:, None]}
    with pytest.raises(UserError, match=r"Set datasets\.NAME\.split to \{test: test\} or \{test: val\}"):
        read(write(file, **arrays))
    collection = read(file, split={"test": "val"})
    np.testing.assert_array_equal(all_of(collection), PIXELS[:8])
    assert "test_images, test_labels are not read" in caplog.text


def test_arrays_with_only_a_train_split_are_split(file):
    assert read(write(file, x_train=PIXELS, y_train=LABELS)).split.sum() == 6


def test_names_in_split(file):
    names = np.array(["train", "train", "train", "Test", "Test", "Test"] * 2)
    assert read(write(file, x=PIXELS, y=LABELS, split=names)).split.tolist() == [0, 0, 0, 1, 1, 1] * 2
    names[-3:] = "val"
    with pytest.raises(UserError, match=r"\{test: Test\} or \{test: val\}"):
        read(write(file, x=PIXELS, y=LABELS, split=names))
    assert len(read(file, split={"test": "Test"}).labels) == 9


@pytest.mark.parametrize("split", [np.zeros(12, int), np.array(["train", "Train "] * 6)])
def test_file_with_only_a_train_split_is_split(file, split):
    assert read(write(file, images=PIXELS, labels=LABELS, split=split)).split.sum() == 6


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS}, "no labels of the test split"),
        ({"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS[:, 1:], "y_test": LABELS}, "differ beyond"),
        ({"x_train": PIXELS, "y_train": LABELS[1:], "x_test": PIXELS[1:], "y_test": LABELS}, "y_train has 11 rows"),
        ({"X": PIXELS, "x": PIXELS, "y": LABELS}, "may both be the images"),
        ({"data": PIXELS, "labels": LABELS}, "no array 'images'; it has data, labels"),
        ({"x": PIXELS, "y": LABELS, "x_test": PIXELS, "y_test": LABELS}, "has x and y, and also x_test and y_test"),
        ({"images": PIXELS, "labels": LABELS, "x_train": PIXELS, "y_train": LABELS}, "and also x_train and y_train"),
        ({"x_a": PIXELS, "y_a": LABELS, "x_b": PIXELS, "y_b": LABELS}, r"datasets\.NAME\.split"),
    ],
)
def test_inconsistent_array_names(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "x.npz", **arrays))


def test_unused_arrays_are_listed(file, caplog):
    names = np.array(["ash", "beech", "oak"])
    read(write(file, images=PIXELS, labels=LABELS, is_test=LABELS > 1, x_other=PIXELS))
    assert "x: is_test, x_other are not read" in caplog.text.replace(file.suffix, "")
    read(write(file, x_train=PIXELS, y_train=LABELS, x_test=PIXELS, y_test=LABELS, split=LABELS, y=LABELS))
    assert "split, y are not read" in caplog.text
    caplog.clear()
    for name in ("class_names", "label_names", "y_names"):
        assert read(write(file, images=PIXELS, labels=LABELS, **{name: names})).classes == names.tolist()
        assert read(write(file, x_train=PIXELS, y_train=LABELS, **{name: names})).classes == names.tolist()
    assert "not read" not in caplog.text


def test_labels_of_splits_may_differ_in_a_last_axis_of_one(file):
    collection = read(write(file, x_train=PIXELS, y_train=LABELS[:, None], x_test=PIXELS, y_test=LABELS))
    assert collection.labels.tolist() == LABELS.tolist() * 2


# --- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (PIXELS / np.float32(255), PIXELS),
        (PIXELS / 255, PIXELS),
        (PIXELS.astype(np.float32), PIXELS),
        (PIXELS.astype(np.float16) / np.float16(255), PIXELS),
        (PIXELS.astype(np.int64), PIXELS),
        (PIXELS.astype(">u2"), PIXELS),
        (PIXELS > 99, (PIXELS > 99) * np.uint8(255)),
        (np.moveaxis(PIXELS, 3, 1), PIXELS),
        (np.moveaxis(PIXELS / 255, 3, 1), PIXELS),
        (PIXELS[:, :6, :, :1], PIXELS[:, :6, :, :1]),
        (PIXELS[..., 0], PIXELS[..., :1]),
        (np.tile(PIXELS, 2)[..., :5], np.tile(PIXELS, 2)[..., :5]),
        (np.moveaxis(np.tile(PIXELS, 2)[..., :5], 3, 1), np.tile(PIXELS, 2)[..., :5]),
        (np.tile(PIXELS, 5), np.tile(PIXELS, 5)),
    ],
)
def test_unambiguous_pixels_are_read(file, images, expected):
    pixels = all_of(read(write(file, images=images, labels=LABELS)))
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    # Half precision holds a number of 255 to within one.
    np.testing.assert_allclose(pixels.astype(int), expected, atol=int(images.dtype == np.float16))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS.astype(np.int8), r"int8 from -128 to 127; pixels are not negative.*view\('uint8'\)"),
        (np.float32(PIXELS / 255 * 1.0001), r"float32 from 0\.0 to 1\.0001;.*np\.clip\(images, 0, 1\)"),
        (PIXELS / 255 - 0.5, r"float64 from -0\.5 to 0\.5.*before normalization"),
        (PIXELS / 100, r"float64 from 0\.0 to 2\.55.*np\.rint"),
        (PIXELS.astype(np.uint16) * 99, r"uint16 from 0 to \d+; pixels have 8 bits.*Scale"),
        (np.where(PIXELS == 7, np.nan, PIXELS), "NaN"),
        (PIXELS + 0j, "complex128"),
        (PIXELS.reshape(12, -1), r"shape \(12, 192\).*Reshape"),
        (PIXELS[:, :4, :6, :2], r"datasets\.NAME\.channels: first or last"),
        (np.tile(PIXELS, 3)[..., :8], r"datasets\.NAME\.channels: first or last"),
    ],
)
def test_ambiguous_pixels_are_refused_with_a_remedy(tmp_path, images, message):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "x.npz", images=images, labels=LABELS))


@pytest.mark.parametrize("train", [PIXELS > 99, (PIXELS > 99) / 1, (PIXELS > 99) * np.uint8(255)])
@pytest.mark.parametrize("test", [PIXELS > 99, PIXELS > 199, (PIXELS > 99) * np.int64(255), PIXELS / 255, PIXELS])
def test_the_pixel_range_is_determined_per_split(tmp_path, train, test):
    write(tmp_path / "x.npz", x_train=train, y_train=LABELS, x_test=test, y_test=LABELS)
    pixels = all_of(read(tmp_path / "x.npz"))
    np.testing.assert_array_equal(pixels[:12], (PIXELS > 99) * 255)
    np.testing.assert_array_equal(pixels[12:], np.rint(test * (255 / test.max())))


@pytest.mark.parametrize(
    ("train", "test"),
    [(PIXELS, PIXELS > 99), (PIXELS / 1, PIXELS / 255), (PIXELS / 255, PIXELS / 255**2)],
)
def test_splits_whose_ranges_differ_in_meaning_are_refused(tmp_path, train, test):
    test = test.astype(np.uint8) if test.dtype == bool else test
    write(tmp_path / "x.npz", x_train=train, y_train=LABELS, x_test=test, y_test=LABELS)
    with pytest.raises(UserError, match=r"x_train is .* and x_test is .*one range"):
        read(tmp_path / "x.npz")


def test_channel_axis_can_be_set(tmp_path):
    images = PIXELS[:, :4, :6, :2]
    write(tmp_path / "x.npz", images=images, labels=LABELS)
    np.testing.assert_array_equal(all_of(read(tmp_path / "x.npz", channels="last")), images)
    np.testing.assert_array_equal(all_of(read(tmp_path / "x.npz", channels="first")), np.moveaxis(images, 1, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, ">u2"])
def test_black_images_are_warned_of(tmp_path, caplog, dtype):
    read(write(tmp_path / "x.npz", images=(PIXELS > 99).astype(dtype), labels=LABELS))
    assert "the largest pixel is 1 of 255" in caplog.text
    caplog.clear()
    read(write(tmp_path / "x.npz", images=PIXELS / 255**2, labels=LABELS))
    assert "the largest pixel is 0.003922, where 1 is white" in caplog.text


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "numbers", "classes"),
    [
        (LABELS[:, None], LABELS, "012"),
        (LABELS.astype(np.float32), LABELS, "012"),
        (np.eye(3)[LABELS], LABELS, "012"),
        (np.eye(3, dtype=bool)[LABELS], LABELS, "012"),
        (LABELS > 0, (LABELS > 0).astype(int), "01"),
        (np.array(["b", "c", "a"])[LABELS], np.array([1, 2, 0])[LABELS], "abc"),
        (np.array(["b", "c", "a"])[LABELS][:, None], np.array([1, 2, 0])[LABELS], "abc"),
        (np.array([b"b", b"c", b"a"])[LABELS], np.array([1, 2, 0])[LABELS], "abc"),
        (np.array(["10", "9", "100"])[LABELS], np.array([1, 0, 2])[LABELS], ["9", "10", "100"]),
        # As in a CSV file, blanks around a name are none of it.
        (np.array(["a", "a ", "\ta", "b", " b", "c"])[np.arange(12) % 6], np.array([0, 0, 0, 1, 1, 2] * 2), "abc"),
        (np.array(["10", " 9", "100 "])[LABELS], np.array([1, 0, 2])[LABELS], ["9", "10", "100"]),
        # Whole numbers as pandas writes them where one was missing, and with a sign.
        (np.array(["10.0", "9.0", "100.0"])[LABELS], np.array([1, 0, 2])[LABELS], ["9.0", "10.0", "100.0"]),
        (np.array(["10", "-1", "2"])[LABELS], np.array([2, 0, 1])[LABELS], ["-1", "2", "10"]),
        (np.array(["-10", "-9", "+2"])[LABELS], LABELS, ["-10", "-9", "+2"]),
    ],
)
def test_unambiguous_labels_are_read(file, labels, numbers, classes):
    collection = read(write(file, images=PIXELS, labels=labels))
    assert collection.labels.dtype == np.int64 and collection.labels.tolist() == numbers.tolist()
    assert collection.classes == list(classes)


def test_names_of_classes_from_the_file_or_the_setting(file):
    write(file, images=PIXELS, labels=LABELS, classes=np.array(["ash", "beech", "oak"]))
    assert read(file).classes == ["ash", "beech", "oak"]
    assert read(file, classes=["x", "y", 7]).classes == ["x", "y", "7"]
    write(file, images=PIXELS, labels=np.array(["ash", "beech", "oak"])[LABELS])
    collection = read(file, classes=["oak", "ash", "beech"])
    assert collection.classes == ["oak", "ash", "beech"] and collection.labels[:3].tolist() == [1, 2, 0]
    assert read(write(file, images=PIXELS, labels=LABELS, classes=np.array([" a", "b ", "c"]))).classes == [*"abc"]


def test_one_image_per_class_is_refused_with_a_fix_that_helps(file):
    for labels in (np.arange(12), np.eye(12)):
        with pytest.raises(UserError, match=r"no image in the train split\. Add images, so that each class") as error:
            read(write(file, images=PIXELS, labels=labels))
        assert "test_fraction" not in str(error.value)
    with pytest.raises(
        UserError, match=r"'1' has no image in the train split\. Add images of it, or take the"
    ) as error:
        read(write(file, images=PIXELS, labels=(np.arange(12) == 5).astype(int)))
    assert "test_fraction" not in str(error.value)
    pairs = np.arange(12) // 2
    for fraction in (0.01, 0.99):
        assert read(write(file, images=PIXELS, labels=pairs), test_fraction=fraction).split.sum() == 6


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (LABELS + 1, {}, "begins at 1.*subtract 1"),
        (LABELS - 1, {}, "it holds -1"),
        (LABELS / 2, {}, "not all of it is whole numbers"),
        (np.eye(4)[LABELS] + np.eye(4)[(LABELS + 1) % 3], {}, "row 0 is not one-hot"),
        (np.array(["a", "", "b"])[LABELS], {}, "a class has no name"),
        (LABELS, {"classes": ["a", "b"]}, "names classes 0 to 2, and classes has 2 names"),
        (LABELS, {"classes": ["a", "b", "c", "d"]}, "classes has 4 names"),
        (LABELS, {"classes": ["a", "b", "b"]}, "one name of its own"),
        (np.array(["a", "b", "c"])[LABELS], {"classes": ["a", "b", "d"]}, "lists 'd'.*has 'c'"),
        (
            LABELS,
            {"classes": [2, 0, 1]},
            "the same numbers in another order .* name the class 0 '2'. Leave classes out",
        ),
        (LABELS, {"classes": ["\u00e9", "e\u0301", "b"]}, "one name of its own"),
    ],
)
def test_ambiguous_labels_are_refused_with_a_remedy(tmp_path, labels, settings, message):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "x.npz", images=PIXELS, labels=labels), **settings)


@pytest.mark.parametrize(("odd", "code"), [("a\0b", "0000"), ("a\ud800", "D800"), ("a\x1b[31m", "001B")])
@pytest.mark.parametrize("name", ["labels", "classes"])
def test_class_names_that_cannot_be_stored_are_refused(tmp_path, name, odd, code):
    names = np.array([odd, "b", "c"])
    arrays = {"labels": names[LABELS]} if name == "labels" else {"labels": LABELS, "classes": names}
    with pytest.raises(
        UserError, match=rf"the name 'a.*' of a class contains the character U\+{code}. Rename the class"
    ):
        read(write(tmp_path / "x.npz", images=PIXELS, **arrays))


@pytest.mark.parametrize("name", ["labels", "classes", "split"])
def test_non_text_arrays_are_not_class_names(tmp_path, name):
    arrays = {"images": PIXELS, "labels": np.array(["a", "b", "c"])[LABELS]}
    path = write(tmp_path / "x.h5", **{key: array for key, array in arrays.items() if key != name})
    count = 3 if name == "classes" else 12
    with h5py.File(path, "a") as file:
        # As MATLAB writes a cell array of names.
        names = [file.create_dataset(f"#refs#/{number}", data=[[97 + number % 3]]).ref for number in range(count)]
        file.create_dataset(name, data=np.array(names, h5py.ref_dtype)[:, None])
    with pytest.raises(UserError, match=f"{name} holds references, as MATLAB writes cell arrays, not names. Save"):
        read(path)
    with h5py.File(path, "a") as file:
        del file[name]
        file.create_dataset(name, (count,), h5py.vlen_dtype(np.uint8))[:] = [np.frombuffer(b"ab", np.uint8)] * count
    with pytest.raises(UserError, match=rf"{name} holds values such as array\(.*, not names. Save names as text"):
        read(path)


# --- files -----------------------------------------------------------------------------------------------------------


class Trap:
    """Unpickled, it would raise."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.pkl", "x.pt", "x.h5"])
def test_nothing_is_unpickled(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match=re.escape(name)):
        read(tmp_path / name)


def test_pickled_arrays_are_refused_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match=r"Python objects, which are never loaded.*dtype=str"):
        read(write(tmp_path / "x.npz", images=PIXELS, labels=np.array([Trap()] * 12, dtype=object)))
    np.save(tmp_path / "x.npy", PIXELS)
    with pytest.raises(UserError, match=r"x\.npy is neither \.npz nor \.h5\. An \.npy file holds one array"):
        read(tmp_path / "x.npy")
    (tmp_path / "x.npy").rename(tmp_path / "y.npz")
    with pytest.raises(UserError, match=r"y\.npz is not an \.npz file"):
        read(tmp_path / "y.npz")
    write(tmp_path / "z.npz", images=PIXELS, labels=LABELS)
    assert len(read((tmp_path / "z.npz").rename(tmp_path / "Z.NPZ")).labels) == 12


def test_unsupported_array_files(tmp_path):
    for name, message in (
        ("", "a folder. Folders of images are read by source: image_folder"),
        ("x.zip", "Unpack it; images are read by source: image_folder"),
        ("no/such/folder", "does not exist"),
    ):
        if name == "x.zip":
            (tmp_path / name).touch()
        with pytest.raises(UserError, match=re.escape(message)):
            read(tmp_path / name)
    with pytest.raises(UserError, match=r"~ is not expanded there: write /"):
        read("~/no/such.npz")


def test_matlab_arrays_are_not_transposed_silently(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        # Of a size (height, width, channels, images) in MATLAB.
        for name, array, kind in (("X", PIXELS.transpose(0, 3, 2, 1), "uint8"), ("y", LABELS[:, None] * 1.0, "double")):
            file.create_dataset(name, data=array).attrs["MATLAB_class"] = np.bytes_(kind)
    with pytest.raises(UserError, match=r"x\.h5: X was saved by MATLAB.*height and width would be swapped.*np\.savez"):
        read(path)
    write(path, x=PIXELS, y=LABELS)
    with h5py.File(path, "a") as file:
        file["y"].attrs["MATLAB_class"] = np.bytes_("double")
    np.testing.assert_array_equal(all_of(read(path)), PIXELS)


def test_a_compression_that_is_not_installed_is_named(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=np.zeros_like(PIXELS), compression="lzf")
        file["labels"] = LABELS
    # Another filter's number in the place of LZF's, 32000.
    path.write_bytes(path.read_bytes().replace(b"\x00\x7d", b"\x0f\x7d"))
    with pytest.raises(UserError, match=r"images is compressed by the filter lzf \(32015\), which h5py lacks") as error:
        read(path)
    assert "damaged" not in str(error.value)


def test_arrays_larger_than_memory_are_not_reported_as_damaged(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (10**8, 1000, 1000, 3), np.uint8, chunks=(1, 100, 100, 3))
        file["y"] = LABELS
    with pytest.raises(UserError, match=r"does not fit into memory.*store: index"):
        read(tmp_path / "x.h5")
