"""Replacement by predictions: exact copies, sums of units, controls, and the divergence of the outputs by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unitscope.interventions.replacement import (
    SIZES,
    Candidates,
    candidates,
    divergences,
    replacement_rows,
    training_statistics,
)
from unitscope.interventions.replacement_columns import ReplacementSummaryTable, ReplacementTable
from unitscope.interventions.replacement_summary import slope_on_rs, summary_rows
from unitscope.probing.probe import Probe

UNITS = 48


@pytest.fixture(params=["linear", "conv"])
def layer(request):
    """Return a layer whose unit 1 is an exact copy of unit 0."""
    torch.manual_seed(5)
    if request.param == "linear":
        model = nn.Sequential(nn.Flatten(), nn.Linear(48, UNITS), nn.ReLU(), nn.Linear(UNITS, 4))
    else:
        model = nn.Sequential(nn.Conv2d(3, UNITS, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(UNITS, 4))
    first, last = (model[1], model[3]) if request.param == "linear" else (model[0], model[4])
    with torch.no_grad():
        first.weight[1], first.bias[1] = first.weight[0], first.bias[0]
        last.weight.mul_(6)
    return Probe(model, shape=(3, 4, 4), mean=0.5, std=0.25)["1" if request.param == "linear" else "0"]


def real_images(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


def test_an_exact_copy_comes_first_and_has_no_divergence(layer):
    statistics = training_statistics(layer, [real_images(150, 0), real_images(50, 1)])
    activations = statistics.activations
    scales = activations.mean(0), activations.std(0)
    # An image of unit 0: its copy responds as strongly, all other units less.
    responses = np.zeros((2, 1, UNITS), np.float32)
    responses[:, 0] = scales[0]
    responses[:, 0, :2] = scales[0][:2] + 3 * scales[1][:2]
    classes = np.random.default_rng(0).integers(4, size=200)
    class_means = np.stack([activations[classes == number].mean(0) for number in range(4)])
    several = candidates(
        np.array([0]), responses, statistics, scales, class_means, (activations > 0).mean(0), (0, layer.name, "iam")
    )
    assert [each.size for each in several] == list(SIZES)
    assert several[0].substitutes == [1] and several[0].correlated == [1] and several[0].natural == [1]
    assert several[1].substitutes[0] == 1
    assert several[0].controls and all(0 not in each and 1 not in each for each in several[0].controls)
    images, labels, half = real_images(40, 2), np.arange(40) % 4, np.arange(40) // 4 % 2
    batches = [(images[:30], labels[:30]), (images[30:], labels[30:])]
    measured = divergences(layer, batches, several, statistics.moments, half)
    first, second = replacement_rows(several, measured, np.bincount(half), statistics.moments, {})
    for row in (first, second):
        assert row["kl_substitutes"] < 1e-8 < 1e-4 < row["kl_controls"]
        assert row["r2_substitutes"] == pytest.approx(1)
        assert row["advantage"] == pytest.approx(row["kl_controls"], abs=1e-8)
        assert (row["advantage_half0"] + row["advantage_half1"]) / 2 == pytest.approx(row["advantage"])
    assert first["kl_correlated"] < 1e-8 and first["controls"] == len(several[0].controls)
    assert ReplacementTable.of_rows(
        [{"layer": layer.name, "method": "iam", "rs": 0.0, "rs_z": 0.0, **row} for row in (first, second)]
    )["unit"].tolist() == [0, 0]


def test_divergences_are_those_of_full_passes(layer):
    statistics = training_statistics(layer, [real_images(60, 0)])
    several = [Candidates(3, 2, [7, 9], [[4, 5], [6, 8]], [10, 11], [])]
    images, labels, half = real_images(20, 2), np.arange(20) % 4, np.arange(20) % 2
    measured = divergences(
        layer, [(images[:12], labels[:12]), (images[12:], labels[12:])], several, statistics.moments, half
    )
    cut = layer.cut()
    network, pixels = layer.probe, torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        activation, intact = cut.prefix(pixels)[0], F.log_softmax(network(pixels).double(), 1)
        for members in ((), (7, 9), (4, 5), (6, 8), (10, 11)):
            if members:
                value = statistics.moments.predict(3, members).map(activation, layer.axis)
            else:
                value = torch.full_like(activation.narrow(layer.axis, 3, 1), float(statistics.moments.mean[3]))
            replaced = F.log_softmax(by_hook(network, layer, value, pixels).double(), 1)
            expected = (intact.exp() * (intact - replaced)).sum(1).numpy()
            sums = [expected[half == number].sum() for number in (0, 1)]
            assert measured[3, members] == pytest.approx(sums, rel=1e-4, abs=1e-6), members


def by_hook(network, layer, value, pixels):
    """Return logits with unit 3 replaced after the ReLU, by a hook in a full pass."""
    relu = next(module for module in network.module.modules() if isinstance(module, nn.ReLU))

    def replace(module, inputs, output):
        output = output.clone()
        output.narrow(layer.axis, 3, 1).copy_(value)
        return output

    handle = relu.register_forward_hook(replace)
    try:
        return network.module(pixels)
    finally:
        handle.remove()


def test_units_without_substitutes_or_controls_have_reasons():
    statistics = training_statistics(copyless(), [real_images(60, 0)])
    several = [Candidates(0, 1, [], [], [2], []), Candidates(0, 5, [1, 2, 3, 4, 5], [], [], [])]
    measured = {(0, ()): np.ones(2), (0, (2,)): np.ones(2), (0, (1, 2, 3, 4, 5)): np.ones(2)}
    silent, bare = replacement_rows(several, measured, np.array([5, 5]), statistics.moments, {})
    assert silent["reason"] == "fewer than 1 other units respond on real images" and np.isnan(silent["advantage"])
    assert bare["reason"] == "fewer than 5 different control sets" and bare["kl_substitutes"] == 0.2
    (dead, _) = replacement_rows(several, measured, np.array([5, 5]), statistics.moments, {0: "dead"})
    assert dead["reason"] == "dead"


def copyless():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, UNITS), nn.ReLU(), nn.Linear(UNITS, 4))
    return Probe(model, shape=(3, 4, 4), mean=0.5, std=0.25)["1"]


# --- summary ---------------------------------------------------------------------------------------------------------


def table_of(advantage, rs_z, kl_mean=0.4, kl_controls=0.3):
    count = len(advantage)
    columns = {name: np.full(count, np.nan) for name in ReplacementTable.names()}
    return columns | {
        "layer": np.full(count, "conv1"), "method": np.full(count, "iam"), "size": np.ones(count, int),
        "unit": np.arange(count), "advantage": np.array(advantage), "rs_z": np.array(rs_z),
        "kl_mean": np.full(count, kl_mean), "kl_controls": np.full(count, kl_controls),
        "kl_substitutes": kl_controls - np.array(advantage), "kl_correlated": np.zeros(count),
        "kl_natural": np.full(count, kl_mean), "advantage_correlated": np.full(count, kl_controls),
        "advantage_natural": np.full(count, kl_controls - kl_mean),
    }  # fmt: skip


def test_the_summary_has_means_recovery_and_slope():
    rs_z = np.linspace(0, 1, 30)
    (row,) = summary_rows(table_of(0.1 + 0.2 * rs_z, rs_z), resamples=200, seed=0)
    assert row["advantage"] == pytest.approx(0.2) and row["ci_low"] < 0.2 < row["ci_high"]
    assert row["better"] == 1 and row["used"] == row["units"] == 30
    assert row["recovery"] == pytest.approx(1 - (0.3 - 0.2) / 0.4)
    assert row["recovery_controls"] == pytest.approx(0.25)
    assert row["recovery_correlated"] == 1 and row["recovery_natural"] == 0
    assert row["slope"] == pytest.approx(0.2) and row["slope_low"] == pytest.approx(0.2)
    assert ReplacementSummaryTable.of_rows([row])["reason"].tolist() == [""]


def test_units_without_controls_do_not_count_in_the_summary():
    advantage = np.where(np.arange(30) < 10, np.nan, 0.1)
    (row,) = summary_rows(table_of(advantage, np.zeros(30)), resamples=100, seed=0)
    assert row["used"] == 20 and row["advantage"] == pytest.approx(0.1)
    assert (
        row["reason"]
        == "too few distinct values: 0 of 20 units are not at the mode; slope: RS is the same for all of 20 units"
    )
    (none,) = summary_rows(table_of(np.full(30, np.nan), np.zeros(30)), resamples=100, seed=0)
    assert (
        none["used"] == 0
        and np.isnan(none["recovery"])
        and none["reason"] == "no unit has substitutes and control sets"
    )


def test_no_relation_gives_a_slope_whose_interval_contains_zero():
    generator = np.random.default_rng(0)
    slope = slope_on_rs(generator.normal(size=60), generator.random(60), 500, np.random.default_rng(1))
    assert slope.low < 0 < slope.high
