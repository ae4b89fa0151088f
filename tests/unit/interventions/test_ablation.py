"""Ablation: a known loss on a network made by hand, and the cut network against the whole one with a hook."""

import numpy as np
import pytest
import torch
from networks_by_hand import Residual, Shared, Tokens, Varied, linear, opened, quiet
from torch.nn import functional as F

from unitscope.data.sampling import balanced_sample, halves
from unitscope.interventions.ablation import ablation

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
SMALL = np.ascontiguousarray(IMAGES[:, :2, :2])
LABELS = np.arange(12, dtype=np.int64) % 4
HALVES = np.array([0, 1, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0])


def ablated(module, layer, images=IMAGES, size=5, clamps=None):
    opened_layer = opened(module, (3, *images.shape[1:3]))[layer]
    clamps = clamps or {"": np.zeros(opened_layer.units)}
    batches = [(images[first : first + size], LABELS[first : first + size]) for first in range(0, 12, size)]
    return ablation(opened_layer, batches, clamps, HALVES)


def by_hook(module, path, clamp, images):
    """Return loss and hits of each class with one module's output replaced, the plain way: a full pass with a hook."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    handle = module.get_submodule(path).register_forward_hook(clamp) if path else None
    try:
        logits = module(pixels)
    finally:
        if handle:
            handle.remove()
    labels = torch.from_numpy(LABELS)
    hits = np.bincount(LABELS[(logits.argmax(1) == labels).numpy()], minlength=4)
    return F.cross_entropy(logits, labels).item(), hits


@pytest.mark.parametrize(
    ("network", "images", "layer", "tapped", "after"),
    [
        # What is clamped is the activation: behind the ReLU where one follows.
        (Residual, IMAGES, "conv1", "bn1", torch.relu),
        (Residual, IMAGES, "conv2", "bn2", lambda x: x),
        (Residual, IMAGES, "fc", "fc", lambda x: x),
        (Shared, SMALL, "first", "first", torch.relu),
        (Varied, IMAGES, "strided", "norm", torch.relu),
        (Varied, IMAGES, "dilated", "slopes", lambda x: x),
        (Varied, IMAGES, "grouped", "grouped", F.relu6),
        (Varied, IMAGES, "depthwise", "depthwise", lambda x: x),
        (Varied, IMAGES, "reflected", "reflected", torch.relu),
        (Varied, IMAGES, "same", "same", torch.relu),
        (Varied, IMAGES, "hidden", "hidden", torch.relu),
        (Tokens, IMAGES, "patches", "patches", lambda x: x),
        (Tokens, IMAGES, "mixed", "mixed", torch.relu),
    ],
)
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_the_cut_network_equals_the_whole_one_with_a_hook(network, images, layer, tapped, after, value):
    module = quiet(network())
    units = opened(module, (3, *images.shape[1:3]))[layer].units
    change = ablated(module, layer, images, clamps={"": np.full(units, value)})[""]
    loss, hits = by_hook(module, None, None, images)
    for unit in range(units):

        def clamp(module, inputs, output, unit=unit):
            # A ReLU passes a positive value on; what it makes of the others does not change by applying it twice.
            output = after(output).clone()
            output[:, unit] = value
            return output

        expected_loss, expected_hits = by_hook(module, tapped, clamp, images)
        assert change.loss[unit] == pytest.approx(expected_loss - loss, abs=1e-5)
        assert change.accuracy[unit] == pytest.approx((hits - expected_hits).sum() / 12)
        assert change.worst_class[unit] == pytest.approx(((hits - expected_hits) / 3).max())


@pytest.mark.parametrize("layer", ["stem", "conv1", "conv2", "fc"])
def test_batch_size_changes_nothing(layer):
    module = quiet(Residual())
    all_at_once, single = ablated(module, layer, size=12)[""], ablated(module, layer, size=1)[""]
    np.testing.assert_allclose(all_at_once.loss, single.loss, atol=1e-6)
    assert np.array_equal(all_at_once.accuracy, single.accuracy)
    assert np.array_equal(all_at_once.worst_class, single.worst_class)


def test_by_hand():
    # Four units, each the logit of one class; class c shines in pixel c, so that every image is classified rightly.
    module = linear(10 * torch.eye(4))
    images = (255 * np.eye(4, dtype=np.uint8))[LABELS].reshape(12, 4, 1, 1)
    batches = [(images, LABELS)]
    change = ablation(opened(module, (1, 4, 1))["units"], batches, {"": np.zeros(4)}, HALVES)[""]
    right, wrong = np.log(np.exp(10) + 3) - 10, np.log(4)
    np.testing.assert_allclose(change.loss, (3 * wrong + 0 * right) / 12 - 3 * right / 12, atol=1e-6)
    # With its unit silent, all logits of a class are equal, and the first class wins: class 0 loses nothing.
    assert change.accuracy.tolist() == [0, 0.25, 0.25, 0.25]
    assert change.worst_class.tolist() == [0, 1, 1, 1]
    # On a half, the rise follows from how many of its images are of the unit's class.
    for half, risen in enumerate((change.loss_half0, change.loss_half1)):
        share = np.bincount(LABELS[half == HALVES], minlength=4) / (half == HALVES).sum()
        np.testing.assert_allclose(risen, share * (wrong - right), atol=1e-6)


def test_a_dead_unit_costs_nothing():
    module = quiet(Residual())
    module.stem.weight.data[2], module.stem.bias.data[2] = 0.0, -1.0
    change = ablated(module, "stem")[""]
    assert change.loss[2] == 0.0
    assert change.accuracy[2] == change.worst_class[2] == 0.0
    assert (change.loss[[0, 1, 3, 4, 5]] != 0).all()


def test_halves_split_every_class_and_every_sample_evenly():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [50, 7, 1]))
    half = halves(labels)
    assert np.bincount(half[labels == 0]).tolist() == [25, 25]
    assert sorted(np.bincount(half[labels == 1])) == [3, 4]
    assert np.array_equal(half, halves(labels))
    sample = balanced_sample(labels, 13)
    assert np.bincount(half[sample][labels[sample] == 0]).tolist() == [3, 3]
    # Random, not alternating in the order of the images.
    assert len(set(np.flatnonzero(half[labels == 0]) % 2)) == 2


def test_a_sample_of_images_is_balanced_ascending_and_the_same_each_time():
    labels = np.repeat([0, 1, 2], [50, 5, 45])
    rows = balanced_sample(labels, 21)
    assert (np.diff(rows) > 0).all()
    # The small class gives all that it has.
    assert np.bincount(labels[rows]).tolist() == [8, 5, 8]
    assert np.array_equal(rows, balanced_sample(labels, 21))
    # More images keep those that were there.
    assert set(rows) < set(balanced_sample(labels, 40))
    for everything in (None, 100, 1000):
        assert np.array_equal(balanced_sample(labels, everything), np.arange(100))
