"""Tables of the paper's page: trainings that differ, networks, layers, memory and time."""

import numpy as np
import pytest
from results_by_hand import result

from unitscope.paper.page_tables import layer_rows, memory_table, network_rows, training_ranges
from unitscope.scores.score_names import RS_SCORES
from unitscope.tables.number_text import number
from unitscope.tables.table_access import correlation_of

# --- trainings that differ -------------------------------------------------------------------------------------------


def test_ranges_span_the_trainings_of_an_entry():
    trainings = [result(f"net-seed{seed}", layers={"a": 8, "b": 9}) for seed in range(3)]
    for seed, training in enumerate(trainings):
        training.layers["spearman"][:] = 0.1 * seed
        selected = (
            (training.layers["layer"] == "b") & (training.layers["method"] == "iam") & (training.layers["y"] == "rs_z")
        )
        training.layers["spearman"][selected & (training.layers["x"] == "selectivity")] = -0.5 + seed
    rows = training_ranges(trainings)
    assert [(row["layer"], row["method"]) for row in rows] == [(x, y) for x in ("a", "b") for y in ("am", "iam")]
    assert {row["entry"] for row in rows} == {"net"} and {row["trainings"] for row in rows} == {3}
    assert rows[0]["ranges"] == dict.fromkeys(RS_SCORES, "0.00 to 0.20")
    assert rows[3]["ranges"] == dict.fromkeys(RS_SCORES, "0.00 to 0.20") | {"rs_z": "-0.50 to 1.50"}


def test_a_single_training_has_no_range():
    assert training_ranges([result("a", entry="a"), result("b", entry="b")]) == training_ranges([]) == []


# --- networks --------------------------------------------------------------------------------------------------------


def record(accuracy=0.5, **settings):
    training = {"epochs": 16, "stop_after": None}
    settings = {"model": "mlp", "dataset": "digits", "training": training, "head": None} | settings
    return {"settings": settings} | ({} if accuracy is None else {"test": {"accuracy": accuracy}})


def network(*records):
    (row,) = network_rows([result(layers={"a": 3}, record=one) for one in records], {"digits": {"classes": 10}})
    return row


def test_a_network_has_one_row_with_the_accuracies_of_its_trainings():
    assert network(record(0.5), record(0.98765)) == {
        **{"entry": "net", "model": "mlp", "dataset": "digits", "images": {"classes": 10}},
        **{"training": "16 epochs", "head": "", "accuracies": ["50.0%", "98.8%"]},
    }


@pytest.mark.parametrize(
    ("training", "text"),
    [
        ({"epochs": 1, "stop_after": None}, "1 epoch"),
        ({"epochs": 0, "stop_after": None}, "0 epochs"),
        ({"epochs": 16, "stop_after": 4}, "4 of 16 epochs"),
        ({"epochs": 16, "stop_after": 0}, "0 of 16 epochs"),
        (None, "given weights"),
    ],
)
def test_training_is_described_by_its_length(training, text):
    assert network(record(training=training))["training"] == text


def test_a_fitted_head_is_named():
    assert network(record(head={"weight_decay": 0.1}))["head"] == "a linear head fitted here"


def test_sizes_of_an_unlisted_data_set_are_none():
    assert network(record(dataset="elsewhere"))["images"] is None


def test_a_network_without_classes_has_no_accuracy():
    assert network(record(None))["accuracies"] == ["undefined"]


def test_networks_are_in_the_order_of_the_experiments():
    rows = network_rows([result(name, entry=name, layers={"a": 3}, record=record()) for name in ("z", "a")], {})
    assert [row["entry"] for row in rows] == ["z", "a"]


# --- layers ----------------------------------------------------------------------------------------------------------


def test_a_layer_has_its_numbers_of_units_and_its_medians():
    trained = result(layers={"a": 8, "b": 13})
    first, second = layer_rows([trained])
    assert (first["layer"], first["units"], first["dead"]) == ("a", 8, 1)
    assert (second["layer"], second["units"], second["dead"]) == ("b", 13, 1)
    # Of 8 units one is dead, and one is silent on its image.
    assert first["scored"] == {"am": "6", "iam": "6"} and second["scored"] == {"am": "11", "iam": "11"}
    rows = trained.units["layer"] == "b"
    assert second["selectivity"] == number(np.nanmedian(trained.units["selectivity"][rows]))
    assert second["rs"]["iam", "rs_z"] == number(np.nanmedian(trained.units["rs_z_iam"][rows]))
    assert second["rs"]["iam", "rs_q"] == "undefined"
    assert set(second["rs"]) == set(second["spearman"]) == {(m, score) for m in ("am", "iam") for score in RS_SCORES}
    spearman = correlation_of(trained.layers, "b", "am", "selectivity", "rs_z")["spearman"]
    assert second["spearman"]["am", "rs_z"] == number(spearman)


def test_layers_are_those_of_the_first_training():
    trainings = [result("net-seed0", layers={"a": 8}), result("net-seed1", layers={"a": 9})]
    assert [row["units"] for row in layer_rows(trainings)] == [8]


# --- memory ----------------------------------------------------------------------------------------------------------


def took(*rows):
    names = ("rule", "experiment", "peak_mib", "seconds")
    return dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


def test_memory_is_shown_by_rule_and_experiment():
    table = memory_table(took(("images", "b", 310, 4), ("atlas", "b", 25, 1), ("images", "a", 1024, 0)))
    assert table == {
        "experiments": ["b", "a"],
        "rules": [
            {"rule": "images", "cells": ["310 (4 s)", "1024 (0 s)"]},
            {"rule": "atlas", "cells": ["25 (1 s)", "-"]},
        ],
    }


def test_no_jobs_give_an_empty_table():
    empty = {name: np.array([]) for name in ("rule", "experiment", "peak_mib", "seconds")}
    assert memory_table(empty) == {"experiments": [], "rules": []}
