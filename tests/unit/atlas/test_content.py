"""The content of the atlas: scores, images, responses, correlations and curves of every unit, as plain values."""

import json

import numpy as np
import pytest
import scores_by_hand as by_hand
from atlas_by_hand import HOSTILE, activity, curves, whole

from unitscope.atlas.content import MOST_CLASSES, GeneratedImages, Natural, content, plain
from unitscope.atlas.page_scores import ACTIVATION_SCORES, Activity
from unitscope.scores.exemplars import Exemplars
from unitscope.tables.correlations import layer_correlations

LAYERS = {"conv1": 5, "hidden": 6}
PLACE = {"sheet": 0, "count": 4}


def example_content(
    layers=LAYERS, classes=(), activity=None, generated=None, natural=None, curves=(), change=None, **options
):
    """Return the content of an experiment written by hand; `change` may change its table of units."""
    records, units, _ = by_hand.experiment(layers, permutations=9, resamples=20, **options)
    if change:
        change(units)
    correlation_table = layer_correlations(units, records, 9, 20, seed=0)
    return content(units, correlation_table, records, classes, activity or {}, generated or {}, natural, curves)


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_have_six_digits_and_undefined_ones_are_none():
    assert plain(np.array([1 / 3, 1234567.8, -0.0, 1e-9])) == [0.333333, 1234570.0, 0.0, 1e-9]
    assert plain(np.array([np.nan, np.inf, -np.inf])) == [None, None, None]
    assert plain(np.array([12345678])) == [12345678] and plain(np.array([])) == []


def test_all_content_is_json():
    atlas, _, _ = whole({"conv.1": 5, "hidden": 6})
    assert json.loads(json.dumps(atlas, allow_nan=False))["classes"][3] == HOSTILE


# --- units and scores ------------------------------------------------------------------------------------------------


def test_units_are_listed_with_their_layer_and_their_scores():
    atlas = example_content(classes=["3", "7"])
    assert (atlas["experiment"], atlas["network"], atlas["hasImages"]) == ("small", "net", False)
    assert atlas["units"]["layer"] == [0] * 5 + [1] * 6
    assert atlas["units"]["unit"] == [*range(5), *range(6)]
    assert [place for place, dead in enumerate(atlas["units"]["dead"]) if dead] == [4, 10]
    _, units, _ = by_hand.experiment(LAYERS, permutations=9, resamples=20)
    assert atlas["units"]["scores"]["rs_z_iam"] == plain(units["rs_z_iam"])
    assert atlas["units"]["scores"]["rs_z_iam"][4] is None


def test_the_top_class_is_its_number_and_absent_for_units_without_one():
    def change(units):
        units["top_class"] = np.array(["b", "a", "", "gone", "b"], dtype=object)

    atlas = example_content({"a": 5}, classes=["a", "b"], change=change)
    assert atlas["units"]["top"] == [1, 0, -1, -1, 1]


def test_scores_that_no_unit_has_are_listed_as_missing():
    atlas = example_content()
    keys = {score["key"] for score in atlas["scores"]}
    assert keys == set(atlas["units"]["scores"]) and {"rs_am", "rs_z_am", "ablation_loss"} <= keys
    assert not {"rs_q_am", "rs_q_iam"} & keys
    assert atlas["missing"] == ["RS (q), AM", "RS (q), IAM"]


def test_scores_methods_and_forms_have_names():
    atlas = example_content()
    names = {score["key"]: (score["name"], score["main"]) for score in atlas["scores"]}
    assert names["rs_z_iam"] == ("RS (z), IAM", True) and names["ties_am"] == ("ties, AM", False)
    assert atlas["methods"] == [{"key": "am", "name": "AM"}, {"key": "iam", "name": "IAM"}]
    assert [form["name"] for form in atlas["forms"]] == ["RS", "RS (z)", "RS (q)", "RS (r)"]


# --- layers ----------------------------------------------------------------------------------------------------------


def test_layers_are_described():
    first, second = example_content()["layers"]
    assert {name: first[name] for name in ("name", "depth", "kind", "units", "signed", "dead")} == {
        **{"name": "conv1", "depth": 1, "kind": "conv"},
        **{"units": 5, "signed": False, "dead": 1},
    }
    assert (second["name"], second["depth"], second["units"]) == ("hidden", 2, 6)
    assert first["classMeans"] is first["exemplars"] is None and first["methods"] == {}


