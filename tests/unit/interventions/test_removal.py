"""Sets of units: the cut network against plain hooks on full passes, known interactions, orders and areas."""

import numpy as np
import pytest
import torch
from figure_texts import assert_readable
from networks_by_hand import InPlace, Residual, Shared, Tokens, Varied, opened, quiet
from torch import nn
from torch.nn import functional as F

from unitscope.figures import removal_figures
from unitscope.figures.style import Style
from unitscope.interventions.ablation import ablation_scores
from unitscope.interventions.cumulative import (
    DIRECTIONS,
    RANDOM,
    Key,
    Part,
    area_rows,
    areas,
    counts,
    curve_rows,
    missing_rows,
    order_by,
    orders,
)
from unitscope.interventions.cumulative_columns import AreasTable, CurvesTable
from unitscope.interventions.cumulative_removal import cumulative_removal, joint_removal
from unitscope.interventions.joint import against_controls, control_sets, interaction, scale_ratio
from unitscope.interventions.sets import removal
from unitscope.scores.score_names import RS_SCORES

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
SMALL = np.ascontiguousarray(IMAGES[:, :2, :2])
LABELS = np.arange(12, dtype=np.int64) % 4
NETWORKS = [(Residual, IMAGES), (Shared, SMALL), (InPlace, IMAGES), (Varied, IMAGES), (Tokens, IMAGES)]
CUT = [(images, layer) for network, images in NETWORKS for layer in opened(quiet(network()), (3, *images.shape[1:3]))]
SETS = [[], [0], [3, 1], [0, 1, 2, 3]]


def parts(images, size=5):
    return [(images[first : first + size], LABELS[first : first + size]) for first in range(0, 12, size)]


