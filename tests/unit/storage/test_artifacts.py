"""Artifacts: written whole or not at all, the same bytes for the same inputs, and laid out as the README says."""

import csv
import subprocess
import sys

import h5py
import numpy as np
import pytest
from projects import ROOT

from unitscope.errors import UserError
from unitscope.storage.atomic_writes import replacing
from unitscope.storage.columns import Schema, flag, integer, number, text
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import create_hdf5, open_hdf5
from unitscope.storage.records import read_json, sha256_of, write_json
from unitscope.storage.scratch import Scratch

# --- writing and reading ---------------------------------------------------------------------------------------------


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half of")
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_partial_files_of_killed_processes_are_overwritten(tmp_path):
    (tmp_path / ".a.txt.part").write_text("left behind by a killed process")
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_hdf5_is_reproducible_and_stores_its_settings(tmp_path):
    for name in ("a.h5", "b.h5"):
        with create_hdf5(tmp_path / name, {"settings": {"b": 1, "a": [2]}, "layer": "conv1", "steps": 3}) as file:
            file["x"] = np.arange(5)
    assert sha256_of(tmp_path / "a.h5") == sha256_of(tmp_path / "b.h5")
    with open_hdf5(tmp_path / "a.h5") as file:
        assert file.attrs["settings"] == '{"a":[2],"b":1}'
        assert (file.attrs["layer"], file.attrs["steps"], file.attrs["format_version"]) == ("conv1", 3, 1)


WRITER = """
import errno, resource, sys
from pathlib import Path
import numpy as np
from unitscope.storage.hdf5 import create_hdf5

path, allowed, checked = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "checked"
try:
    with create_hdf5(path, {}) as out:
        resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, resource.RLIM_INFINITY))
        groups = [out.create_group(f"layers/{number}") for number in range(2)]
        for group in groups:
            group.create_dataset("activations", (500, 12), np.float32, chunks=(250, 12))
        for first in (0, 250):
            for group in groups:
                group["activations"][first : first + 250] = np.full((250, 12), first)
            if checked:
                out.check()
        for group in groups:
            assert (group["activations"][250:] == 250).all()
            group["plain"] = np.arange(4000.0)
            group.create_dataset("packed", data=np.arange(4000.0), compression="gzip")
            assert group["packed"][3999] == 3999
        print("went on")
except OSError as error:
    print(errno.errorcode[error.errno])
print(sorted(entry.name for entry in path.parent.iterdir()))
"""
"""Writes what does not fit, into chunks, packed ones and whole arrays, and reads some of it again meanwhile."""


@pytest.mark.parametrize(
    ("allowed", "checked", "printed"),
    [
        (0, "unchecked", ["went on", "EFBIG", "[]"]),
        (20_000, "checked", ["EFBIG", "[]"]),
        (60_000, "unchecked", ["went on", "EFBIG", "[]"]),
        (10**9, "checked", ["went on", "['a.h5']"]),
    ],
)
def test_a_full_disk_raises_instead_of_crashing_hdf5(tmp_path, allowed, checked, printed):
    # A limit on the size of a file stands for a full disk, which only root can make.
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a.h5"), str(allowed), checked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout.splitlines()) == (0, "", printed)


