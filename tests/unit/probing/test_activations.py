"""Activations on images, and the statistics of units."""

import h5py
import numpy as np
import pytest
import torch
from networks_by_hand import Residual, opened, quiet

from unitscope.data.summaries import mean_and_std, moments_of, unit_blocks, unit_statistics
from unitscope.errors import UserError
from unitscope.probing.activations import activations

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), dtype=np.uint8)


def collected(probe, layers, size, readout="mean"):
    batches = [IMAGES[first : first + size] for first in range(0, len(IMAGES), size)]
    results = list(activations([probe[layer] for layer in layers], batches, readout))
    return {layer: np.concatenate([batch[layer] for batch in results]) for layer in layers}


def test_all_layers_in_one_pass_equal_each_alone():
    probe = opened(quiet(Residual()))
    pixels = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255
    for layer, values in collected(probe, ["stem", "conv1", "conv2", "fc"], 4).items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, probe[layer].prefix("mean")(pixels)[1].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("readout", ["mean", "max", "center"])
def test_batch_size_changes_nothing(readout):
    probe = opened(quiet(Residual()))
    whole, single = collected(probe, ["conv1", "fc"], 11, readout), collected(probe, ["conv1", "fc"], 1, readout)
    for layer in whole:
        np.testing.assert_allclose(whole[layer], single[layer], rtol=1e-5, atol=1e-6)


def test_moments_of_a_layer_that_is_not_in_the_table():
    table = {"layer": np.array(["a", "b", "b"]), "unit": np.array([0, 0, 1])}
    table |= {"mean": np.arange(3.0), "std": np.arange(3)}
    mean, std = moments_of(table, "b")
    assert mean.tolist() == std.tolist() == [1, 2] and std.dtype == np.float64
    with pytest.raises(UserError, match="no layer 'c'; it has a, b"):
        moments_of(table, "c")


def test_statistics_by_hand():
    values = np.zeros((100, 3), np.float32)
    values[:, 0] = np.arange(100)
    values[:19, 1] = 1.0
    values[:, 2] = 0.1
    statistics = unit_statistics(values)
    assert statistics.mean == pytest.approx([49.5, 0.19, 0.1])
    assert statistics.std[0] == pytest.approx(np.sqrt((100**2 - 1) / 12))
    assert statistics.max == pytest.approx([99, 1, 0.1])
    assert statistics.firing_rate == pytest.approx([0.99, 0.19, 1.0])
    # Zero is not positive: the quantile is that of 1 to 99.
    assert statistics.positive_q99[0] == pytest.approx(np.quantile(np.arange(1, 100), 0.99))


def test_below_twenty_positive_activations_there_is_no_quantile():
    values = np.zeros((50, 2), np.float32)
    values[:19, 0] = values[:20, 1] = 2.0
    quantile = unit_statistics(values).positive_q99
    assert np.isnan(quantile[0])
    assert quantile[1] == 2.0


def test_constant_unit_has_zero_std():
    values = np.full((1000, 1), 0.1, np.float32)
    assert unit_statistics(values).std[0] == 0.0


def test_mean_and_std_of_batches_equal_those_of_all_images():
    draws = np.random.default_rng(0)
    values = draws.normal(100, 0.01, (1003, 5)).astype(np.float32)
    values[:, 3] = 0.1
    whole = unit_statistics(values)
    for cuts in ([], [1], [7, 500, 501], range(100, 1003, 100)):
        mean, std = mean_and_std(np.split(values, cuts))
        np.testing.assert_allclose(mean, whole.mean, rtol=1e-12)
        # A spread far below the mean is where a sum of squares loses its digits.
        np.testing.assert_allclose(std, values.std(0, dtype=np.float64) * (np.arange(5) != 3), rtol=1e-9)
    assert std[3] == 0.0


def test_statistics_by_blocks_of_units_equal_those_of_the_whole():
    values = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    whole = unit_statistics(values)
    for first in (0, 3):
        part = unit_statistics(values[:, first : first + 3])
        for name, array in vars(part).items():
            assert np.array_equal(array, getattr(whole, name)[first : first + 3]), name


@pytest.mark.parametrize("block", [1, 100, 350, 10_000])
def test_blocks_of_units_cover_a_layer_and_bound_what_is_read(tmp_path, block):
    values = np.random.default_rng(0).random((100, 13), np.float32)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=values, chunks=(10, 3))
        for source in (values, stored):
            blocks = list(unit_blocks(source, block))
            assert max(unit_block.size for unit_block in blocks) <= max(block, 100 if source is values else 300)
            assert np.array_equal(np.concatenate(blocks, 1), values)
    # Whole chunks: one that is read in parts is read several times.
    chunks = [3] * 4 + [1]
    assert [unit_block.shape[1] for unit_block in blocks] == {1: chunks, 100: chunks, 350: chunks, 10_000: [13]}[block]


def test_activations_that_are_not_finite_are_refused_with_layer_and_image():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.ReLU())
    probe = opened(model, (1, 4, 4))
    batches = [np.zeros((3, 4, 4, 1), np.uint8), np.stack([np.full((4, 4, 1), value, np.uint8) for value in (0, 255)])]
    # Later: the noise on which forms are compared would be refused first.
    probe.module.get_submodule("0").weight.data.fill_(3e38)
    with pytest.raises(UserError, match=r"layer 0 are not finite .* on image 4 of the split"):
        list(activations([probe["0"]], batches))


def test_activations_need_a_layer():
    with pytest.raises(UserError, match="activations needs a layer"):
        next(activations([], []))
