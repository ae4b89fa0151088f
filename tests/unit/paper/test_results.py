"""An experiment as the page reads it: rows of its claims, layers that they name, trainings of one entry."""

import numpy as np
from results_by_hand import part, result

from unitscope.paper.results import by_entry


def test_rows_are_those_of_a_claim_and_score():
    experiment = result(
        parts=[part("C1"), part("C1", score="rs_z", effect=0.1), part("C2"), part("C1", layer="hidden")]
    )
    rows = experiment.rows("C1", "rs")
    assert [row["layer"] for row in rows] == ["conv1", "hidden"]
    assert set(rows[0]) == set(part()) and rows[0]["effect"] == 0.5 and np.isnan(rows[0]["p_holm"])
    assert experiment.rows("C1", "rs_q") == experiment.rows("C3", "rs") == []


def test_experiment_has_the_claims_that_it_names():
    experiment = result(claims={"C1": ["conv1"], "C2": []})
    assert experiment.has_claim("C1") and experiment.has_claim("C2") and not experiment.has_claim("C3")


def test_layers_of_claims_follow_the_order_of_the_network():
    experiment = result(layers={"b": 4, "a": 4, "c": 4}, claims={"C1": ["c", "b"], "C2": ["b", "elsewhere"]})
    assert experiment.layers_named("C1") == ["b", "c"]
    assert experiment.layers_named("C1", "C2") == ["b", "c"]
    assert experiment.layers_named("C2") == ["b"]
    assert experiment.layers_named("C3") == experiment.layers_named() == []


def test_trainings_of_one_entry_belong_together():
    names = (("a-seed0", "a"), ("b", "b"), ("a-seed1", "a"))
    grouped = by_entry([result(name, entry=entry, layers={"x": 3}) for name, entry in names])
    assert {entry: [one.name for one in group] for entry, group in grouped.items()} == {
        "a": ["a-seed0", "a-seed1"],
        "b": ["b"],
    }
    assert by_entry([]) == {}