READER = """
import sys
from unitscope.storage.hdf5 import open_hdf5
from unitscope.errors import UserError

try:
    with open_hdf5(sys.argv[1]) as file:
        print(file.attrs["layer"], len(file["names"][:]))
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("texts", [3, 2000])
def test_damaged_hdf5_text_is_refused_without_hanging(tmp_path, texts):
    path = tmp_path / "a.h5"
    with create_hdf5(path, {"layer": "conv1"}) as out:
        out["names"] = np.array(["texts"] * texts, dtype=h5py.string_dtype())

    def reader_output():
        command = [sys.executable, "-c", READER, str(path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout

    assert reader_output() == f"conv1 {texts}\n"
    content = bytearray(path.read_bytes())
    # Free space lies behind the last text, which is filled up to eight bytes.
    free = content.rindex(b"texts") + 8
    assert not any(content[free : free + 8]) and any(content[free + 8 : free + 16])
    content[free + 8 : free + 16] = bytes(8)
    path.write_bytes(content)
    assert "is damaged (the texts at byte" in reader_output()


def test_errors_of_other_files_are_not_attributed_to_hdf5(tmp_path):
    with create_hdf5(tmp_path / "a.h5", {}):
        pass

    def full_disk():
        with open_hdf5(tmp_path / "a.h5"):
            raise OSError(28, "No space left on device")

    def missing():
        with open_hdf5(tmp_path / "a.h5") as file:
            file["x"]

    with pytest.raises(OSError, match="No space left"):
        full_disk()
    with pytest.raises(UserError, match=r"a\.h5 lacks something"):
        missing()


class Rows(Schema, files=["a.csv"]):
    """One row per unit."""

    layer = text()
    unit = integer("index")
    dead = flag()
    rs = number("share")
    nearest = integer("index", or_nan=True)
    year = integer("1")


def test_table_round_trip(tmp_path):
    columns = {
        "layer": ["3", "conv, 1"],
        "unit": np.array([0, 10]),
        "dead": np.array([True, False]),
        "rs": np.array([1 / 3, np.nan]),
        "nearest": [10, np.nan],
        "year": [2018, 2026],
    }
    write_table(tmp_path / "a.csv", columns, Rows)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[1:] == ["3,0,True,0.3333333333333333,10,2018", '"conv, 1",10,False,nan,nan,2026']
    table = read_table(tmp_path / "a.csv", Rows)
    assert list(table) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(table[name], values)
    assert [column.dtype.kind for column in table.values()] == ["U", "i", "b", "f", "f", "i"]


def test_a_table_without_rows_keeps_its_types(tmp_path):
    write_table(tmp_path / "a.csv", Rows.of_rows([]), Rows)
    table = read_table(tmp_path / "a.csv", Rows)
    assert [(len(column), column.dtype.kind) for column in table.values()] == [(0, kind) for kind in "Uibffi"]


ROW = {"layer": ["3"], "unit": [0], "dead": [False], "rs": [0.5], "nearest": [1], "year": [2018]}


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({name: ROW[name] for name in ROW if name != "rs"}, "the column rs is missing"),
        ({**ROW, "doubled": [1.0]}, "the column doubled is not declared"),
        ({**ROW, "unit": [0.5]}, "the column unit is of type integer"),
        ({**ROW, "layer": [3]}, "the column layer is of type text"),
        ({**ROW, "unit": [0, 1]}, "argument 2 is longer"),
    ],
)
def test_columns_other_than_the_declared_ones_are_not_written(tmp_path, columns, problem):
    with pytest.raises(ValueError, match=problem):
        write_table(tmp_path / "a.csv", columns, Rows)
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("layer,unit,dead,rs,nearest", "3,0,False,0.5,1"),
        ("layer,unit,dead,rs,nearest,year,more", "3,0,False,0.5,1,2018,0"),
        ("layer,unit,dead,rs,nearest,year", "3,0.5,False,0.5,1,2018"),
        ("layer,unit,dead,rs,nearest,year", "3,0,no,0.5,1,2018"),
        ("layer,unit,dead,rs,nearest,year", "3,0,False,half,1,2018"),
        ("layer,unit,dead,rs,nearest,year", "3,0,False,0.5,1.5,2018"),
        ("layer,unit,dead,rs,nearest,year", "3,99999999999999999999,False,0.5,1,2018"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused(tmp_path, header, row):
    (tmp_path / "a.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(UserError, match=r"a\.csv is not a whole table \(.*column"):
        read_table(tmp_path / "a.csv", Rows)


def read_rows(path):
    return read_table(path, Rows)


@pytest.mark.parametrize(
    ("reader", "content"), [(read_rows, "a,b\n1\n"), (read_rows, 'a\n"' + "1\n" * 2**17), (read_json, '{"a": ')]
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, reader, content):
    path = tmp_path / "damaged"
    path.write_text(content)
    with pytest.raises(UserError, match="damaged is not a whole"):
        reader(path)
    with pytest.raises(UserError, match="does not exist"):
        reader(tmp_path / "missing")


def test_scratch_deletes_files_of_other_settings(tmp_path):
    first = Scratch(tmp_path / "job", {"steps": 1})
    first.save("a", b"one")
    assert Scratch(tmp_path / "job", {"steps": 1}).load("a") == b"one"
    assert Scratch(tmp_path / "job", {"steps": 2}).load("a") is None
    assert Scratch(tmp_path / "job", {"steps": 1}).load("a") is None
    first.save("a", b"one")
    first.clear()
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("content", [b"", b"one", b"0" * 64 + b" " + b"0" * 64 + b"\none", None])
def test_damaged_resume_file_is_dropped_with_a_message(tmp_path, caplog, content):
    scratch = Scratch(tmp_path, "key")
    scratch.save("a", b"one")
    scratch.save("b", b"two")
    # A piece of another name and a sound checksum is what it was saved as; one of another key is not.
    other = Scratch(tmp_path / "other", "another key")
    other.save("a", b"one")
    (scratch.folder / "a").write_bytes((other.folder / "a").read_bytes() if content is None else content)
    assert scratch.load("a") is None and "a is damaged, and is dropped" in caplog.text
    assert scratch.load("b") == b"two" and not (scratch.folder / "a").exists()


def test_scratch_touches_only_its_files(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/precious").write_text("mine")
    (tmp_path / "mine").write_text("mine")
    scratch = Scratch(tmp_path, "key")
    scratch.save("a", b"one")
    scratch.clear()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "precious", "work"]


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1.5], "a": None})
    assert read_json(tmp_path / "a.json") == {"b": [1.5], "a": None}


# --- layouts ---------------------------------------------------------------------------------------------------------


def layout(group):
    """Return dtype and shape of every data set below a group."""
    layouts = {}
    group.visititems(
        lambda name, item: layouts.update({name: (item.dtype.kind, item.shape)} if hasattr(item, "shape") else {})
    )
    return layouts


def test_layout_of_a_data_set(finished):
    with h5py.File(finished.folder / "data/datasets/digits.h5") as file:
        assert layout(file) == {"images": ("u", (5000, 28, 28, 1)), "labels": ("i", (5000,)), "split": ("u", (5000,))}
        assert file["images"].dtype == file["split"].dtype == np.uint8
        assert file["labels"].dtype == np.int64
        assert list(file.attrs["classes"]) == [str(digit) for digit in range(10)]
        assert file.attrs["format_version"] == 1
        assert np.unique(file["split"]).tolist() == [0, 1]


def test_layout_of_activations(finished):
    with h5py.File(finished.folder / "results/small/activations.h5") as file:
        assert layout(file) == {
            "labels": ("i", (500,)),
            "layers/hidden1/activations": ("f", (500, 12)),
            "layers/hidden1/class_means": ("f", (10, 12)),
            **{
                f"layers/hidden1/{name}": ("f", (12,)) for name in ("mean", "std", "positive_q99", "max", "firing_rate")
            },
        }
        assert file["layers/hidden1/activations"].dtype == np.float32
        attributes = dict(file["layers/hidden1"].attrs)
        assert (attributes["signed"], attributes["depth"], attributes["kind"]) == (False, 1, "linear")
        assert file.attrs["checkpoint_sha256"] == sha256_of(finished.folder / "data/checkpoints/small.pt")


def test_layout_of_images(finished):
    with h5py.File(finished.folder / "results/small/images/hidden1.iam.h5") as file:
        assert layout(file) == {
            "units": ("i", (12,)),
            "images": ("u", (1, 12, 28, 28, 1)),
            **dict.fromkeys(("responses", "start_responses", "preactivations"), ("f", (1, 12, 12))),
            "objective": ("f", (1, 12, 2)),
            "steps": ("i", (2,)),
            "rounding": ("f", (1, 12)),
        }
        assert file["units"].dtype == file["steps"].dtype == np.int64
        assert file["responses"].dtype == file["objective"].dtype == np.float32
        attributes = dict(file.attrs)
        assert (attributes["layer"], attributes["method"], attributes["objective"]) == ("hidden1", "iam", "iam")
        assert attributes["steps"] == 4
        assert attributes["checkpoint_sha256"] == sha256_of(finished.folder / "data/checkpoints/small.pt")


def test_columns_of_tables(finished):
    def header(name):
        with open(finished.folder / "results/small" / name, newline="") as file:
            return next(csv.reader(file))

    scores = [
        f"{score}_{method}"
        for method in ("am", "iam")
        for score in ("rs", "rs_z", "rs_q", "ties", "seeds", "substitutes")
    ]
    lost = [f"ablation_{name}{clamp}" for clamp in ("", "_mean") for name in ("loss", "accuracy", "worst_class")]
    named = ["experiment", "network", "layer", "depth", "unit", "dead", "selectivity", "top_class"]
    ends = [
        *("selectivity_permuted", "selectivity_half0", "selectivity_half1"),
        *("ablation_loss_half0", "ablation_loss_half1", "class_information", "class_information_permuted"),
        *("ablation_loss_mean_half0", "ablation_loss_mean_half1"),
        *(f"{name}{clamp}" for clamp in ("", "_mean") for name in ("own_class_damage", "specificity", "worst_class")),
        *("auc", "auc_class", "auc_p", "auc_q", "auc_heldout", "informedness", "hit_rate_fa05", "precision_at_k"),
        *("d_prime", "lifetime_sparseness", "label_entropy", "selectivity_corrected"),
        *(
            f"{name}_{method}"
            for method in ("am", "iam")
            for name in ("rs_r", "substitutes_z", "substitutes_q", "substitutes_r", "exceeders")
        ),
    ]
    assert header("units.csv") == [*named, *scores, *lost, *ends]
    assert header("layers.csv") == [
        *("experiment", "layer", "depth", "kind", "method", "x", "y", "units", "used"),
        *("spearman", "ci_low", "ci_high", "p_value", "reason", "population_sparseness", "ascent_failures"),
        *("z_error", "reliability_x", "reliability_y", "ceiling", "images_needed"),
    ]
    assert header("sparseness.csv") == ["layer", "population_sparseness"]
