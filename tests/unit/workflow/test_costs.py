"""The plan of a run: jobs, work and bytes per rule. The measured seconds are in test_planning.py."""

import re

import pytest
import torch
from configs_by_hand import study

from unitscope.data.outlines import Outline
from unitscope.errors import UserError
from unitscope.workflow.costs import (
    UNKNOWN,
    Cost,
    estimate,
    of_experiment,
    outlines,
    promised,
    table,
    with_unknown,
)
from unitscope.workflow.planning import Calibration

DIGITS = Outline(100, 40, [1, 28, 28], 10)
SMALL = {
    "device": "cpu",
    "networks__small__options": {"widths": [12, 10]},
    "networks__small__training": {"epochs": 3},
    "experiments__first__layers": ["hidden1"],
    "experiments__first__methods": {"am": {"steps": 4, "points": 2}, "iam": {"steps": 4, "points": 2}},
    "experiments__first__activations": {"batch": 50},
    "experiments__first__ablation": {"batch": 20},
    "experiments__first__images": {"batch": 1},
}
R = "results/first"


@pytest.fixture
def calibration() -> Calibration:
    """Return a calibration of an MLP of 12 and 10 units in which every image takes one second on every way."""
    one_second_per_image = Calibration(study(**SMALL).networks["small"], DIGITS, torch.device("cpu"), 0.001)
    one_second_per_image.per_image = lambda step, rows: 1.0
    return one_second_per_image


def costs_of(calibration, files, **changes):
    """Return seconds and bytes of each rule for the files of an experiment that are pending."""
    costs = {}
    settings = study(**SMALL | changes).experiments["first"]
    of_experiment(costs, calibration, "first", settings, {f"{R}/{file}" for file in files})
    return {rule: (cost.seconds, cost.bytes) for rule, cost in costs.items()}


# --- data sets that are not here -------------------------------------------------------------------------------------


def test_image_counts_are_parsed_by_data_set():
    assert promised("mine=1000,100,10") == ("mine", (1000, 100, 10))
    assert promised("a-b.c= 5, 0 ,2") == ("a-b.c", (5, 0, 2))


@pytest.mark.parametrize("text", ["", "mine", "mine=1,2", "mine=1,2,3,4", "mine=1,2,x", "mine=1.5,2,3"])
def test_numbers_of_images_need_their_form(text):
    with pytest.raises(UserError, match=re.escape(f"--images: {text!r} ")) as refused:
        promised(text)
    assert "NAME=TRAIN,TEST,CLASSES, such as mine=1000,100,10" in str(refused.value)


def with_folder(**settings):
    return study(datasets__trees={"source": "image_folder", "path": "/nowhere/trees", **settings})


def test_a_folder_that_is_elsewhere_has_the_size_of_its_crop():
    by_name = outlines(with_folder(crop=8, mode="L"), {"trees": (1000, 100, 10)})
    assert by_name == {"trees": Outline(1000, 100, [1, 8, 8], 10)}
    assert outlines(with_folder(crop=8), {}) == {}


def test_only_a_folder_of_the_config_with_a_crop_can_be_elsewhere():
    with pytest.raises(UserError, match=r"--images names 'forest'; the data sets of the config are: digits, trees\."):
        outlines(with_folder(crop=8), {"forest": (1, 1, 1)})
    for name in ("trees", "digits"):
        with pytest.raises(UserError, match=rf"datasets\.{name} has no crop"):
            outlines(with_folder(), {name: (1, 1, 1)})


# --- jobs of an experiment -------------------------------------------------------------------------------------------


def test_an_experiment_with_nothing_pending_costs_nothing(calibration):
    assert costs_of(calibration, []) == {}


def test_activations_take_every_image_once_and_moments_the_training_images(calibration):
    costs = costs_of(calibration, ["activations.h5", "moments/mean.csv", "moments/max.csv"])
    # Float32 of 12 units on the test images, and per unit 15 moments in float64.
    assert costs == {"activations": (140, 12 * (4 * 40 + 8 * 15)), "moments": (100, 0)}
    both = costs_of(calibration, ["moments/mean.csv", "moments/max.csv"], experiments__first__readout="max")
    assert both == {"moments": (200, 0)}


def test_a_job_of_activations_needs_room_for_those_of_the_training_images(calibration):
    costs = {"activations": Cost(scratch=7)}
    chosen = study(**SMALL).experiments["first"]
    of_experiment(costs, calibration, "first", chosen, {f"{R}/activations.h5"})
    assert costs["activations"].scratch == 4 * 100 * 12
    # The most of any job counts, since each removes its own.
    costs["activations"].scratch = 10**6
    of_experiment(costs, calibration, "first", chosen, {f"{R}/activations.h5"})
    assert costs["activations"].scratch == 10**6