def means(values):
    """Return the class means that the page shows of a layer of three units."""
    scales = {name: np.zeros(3) for name in ACTIVATION_SCORES}
    layer_activity = Activity(scales, None if values is None else np.array(values))
    return example_content({"a": 3}, activity={"a": layer_activity})["layers"][0]["classMeans"]


def test_means_of_few_classes_are_all_shown():
    assert means([[0.1, 0.2, 0], [0.3, np.nan, 0]]) == {"classes": None, "means": [[0.1, 0.3], [0.2, None], [0.0, 0.0]]}
    assert means(None) is None and means(np.zeros((0, 3))) is None


def test_of_many_classes_the_strongest_are_shown():
    values = np.tile(np.arange(MOST_CLASSES + 5.0)[:, None], (1, 3))
    values[2, 0] = 99
    # Equal means are in the order of the classes.
    values[:, 1] = 1
    class_means = means(values)
    assert class_means["classes"][0][:3] == [2, MOST_CLASSES + 4, MOST_CLASSES + 3]
    assert class_means["means"][0][:3] == [99, MOST_CLASSES + 4, MOST_CLASSES + 3]
    assert class_means["classes"][1] == list(range(MOST_CLASSES)) and class_means["means"][1] == [1] * MOST_CLASSES
    assert {len(row) for row in class_means["classes"] + class_means["means"]} == {MOST_CLASSES}


def test_activations_are_scores_where_there_are_images():
    activities = {tap["layer"]: activity(tap) for tap in by_hand.taps(LAYERS)}
    atlas = example_content(activity=activities)
    assert atlas["hasImages"] is True
    expected = np.concatenate([activities[layer].scales["max"] for layer in LAYERS])
    assert atlas["units"]["scores"]["activation_max"] == plain(expected)


# --- natural images --------------------------------------------------------------------------------------------------


def test_exemplars_are_numbered_among_the_images_of_the_page():
    rows = np.array([[70, 30, -1], [30, -1, -1], [-1, -1, -1]])
    values = np.array([[2.5, 1.25, np.nan], [4.0, np.nan, np.nan], [np.nan] * 3], np.float32)
    natural = Natural(np.array([70, 30]), np.array([1, -1]), PLACE, {"a": Exemplars(rows, values)})
    atlas = example_content({"a": 3}, natural=natural)
    assert atlas["layers"][0]["exemplars"] == {
        "images": [[0, 1], [1], []],
        "activations": [[2.5, 1.25], [4.0], []],
    }
    assert atlas["natural"] == {"rows": [70, 30], "labels": [1, -1], "place": PLACE}


def test_without_natural_images_there_are_none():
    empty = Natural(
        np.array([], int), np.array([], int), {}, {"a": Exemplars(np.full((3, 1), -1), np.full((3, 1), np.nan))}
    )
    assert example_content({"a": 3})["natural"] is example_content({"a": 3}, natural=empty)["natural"] is None


# --- generated images ------------------------------------------------------------------------------------------------


def am_content(responses, units, listed, targets=None):
    """Return what the page shows of images of a layer by AM, given the substitutes of its units."""

    def change(table):
        table["substitutes_am"] = np.array(listed, dtype=object)

    responses = np.array(responses, np.float32)
    images = GeneratedImages(np.array(units), targets or len(units), range(len(responses)), PLACE, lambda: responses)
    atlas = example_content({"a": len(listed)}, methods=("am",), generated={("a", "am"): images}, change=change)
    return atlas["layers"][0]["methods"]["am"]


def test_substitutes_are_listed_with_their_relative_strength():
    responses = [[[2, 4, 1], [9, 4, 2]], [[2, 6, 1], [3, 4, 4]]]
    method = am_content(responses, [0, 1], ["1 2", "", "0"])
    # Medians over seeds of R[i, j] / R[i, i].
    assert method["substitutes"] == [[1, 2], []] and method["strength"] == [[2.5, 0.5], []]
    assert (method["units"], method["targets"], method["seeds"], method["place"]) == ([0, 1], 2, [0, 1], PLACE)


def test_images_of_substitutes_follow_those_of_the_targets():
    method = am_content(np.ones((1, 2, 3)), [2, 0], ["", "", "0"], targets=1)
    assert (method["units"], method["targets"]) == ([2, 0], 1)
    assert method["substitutes"] == [[0], []] and method["strength"] == [[1], []]


def test_the_strength_at_a_silent_unit_is_undefined():
    assert am_content([[[0, 4, 1]]], [0], ["1 2", "", ""])["strength"] == [[None, None]]


