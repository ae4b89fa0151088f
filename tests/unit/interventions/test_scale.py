"""Random scales of units: raw RS moves with them, what does not depend on scales stays, and so does the function."""

import h5py
import numpy as np
import pytest
import torch
from figure_texts import assert_readable
from networks_by_hand import InPlace, opened, quiet, tensors_alive
from torch import nn

from unitscope.data.summaries import class_means, unit_statistics
from unitscope.figures import scale_figures
from unitscope.figures.style import Style
from unitscope.interventions import network_behaviour, scale, unit_scales
from unitscope.interventions.rescaling import recipes_to_remake, rescaled
from unitscope.interventions.scale_columns import ScaleTable
from unitscope.maximization.recipe import Recipe
from unitscope.probing.activations import activations
from unitscope.probing.layer import Layer
from unitscope.scores.score_names import RS_SCORES
from unitscope.storage.csv_tables import read_table

GENERATOR = np.random.default_rng(0)
REAL = GENERATOR.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def measured(layer: Layer) -> unit_scales.Scales:
    """Return what a real pass over the images says about the units."""
    (activations_by_layer,) = activations([layer], [REAL])
    of_units = unit_statistics(activations_by_layer[layer.name])
    means = class_means(activations_by_layer[layer.name], LABELS, ["a", "b", "c"])
    return unit_scales.Scales(means, of_units.max > 0, of_units.mean, of_units.std, of_units.positive_q99)


def two_units() -> nn.Module:
    """Return a network in which unit 0 is the first pixel, unit 1 half of it, unit 2 the second pixel, unit 3 dead."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)).eval().requires_grad_(False)
    module[1].weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    module[1].bias.zero_()
    return module


def test_factors_are_powers_of_two_that_belong_to_seed_layer_and_draw():
    factors = unit_scales.unit_factors(0, "conv1", 3, 500, 3)
    assert set(np.log2(factors)) == {-3, -2, -1, 0, 1, 2, 3}
    assert (factors == unit_scales.unit_factors(0, "conv1", 3, 500, 3)).all()
    for other in ((1, "conv1", 3), (0, "conv2", 3), (0, "conv1", 4)):
        assert (factors != unit_scales.unit_factors(*other, 500, 3)).any()


def test_scales_of_a_rescaled_network_are_those_of_a_real_pass():
    layer = opened(quiet(InPlace()))["second"]
    factors = np.array([2.0, 0.125, 8.0, 1.0])
    expected, scales = measured(rescaled(layer, factors)), measured(layer).times(factors)
    for name, values in vars(expected).items():
        np.testing.assert_allclose(getattr(scales, name), values, rtol=1e-6)
    np.testing.assert_allclose(scales.selectivity(), expected.selectivity(), rtol=1e-6)


def test_only_raw_rs_depends_on_scale():
    # Both pixels bright: units 0 and 2 answer 1, unit 1 one half. Twenty-fold or so, unit 1 outdoes unit 0.
    images = np.full((1, 3, 1, 2, 1), 255, np.uint8)
    stored = {"am": scale.Stored(np.array([0, 1, 2]), images)}
    means = np.array([[0.9, 0.1, 0.2, 0.0], [0.1, 0.1, 0.4, 0.0]])
    scales = unit_scales.Scales(
        means, np.array([1, 1, 1, 0], bool), *np.array([[0.5, 0.25, 0.5, 0]] * 2), np.full(4, np.nan)
    )
    draws = [(0, np.ones(4)), (1, np.array([1.0, 16.0, 1.0, 4.0]))]
    sample = np.array([[255, 0], [0, 255], [255, 255]], np.uint8).reshape(3, 1, 2, 1), np.array([0, 1, 1])
    rows = scale.kept(opened(two_units(), (1, 1, 2))["1"], stored, scales, draws, sample, batch=2)
    row = {(one["draw"], one["score"]): one for one in rows}
    # RS of units 0, 1, 2 is 0, 1/2, 0 (2 of 4 units are stronger than unit 1), and then 1/4, 0, 1/4.
    assert row[0, "rs"]["mean_change"] == 0
    assert row[1, "rs"]["mean_change"] == pytest.approx((0.25 + 0.5 + 0.25) / 3)
    assert row[0, "rs"]["agreement"] == pytest.approx(1)
    assert row[1, "rs"]["agreement"] == pytest.approx(-1)
    # Selectivity is 0.8, 0, 1/3: of ranks 3, 1, 2 against 1.5, 3, 1.5, and against 2.5, 1, 2.5.
    assert row[1, "rs"]["spearman_before"] == pytest.approx(-np.sqrt(3) / 2)
    assert row[1, "rs"]["spearman_after"] == pytest.approx(np.sqrt(3) / 2)
    # Standardized, all three answer 1 alike; a constant has no correlation, and says so.
    assert row[1, "rs_z"]["mean_change"] == 0
    assert np.isnan(row[1, "rs_z"]["spearman_after"])
    assert "rs_z is 0 for all 3 units" in row[1, "rs_z"]["reason"]
    # No unit has a quantile.
    assert row[1, "rs_q"]["units"] == 0
    assert "rs_q is undefined for all units" in row[1, "rs_q"]["reason"]
    assert {one["logits_change"] for one in rows} == {one["selectivity_change"] for one in rows} == {0.0}


class Read:
    """Images in a file, and how many have been read at once."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.shape, self.at_once = dataset, dataset.shape, []

    def __getitem__(self, which):
        read = self.dataset[which]
        self.at_once.append(len(read))
        return read