def test_images_take_steps_for_each_unit_and_method(calibration):
    both = costs_of(calibration, ["images/hidden1.am.h5", "images/hidden1.iam.h5"])
    # Per method 12 units; two of the four steps are measured at once.
    row = 28 * 28 + 3 * 4 * 12 + 4 * 2 + 4
    assert both == {"images": (2 * 12 * 2, 2 * 12 * row)}


def test_images_in_blocks_are_joined_by_another_job(calibration):
    costs = {}
    chosen = study(**SMALL | {"experiments__first__images": {"block": 5, "batch": 1}}).experiments["first"]
    of_experiment(costs, calibration, "first", chosen, {f"{R}/images/hidden1.am.h5"})
    assert {rule: cost.jobs for rule, cost in costs.items()} == {"images_block": 3, "images_joined": 0}
    assert (costs["images_block"].seconds, costs["images_joined"].seconds) == (24, 0)
    assert costs["images_block"].bytes == 0 < costs["images_joined"].bytes


def test_substitutes_of_few_targets_are_at_most_five_each(calibration):
    file = "images/hidden1.am.substitutes.h5"
    one = costs_of(calibration, [file], experiments__first__layers={"hidden1": {"units": [3]}})
    assert one["substitute_images"][0] == 5 * 2 and one["substitute_images"][1] > 0
    assert costs_of(calibration, [file]) == {"substitute_images": (0, 0)}


def test_interventions_take_passes_over_the_test_images(calibration):
    changes = {
        "experiments__first__joint": {"controls": 2},
        "experiments__first__ablation": {"batch": 20, "images": 30},
        "experiments__first__cumulative": {
            **{"images": 10, "orders": 3, "points": 5, "clamps": ["zero"], "scores": ["rs"]},
        },
        "experiments__first__scale": {"draws": 2, "images": 20, "steps": 2, "units": [0, 1]},
    }
    files = ["joint/hidden1.am.csv", "joint/hidden1.iam.csv", "ablation/hidden1.csv"]
    costs = costs_of(
        calibration, [*files, "scale/hidden1.csv", "cumulative/hidden1.csv", "cumulative_of_all.csv"], **changes
    )
    removals = (2 * 2 + 3) * 5 * 10
    assert costs == {
        # Each unit alone, its substitutes and two controls, without and with the unit; by two methods.
        "joint": (2 * (2 * 12 * (2 + 2) * 30), 0),
        # Two clamps; sums of losses and hits of ten classes, by half and in all.
        "ablation": (2 * 12 * 30, 3 * 16 * 12 * 2 * 10),
        # RS of two methods in both directions, and random orders.
        "cumulative": (removals, 0),
        "cumulative_together": (removals, 0),
        # Two draws and the network as it is, on all images of the units and 20 others; IAM and its standardized form
        # of two units on two networks.
        "scale": (3 * (2 * 12 + 20) + 2 * 2 * 2, 0),
    }


def test_predictors_take_time_and_no_room(calibration):
    seconds, size = costs_of(calibration, ["predictors.csv"])["predictors"]
    assert seconds > 0 and size == 0


# --- a study ---------------------------------------------------------------------------------------------------------


def test_a_study_with_nothing_pending_costs_nothing():
    assert estimate(study(**SMALL), set(), 0.01, {"digits": DIGITS}) == {}


def test_a_network_without_work_is_not_looked_at():
    other = {"source": "image_folder", "path": "/nowhere/trees"}
    two = study(**SMALL, datasets__trees=other, networks__other={"model": "mlp", "dataset": "trees"})
    assert set(estimate(two, {f"{R}/activations.h5"}, 0.01, {"digits": DIGITS})) == {"activations"}
    with pytest.raises(UserError, match=r"/nowhere/trees"):
        estimate(two, {"data/checkpoints/other.pt"}, 0.01, {"digits": DIGITS})


def test_a_training_is_counted_with_its_data_set():
    costs = estimate(study(**SMALL), {"data/checkpoints/small.pt", "data/datasets/digits.h5"}, 0.01, {"digits": DIGITS})
    assert set(costs) == {"checkpoint", "dataset"}
    assert costs["dataset"] == Cost(bytes=140 * 28 * 28)
    # Weights and biases of three layers in float32, and the mean and scale of the pixels.
    parameters = (784 * 12 + 12) + (12 * 10 + 10) + (10 * 10 + 10)
    assert 4 * parameters <= costs["checkpoint"].bytes < 4 * parameters + 100
    assert costs["checkpoint"].seconds > 0


