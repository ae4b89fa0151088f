"""What a study will cost, before it is run: the counts behind the hours."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from real_images import collected, data_settings

from unitscope.data import outlines
from unitscope.data.datasets import write_dataset
from unitscope.data.outlines import Outline, dataset_bytes
from unitscope.interventions.cumulative import orders
from unitscope.interventions.joint import needed_sets, plans
from unitscope.interventions.noisy_copies import ROUNDS, SECTIONS
from unitscope.interventions.replacement_sets import CONTROLS
from unitscope.workflow.planning import Calibration, probe_before_training

ABLATION = {"units": "all", "images": 20, "batch": 8}


@pytest.fixture
def calibration(project) -> Calibration:
    """Return a calibration of an MLP for 40 test images, on which every image takes one second wherever it passes."""
    from unitscope.workflow.study import load_study

    network = load_study(project.folder, project.folder / "config.yaml").networks["small"]
    fixed_cost = Calibration(network, Outline(100, 40, [1, 28, 28], 10), torch.device("cpu"), 0.01)
    fixed_cost.per_image = lambda step, rows: 1.0
    return fixed_cost


def test_joint_ablation_runs_the_planned_number_of_sets(calibration):
    units, noise = calibration.layers["hidden1"].units, np.random.default_rng(0)
    # Substitutes that no two units share.
    substitutes = {unit: [(unit + 1) % units, (unit + 3) % units] for unit in range(units)}
    planned = plans(substitutes, substitutes, noise.random(units) + 0.5, 4, (0,))
    seconds = calibration.joint("hidden1", "all", {"controls": 4, "most_units": None}, ABLATION)
    assert 0.7 * seconds < 20 * len(needed_sets(planned)) <= seconds
    assert calibration.joint("hidden1", "all", {"controls": 4, "most_units": 3}, ABLATION) == seconds * 3 / units


@pytest.mark.parametrize("layer", ["hidden1", ""])
def test_cumulative_ablation_runs_the_planned_number_of_orders(calibration, layer):
    units = calibration.layers["hidden1"].units
    scores = {name: {"hidden1": np.arange(units)} for name in ("selectivity", "rs_am", "rs_z_am", "rs_iam", "rs_z_iam")}
    removal_orders, _ = orders(scores, {"hidden1": units}, 7, 0)
    settings = {"scores": ["selectivity", "rs", "rs_z"], "orders": 7, "points": 5, "clamps": ["zero", "mean"]}
    seconds = calibration.cumulative(layer, 2, {**settings, "images": 10}, ABLATION)
    assert seconds == len(removal_orders) * 5 * 2 * 10
    assert calibration.cumulative(layer, 2, {**settings, "images": None}, ABLATION) == seconds * 2


def test_gradients_and_shapley_values_take_passes_by_nodes_and_orders(calibration):
    units = calibration.layers["hidden1"].units
    assert calibration.gradients("hidden1", {"nodes": 6}, ABLATION) == 7 * 20
    # Without the last unit there is none: nothing is computed for it.
    settings = {"permutations": 4, "images": 10}
    assert calibration.shapley("hidden1", settings, ABLATION) == 4 * (units - 1) * 10
    assert calibration.shapley("hidden1", {**settings, "images": None}, ABLATION) == 4 * (units - 1) * 40


def test_scale_analysis_plans_passes_and_ascents(calibration):
    recipes = {"am": {"objective": "am", "steps": 4, "points": 2}, "iam": {"objective": "iam", "steps": 4, "points": 2}}
    images = {"seeds": [0, 1, 2], "batch": 4, "readout": "mean"}
    settings = {"draws": 5, "images": 30, "steps": 2, "units": [0, 1, 2, 3]}
    passes = 6 * (2 * 12 * 3 + 30)
    # IAM and its standardized form, of 4 units, on the network and on the rescaled one; two steps are measured as one.
    assert calibration.scale("hidden1", recipes, "all", settings, images) == passes + 2 * 2 * 4


def test_planted_copies_take_a_search_images_and_replacements(calibration):
    recipe = {"objective": "iam", "steps": 4, "points": 2}
    images = {"seeds": [0, 1], "batch": 4, "readout": "mean"}
    settings = {"correlations": [1.0, 0.9, 0.5], "units": 4, "images": 60, "test_images": 30}
    # Moments, sections and interpolations; then each network's statistics, and both networks on test images.
    passes = 60 * (2 + ROUNDS + 3) + 2 * 3 * 30
    turned = 2 * (SECTIONS + ROUNDS) * 60
    # Four originals and four copies in each of three networks; two steps are measured as one.
    ascents = 2 * 3 * 4 * 2
    replaced = 3 * 4 * (1 + CONTROLS) * 30
    seconds = calibration.planted("hidden1", recipe, settings, images, 8)
    assert seconds == passes + turned + ascents + replaced
    exact = calibration.planted("hidden1", recipe, {**settings, "correlations": [1.0], "test_images": None}, images, 8)
    assert exact == 60 + 2 * 40 + 2 * 4 * 2 + 4 * (1 + CONTROLS) * 40


def test_measured_times_are_reused(calibration):
    measured = []
    calibration.per_image = lambda step, rows: measured.append(rows) or 2.0
    images = {"seeds": [0, 1, 2], "batch": 4, "readout": "mean"}
    long, short = ({"objective": "iam", "steps": steps, "points": 2} for steps in (8, 4))
    assert calibration.ascent("hidden1", long, "all", images) == 12 * 3 * 4 * 2
    # Images of substitutes, fewer steps, and those under other scales, which are also made by IAM.
    assert calibration.ascent("hidden1", short, {"sample": 4, "seed": 0}, images) == 4 * 3 * 2 * 2
    calibration.scale("hidden1", {"iam": long}, "all", {"draws": 1, "images": 5, "steps": 2, "units": [0]}, images)
    assert calibration.activations({"batch": 4}) == 140 * 2 and calibration.moments({"batch": 4}) == 100 * 2
    # The ascent, its standardized form, and the pass.
    assert measured == [4, 4, 4]
    calibration.ascent("hidden2", long, "all", images)
    assert len(measured) == 4


def test_minimizing_methods_are_not_rescaled(calibration):
    recipes = {"down": {"objective": "am", "steps": 4, "points": 2, "minimize": True}}
    settings = {"draws": 5, "images": 30, "steps": 2, "units": [0, 1]}
    images = {"seeds": [0], "batch": 4, "readout": "mean"}
    assert calibration.scale("hidden1", recipes, "all", settings, images) == 6 * (12 + 30)


def test_planned_substitutes_are_at_most_five_per_target(calibration):
    counts = [
        calibration.substitutes("hidden1", selection)["sample"]
        for selection in ({"sample": 1, "seed": 0}, [0, 1, 2], "all")
    ]
    assert counts == [5, 9, 0]


@pytest.mark.parametrize("store", ["images", "index"])
def test_data_set_size_matches_the_plan(tmp_path, store):
    (tmp_path / "images/class").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number in range(300):
        Image.fromarray(noise.integers(0, 256, (12, 12, 3), np.uint8)).save(tmp_path / f"images/class/n{number:08}.png")
    settings = {
        **{"source": "image_folder", "path": str(tmp_path / "images"), "store": store, "resize": 12, "crop": 12},
        **{"mode": "RGB", "test_fraction": 0.5, "seed": 0},
    }
    write_dataset(tmp_path / "dataset.h5", collected(settings))
    planned = dataset_bytes(data_settings(settings), Outline(150, 150, [3, 12, 12], 1))
    assert 0.7 < planned / (tmp_path / "dataset.h5").stat().st_size < 1.1


def test_regressions_take_longer_in_wider_layers(calibration):
    names = ["hidden1", "hidden2"]
    assert len({calibration.layers[name].units for name in names}) == 2
    first, second, both = (calibration.predictors(layers) for layers in ([names[0]], [names[1]], names))
    assert 0 < second < first and both == pytest.approx(first + second)


def test_stored_data_set_of_other_settings_is_not_used_for_planning(tmp_path):
    network = {"source": "built_in", "model": "mlp", "options": {"widths": [4]}, "head": None, "seed": 0}
    for name in ("ash", "beech"):
        (tmp_path / "trees" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (12, 12)).save(tmp_path / "trees" / name / f"{number}.png")
    folder = {"source": "image_folder", "path": str(tmp_path / "trees"), "resize": None, "mode": "L"}
    grey = {**folder, "crop": 8, "test_fraction": 0.5, "seed": 0, "store": "images"}
    stored = tmp_path / "trees.h5"
    write_dataset(stored, collected(grey))

    def weights(dataset):
        first, *_ = probe_before_training(network, data_settings(dataset), stored)
        return first.units, dataset and outlines.outline_of_stored(stored, data_settings(dataset))

    assert weights(grey) == (4, ([1, 8, 8], 2))
    # In colour: vgg16 would be told that these images are grey.
    assert weights({**grey, "mode": "RGB"}) == (4, None)
    vgg = {"source": "torchvision", "model": "resnet18", "options": {}, "head": None, "seed": 0}
    colour = data_settings({**grey, "mode": "RGB", "crop": 32})
    assert probe_before_training(vgg, colour, stored).layers[0].name == "conv1"


def test_classes_are_counted_in_an_existing_folder(tmp_path):
    network = {"source": "built_in", "model": "mlp", "options": {"widths": [4]}, "head": None, "seed": 0}
    trees = {"source": "image_folder", "path": str(tmp_path / "trees"), "crop": 8, "mode": "L"}

    def outputs():
        return probe_before_training(network, data_settings(trees), tmp_path / "none.h5").layers[-1].units

    # The images are elsewhere: as many as are often met.
    assert outputs() == 10
    for name in ("ash", "beech", "cedar", ".cache"):
        (tmp_path / "trees" / name).mkdir(parents=True)
    assert outputs() == 3
    for split, name in itertools.product(("train", "test"), ("ash", "beech")):
        (tmp_path / "trees" / split / name).mkdir(parents=True)
    assert outputs() == 2


@pytest.mark.parametrize("exists", [True, False])
def test_images_of_a_folder_that_holds_none_yet_are_planned_in_colour(tmp_path, exists):
    if exists:
        (tmp_path / "trees").mkdir()
    assert outlines.cropped(data_settings({"source": "image_folder", "path": str(tmp_path / "trees"), "crop": 8})) == [
        3,
        8,
        8,
    ]


def test_planned_folder_is_read_as_in_the_job(tmp_path):
    network = {"source": "built_in", "model": "mlp", "options": {"widths": [4]}, "head": None, "seed": 0}
    for split, name in itertools.product(("Training", "Valid"), ("ash", "beech", "oak")):
        (tmp_path / "trees" / split / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (9, 9)).save(tmp_path / "trees" / split / name / f"{number}.png")
    folder = {"source": "image_folder", "path": str(tmp_path / "trees"), "resize": None, "crop": 8, "mode": "auto"}
    settings = {**folder, "test_fraction": 0.5, "seed": 0, "store": "images", "background": "white", "links": "inside"}
    assert outlines.cropped(data_settings(settings)) == [1, 8, 8]
    assert probe_before_training(network, data_settings(settings), tmp_path / "none.h5").layers[-1].units == 3
    write_dataset(tmp_path / "trees.h5", collected(settings))
    # The artifact leaves out what had no effect, and has the mode that was chosen.
    assert outlines.outline_of_stored(tmp_path / "trees.h5", data_settings(settings)) == ([1, 8, 8], 3)
    assert outlines.outline_of_stored(tmp_path / "trees.h5", data_settings({**settings, "mode": "RGB"})) is None
    assert outlines.outline_of_stored(tmp_path / "trees.h5", data_settings({**settings, "crop": 7})) is None
    assert (
        outlines.outline_of_stored(
            tmp_path / "trees.h5", data_settings({**settings, "classes": ["oak", "ash", "beech"]})
        )
        is None
    )
