"""Folders of images: classes, names of splits, labels in a CSV file, links, files that are not read."""

import os

import numpy as np
import pytest
from configs_by_hand import study
from PIL import Image
from real_images import FOLDER, collected, data_settings

from unitscope.data.dataset_settings import DatasetSettings
from unitscope.data.datasets import open_dataset, write_dataset
from unitscope.data.decoding import Decoder
from unitscope.data.folders import class_count
from unitscope.errors import UserError
from unitscope.settings import as_mapping
from unitscope.storage.contents import Contents
from unitscope.workflow.provenance import source_digest


def images(folder, count=3, first=0, suffix=".png"):
    """Write images, each of a grey that is its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("RGB", (4, 4), (number,) * 3).save(folder / f"{number}{suffix}")


def classes(root, *names, count=3):
    for name in names:
        images(root / name, count)
    return root


def read(root, **changes):
    """Return the collection of a folder."""
    return collected({**FOLDER, "path": str(root), "store": "images", **changes})


def pixels(collection, number):
    """Return the greys of the images of a split."""
    return collection.images(np.flatnonzero(collection.split == number))[:, 0, 0, 0].tolist()


def csv(root, text, name="labels.csv"):
    (root / name).write_text(text)
    return root


# --- classes ---------------------------------------------------------------------------------------------------------


def test_names_that_are_numbers_are_in_the_order_of_their_values(tmp_path):
    assert read(classes(tmp_path / "a", *map(str, range(12)))).classes == list(map(str, range(12)))
    assert read(classes(tmp_path / "b", "2", "10", "b", "a")).classes == ["10", "2", "a", "b"]
    assert read(classes(tmp_path / "c", "02", "10", "1")).classes == ["1", "02", "10"]
    assert read(classes(tmp_path / "d", "2.0", "10.0", "1.0")).classes == ["1.0", "2.0", "10.0"]
    assert read(classes(tmp_path / "e", "-1", "-10", "2", "10")).classes == ["-10", "-1", "2", "10"]
    assert read(classes(tmp_path / "f", "1.5", "2", "10")).classes == ["1.5", "10", "2"]


@pytest.mark.parametrize("split", [False, True])
def test_classes_are_in_the_order_of_the_setting_and_in_the_artifact(tmp_path, split):
    for part in ("train", "test") if split else ("",):
        classes(tmp_path / "x" / part, "ash", "beech", "3")
    settings = {**FOLDER, "path": str(tmp_path / "x"), "store": "images", "classes": ["beech", 3, "ash"]}
    collection = collected(settings)
    assert collection.classes == ["beech", "3", "ash"]
    write_dataset(tmp_path / "x.h5", collection)
    usual = read(tmp_path / "x")
    assert [usual.classes[label] for label in usual.labels] == [
        collection.classes[label] for label in collection.labels
    ]
    with open_dataset(tmp_path / "x.h5") as dataset:
        assert dataset.classes == collection.classes and dataset.settings["classes"] == ["beech", 3, "ash"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["ash", "beach"], r"lists 'beach', which .* does not have \(did you mean 'beech'\?\), and .* has 'beech'"),
        (["ash"], "has 'beech', which it does not list"),
        (["ash", "beech", "oak"], "lists 'oak'"),
        (["ash", "beech", "ash"], "'ash' twice"),
    ],
)
def test_classes_that_differ_from_the_folders_are_named(tmp_path, chosen, message):
    with pytest.raises(UserError, match=message):
        read(classes(tmp_path, "ash", "beech"), classes=chosen)


def test_class_folders_that_hold_only_folders_are_refused(tmp_path):
    classes(tmp_path / "x/images", "cat", "dog")
    with pytest.raises(UserError, match=r"hold only folders \(cat, dog\).*path: .*x/images.*classes: \[images\]"):
        read(tmp_path / "x")
    assert read(tmp_path / "x/images").classes == ["cat", "dog"]
    # The reader may mean it.
    assert read(tmp_path / "x", classes=["images"]).classes == ["images"]
    classes(tmp_path / "y/dataset/train", "cat")
    classes(tmp_path / "y/dataset/test", "cat")
    with pytest.raises(UserError, match="hold only folders"):
        read(tmp_path / "y")


def test_one_nested_class_folder_among_others_is_warned_of(tmp_path, caplog):
    classes(tmp_path, "cat", "dog/brown", "dog/black")
    assert read(tmp_path).classes == ["cat", "dog"]
    assert "dog holds only folders (black, brown)" in caplog.text


def test_a_test_split_too_small_for_a_score_is_warned_of(tmp_path, caplog):
    read(classes(tmp_path / "one", "cat"))
    assert "there is one class, 'cat'" in caplog.text and "void" in caplog.text
    caplog.clear()
    read(classes(tmp_path / "two", "cat", "dog", count=2))
    assert "a single image in the test split" in caplog.text and "selectivity_half1" in caplog.text
    caplog.clear()
    read(classes(tmp_path / "more", "cat", "dog", count=8))
    assert not caplog.text


# --- splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN"])
@pytest.mark.parametrize("test", ["Test", "testing", "val", "VALID", "validation"])
def test_usual_names_of_splits_whatever_their_case(tmp_path, train, test):
    for place, part in enumerate((train, test)):
        for name in ("0", "1"):
            images(tmp_path / part / name, 2, 10 * place)
    collection = read(tmp_path)
    assert (
        collection.classes == ["0", "1"]
        and pixels(collection, 0) == [0, 1] * 2
        and pixels(collection, 1) == [10, 11] * 2
    )


def test_three_split_folders_need_the_setting_split(tmp_path):
    for place, part in enumerate(("train", "valid", "test")):
        images(tmp_path / part / "a", 2, 10 * place)
    with pytest.raises(UserError, match=r"Set datasets\.NAME\.split to \{test: test\} or \{test: valid\}"):
        read(tmp_path)
    assert pixels(read(tmp_path, split={"test": "valid"}), 1) == [10, 11]
    assert pixels(read(tmp_path, split={"train": "valid", "test": "train"}), 1) == [0, 1]
    with pytest.raises(UserError, match=r"split\.test is 'vald', but .* has test, train and valid"):
        read(tmp_path, split={"test": "vald"})


def test_names_of_splits_among_classes_are_classes(tmp_path):
    assert read(classes(tmp_path / "x", "bus", "car", "train")).classes == ["bus", "car", "train"]
    with pytest.raises(UserError, match="no training split"):
        read(classes(tmp_path / "y", "test/a", "val/a"))


def test_folder_with_only_a_train_split_is_split(tmp_path):
    collection = read(classes(tmp_path, "train/a", "train/b", count=8))
    assert collection.classes == ["a", "b"] and np.bincount(collection.split).tolist() == [12, 4]


# --- labels in a CSV file --------------------------------------------------------------------------------------------


def test_a_flat_folder_with_labels(tmp_path):
    images(tmp_path, 4)
    csv(tmp_path, "label;file;note\n10;0.png;x\n9;1.png;x\n9;2.png;x\n10;3.png;x\n")
    collection = read(tmp_path)
    assert collection.classes == ["9", "10"] and collection.labels.tolist() == [1, 0, 0, 1]
    csv(tmp_path, "file,label,split\n0.png,a,train\n1.png,a,Test\n2.png,b,train\n3.png,b,Test\n")
    collection = read(tmp_path, classes=["b", "a"])
    assert collection.labels.tolist() == [1, 1, 0, 0] and collection.split.tolist() == [0, 1, 0, 1]


def test_a_flat_val_as_imagenet_unpacks(tmp_path):
    for name in ("n1", "n2"):
        images(tmp_path / "train" / name, 3)
    images(tmp_path / "val", 2, 10)
    with pytest.raises(UserError, match=r"val holds images in no class folder\..*columns file and label"):
        read(tmp_path)
    csv(tmp_path, "file,label\n10.png,n2\n11.png,n1\n", "val.csv")
    collection = read(tmp_path, labels="val.csv")
    assert collection.classes == ["n1", "n2"] and collection.labels[collection.split == 1].tolist() == [1, 0]
    (tmp_path / "val.csv").rename(tmp_path / "labels.csv")
    assert read(tmp_path).labels.tolist() == collection.labels.tolist()


def test_columns_that_are_not_read_are_warned_of(tmp_path, caplog):
    images(tmp_path, 4)
    csv(tmp_path, ",file,label,is_test\n" + "".join(f"{n},{n}.png,{'ab'[n % 2]},{n > 1}\n" for n in range(4)))
    read(tmp_path)
    assert "labels.csv: columns that are not read: is_test. Those that are: file, label, split." in caplog.text
    caplog.clear()
    csv(tmp_path, "file,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(4)))
    read(tmp_path)
    assert "columns that are not read" not in caplog.text


def test_a_column_with_three_splits(tmp_path, caplog):
    images(tmp_path, 4)
    csv(tmp_path, "file,label,split\n0.png,a,train\n1.png,a,val\n2.png,a,test\n3.png,a,train\n")
    with pytest.raises(UserError, match=r"column split.*\{test: test\} or \{test: val\}"):
        read(tmp_path)
    collection = read(tmp_path, split={"test": "val"})
    assert pixels(collection, 0) == [0, 3] and pixels(collection, 1) == [1]
    assert "1 images of other splits are not read" in caplog.text


def test_labels_for_folders_that_are_not_classes(tmp_path):
    for number, shard in enumerate(("00", "01")):
        images(tmp_path / shard, 2, 2 * number)
    csv(tmp_path, "file,label\n" + "".join(f"{n // 2:02}/{n}.png,{'ab'[n % 2]}\n" for n in range(4)))
    assert read(tmp_path).classes == ["00", "01"]
    assert read(tmp_path, labels="labels.csv").labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n0.png,a\n0.png,b\n", r"line 3: '0\.png' is listed already in line 2"),
        ("file,label\n0.png,a\nx.png,b\n", r"line 3: there is no image 'x\.png'"),
        ("file,label\n0.png,a\n../../secret.png,b\n", "there is no image"),
        ("file,label\n0.png,a\n", r"no row for 2 of the images .* 1\.png"),
        ("file,label\n0.png,\n", r"'0\.png' has no label"),
        ('file,label\n0.png,a\n1.png,"b\n2.png,a\n', "line 3: a quote is opened and never closed"),
        ("filename,label\n0.png,a\n", r"no single column 'file'; its first line is 'filename,label'"),
        ("file,label\n0.png,a,b\n", "line 2 has 3 fields"),
        ("file,label\n0.png,a\n1.png,b\0\n2.png,b\0\n", r"the name 'b\\x00' of a class contains the character U\+0000"),
        ("file,label\n", "no row below its header"),
        ("", "no single column 'file'"),
        ("file,label,split\n0.png,a,train\n1.png,a,x\n2.png,a,train\n", "which are not train and test"),
        ("file,label,split\n0.png,a,train\n1.png,a,\n2.png,a,test\n", r"1\.png has no split"),
    ],
)
def test_errors_in_a_csv_file_are_located(tmp_path, text, message):
    images(tmp_path, 3)
    with pytest.raises(UserError, match=message):
        read(csv(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        'file, label, split\n0.png, "cat", train\n1.png, "dog", Train\n2.png, "cat", test\n3.png, "dog", Test\n',
        '"file";"label";"a,b,c,d"\n0.png;cat;1\n1.png;dog;\n2.png;cat;\n3.png;dog;\n;;\n',
        "file,label,split\n0.png,cat,train\n1.png,dog,train\n2.png,cat,train\n3.png,dog,train\n",
        'file,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n" 4.png",dog\na\\b.png,dog\n',
        "file,label\n0.png,0\n1.png,1\n2.png,0\n3.png,1\n",
    ],
)
def test_a_csv_file_as_programs_write_it(tmp_path, text):
    images(tmp_path, 4)
    for name in (" 4.png", "a\\b.png") if " 4.png" in text else ():
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    collection = read(csv(tmp_path, text), classes=["dog", "cat"] if ",0\n" not in text else ["cat", "dog"])
    assert [collection.classes[label] for label in collection.labels][-4:] == [
        "cat",
        "dog",
        "cat",
        "dog",
    ] or " 4.png" in text
    assert collection.split.sum() == 2


@pytest.mark.parametrize("name", ["labels.csv", "Labels.CSV"])
def test_unread_label_tables_need_the_setting_labels(tmp_path, name):
    images(tmp_path / "x/images", 4)
    text = "file,label\n0.png,a\n1.png,b\n2.png,a\n3.png,b\n"
    csv(tmp_path / "x", text, name)
    with pytest.raises(
        UserError, match=rf"one class folder, 'images', and {name}.*labels: {name}.*classes: \[images\]"
    ):
        read(tmp_path / "x")
    assert read(tmp_path / "x", labels=name).classes == ["a", "b"]
    assert read(tmp_path / "x", classes=["images"]).classes == ["images"]
    for part in ("train", "test"):
        images(tmp_path / "y" / part, 4)
        csv(tmp_path / "y" / part, text, name)
    with pytest.raises(UserError, match=rf"train/{name} and test/{name} may hold their labels\. Join them"):
        read(tmp_path / "y")
    images(tmp_path / "z", 4)
    assert read(csv(tmp_path / "z", text, name)).classes == ["a", "b"]


def test_classes_are_counted_as_they_are_read(tmp_path):
    for number, shard in enumerate(("00", "01")):
        images(tmp_path / shard, 4, 4 * number)
    csv(tmp_path, "file,label\n" + "".join(f"{n}.png,{'abcd'[n % 4]}\n" for n in range(8)))
    settings = {**FOLDER, "path": str(tmp_path), "crop": 4}
    assert class_count(tmp_path, data_settings(settings)) == 2
    assert class_count(tmp_path, data_settings({**settings, "labels": "labels.csv"})) == 4
    flat = tmp_path / "flat"
    images(flat, 3)
    csv(flat, "file,label\n0.png,a\n1.png,b\n2.png,c\n")
    assert class_count(flat, data_settings({**settings, "path": str(flat)})) == 3


def test_unicode_forms_of_a_name_are_equal(tmp_path, caplog):
    composed, apart = "caf\u00e9", "cafe\u0301"
    classes(tmp_path / "x/train", composed, "b")
    classes(tmp_path / "x/test", apart, "b")
    collection = read(tmp_path / "x", classes=[apart, "b"])
    assert collection.classes == [composed, "b"] and len(collection.labels) == 12
    assert "(NFC, NFD) count as one" in caplog.text
    images(tmp_path / "y", 2)
    Image.new("RGB", (4, 4)).save(tmp_path / f"y/{composed}.png")
    csv(tmp_path / "y", f"file,label\n0.png,{apart}\n1.png,{composed}\n{apart}.png,{apart}\n")
    assert read(tmp_path / "y").classes == [composed]


@pytest.mark.parametrize("names", [("train", "dev"), ("Train_set", "Test_set"), ("train-images", "val-images")])
def test_folders_that_look_like_splits_need_the_setting_split(tmp_path, names):
    for part in names:
        classes(tmp_path / part, "a", "b")
    with pytest.raises(UserError, match=rf"split: {{train: {names[0]}, test: {names[1]}}}"):
        read(tmp_path)
    assert read(tmp_path, split={"test": names[1], "train": names[0]}).classes == ["a", "b"]


def test_two_image_folders_that_look_like_splits_are_warned_of(tmp_path, caplog):
    assert read(classes(tmp_path, "dev", "train")).classes == ["dev", "train"]
    assert (
        "train and dev are read as classes. If they are splits, set datasets.NAME.split: {train: train, test: dev}"
        in (caplog.text)
    )
    assert read(tmp_path, split={"test": "dev"}).classes == []


def test_splits_below_the_classes_are_refused(tmp_path, caplog):
    for place in ("cat/train", "cat/test", "dog/train"):
        images(tmp_path / place, 4)
    with pytest.raises(UserError, match=r"folders of splits \(test, train\).*above the classes: test/cat") as error:
        read(tmp_path)
    assert "classes:" not in str(error.value).replace("above the classes:", "")
    read(tmp_path, classes=["cat", "dog"])
    assert "cat holds folders of splits, which are not read as splits" in caplog.text


def test_control_characters_in_names_are_escaped(tmp_path, caplog):
    classes(tmp_path, "a", "b")
    (tmp_path / "a/x\x1b[31m\n.txt").touch()
    read(tmp_path)
    assert r"a/x\x1b[31m\n.txt" in caplog.text and "\x1b" not in caplog.text
    (tmp_path / "a/x\x1b.png").touch()
    with pytest.raises(UserError, match=r"x\\x1b\.png is no image"):
        read(tmp_path).images(np.arange(7))


@pytest.mark.parametrize("name", ["x.zip", "x.npz"])
def test_path_must_be_a_folder(tmp_path, name):
    (tmp_path / name).touch()
    cure = "Unpack it" if name == "x.zip" else "source: arrays"
    with pytest.raises(UserError, match=f"not a folder.*{cure}"):
        read(tmp_path / name)
    with pytest.raises(UserError, match=r"~ is not expanded there: write /"):
        read("~/no/such/folder")


def test_a_csv_file_that_cannot_be_read(tmp_path):
    images(tmp_path, 2)
    with pytest.raises(UserError, match=r"datasets\.NAME\.labels: .*none\.csv cannot be read"):
        read(tmp_path, labels="none.csv")
    (tmp_path / "labels.csv").write_bytes("file,label\n0.png,für".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8"):
        read(tmp_path)


def test_labels_count_as_raw_data(tmp_path):
    images(tmp_path, 2)
    (labels,) = [csv(tmp_path, "file,label\n0.png,a\n1.png,a\n") / "labels.csv"]
    suffixes, contents = {".png"}, Contents(None)
    before = source_digest(tmp_path, contents, suffixes, [labels])
    assert before != source_digest(tmp_path, contents, suffixes)
    csv(tmp_path, "file,label\n0.png,b\n1.png,a\n")
    assert before != source_digest(tmp_path, Contents(None), suffixes, [labels])


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visible", "hidden", "where"),
    [
        (["java", "rust"], [".net"], ""),
        (["train/a", "train/b"], [".test/a", ".test/b"], ""),
        (["train/a", "train/b", "test/a", "test/b"], ["train/.c"], "/train"),
        (["a"], [".deep/inner/b"], ""),
    ],
)
def test_hidden_folders_that_may_be_classes_or_splits_are_reported(tmp_path, caplog, visible, hidden, where):
    classes(tmp_path, *visible, *hidden)
    (tmp_path / ".empty").mkdir()
    (tmp_path / ".notes").mkdir()
    (tmp_path / ".notes/a.txt").touch()
    collection = read(tmp_path)
    assert len(collection.labels) == 3 * len(visible)
    name = hidden[0][len(where) :].split("/")[0]
    warnings = [text for text in caplog.messages if "hidden folders" in text]
    assert warnings == [
        f"{tmp_path}{where}: hidden folders with images are not read: {name}. Where they are classes or splits, rename "
        "them without the dot."
    ]


def test_folder_with_only_hidden_folders_is_refused(tmp_path, caplog):
    classes(tmp_path, ".a", ".b")
    with pytest.raises(UserError, match="holds no images"):
        read(tmp_path)
    assert "are not read: .a, .b." in caplog.text


def test_hidden_folders_of_programs_are_not_warned_of(tmp_path, caplog):
    images(tmp_path)
    classes(tmp_path, ".thumbnails")
    (tmp_path / ".link").symlink_to(tmp_path / ".thumbnails")
    assert read(tmp_path).classes == [] and "hidden folders" not in caplog.text


def test_ignored_files_are_counted_in_one_line(tmp_path, caplog):
    classes(tmp_path, "a", "b", count=8)
    for number in range(5):
        (tmp_path / f"a/IMG_{number}.HEIC").touch()
    (tmp_path / "b/notes.txt").touch()
    (tmp_path / "b/.hidden.heic").touch()
    read(tmp_path)
    (line,) = caplog.messages
    assert "files that are not read: 6 (5 .heic, 1 .txt): a/IMG_0.HEIC, a/IMG_1.HEIC, a/IMG_2.HEIC, ..." in line


@pytest.mark.parametrize("place", ["a", "caf\udce9"])
def test_a_name_that_is_not_utf_8_is_reported_readably(tmp_path, place):
    classes(tmp_path, "a", "b")
    images(tmp_path / place, 1)
    os.rename(tmp_path / place / "0.png", os.fsencode(tmp_path / place) + b"/caf\xe9.png")
    with pytest.raises(UserError, match=r"the name of the file .*caf\\xe9.* is not UTF-8") as error:
        read(tmp_path)
    str(error.value).encode()
    # Snakemake asks for it before.
    assert source_digest(tmp_path, Contents(None))


@pytest.mark.parametrize("store", ["images", "index"])
@pytest.mark.parametrize("kind", ["file", "folder", "nested"])
def test_links_outside_the_folder_are_followed_only_if_allowed(tmp_path, store, kind):
    classes(tmp_path / "in", "a", "b", count=4)
    images(tmp_path / "out", 4, 20)
    link, target = {
        "file": ("in/a/link.png", "out/20.png"),
        "folder": ("in/c", "out"),
        "nested": ("in/a/more", "out"),
    }[kind]
    os.symlink(tmp_path / target, tmp_path / link)
    settings = {**FOLDER, "path": str(tmp_path / "in"), "store": store}
    with pytest.raises(UserError, match=r"leads out of .* set datasets\.NAME\.links: anywhere"):
        write_dataset(tmp_path / "x.h5", collected(settings))
    settings["links"] = "anywhere"
    write_dataset(tmp_path / "x.h5", collected(settings))
    with open_dataset(tmp_path / "x.h5") as dataset:
        both = [grey for split in ("train", "test") for grey in dataset.images(split)[:, 0, 0, 0].tolist()]
    assert sum(grey >= 20 for grey in both) == (1 if kind == "file" else 4)


def test_circular_links_terminate(tmp_path, caplog):
    classes(tmp_path / "x", "a", "b")
    os.symlink("..", tmp_path / "x/a/up")
    os.symlink(tmp_path / "x/b", tmp_path / "x/b/self")
    os.symlink(tmp_path, tmp_path / "x/a/out")
    os.symlink("/", tmp_path / "x/b/root")
    collection = read(tmp_path / "x", links="anywhere")
    assert len(collection.labels) == 6 and collection.classes == ["a", "b"]
    assert "a/up" in caplog.text
    os.symlink("loop.png", tmp_path / "x/b/loop.png")
    # Snakemake asks for it first.
    assert source_digest(tmp_path / "x", Contents(None))
    with pytest.raises(UserError, match=r"loop\.png"):
        read(tmp_path / "x").images(np.arange(7))


@pytest.mark.parametrize("store", ["images", "index"])
def test_images_that_are_in_both_splits_or_two_classes_are_counted(tmp_path, caplog, store):
    classes(tmp_path / "x/train", "a", "b")
    os.symlink("train", tmp_path / "x/test")
    read(tmp_path / "x", store=store)
    assert caplog.messages == [f"{tmp_path}/x: 6 images are in both splits, by links or copies. Remove them from one."]
    caplog.clear()
    for part in ("train", "test"):
        classes(tmp_path / "y" / part, "a")
        os.symlink("a", tmp_path / "y" / part / "b")
    read(tmp_path / "y", store=store)
    assert "6 images are in more than one class" in caplog.text
    caplog.clear()
    classes(tmp_path / "z/train", "a", count=2)
    images(tmp_path / "z/test/a", 4)
    settings = {**FOLDER, "path": str(tmp_path / "z"), "store": store}
    write_dataset(tmp_path / "z.h5", collected(settings))
    # By their checksums, where these are at hand.
    assert ("2 images are in both splits" in caplog.text) == (store == "index")


def test_folders_of_nas_and_archive_programs_are_ignored(tmp_path, caplog):
    classes(tmp_path / "x", "a", "b", "a/@eaDir/0.png", "@eaDir", "__MACOSX")
    collection = read(tmp_path / "x")
    assert collection.classes == ["a", "b"] and len(collection.labels) == 6
    assert "not read: 3 (3 no suffix): @eaDir, __MACOSX, a/@eaDir" in caplog.text


def test_only_regular_files_are_opened(tmp_path, caplog):
    classes(tmp_path, "a", "b", count=8)
    os.mkfifo(tmp_path / "a/pipe.png")
    os.symlink("pipe.png", tmp_path / "a/link.png")
    collection = read(tmp_path)
    assert collection.images(np.arange(16)).shape[0] == 16
    assert "not read: 2 (2 .png): a/link.png, a/pipe.png" in caplog.text
    with pytest.raises(UserError, match=r"pipe\.png is no regular file"):
        Decoder.of(tmp_path, {"resize": None, "crop": None, "mode": "L"})(["a/pipe.png"])


@pytest.mark.parametrize("links", ["inside", "anywhere"])
def test_broken_link(tmp_path, links):
    classes(tmp_path / "x", "a", "b")
    os.symlink("/nowhere/x.png", tmp_path / "x/a/y.png")
    with pytest.raises(UserError, match=r"'a/y\.png' in .* is a link to '/nowhere/x\.png', and there is no such file"):
        read(tmp_path / "x", links=links)


def test_unset_settings_are_not_recorded():
    for source, path in (("image_folder", "x"), ("arrays", "x.npz")):
        settings = as_mapping(
            DatasetSettings, study(datasets__digits={"source": source, "path": path}).datasets["digits"]
        )
        assert not {"classes", "split", "labels", "channels"} & set(settings)
    folder = {"source": "image_folder", "path": "x", "classes": [0, "a"], "split": {"test": "val"}, "labels": "x.csv"}
    settings = as_mapping(
        DatasetSettings, study(datasets__digits={**folder, "background": "#00ff00"}).datasets["digits"]
    )
    assert settings["mode"] == "auto" and settings["interpolation"] == "bilinear" and settings["links"] == "inside"
    assert {key: settings[key] for key in folder} == folder
    with pytest.raises(UserError, match=r"split has the unknown key 'tset'\. Did you mean 'test'"):
        study(datasets__digits={**folder, "split": {"tset": "val"}})
    with pytest.raises(UserError, match="background"):
        study(datasets__digits={**folder, "background": "wite"})


def test_images_in_colour_keep_the_bytes_of_earlier_versions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classes(tmp_path / "x", "a", "b", count=4)
    old = {"source": "image_folder", "path": "x", "test_fraction": 0.25, "seed": 0, "resize": None, "crop": None}
    old |= {"mode": "RGB", "store": "images"}
    new = {**old, "mode": "auto", "interpolation": "bilinear", "background": "white", "links": "inside"}
    write_dataset(tmp_path / "x.h5", collected(new))
    with open_dataset(tmp_path / "x.h5") as dataset:
        assert dataset.settings == old