def with_pretrained_weights(**network):
    weights = {"file": "mine.pt", "sha256": "0" * 64}
    settings = {"model": "mlp", "options": {"widths": [4]}, "weights": weights, "classes": list("abc"), **network}
    normalization = {"mean": [0.5], "std": [0.5]}
    return study(
        device="cpu",
        networks__small={**settings, "normalization": normalization},
        experiments__first__layers=["hidden1"],
        experiments__first__methods={"am": {"steps": 4, "points": 2}},
    )


def test_network_with_pretrained_weights_is_not_trained():
    costs = estimate(with_pretrained_weights(dataset="digits"), {"data/checkpoints/small.pt"}, 0.01, {"digits": DIGITS})
    assert costs["checkpoint"].seconds == 0 and costs["checkpoint"].bytes >= 4 * 784 * 4


def test_network_without_a_data_set_has_the_shape_of_its_input():
    bare = with_pretrained_weights(input=[1, 8, 8])
    costs = estimate(bare, {"data/checkpoints/small.pt", f"{R}/images/hidden1.am.h5"}, 0.01, {})
    assert set(costs) == {"checkpoint", "images"}
    assert costs["images"].bytes == 4 * (8 * 8 + 3 * 4 * 4 + 4 * 2 + 4)


def test_trainings_of_one_recipe_are_measured_once(monkeypatch):
    several = study(**SMALL, networks__small__seeds=[0, 1])
    measured = []
    monkeypatch.setattr(Calibration, "per_image", lambda self, step, rows: measured.append(rows) or 1.0)
    estimate(several, {f"results/{name}/activations.h5" for name in several.experiments}, 0.01, {"digits": DIGITS})
    assert len(several.experiments) == 2 and measured == [50]


def test_a_later_checkpoint_continues_from_an_earlier_one(monkeypatch):
    monkeypatch.setattr(Calibration, "per_image", lambda self, step, rows: 3.0)
    epochs = study(**SMALL, networks__small__epochs=[0, 1, 3])
    pending = {f"data/checkpoints/small-epoch{epoch}.pt" for epoch in (0, 1, 3)}
    costs = estimate(epochs, pending, 0.01, {"digits": DIGITS})
    # Three epochs in all; a test image takes a third of a training image.
    assert costs["checkpoint"].seconds == 3 * (100 * 3 + 40)
    last = estimate(epochs, {"data/checkpoints/small-epoch3.pt"}, 0.01, {"digits": DIGITS})
    assert last["checkpoint"].seconds == 2 * (100 * 3 + 40)


def test_a_layer_that_does_not_exist_is_refused_by_the_entry_of_the_config():
    wrong = study(**SMALL | {"experiments__first__layers": ["hidden9"]})
    with pytest.raises(UserError, match=r"experiments\.first\.layers.*hidden9.*hidden1"):
        estimate(wrong, {f"{R}/activations.h5"}, 0.01, {"digits": DIGITS})


# --- the table -------------------------------------------------------------------------------------------------------


def test_jobs_behind_a_checkpoint_follow_it_in_the_table():
    costs = {"images_block": Cost(jobs=3), "images": Cost(jobs=7)}
    jobs = with_unknown({"images": 4, UNKNOWN: 2, "units": 1}, costs)
    assert list(jobs.items()) == [("images", 4), (UNKNOWN, 2), ("images_block", 3), ("units", 1)]
    assert with_unknown({"dataset": 1}, costs) == {"dataset": 1}


def rows_of(text):
    return [line.split() for line in text.splitlines() if not line.startswith(("Hours", "The"))]


def test_the_table_has_a_row_per_rule_and_their_sum():
    text = table({"images": 2, "units": 3}, {"images": Cost(3600, 2_500_000), "idle": Cost(7200, 10**9)})
    header, images, units, total = rows_of(text)
    assert header == ["rule", "jobs", "hours", "MB"]
    # Programs that load PyTorch start in 2 s, others in 0.7 s.
    assert images == ["images", "2", f"{3604 / 3600:.3f}", "2.5"] and units == ["units", "3", "0.001", "0.0"]
    assert total == ["all", "5", f"{3606.1 / 3600:.3f}", "2.5"]
    assert "of one processor" in text and "while it runs" not in text


def test_room_for_activations_is_named_where_some_is_needed():
    text = table({"activations": 1}, {"activations": Cost(scratch=12_340_000)})
    assert "takes up to 12.3 MB more while it runs" in text
