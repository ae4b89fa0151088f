"""Ablation: a known loss on a network made by hand, and the cut network against the whole one with a hook."""

import copy

import numpy as np
import pytest
import torch
from networks_by_hand import Residual, Shared, Tokens, Varied, linear, opened, quiet
from torch.nn import functional as F

from unitscope.data.sampling import balanced_sample, halves
from unitscope.interventions.ablation import Damage, ablation, clamp_to, class_damage, resample, scores

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
SMALL = np.ascontiguousarray(IMAGES[:, :2, :2])
LABELS = np.arange(12, dtype=np.int64) % 4
HALVES = np.array([0, 1, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0])


def ablated(module, layer, images=IMAGES, size=5, clamps=None):
    opened_layer = opened(module, (3, *images.shape[1:3]))[layer]
    clamps = clamps or {"": np.zeros(opened_layer.units)}
    clamps = {name: clamp_to(values) for name, values in clamps.items()}
    damage = ablation(opened_layer, in_batches(images, size), clamps, HALVES)
    return {name: scores(of_clamp) for name, of_clamp in damage.items()}


def in_batches(images, size):
    return [(images[first : first + size], LABELS[first : first + size]) for first in range(0, 12, size)]


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
def test_split_network_ablation_equals_a_full_pass_with_hooks(network, images, layer, tapped, after, value):
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


def test_ablation_loss_by_hand():
    # Four units, each the logit of one class; class c shines in pixel c, so that every image is classified rightly.
    module = linear(10 * torch.eye(4))
    images = (255 * np.eye(4, dtype=np.uint8))[LABELS].reshape(12, 4, 1, 1)
    batches = [(images, LABELS)]
    damage = ablation(opened(module, (1, 4, 1))["units"], batches, {"": clamp_to(np.zeros(4))}, HALVES)[""]
    change = scores(damage)
    right, wrong = np.log(np.exp(10) + 3) - 10, np.log(4)
    np.testing.assert_allclose(change.loss, (3 * wrong + 0 * right) / 12 - 3 * right / 12, atol=1e-6)
    # With its unit silent, all logits of a class are equal, and the first class wins: class 0 loses nothing.
    assert change.accuracy.tolist() == [0, 0.25, 0.25, 0.25]
    assert change.worst_class.tolist() == [0, 1, 1, 1]
    # On a half, the rise follows from how many of its images are of the unit's class.
    for half, risen in enumerate((change.loss_half0, change.loss_half1)):
        share = np.bincount(LABELS[half == HALVES], minlength=4) / (half == HALVES).sum()
        np.testing.assert_allclose(risen, share * (wrong - right), atol=1e-6)


def test_units_that_alone_carry_their_class_damage_it_alone():
    # Without its unit, class c loses its logit of 10; all other images stay as they are.
    module = linear(10 * torch.eye(4))
    images = (255 * np.eye(4, dtype=np.uint8))[LABELS].reshape(12, 4, 1, 1)
    layer = opened(module, (1, 4, 1))["units"]
    both = np.repeat([0, 1, 0], 4)
    damage = ablation(layer, [(images, LABELS)], {"zero": clamp_to(np.zeros(4))}, both)["zero"]
    lost = np.log(4) - (np.log(np.exp(10) + 3) - 10)
    np.testing.assert_allclose(damage.loss.sum(0), np.diag(np.full(4, 3 * lost)), atol=1e-6)
    # Class 0 is the first of equal logits.
    assert damage.hits.sum(0).tolist() == np.diag([0, 3, 3, 3]).tolist()
    preferred_damage = class_damage(damage, np.array([[0, 1, 2, 3]] * 2))
    np.testing.assert_allclose(preferred_damage.own_class_damage, lost, atol=1e-6)
    np.testing.assert_allclose(preferred_damage.specificity, lost, atol=1e-6)
    np.testing.assert_allclose(preferred_damage.worst_class, lost, atol=1e-6)
    other_damage = class_damage(damage, np.array([[1, 2, 3, 0]] * 2))
    np.testing.assert_allclose(other_damage.own_class_damage, 0, atol=1e-6)
    np.testing.assert_allclose(other_damage.specificity, -lost / 3, atol=1e-6)


def test_the_class_is_chosen_on_one_half_and_measured_on_the_other():
    generator = np.random.default_rng(0)
    loss, images = generator.normal(size=(2, 5, 4)), generator.integers(1, 6, (2, 4))
    damage = Damage(loss, loss.astype(np.int64), images, *np.zeros((2, 2, 4)))
    preferred, mean = generator.integers(4, size=(2, 5)), loss / images[:, None]
    result = class_damage(damage, preferred)
    for unit in range(5):
        preferred_damage = [mean[0, unit, preferred[1, unit]], mean[1, unit, preferred[0, unit]]]
        other_damage = [np.delete(mean[half, unit], preferred[1 - half, unit]).mean() for half in (0, 1)]
        worst = [mean[half, unit, mean[1 - half, unit].argmax()] for half in (0, 1)]
        assert result.own_class_damage[unit] == pytest.approx(np.mean(preferred_damage))
        assert result.specificity[unit] == pytest.approx(np.mean(preferred_damage) - np.mean(other_damage))
        assert result.worst_class[unit] == pytest.approx(np.mean(worst))