def test_stored_images_are_read_from_their_file_a_batch_at_a_time(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 1, 2, 1), dtype=np.uint8)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        read = Read(file.create_dataset("images", data=images))
        responses = network_behaviour.layer_responses(opened(two_units(), (1, 1, 2))["1"], read, batch=2)
    assert read.at_once == [2, 1, 2, 1]
    first, second = images.reshape(2, 3, 2)[..., 0] / 255, images.reshape(2, 3, 2)[..., 1] / 255
    np.testing.assert_allclose(responses, np.stack([first, first / 2, second, 0 * first], -1), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("only_new_objects")
def test_layer_responses_keep_no_tensor_of_a_batch():
    module = two_units()
    alive = tensors_alive(module[1])
    layer = opened(module, (1, 1, 2))["1"]
    alive.clear()
    network_behaviour.layer_responses(layer, np.zeros((2, 12, 1, 2, 1), np.uint8), batch=3)
    assert len(alive) == 8 and len(set(alive[1:])) == 1


def test_dead_unit_excited_by_its_image_is_excluded():
    # No real image excites unit 3; the one made for it does.
    scales = unit_scales.Scales(
        np.full((2, 4), 0.5), np.array([1, 1, 1, 0], bool), *np.array([[0.5, 0.25, 0.5, 0]] * 2), np.full(4, np.nan)
    )
    responses = np.array([[[1.0, 2, 3, 0], [1, 2, 3, 0], [1, 2, 3, 0], [1, 2, 3, 1]]])
    assert scales.score(responses, np.arange(4)).rs[:3].tolist() == [1 / 2, 1 / 4, 0]
    assert np.isnan(scales.score(responses, np.arange(4)).rs[3])


def test_changed_network_function_is_noticed():
    module, other = quiet(InPlace()), quiet(InPlace(), seed=1)
    layers = [opened(network)["second"] for network in (module, other)]
    one, two = (network_behaviour.behaviour(layer, REAL, LABELS, batch=25) for layer in layers)
    logits, selectivity = one.change(two)
    assert logits == pytest.approx(float((module(image_tensor()) - other(image_tensor())).abs().max()), rel=1e-5)
    assert selectivity > 0.01
    assert one.change(one) == (0.0, 0.0)
    unlabelled = network_behaviour.behaviour(layers[0], REAL, LABELS[:0], batch=25)
    assert np.isnan(unlabelled.change(unlabelled)[1])


def image_tensor() -> torch.Tensor:
    return torch.from_numpy(REAL).permute(0, 3, 1, 2).float() / 255


def test_iam_z_images_are_scale_invariant_and_iam_images_are_not():
    layer = opened(quiet(InPlace()))["second"]
    recipes = {name: Recipe(objective=name, steps=40, points=2) for name in ("am", "iam", "iam_z")}
    draw = 0, np.array([8.0, 0.125, 1.0, 4.0])
    scales, units = measured(layer), np.arange(4)
    rows = scale.regenerated(layer, units, recipes, scales, draw, batch=4)
    row = {(one["method"], one["score"]): one for one in rows}
    assert row["iam_z", "rs_z"]["units"] >= 2
    # The objective is the same function of the pixels, and nothing is rounded otherwise.
    assert row["iam_z", "rs_z"]["image_change"] == row["iam_z", "rs_z"]["mean_change"] == 0
    assert row["iam", "rs"]["image_change"] > 0.01
    # Up to Adam's epsilon.
    assert row["am", "rs"]["image_change"] < 0.01
    assert row["am", "rs_z"]["mean_change"] < 0.3


def test_iam_z_is_generated_even_if_no_method_uses_it():
    recipes = recipes_to_remake({"am": {"objective": "am"}, "iam": {"objective": "iam", "steps": 7, "settled": 4.0}})
    assert {name: (recipe.objective, recipe.steps) for name, recipe in recipes.items()} == {
        "iam": ("iam", 7),
        "iam_z": ("iam_z", 7),
    }
    # When an ascent may end depends on raw RS.
    assert all(recipe.settled == 0 for recipe in recipes.values())
    shorter = recipes_to_remake({"iam": {"steps": 7, "objective": "iam"}, "z": {"objective": "iam_z"}}, 64)
    assert {name: recipe.steps for name, recipe in shorter.items()} == {"iam": 7, "z": 64}
    assert list(recipes_to_remake({"am": {"objective": "am"}})) == ["iam_z"]
    assert list(recipes_to_remake({"mine": {"objective": "iam_z"}})) == ["mine"]
    # On images that minimize units are silent: such a method is neither made anew nor a model.
    down = recipes_to_remake({"am": {"objective": "am"}, "a-down": {"objective": "iam", "minimize": True}})
    assert {name: (recipe.objective, recipe.minimize) for name, recipe in down.items()} == {"iam_z": ("iam_z", False)}


def test_responses_to_unbounded_pixels_use_the_float_values():
    layer = opened(quiet(InPlace()))["second"]
    images = REAL[:6].reshape(2, 3, 8, 8, 3)
    rounded = network_behaviour.layer_responses(layer, images, batch=4)
    floats = network_behaviour.layer_responses(layer, (images / 255).astype(np.float32), batch=4)
    assert rounded.shape == (2, 3, 4)
    np.testing.assert_allclose(floats, rounded, rtol=1e-5, atol=1e-6)


# --- the figure ------------------------------------------------------------------------------------------------------


def table(layer, rows):
    return {name: np.array(column) for name, column in scale.table(layer, rows).items()}


def measured_rows():
    return [
        {
            **{"condition": condition, "method": method, "score": score, "draw": 0, "units": 9, "reason": ""},
            **{"spearman_before": 0.1, "spearman_after": np.nan if score == "rs_q" else 0.2, "mean_change": 0.1},
            **{"image_change": 0.25, "logits_change": 1e-7, "selectivity_change": 0.0},
        }
        for condition, method in (("kept", "am"), ("made", "iam"), ("made", "iam_z"))
        for score in RS_SCORES
    ]


def test_figure_names_omitted_layers_and_reasons():
    refused = [{"reason": "no ReLU"}]
    tables = [table("conv1", measured_rows()), table("3", refused), table("fc", refused)]
    figure = scale_figures.scale(Style(), tables)
    texts = " ".join(" ".join(text.get_text().split()) for text in figure.texts)
    assert "Not rescaled: 3, fc (no ReLU)." in texts
    assert "no logit changes by more than 1e-07, and no selectivity." in texts
    assert len(figure.axes) == 3
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["conv1"]
    nothing = scale_figures.scale(Style(), tables[1:])
    assert "No layer of this experiment can be rescaled." in [text.get_text() for text in nothing.texts]


@pytest.mark.parametrize(
    "layers", [["a_rather_long.name_of_a.layer"], [f"features.{number}" for number in range(13)]], ids=["one", "many"]
)
def test_figure_is_readable(layers):
    tables = [table(layer, measured_rows()) for layer in layers]
    tables.append(table("classifier", [{"reason": "no nonlinearity follows it directly"}]))
    assert_readable(scale_figures.scale(Style(dpi=60), tables))


# --- the flow --------------------------------------------------------------------------------------------------------


@pytest.mark.verify
def test_the_flow_scores_one_layer_at_random_scales_and_skips_another_with_a_reason(project):
    project.change("experiments.small.layers", ["hidden1", "logits"])
    project.change("experiments.small.analyses", ["scale"])
    # On images that minimize there is nothing to compare.
    project.change("experiments.small.methods.down", {"objective": "iam", "steps": 4, "points": 2, "minimize": True})
    project.change("experiments.small.scale", {"draws": 2, "units": {"sample": 3}, "images": 50})
    project.snakemake()
    folder = project.folder / "results/small"
    table = read_table(folder / "scale/hidden1.csv", ScaleTable)
    kept = table["condition"] == "kept"
    assert set(table["draw"][kept]) == {0, 1}
    assert set(table["method"][kept]) == {"am", "iam"}
    assert set(table["method"][~kept]) == {"iam", "iam_z"}
    assert (table["logits_change"][kept] == 0).all()
    assert (table["selectivity_change"][kept] == 0).all()
    moved = table["mean_change"]
    assert (moved[kept & (table["score"] == "rs")] > 0).all()
    assert (moved[kept & (table["score"] != "rs")] == 0).all()
    assert (moved[(table["method"] == "iam_z") & (table["score"] == "rs_z")] == 0).all()
    left_out = read_table(folder / "scale/logits.csv", ScaleTable)
    assert left_out["reason"].tolist() == ["no nonlinearity follows it directly"]
    assert (folder / "figures/scale.png").stat().st_size > 10_000
    # Another draw is made by this analysis alone, and decides its claim anew.
    project.change("experiments.small.scale.draws", 3)
    assert project.executed("snakemake") == {
        *("small/scale/hidden1", "small/scale/logits", "small/scale_figure"),
        *("small/claims", "small/atlas"),
    }