def test_a_method_without_images_of_a_layer_is_left_out():
    images = GeneratedImages(np.array([1]), 1, [0], PLACE, lambda: np.ones((1, 1, 6), np.float32))
    first, second = example_content(generated={("hidden", "am"): images})["layers"]
    assert first["methods"] == {} and list(second["methods"]) == ["am"]


# --- correlations ----------------------------------------------------------------------------------------------------


def correlations(atlas, layer, x, y):
    return [row for row in atlas["correlations"] if (row["layer"], row["x"], row["y"]) == (layer, x, y)]


def test_correlations_name_the_columns_that_they_are_of():
    records, units, layers = by_hand.experiment(LAYERS, permutations=9, resamples=20, on_natural=True)
    atlas = content(units, layers, records, [], {}, {}, None)
    assert len(atlas["correlations"]) == len(layers["layer"])
    for x, y in (
        *(("selectivity", "rs_z_iam"), ("selectivity", "ablation_loss"), ("rs_am", "ablation_loss")),
        *(("rs_am", "rs_iam"), ("rs_natural", "rs_am"), ("selectivity", "rs_z_natural")),
    ):
        assert [len(correlations(atlas, layer, x, y)) for layer in LAYERS] == [1, 1]
    (row,) = correlations(atlas, "hidden", "selectivity", "rs_z_iam")
    selected = (layers["layer"] == "hidden") & (layers["method"] == "iam") & (layers["y"] == "rs_z")
    selected &= layers["x"] == "selectivity"
    expected = plain(np.array([layers[name][selected][0] for name in ("spearman", "ci_low", "ci_high", "p_value")]))
    assert [row[name] for name in ("spearman", "low", "high", "p")] == expected
    assert row["n"] == layers["used"][selected][0] == 4
    assert row["reason"] == "no interval below 10 units"


def test_an_undefined_correlation_gives_its_reason_with_the_names_of_scores():
    (row,) = correlations(example_content(constant=("hidden",)), "hidden", "selectivity", "rs_am")
    assert (row["spearman"], row["low"], row["high"], row["n"]) == (None, None, None, 4)
    assert row["reason"] == "RS, AM is 0 for all 4 units"
    (row,) = correlations(example_content(), "conv1", "selectivity", "rs_q_am")
    assert row["reason"] == "RS (q), AM is undefined for all units"


def test_a_reason_names_a_method_whose_name_begins_like_another():
    atlas = example_content({"a": 7}, methods=("am", "am-long"), change=lambda units: units["rs_am-long"].fill(0))
    (row,) = correlations(atlas, "a", "rs_am", "rs_am-long")
    assert row["reason"] == "RS, am-long is 0 for all 5 units"
    (row,) = correlations(example_content({"a": 3}, methods=("am", "am-long")), "a", "rs_am", "rs_am-long")
    assert row["reason"] == "only 1 units have both RS, AM and RS, am-long"


# --- cumulative ablation ---------------------------------------------------------------------------------------------


def test_random_orders_are_one_curve_with_its_range():
    cumulative = example_content(curves=[curves("hidden")])["cumulative"]
    assert [(curve["score"], curve["direction"]) for curve in cumulative] == [
        *(("class selectivity", "ascending"), ("class selectivity", "descending")),
        *(("RS, AM", "ascending"), ("random", "random")),
    ]
    first, *_, drawn = cumulative
    assert first == {
        **{"layer": "hidden", "clamp": "zero", "score": "class selectivity", "direction": "ascending"},
        **{"fraction": [0, 0.5, 1], "accuracy": [1, 0.5, 0.1], "low": None, "high": None},
    }
    assert (drawn["accuracy"], drawn["low"], drawn["high"]) == ([1, 0.7, 0.1], [1, 0.6, 0.1], [1, 0.8, 0.1])


def test_each_table_of_curves_keeps_its_layer_and_its_clamps():
    table = curves("")
    table["clamp"] = np.where(table["direction"] == "random", "mean", "zero")
    cumulative = example_content(curves=[table, curves("hidden")])["cumulative"]
    assert [curve["layer"] for curve in cumulative] == [""] * 4 + ["hidden"] * 4
    assert [curve["clamp"] for curve in cumulative[:4]] == ["zero"] * 3 + ["mean"]


def test_without_curves_there_is_no_cumulative_ablation():
    assert example_content()["cumulative"] == []


def test_a_layer_without_a_record_is_an_error():
    _, units, layers = by_hand.experiment(LAYERS, permutations=9, resamples=20)
    with pytest.raises(KeyError, match="hidden"):
        content(units, layers, by_hand.taps({"conv1": 5}), [], {}, {}, None)