def test_damage_to_a_class_without_images_or_of_a_unit_without_a_class_is_undefined():
    loss, images = np.ones((2, 2, 3)), np.array([[2, 2, 0], [2, 2, 0]])
    damage = Damage(loss * (images > 0)[:, None], loss.astype(np.int64), images, *np.zeros((2, 2, 3)))
    result = class_damage(damage, np.array([[2, -1], [2, -1]]))
    assert np.isnan(result.own_class_damage).all() and np.isnan(result.specificity).all()
    np.testing.assert_allclose(result.worst_class, 0.5)


def test_hits_add_up_to_the_accuracy_and_sums_do_not_depend_on_batches():
    module = quiet(Residual())
    layer = opened(module, (3, 8, 8))["conv1"]
    clamps = {"zero": clamp_to(np.zeros(layer.units)), "mean": clamp_to(np.full(layer.units, 0.2))}
    whole, parts = (ablation(layer, in_batches(IMAGES, size), clamps, HALVES) for size in (12, 5))
    for name in clamps:
        hits, images = whole[name].hits, whole[name].images
        assert hits.dtype == np.int64 and images.sum() == 12
        assert (hits.sum((0, 2)) / images.sum() == scores(whole[name]).accuracy).all()
        assert np.array_equal(hits, parts[name].hits)
        np.testing.assert_allclose(whole[name].loss, parts[name].loss, atol=1e-5)
        intact = by_hook(module, None, None, IMAGES)
        assert whole[name].intact_hits.sum(0).tolist() == intact[1].tolist()
        assert whole[name].intact_loss.sum() / 12 == pytest.approx(intact[0], abs=1e-5)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc"])
def test_a_resampled_unit_has_its_map_on_the_donated_image(layer):
    module = quiet(Residual())
    opened_layer = opened(module, (3, 8, 8))[layer]
    donors = np.random.default_rng(1).integers(0, 256, IMAGES.shape, dtype=np.uint8)
    cut = opened_layer.cut()
    with torch.no_grad():
        donated = cut.prefix(torch.from_numpy(donors).permute(0, 3, 1, 2) / 255)[0]
    batches, parts = in_batches(IMAGES, 5), np.split(donors, [5, 10])
    damage = ablation(opened_layer, batches, {"resample": resample()}, HALVES, donors=iter(parts))["resample"]
    tapped, after = {"conv1": ("bn1", torch.relu), "conv2": ("bn2", lambda x: x), "fc": ("fc", lambda x: x)}[layer]
    loss, hits = by_hook(module, None, None, IMAGES)
    for unit in range(opened_layer.units):

        def swap(module, inputs, output, unit=unit):
            output = after(output).clone()
            output[:, unit] = donated[:, unit]
            return output

        expected_loss, expected_hits = by_hook(module, tapped, swap, IMAGES)
        assert scores(damage).loss[unit] == pytest.approx(expected_loss - loss, abs=1e-5)
        assert damage.hits.sum(0)[unit].tolist() == (hits - expected_hits).tolist()


def test_mean_and_resample_do_not_depend_on_a_constant_added_to_a_unit():
    """Zero does: the constant is removed, too."""
    generator = torch.Generator().manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5), torch.nn.Linear(5, 4))
    for parameter in plain.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 4
    shifted = copy.deepcopy(plain)
    shifted[1].bias.data += 3
    shifted[2].bias.data -= 3 * shifted[2].weight.data.sum(1)
    donors = np.random.default_rng(1).integers(0, 256, IMAGES.shape, dtype=np.uint8)
    losses = []
    for module, constant in ((plain, 0.0), (shifted, 3.0)):
        layer = opened(module, (3, 8, 8))["1"]
        mean = np.full(layer.units, 0.4) + constant
        clamps = {"zero": clamp_to(np.zeros(layer.units)), "mean": clamp_to(mean), "resample": resample()}
        damage = ablation(layer, in_batches(IMAGES, 12), clamps, HALVES, donors=[donors])
        losses.append({name: scores(each).loss for name, each in damage.items()})
    for name in ("mean", "resample"):
        np.testing.assert_allclose(losses[0][name], losses[1][name], atol=1e-4)
    assert np.abs(losses[0]["zero"] - losses[1]["zero"]).max() > 0.1


def test_ablating_a_dead_unit_has_no_effect():
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
