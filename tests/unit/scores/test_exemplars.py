"""Exemplars: cases with a known answer, and the script on artifacts made by hand."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

from unitscope.data import summaries
from unitscope.scores import exemplars
from unitscope.storage.hdf5 import create_hdf5

ROOT = Path(__file__).parents[3]


def test_exemplars_are_sorted_by_activation_then_row():
    values = np.array([[1, 5, 2], [3, 5, 0], [2, 7, 0], [3, 5, -1]], dtype=np.float32)
    exemplar_set = exemplars.strongest(values, 3)
    assert exemplar_set.images.tolist() == [[1, 3, 2], [2, 0, 1], [0, -1, -1]]
    np.testing.assert_array_equal(exemplar_set.activations, [[3, 3, 2], [7, 5, 5], [2, np.nan, np.nan]])
    assert exemplar_set.images.dtype == np.int64 and exemplar_set.activations.dtype == np.float32


def test_ties_keep_the_lowest_rows():
    values = np.tile(np.array([2.0, 1.0, 3.0], dtype=np.float32), 300)[:, None]
    assert exemplars.strongest(values, 4).images.tolist() == [[2, 5, 8, 11]]


def test_images_without_activation_are_not_exemplars():
    exemplar_set = exemplars.strongest(np.array([[0.0, -1.0], [0.0, -2.0]], dtype=np.float32), 2)
    assert (exemplar_set.images == -1).all()
    assert np.isnan(exemplar_set.activations).all()


def test_fewer_images_than_exemplars():
    exemplar_set = exemplars.strongest(np.array([[1.0], [2.0]], dtype=np.float32))
    assert exemplar_set.images.tolist() == [[1, 0] + [-1] * 7]
    assert np.isnan(exemplar_set.activations[0, 2:]).all()


def test_blocks_of_units_change_nothing():
    values = np.random.default_rng(0).integers(-3, 9, (50, 23)).astype(np.float32)
    blocks = [exemplars.strongest(block) for block in summaries.unit_blocks(values, 200)]
    assert len(blocks) > 3
    np.testing.assert_array_equal(
        np.concatenate([block.images for block in blocks]), exemplars.strongest(values).images
    )


def write(folder: Path, labels: list[int], values: np.ndarray) -> list[str]:
    """Write a data set with mixed splits, and activations; return what the script needs to be told."""
    with create_hdf5(folder / "data.h5", {}) as out:
        out["split"] = np.array([1, 0, 1, 0, 1], dtype=np.uint8)
        out["labels"] = np.array([0, 9, 1, 9, 1])
    with create_hdf5(folder / "activations.h5", {"dataset_sha256": "x"}) as out:
        out["labels"] = np.array(labels)
        group = out.create_group("layers/conv.1")
        group.attrs["depth"] = 1
        group["activations"] = values
    names = {"--activations": "activations.h5", "--dataset": "data.h5", "--output": "exemplars.h5"}
    return [part for option, name in names.items() for part in (option, str(folder / name))]


def run(options: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "scripts/activations/exemplars.py", *options],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_artifact_names_rows_of_the_data_set(tmp_path):
    values = np.array([[1, 0], [3, 0], [2, 4]], dtype=np.float32)
    options = write(tmp_path, [0, 1, 1], values)
    assert run(options).returncode == 0
    first = (tmp_path / "exemplars.h5").read_bytes()
    with h5py.File(tmp_path / "exemplars.h5") as file:
        group = file["layers/conv.1"]
        assert group["images"][:, :3].tolist() == [[2, 4, 0], [4, -1, -1]]
        assert group["activations"][0, :3].tolist() == [3, 2, 1]
        assert group["images"].shape == group["activations"].shape == (2, 9)
        assert file.attrs["dataset_sha256"] == "x"
    assert run(options).returncode == 0
    assert (tmp_path / "exemplars.h5").read_bytes() == first


def test_another_data_set_is_refused(tmp_path):
    done = run(write(tmp_path, [1, 1, 1], np.ones((3, 2), dtype=np.float32)))
    assert done.returncode == 1
    assert "not the data set that the activations were made from" in " ".join(done.stderr.split())
    assert not (tmp_path / "exemplars.h5").exists()
