"""Class selectivity: closed forms, invariances, dead units, bias under permuted labels, and its script."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from unitscope.data.sampling import halves
from unitscope.data.summaries import class_means
from unitscope.errors import UserError
from unitscope.scores.information import class_information
from unitscope.scores.selectivity import (
    class_selectivity,
    corrected_selectivity,
    dead_units,
    permuted_selectivity,
    selectivity_by_half,
    top_class,
)
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.storage.csv_tables import read_table
from unitscope.storage.hdf5 import create_hdf5, open_hdf5

ROOT = Path(__file__).parents[3]
LABELS = np.repeat([0, 1, 2], [5, 2, 1])
CLASSES = ("cat", "dog", "3")


def index(activations, labels=LABELS, classes=CLASSES):
    return class_selectivity(class_means(np.asarray(activations), labels, classes))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_one_hot_means_give_one_and_equal_means_give_zero(classes):
    assert (class_selectivity(np.eye(classes)) == 1).all()
    flat = class_selectivity(np.full((classes, 3), 0.1))
    np.testing.assert_allclose(flat, 0, atol=1e-15)
    assert (flat >= 0).all()


def test_selectivity_by_hand():
    # Largest 4, mean of the others (1 + 0) / 2.
    assert class_selectivity(np.array([[1.0], [4.0], [0.0]])) == pytest.approx(3.5 / 4.5, rel=1e-15)


def test_scaling_a_unit_changes_nothing():
    values = np.random.default_rng(0).gamma(1, 1, (8, 6))
    assert (index(values) == index(values * 2.0 ** np.arange(-30, 30, 10))).all()
    np.testing.assert_allclose(index(values), index(values * 1e-12), rtol=1e-12)


def test_classes_have_equal_weight():
    values = np.random.default_rng(1).gamma(1, 1, (8, 4))
    once = index(values)
    more = np.concatenate([values, np.repeat(values[LABELS == 0], 7, axis=0)])
    labels = np.concatenate([LABELS, np.zeros(35, dtype=int)])
    np.testing.assert_allclose(index(more, labels), once, rtol=1e-12)
    # The mean of each class, not the mean over all images of the other classes: (6 - (2 + 0) / 2) / (6 + 1).
    assert index(np.repeat([[2.0], [0.0], [6.0]], [5, 2, 1], axis=0)) == pytest.approx(5 / 7)


def test_order_of_images_changes_nothing():
    generator = np.random.default_rng(2)
    values, order = generator.gamma(1, 1, (8, 4)), generator.permutation(8)
    np.testing.assert_allclose(index(values[order], LABELS[order]), index(values), rtol=1e-12)


def test_negative_activations_count_as_zero():
    values = np.random.default_rng(3).normal(0, 1, (8, 50))
    values[0] = 1.0
    assert (index(values) == index(np.maximum(values, 0))).all()
    assert (index(values) >= 0).all() and (index(values) <= 1).all()


def test_selectivity_is_undefined_without_positive_activations():
    assert np.isnan(index(np.full((8, 1), -1.0))).all()
    assert np.isnan(index(np.zeros((8, 1)))).all()


def test_single_class_has_no_selectivity():
    assert np.isnan(class_selectivity(np.ones((1, 4)))).all()


def test_top_class():
    assert top_class(np.array([[1.0, 5.0, 2.0], [3.0, 5.0, 9.0]])).tolist() == [1, 0, 1]


def test_dead_means_no_positive_activation_on_any_image():
    test = np.array([[0.0, -1.0, 0.0, 2.0], [0.0, -3.0, 0.0, 0.0]])
    assert dead_units(np.array([0.0, -0.5, 0.1, 0.0]), test).tolist() == [True, True, False, False]


def test_permuted_labels_are_the_mean_over_the_draws():
    values = np.random.default_rng(4).gamma(1, 1, (8, 3))
    generator = np.random.default_rng(7)
    by_hand = np.mean([index(values, generator.permutation(LABELS)) for _ in range(5)], axis=0)
    np.testing.assert_allclose(permuted_selectivity(values, LABELS, CLASSES, 5, 7), by_hand, rtol=1e-12)


def test_permuted_labels_reduce_a_perfect_unit_to_the_bias():
    labels = np.repeat(np.arange(4), 50)
    perfect = (labels == 2).astype(float)[:, None]
    assert index(perfect, labels, list("abcd")) == 1
    permuted = permuted_selectivity(perfect, labels, list("abcd"), 40, 0)
    assert 0 < permuted < 0.3
    assert np.isnan(permuted_selectivity(np.zeros((200, 1)), labels, list("abcd"), 3, 0)).all()


def test_a_class_without_images_is_named():
    with pytest.raises(UserError, match=r"class 3\b"):
        index(np.ones((8, 1)), np.zeros(8, dtype=int) + (np.arange(8) > 4))
    with pytest.raises(UserError, match="from 0 to 2, but there are 2 classes"):
        index(np.ones((8, 1)), LABELS, ("a", "b"))


# --- the script ------------------------------------------------------------------------------------------------------


def write(path, classes, labels=LABELS):
    generator = np.random.default_rng(0)
    with create_hdf5(path, {}) as handle:
        handle.attrs["classes"] = np.array(classes, dtype=h5py.string_dtype())
        handle["labels"] = labels
        # The names' order is not the network's.
        for depth, layer in ((2, "features.10"), (1, "features.9")):
            group = handle.create_group(f"layers/{layer}")
            group.attrs.update({"depth": depth, "kind": "conv", "signed": False})
            values = generator.gamma(1, 1, (8, 3)).astype(np.float32)
            values[:, 1] = 0
            group["activations"], group["max"] = values, np.array([1.0, 0.0, 1.0])


def test_halves_are_scored_independently():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [9, 4, 2]))
    values = np.random.default_rng(1).normal(size=(15, 6))
    by_half = selectivity_by_half(values, labels, 3)
    for half in (0, 1):
        in_half = halves(labels) == half
        assert by_half[half].tolist() == index(values[in_half], labels[in_half]).tolist()
    assert (by_half[0] != by_half[1]).all()


def run(path, output):
    settings = json.dumps({"permutations": 4, "seed": 0, "bins": 3})
    command = [sys.executable, ROOT / "scripts/activations/selectivity.py", "--activations", path]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, "--settings", settings, "--output", output, "--sparseness", output.with_name("sparseness.csv")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_script(tmp_path):
    write(tmp_path / "activations.h5", CLASSES)
    done = run(tmp_path / "activations.h5", tmp_path / "selectivity.csv")
    assert done.returncode == 0, done.stderr
    table = read_table(tmp_path / "selectivity.csv", SelectivityTable)
    assert table["layer"].tolist() == ["features.9"] * 3 + ["features.10"] * 3
    assert table["dead"].tolist() == [False, True, False] * 2
    with open_hdf5(tmp_path / "activations.h5") as handle:
        values = handle["layers/features.9/activations"][:]
    expected = index(values)
    assert table["selectivity"][[0, 2]].tolist() == expected[[0, 2]].tolist()
    assert np.isnan(table["selectivity"][1]) and np.isnan(table["selectivity_permuted"][1])
    # The one image of the last class lies in the first half.
    for half, expected in enumerate(selectivity_by_half(values, LABELS, 3)):
        expected_column = [expected[0], np.nan, expected[2]]
        np.testing.assert_array_equal(table[f"selectivity_half{half}"][:3], expected_column)
    assert np.isnan(table["selectivity_half1"]).all() and table["selectivity_half0"][0] > 0
    information = class_information(values, LABELS, 3, 3)
    assert table["class_information"][[0, 2]].tolist() == information[[0, 2]].tolist() and information[0] > 0
    assert np.isnan(table["class_information"][1]) and np.isnan(table["class_information_permuted"][1])
    assert (table["class_information_permuted"][[0, 2]] > 0).all()
    names = [CLASSES[best] for best in top_class(class_means(values, LABELS, CLASSES))]
    assert table["top_class"][:3].tolist() == [names[0], "", names[2]]


def test_script_without_classes(tmp_path):
    write(tmp_path / "activations.h5", [], labels=np.empty(0, dtype=int))
    done = run(tmp_path / "activations.h5", tmp_path / "selectivity.csv")
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stderr
    table = read_table(tmp_path / "selectivity.csv", SelectivityTable)
    assert np.isnan(table["selectivity"]).all() and set(table["top_class"]) == {""}
    assert np.isnan(table["class_information"]).all()
    assert table["dead"].tolist() == [False, True, False] * 2


def test_script_names_the_empty_class(tmp_path):
    write(tmp_path / "activations.h5", (*CLASSES, "unicorn"))
    done = run(tmp_path / "activations.h5", tmp_path / "selectivity.csv")
    assert done.returncode == 1 and "unicorn" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "selectivity.csv").exists()


def test_one_image_per_class_leaves_void_columns_and_a_warning(tmp_path):
    write(tmp_path / "activations.h5", list("abcdefgh"), np.arange(8))
    done = run(tmp_path / "activations.h5", tmp_path / "selectivity.csv")
    assert "each class has a single image in the test split" in " ".join(done.stderr.split())
    table = read_table(tmp_path / "selectivity.csv", SelectivityTable)
    alive = ~table["dead"]
    np.testing.assert_allclose(table["selectivity"][alive], table["selectivity_permuted"][alive])
    assert np.isnan(table["selectivity_half1"]).all()
    # log2 of three bins, of 3, 3 and 2 images.
    shares = np.array([3, 3, 2]) / 8
    np.testing.assert_allclose(table["class_information"][alive], -(shares * np.log2(shares)).sum())
    write(tmp_path / "activations.h5", CLASSES)
    assert "single image" not in run(tmp_path / "activations.h5", tmp_path / "selectivity.csv").stderr


def test_the_corrected_index_chooses_the_class_on_the_other_half():
    generator = np.random.default_rng(4)
    activations, labels = generator.gamma(1, 1, (90, 30)), np.arange(90) % 6
    half, values = halves(labels), []
    for number in (0, 1):
        chosen = class_means(activations[half != number], labels[half != number], "abcdef").argmax(axis=0)
        means = class_means(activations[half == number], labels[half == number], "abcdef")
        for unit, preferred in enumerate(chosen):
            others = np.delete(means[:, unit], preferred).mean()
            values.append((means[preferred, unit] - others) / (means[preferred, unit] + others))
    assert corrected_selectivity(activations, labels, 6) == pytest.approx(np.reshape(values, (2, 30)).mean(axis=0))


def test_the_corrected_index_is_not_above_zero_for_noise_as_the_index_is():
    generator = np.random.default_rng(6)
    activations, labels = generator.gamma(1, 1, (200, 500)), np.arange(200) % 10
    assert index(activations, labels, list("abcdefghij")).mean() > 0.15
    assert abs(corrected_selectivity(activations, labels, 10).mean()) < 0.02


def test_the_corrected_index_of_a_unit_that_alone_carries_a_class_is_one():
    labels = np.arange(24) % 3
    activations = (labels[:, None] == np.arange(3)) * np.random.default_rng(7).uniform(1, 2, (24, 3))
    assert (corrected_selectivity(activations, labels, 3) == 1).all()
    # Of either half another class: the index is lowest where the choice is wrong.
    half = halves(labels)
    opposed = np.where(half == 0, labels == 0, labels == 1).astype(float)[:, None]
    assert corrected_selectivity(opposed, labels, 3)[0] == -1


def test_the_corrected_index_is_undefined_where_a_class_is_missing_in_a_half():
    assert np.isnan(corrected_selectivity(np.ones((5, 2)), np.array([0, 0, 1, 1, 2]), 3)).all()