def pixels(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize(("images", "layer"), CUT)
def test_a_set_in_one_layer_equals_a_full_pass_with_hooks(images, layer):
    values = np.linspace(0, 0.3, layer.units)
    mine = removal(layer, parts(images), values, SETS)
    run = layer.probe.hooked.cut(layer.name)
    for row, units in enumerate(SETS):
        activation, _, *live = run.prefix(pixels(images))
        activation = activation.clone()
        for unit in units:
            activation.select(layer.axis, unit).fill_(values[unit])
        logits = run.suffix(activation, *live)
        expected = F.cross_entropy(logits, torch.from_numpy(LABELS), reduction="none").numpy()
        np.testing.assert_allclose(mine.loss[row], expected, atol=1e-5)
        assert np.array_equal(mine.correct[row], logits.argmax(1).numpy() == LABELS)


@pytest.mark.parametrize(("images", "layer"), CUT)
def test_sets_of_one_unit_equal_the_ablation(images, layer):
    values = np.full(layer.units, 0.2)
    half = np.zeros(12, np.int64)
    lost = ablation_scores(layer, parts(images), {"": values}, half)[""]
    sets = [[], *([unit] for unit in range(layer.units))]
    mine = removal(layer, parts(images), values, sets)
    np.testing.assert_allclose((mine.loss[1:] - mine.loss[0]).mean(1), lost.loss, atol=1e-6)
    np.testing.assert_allclose((mine.correct[0] * 1.0 - mine.correct[1:]).mean(1), lost.accuracy, atol=1e-12)


@pytest.mark.parametrize(("images", "layer"), CUT)
def test_cumulative_removal_equals_removing_each_set(images, layer):
    values = np.full(layer.units, 0.1)
    orders = [list(range(layer.units)), list(range(layer.units))[::-1]]
    steps = [0, 1, 3, layer.units]
    mine = cumulative_removal(layer, parts(images), values, orders, steps)
    sets = [order[:step] for order in orders for step in steps]
    expected = removal(layer, parts(images), values, sets)
    np.testing.assert_allclose(mine.loss.reshape(8, 12), expected.loss, atol=1e-5)


@pytest.mark.parametrize(("network", "images"), NETWORKS)
def test_clamping_several_layers_is_equal_by_graph_and_hooks(network, images):
    probe = opened(quiet(network()), (3, *images.shape[1:3]))
    names = [layer.name for layer in probe]
    masks_and_values = []
    for layer in probe:
        removed = torch.zeros(layer.units, dtype=torch.bool)
        removed[:2] = True
        masks_and_values += [removed, torch.full((layer.units,), 0.3)]
    plain = probe.traced.held(names)(pixels(images), *masks_and_values)
    torch.testing.assert_close(probe.hooked.held(names)(pixels(images), *masks_and_values), plain)
    assert not torch.allclose(plain, probe(pixels(images)))
    # One layer of it: the cut network.
    (first, *_), name = probe.layers, names[0]
    values, order = np.full(first.units, 0.3), {name: [0, 1]}
    mine = joint_removal([first], parts(images), {name: values}, [order], [{name: 0}, {name: 2}])
    expected = removal(first, parts(images), values, [[], [0, 1]])
    alone = first.held()(pixels(images), *masks_and_values[:2])
    losses = F.cross_entropy(alone, torch.from_numpy(LABELS), reduction="none")
    np.testing.assert_allclose(mine.loss[0, 1], losses, atol=1e-5)
    np.testing.assert_allclose(mine.loss[0], expected.loss, atol=1e-5)


def understudied():
    """Return a network that reads class 0 from min(unit 0 + unit 1, 1), class 1 from unit 2, and nothing from unit 3.

    Units 0 and 1 are equal and saturate the reader; unit 3 is dead. The logits are 4 times what is read.
    """
    module = nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    module.requires_grad_(False).eval()
    module[1].weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    module[1].bias.copy_(torch.tensor([0.0, 0.0, 0.0, -1.0]))
    # min(s, 1) = relu(s) - relu(s - 1)
    module[3].weight.copy_(torch.tensor([[1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]))
    module[3].bias.copy_(torch.tensor([0.0, -1.0, 0.0]))
    module[5].weight.copy_(torch.tensor([[4.0, -4.0, 0.0], [0.0, 0.0, 4.0]]))
    module[5].bias.zero_()
    return module


def test_interaction_of_a_duplicate_is_the_loss_of_removing_both():
    images = np.array([[255, 0], [0, 255]], np.uint8).reshape(2, 2, 1, 1)
    sets = [[], [0], [1], [0, 1], [2], [0, 2], [3], [0, 3]]
    performance = removal(opened(understudied(), (1, 2, 1))["1"], [(images, np.array([0, 1]))], np.zeros(4), sets)
    rise = dict(zip(map(tuple, sets), performance.loss.mean(1) - performance.loss[0].mean(), strict=True))
    worth = (np.log(2) - np.log1p(np.exp(-4))) / 2
    assert rise[0,] == rise[1,] == 0.0
    assert interaction(rise[0,], rise[1,], rise[0, 1]) == pytest.approx(worth, abs=1e-6)
    # Unit 2 is worth as much by itself; unit 0 has nothing to do with it, and nothing with the dead unit.
    assert rise[2,] == pytest.approx(worth, abs=1e-6)
    assert interaction(rise[0,], rise[2,], rise[0, 2]) == pytest.approx(0, abs=1e-6)
    assert rise[3,] == interaction(rise[0,], rise[3,], rise[0, 3]) == 0.0


def draws(number):
    return [np.random.default_rng(seed) for seed in range(number)]


def test_control_sets_match_size_and_scale_without_substitutes():
    scales = np.concatenate([np.full(30, 0.01), np.full(30, 1.0), [0.0]])
    sets = control_sets(0, [31, 32, 1], [1, 31, 32, 33], scales, draws(4))
    assert len(sets) == 4
    for control_set in sets:
        assert len(set(control_set)) == 3
        assert not {0, 31, 32, 33, 1, 60} & set(control_set)
        assert sorted(scales[control_set]) == [0.01, 1.0, 1.0]
    assert len({tuple(control_set) for control_set in sets}) > 1
    assert scale_ratio([31, 32, 1], sets, scales) == pytest.approx(1)
    assert scale_ratio([31, 32], [[2, 3], [4, 5]], scales) == pytest.approx(0.01)
    assert np.isnan(scale_ratio([60], [[1]], scales))
    assert sets == control_sets(0, [31, 32, 1], [1, 31, 32, 33], scales, draws(4))


def test_small_layers_have_no_control_sets():
    assert control_sets(0, [1, 2], [1, 2], np.ones(5), draws(3)) == []
    assert control_sets(0, [], [], np.ones(50), draws(3)) == []


def test_units_that_exceed_the_target_are_never_controls():
    # Forty of fifty units exceed it, of which the five strongest are removed.
    sets = control_sets(0, [1, 2, 3, 4, 5], range(1, 41), np.ones(50), draws(20))
    assert {member for control_set in sets for member in control_set} == set(range(41, 50))
    assert control_sets(0, [1, 2, 3, 4, 5], range(1, 45), np.ones(50), draws(3)) == []


def test_rank_of_an_interaction_among_its_controls():
    comparison = against_controls(2.0, np.array([0.0, 1.0, 2.0, 3.0]))
    assert (comparison.mean, comparison.p_value) == (1.5, 3 / 5)
    assert comparison.sd == pytest.approx(np.std([0, 1, 2, 3], ddof=1))
    assert np.isnan(against_controls(2.0, np.empty(0)).p_value)
    assert np.isnan(against_controls(np.nan, np.ones(3)).mean)


def test_orders():
    score, ties = np.array([0.2, np.nan, 0.1, 0.2, np.nan]), np.array([4, 3, 2, 1, 0])
    assert order_by(score, "ascending", ties).tolist() == [2, 3, 0, 4, 1]
    assert order_by(score, "descending", ties).tolist() == [3, 0, 2, 4, 1]
    assert counts(10, 11) == list(range(11))
    assert counts(3, 5) == [0, 1, 2, 2, 3]


def test_orders_of_several_scores():
    scores = {"rs": {"a": np.array([0.1, 0.3, 0.2]), "b": np.array([1.0, 1.0])}, "flat": {"a": np.zeros(3)}}
    by_key, missing = orders(scores, {"a": 3, "b": 2}, draws=2, seed=0)
    assert by_key[Key("rs", "ascending", -1)]["a"].tolist() == [0, 2, 1]
    # Equal scores are in the same random order either way.
    assert np.array_equal(*(by_key[Key("rs", way, -1)]["b"] for way in DIRECTIONS))
    assert list(missing) == [("flat", way) for way in DIRECTIONS]
    assert [key.draw for key in by_key] == [-1, -1, 0, 1]
    assert all(sorted(order["a"].tolist()) == [0, 1, 2] for order in by_key.values())


def test_rows_by_hand():
    part, keys = Part("a", "zero"), [Key("rs", "ascending", -1), Key(RANDOM, RANDOM, 0), Key(RANDOM, RANDOM, 1)]
    accuracy = np.array([[1.0, 0.0], [1.0, 0.5], [1.0, 1.0]])
    rows = list(curve_rows(part, keys, accuracy, 1 - accuracy, np.array([0, 4]), 4))
    assert [(row["score"], row["fraction"], row["accuracy"], row["loss"]) for row in rows[:2]] == [
        ("rs", 0.0, 1.0, 0.0),
        ("rs", 1.0, 0.0, 1.0),
    ]
    by_image = {"accuracy": np.array([[0.5, 0.5], [0.7, 0.9], [0.9, 1.1]])}
    first, chance = area_rows(part, keys, by_image, {"rs": 3}, np.array([[2, 0], [0, 2]]))
    assert (first["scored"], first["accuracy_area"], chance["accuracy_area"]) == (3, 0.5, pytest.approx(0.9))
    # Under the mean of the random orders by 0.3 on one image, by 0.5 on the other.
    assert first["accuracy_over"] == pytest.approx(-0.4)
    assert (first["accuracy_over_low"], first["accuracy_over_high"]) == pytest.approx((-0.495, -0.305))
    assert chance["accuracy_over"] == pytest.approx(0)
    for schema in (CurvesTable, AreasTable):
        (row,) = missing_rows(part, {("rs_q", "descending"): "why"}, schema)
        assert tuple(row) == schema.names() and row["reason"] == "why" and row["score"] == "rs_q"


def test_areas_by_hand():
    # Right up to the half and wrong behind it, and right all along.
    values = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    assert areas(np.array([0, 0.5, 1]), values).tolist() == [0.75, 1.0]


def curve_tables(clamps, methods=("am", "iam_z")):
    """Return curves of one layer and of all together, two points each."""
    scores = ("selectivity", *(f"{form}_{method}" for method in methods for form in ("rs", "rs_z")))
    rows = [
        (clamp, *row)
        for clamp in clamps
        for row in [
            *((score, way, -1) for score in scores for way in DIRECTIONS),
            *(("random", "random", draw) for draw in (0, 1)),
        ]
    ]
    tables = []
    for layer in ("conv1", ""):
        names = zip(*(row for row in rows for _ in range(2)), strict=True)
        table = dict(zip(("clamp", "score", "direction", "draw"), map(np.array, names), strict=True))
        # What is clamped to its mean costs nothing.
        last = np.where(table["clamp"] == "mean", 1.0, 0.1)
        ends = np.tile([0.0, 1.0], len(rows))
        table |= {"fraction": ends, "accuracy": np.where(ends == 1, last, 1.0)}
        tables.append({"layer": np.full(2 * len(rows), layer), **table})
    return tables


def test_a_layer_has_a_panel_for_each_form_of_rs():
    panels = removal_figures.curves(Style(), curve_tables(["mean"])).axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["conv1: RS", "conv1: RS (z)", "all layers: RS", "all layers: RS (z)"]
    # Selectivity and two methods, either way, and the mean of the random orders.
    assert [len(axes.lines) for axes in panels] == [7] * 4
    assert all(len(line.get_xdata()) == 2 for axes in panels for line in axes.lines)


def test_every_clamp_has_its_panels():
    panels = removal_figures.curves(Style(), curve_tables(["zero", "mean"])).axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == [
        f"{where}, {clamp}: {form}"
        for clamp in ("at 0", "at mean")
        for where in ("conv1", "all layers")
        for form in ("RS", "RS (z)")
    ]
    ends = [{float(line.get_ydata()[-1]) for line in axes.lines} for axes in panels]
    assert ends == [{0.1}] * 4 + [{1.0}] * 4


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("size", [1e-6, -2.5e-4, 3e-3, 40.0])
def test_interaction_figures_are_readable(size, layers):
    values = {"control_mean": np.linspace(-0.3, 1, 9) * size, "interaction": np.linspace(0, 1.2, 9) * size}
    names = {"layer": np.full(9, "conv1"), "method": np.full(9, "iam"), "reason": np.full(9, "")}
    scores = {score: np.linspace(0, 0.9, 9) for score in RS_SCORES}
    assert_readable(removal_figures.interactions(Style(dpi=100), [{**values, **names, **scores}] * layers))


@pytest.mark.parametrize("methods", [("am",), ("am", "iam", "iam_z", "am-minimum")], ids=["one", "four"])
def test_curve_figures_are_readable(methods):
    assert_readable(removal_figures.curves(Style(dpi=60), curve_tables(["zero"], methods)))
