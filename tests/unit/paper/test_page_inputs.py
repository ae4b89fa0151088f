"""The inputs of the paper's page: its experiments, networks, data sets, layers of Figure 2 and measured sizes."""

import pytest
from configs_by_hand import study

from unitscope.errors import UserError
from unitscope.paper.page_inputs import (
    compared_trainings,
    measured_sizes,
    page_experiments,
    shown_datasets,
    shown_layers,
)

CLAIMS = {"C1": {"layers": ["hidden1"]}, "C6": {"layers": ["logits"]}}
RULES = ["activations", "images", "images_block", "scale", "importance", "units"]


def test_an_experiment_with_claims_is_on_the_page():
    whole = study(experiments__first__claims=CLAIMS, experiments__second={"network": "small", "layers": ["logits"]})
    (one,) = page_experiments(whole, [])
    assert one == {
        **{"name": "first", "entry": "first", "dataset": "digits", "network": "small", "readout": "mean"},
        **{"layers": ["hidden1", "logits"], "methods": ["am", "iam"], "rules": []},
        "claims": {
            "C1": {"layers": ["hidden1"], "experiments": []},
            "C6": {"layers": ["logits"], "experiments": []},
        },
    }
    assert page_experiments(study(), RULES) == []


def test_trainings_share_the_entry_of_their_recipe_and_checkpoints_do_not():
    whole = study(
        experiments__first__claims=CLAIMS,
        networks__small__seeds=[0, 1],
        networks__small__epochs=[1, 4],
        networks__small__training={"epochs": 4},
    )
    names = {one["name"]: one["entry"] for one in page_experiments(whole, [])}
    assert len(names) == 4 and sorted(set(names.values())) == ["first-epoch1", "first-epoch4"]
    assert {entry for name, entry in names.items() if "epoch1" in name} == {"first-epoch1"}


@pytest.mark.parametrize(
    ("analyses", "rules"),
    [
        ([], ["activations", "images", "units"]),
        (["scale"], ["activations", "images", "scale", "units"]),
        (["importance", "scale"], ["activations", "images", "scale", "importance", "units"]),
    ],
)
def test_rules_of_analyses_are_measured_where_the_experiment_has_them(analyses, rules):
    whole = study(experiments__first__claims=CLAIMS, experiments__first__analyses=analyses)
    assert page_experiments(whole, RULES)[0]["rules"] == rules


def test_networks_with_a_training_length_are_compared_by_it():
    variants = [{"network": name, "epochs": epochs} for name, epochs in (("b", 5), ("a", 20), ("b", 5), ("c", None))]
    assert compared_trainings(variants) == ["a", "b"]
    assert compared_trainings([]) == []


def test_data_sets_are_listed_once():
    assert shown_datasets([{"dataset": name} for name in ("z", None, "a", "z")]) == ["a", "z"]


def test_figure_2_shows_the_layers_of_its_claim():
    whole = study(experiments__first__claims=CLAIMS)
    assert shown_layers(whole, {"fig1": "first", "fig2": "first"}) == ("first", ["logits"])
    assert shown_layers(whole, {"fig1": "first"}) is None


def test_measured_sizes_must_be_a_file(tmp_path):
    table = tmp_path / "sizes.csv"
    assert measured_sizes(None) == measured_sizes("") == []
    for missing in (table, tmp_path):
        with pytest.raises(UserError, match=f"reproduction.sizes is '{missing}', but there is no such file"):
            measured_sizes(str(missing))
    table.touch()
    assert measured_sizes(str(table)) == [str(table)]
