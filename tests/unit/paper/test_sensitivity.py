"""The sensitivity of a correlation to choices: rows of each variant, extremes, and the course over lengths."""

import numpy as np
import pytest

from unitscope.errors import UserError
from unitscope.paper.sensitivity import accuracies_by_epochs, by_length, sensitivity_ranges, sensitivity_rows
from unitscope.scores.score_names import RS_SCORES


def layers(values):
    """Return layers.csv with a correlation by (layer, method, score)."""
    keys = list(values)
    spearman = np.array(list(values.values()))
    return {
        "layer": np.array([layer for layer, _, _ in keys]),
        "method": np.array([method for _, method, _ in keys]),
        "x": np.full(len(keys), "selectivity"),
        "y": np.array([score for _, _, score in keys]),
        "used": np.full(len(keys), 9),
        "spearman": spearman,
        "ci_low": spearman - 0.1,
        "ci_high": spearman + 0.1,
        "reason": np.where(np.isnan(spearman), "RS is 0", ""),
    }


def variant(experiment, method="am", **columns):
    return {"experiment": experiment, "method": method, "objective": "am", "variant": "default", **columns}


def row(variant, spearman, **columns):
    return {"layer": "a", "objective": "am", "score": "rs", "variant": variant, "spearman": spearman, **columns}


# --- rows ------------------------------------------------------------------------------------------------------------


def test_one_row_per_variant_layer_and_form_of_rs():
    table = layers(
        {
            (layer, method, score): value + place / 100
            for layer, value in (("b", 0.1), ("a", 0.2))
            for method in ("am", "am-max")
            for place, score in enumerate(RS_SCORES)
        }
    )
    rows = sensitivity_rows(
        [variant("first"), variant("second", "am-max", variant="max")], dict.fromkeys(("first", "second"), table)
    )
    assert [(one["experiment"], one["layer"], one["score"]) for one in rows] == [
        (experiment, layer, score) for experiment in ("first", "second") for layer in ("b", "a") for score in RS_SCORES
    ]
    assert [one["spearman"] for one in rows[:8]] == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.2, 0.21, 0.22, 0.23])
    assert rows[0] == variant("first") | {
        **{"layer": "b", "score": "rs", "spearman": 0.1, "ci_low": 0.0, "ci_high": 0.2, "used": 9, "reason": ""},
    }


def test_each_variant_reads_the_correlations_of_its_experiment_and_method():
    tables = {
        name: layers(
            {("a", method, score): value + add for method, add in (("am", 0), ("am-max", 0.05)) for score in RS_SCORES}
        )
        for name, value in (("first", 0.1), ("second", 0.3))
    }
    rows = sensitivity_rows([variant("second"), variant("first", "am-max")], tables)
    assert [one["spearman"] for one in rows if one["score"] == "rs_q"] == pytest.approx([0.3, 0.15])


def test_undefined_correlations_keep_their_reason():
    table = layers({("a", "am", score): np.nan for score in RS_SCORES})
    assert {one["reason"] for one in sensitivity_rows([variant("first")], {"first": table})} == {"RS is 0"}


def test_a_method_that_the_table_lacks_is_an_error():
    table = layers({("a", "am", score): 0.1 for score in RS_SCORES})
    with pytest.raises(UserError, match="no correlation of selectivity and rs in layer a with method 'iam'"):
        sensitivity_rows([variant("first", "iam")], {"first": table})


def test_no_variants_give_no_rows():
    assert sensitivity_rows([], {}) == sensitivity_ranges([]) == []


# --- extremes --------------------------------------------------------------------------------------------------------


def test_extremes_are_those_of_the_means_over_trainings():
    rows = [row("default", 0.2), row("max", 0.9), row("grey", -0.1), row("default", 0.4), row("max", -0.3)]
    (extremes,) = sensitivity_ranges(rows)
    assert extremes == {
        **{"layer": "a", "objective": "am", "score": "rs", "default": "0.30"},
        **{"lowest": "-0.10 (grey)", "highest": "0.30 (default)", "positive": "2 of 3"},
    }


def test_each_layer_objective_and_score_has_its_row():
    rows = [
        row("default", value, layer=layer, objective=objective, score=score)
        for value, layer, objective, score in (
            *((0.1, "b", "am", "rs"), (0.2, "b", "iam", "rs"), (0.3, "a", "am", "rs")),
            *((0.4, "b", "am", "rs_z"), (0.5, "b", "am", "rs")),
        )
    ]
    defaults = [
        (entry["layer"], entry["objective"], entry["score"], entry["default"]) for entry in sensitivity_ranges(rows)
    ]
    assert defaults == [
        ("b", "am", "rs", "0.30"),
        ("b", "iam", "rs", "0.20"),
        ("a", "am", "rs", "0.30"),
        ("b", "am", "rs_z", "0.40"),
    ]


def test_a_place_without_the_default_has_no_default():
    (extremes,) = sensitivity_ranges([row("max", -0.5)])
    assert (extremes["default"], extremes["lowest"], extremes["highest"], extremes["positive"]) == (
        *("undefined", "-0.50 (max)", "-0.50 (max)"),
        "0 of 1",
    )


# --- lengths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["steps", "epochs"])
def test_means_are_in_the_order_of_the_lengths(key):
    rows = [row("", value, **{key: length}) for length, value in ((100, 0.3), (9, 0.1), (100, 0.5), (None, 0.9))]
    table = by_length([*rows, row("", 0.7, **{key: 9}, layer="b")], key)
    assert table["lengths"] == [9, 100]
    assert [(entry["layer"], entry["means"]) for entry in table["rows"]] == [
        ("a", ["0.10", "0.40"]),
        ("b", ["0.70", "-"]),
    ]


def test_a_length_that_is_undefined_in_a_training_has_no_mean():
    table = by_length([row("", 0.3, steps=4), row("", np.nan, steps=4)], "steps")
    assert table["rows"][0]["means"] == ["undefined"]


def test_accuracies_are_listed_by_the_length_of_the_training():
    records = {name: {"test": {"accuracy": value}} for name, value in (("x", 0.5), ("y", 0.625), ("z", 0.9), ("w", 1))}
    compared = [
        {"network": name, "epochs": epochs}
        # Several methods of one network are one training.
        for name, epochs in (("x", 20), ("x", 20), ("y", 5), ("z", 20), ("w", None))
    ]
    assert accuracies_by_epochs(compared, records) == {20: ["50.0%", "90.0%"], 5: ["62.5%"]}
    assert accuracies_by_epochs([], records) == {}
