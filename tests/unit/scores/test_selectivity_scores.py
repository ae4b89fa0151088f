"""All selectivity measures of a layer: column by column, block by block, in bounded memory, and on a known network."""

import tracemalloc

import h5py
import numpy as np
import pytest
import torch
from networks_by_hand import linear, opened

from unitscope.data.summaries import class_means, class_sizes
from unitscope.probing.activations import activations
from unitscope.scores import detection, information, selectivity, sparseness
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.scores.selectivity_scores import UNDEFINED, layer_scores

CLASSES = [f"class {number}" for number in range(4)]
SETTINGS = {"permutations": 5, "seed": 0, "bins": 6}


def layer(units=37, images=120, seed=0):
    """Return activations (images, units) of which the last unit is dead, their labels, and maxima over training."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(images) % len(CLASSES))
    values = np.maximum(generator.normal(size=(images, units)), 0).astype(np.float32)
    values[labels == 1, 0] += 3
    values[:, -1] = 0
    train_max = np.ones(units)
    train_max[-1] = 0
    return values, labels, train_max


def scores(values, labels, train_max, classes=CLASSES, **options):
    return layer_scores(values, train_max, labels, classes, **SETTINGS, **options)


def test_each_column_is_its_measure_and_dead_units_have_none():
    values, labels, train_max = layer()
    columns = scores(values, labels, train_max).columns
    assert sorted(columns) == sorted(set(SelectivityTable.names()) - {"layer", "unit"})
    assert columns["dead"].tolist() == [False] * 36 + [True]
    assert all(np.isnan(columns[name][-1]) and np.isfinite(columns[name][:-1]).all() for name in UNDEFINED)
    assert columns["top_class"][-1] == columns["auc_class"][-1] == ""
    detected = detection.detection(values, labels, 4)
    alive = ~columns["dead"]
    expected = {
        "selectivity": selectivity.class_selectivity(class_means(values, labels, CLASSES)),
        "selectivity_permuted": selectivity.permuted_selectivity(values, labels, CLASSES, 5, 0),
        "selectivity_half1": selectivity.selectivity_by_half(values, labels, 4)[1],
        "class_information": information.class_information(values, labels, 4, 6),
        "class_information_permuted": information.permuted_information(values, labels, 4, 6, 5, 0),
        **{name: vars(detected)[name] for name in ("auc", "auc_p", "informedness", "hit_rate_fa05", "d_prime")},
        "precision_at_k": detected.precision_at_k,
        "auc_heldout": detection.heldout_auc(values, labels, 4),
        "lifetime_sparseness": sparseness.lifetime_sparseness(values),
        "label_entropy": sparseness.label_entropy(values, labels, class_sizes(labels, CLASSES)),
        "selectivity_corrected": selectivity.corrected_selectivity(values, labels, 4),
    }
    for name, column in expected.items():
        assert columns[name][alive].tolist() == column[alive].tolist(), name
    assert columns["auc_class"][alive].tolist() == [CLASSES[number] for number in detected.auc_class[alive]]
    # A dead unit has no test, and is not among those that are corrected for.
    assert columns["auc_q"][alive].tolist() == detection.false_discovery_rates(detected.auc_p[alive]).tolist()


@pytest.mark.parametrize("units_at_once", [1, 5, 16])
def test_blocks_change_nothing(tmp_path, units_at_once):
    values, labels, train_max = layer()
    whole = scores(values, labels, train_max)
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        stored = file.create_dataset("activations", data=values, chunks=(50, units_at_once))
        in_blocks = scores(stored, labels, train_max, block=units_at_once * len(values))
    for name, column in whole.columns.items():
        if column.dtype == object:
            assert column.tolist() == in_blocks.columns[name].tolist()
            continue
        # Of a block with a single unit, numpy sums in another order.
        is_rounded = units_at_once == 1 and name in ("d_prime", "lifetime_sparseness")
        np.testing.assert_allclose(in_blocks.columns[name], column, rtol=1e-13 if is_rounded else 0, atol=0)
    assert in_blocks.population_sparseness == pytest.approx(whole.population_sparseness, abs=1e-12)


def test_memory_does_not_grow_with_the_units(tmp_path):
    def peak(units: int) -> int:
        values, labels, train_max = layer(units, 2_000)
        path = tmp_path / f"{units}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("activations", data=values, chunks=(250, 8))
        del values
        with h5py.File(path) as file:
            tracemalloc.start()
            scores(file["activations"], labels, train_max, block=8 * 2_000)
            result = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return result

    peaks = [peak(units) for units in (64, 1024)]
    # 960 more units: their columns, and nothing of their 2,000 activations.
    assert peaks[1] - peaks[0] < 960 * 1_000
    assert peaks[1] < 1024 * 2_000 * 4 / 3


def test_a_unit_that_alone_carries_a_class():
    """Pixel k is bright on images of class k alone, and unit k responds to pixel k."""
    labels = np.arange(60) % 4
    images = np.random.default_rng(0).integers(0, 100, (60, 1, 4, 1), dtype=np.uint8)
    images[np.arange(60), 0, labels, 0] = 200
    probe = opened(linear(torch.eye(4), [-0.5] * 4), (1, 1, 4))
    (batch,) = activations([probe["units"]], [images])
    result = scores(batch["units"], labels, batch["units"].max(0)).columns
    assert result["auc_class"].tolist() == result["top_class"].tolist() == CLASSES
    for name in ("auc", "auc_heldout", "informedness", "hit_rate_fa05", "precision_at_k", "selectivity"):
        assert result[name].tolist() == [1.0] * 4, name
    assert result["selectivity_corrected"].tolist() == [1.0] * 4 and not result["label_entropy"].any()
    assert (result["auc_q"] < 1e-6).all()


def test_a_unit_that_detects_no_class_has_none():
    values, labels, train_max = layer()
    values[:, 3] = 0.25
    columns = scores(values, labels, train_max).columns
    assert columns["auc"][3] == 0.5 and columns["auc_class"][3] == "" and columns["auc_p"][3] == 1
    assert np.isnan(columns["d_prime"][3]) and columns["informedness"][3] == 0


def test_without_classes_only_sparseness_is_defined():
    values, _, train_max = layer()
    result = scores(values, np.empty(0, np.int64), train_max, classes=[])
    columns = result.columns
    assert columns["lifetime_sparseness"][:-1].tolist() == sparseness.lifetime_sparseness(values)[:-1].tolist()
    assert all(np.isnan(columns[name]).all() for name in UNDEFINED if name != "lifetime_sparseness")
    assert set(columns["top_class"]) == set(columns["auc_class"]) == {""}
    assert 0 < result.population_sparseness < 1
