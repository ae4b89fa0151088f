"""The short table of an experiment: one line per layer and form of RS, and why a correlation is undefined."""

import numpy as np
import pytest
import scores_by_hand as by_hand

from unitscope.tables.correlations import layer_correlations
from unitscope.tables.number_text import two_decimals
from unitscope.tables.summary_text import summary


def lines(layers, change=None, **options):
    """Return the lines of the table of an experiment written by hand, and those below it."""
    records, units, _ = by_hand.experiment(layers, permutations=9, resamples=20, **options)
    if change:
        change(units)
    text = summary(units, layer_correlations(units, records, 9, 20, seed=0))
    table, _, notes = text.partition("\n\n")
    return table.splitlines(), notes, units


def test_one_line_per_layer_and_form_of_rs():
    table, _, _ = lines({"conv1": 12, "hidden": 14})
    head, rule, *rows = table
    assert head.split() == (
        [
            "layer",
            "units",
            "dead",
            "sel.",
            "corr.",
            "AUC",
            "AM",
            "IAM",
            "Spearman",
            "AM",
            "[95",
            "%]",
            "Spearman",
            "IAM",
            "[95",
            "%]",
        ]
    )
    assert set(rule) == {"-"} and len(rows) == 8
    assert rows[0].split()[:3] == ["conv1", "12", "1"] and rows[4].split()[:3] == ["hidden", "14", "1"]
    assert "RS (z)" in rows[1] and "RS (q)" in rows[2] and "RS (r)" in rows[3] and "conv1" not in rows[1]


def test_columns_are_aligned():
    table, _, _ = lines({"a": 12, "a_rather_long.name_of_a.layer": 130})
    assert len({len(line) for line in table}) == 1
    # Numbers end where the name of their column ends.
    for line, count in ((table[2], "12"), (table[6], "130")):
        assert line[: table[0].index("units") + len("units")].endswith(count)


def test_medians_are_over_living_units():
    def change(units):
        units["selectivity"] = np.array([0.1, 0.2, 0.9, 0.95])
        units["rs_am"] = np.array([0, 0.5, 0.25, 1])
        assert units["dead"].tolist() == [False, False, False, True]

    table, _, _ = lines({"a": 4}, change, methods=("am",))
    cells = table[2].split()
    assert cells[:4] == ["a", "4", "1", "0.20"] and cells[6:8] == ["RS", "0.25"]


def test_correlations_have_their_interval():
    table, notes, units = lines({"a": 40}, methods=("am",))
    records = by_hand.taps({"a": 40})
    correlations = layer_correlations(units, records, 9, 20, seed=0)
    selected = (correlations["x"] == "selectivity") & (correlations["y"] == "rs_z")
    value, low, high = (two_decimals(correlations[name][selected][0]) for name in ("spearman", "ci_low", "ci_high"))
    assert table[3].endswith(f"{value} [{low}, {high}]")
    # RS (q) has none here.
    assert table[4].split() == ["RS", "(q)", "-", "undefined"]
    assert "a: RS" not in notes


def test_few_units_have_no_interval():
    table, notes, _ = lines({"a": 8}, methods=("am",))
    assert table[3].endswith("[no interval]") and "no interval below 10 units" in " ".join(notes.split())


def test_undefined_values_are_a_dash_and_explained_below():
    table, notes, _ = lines({"a": 30, "b": 30}, methods=("iam",), constant=("b",))
    assert table[6].endswith("undefined") and "0.00" in table[6]
    notes = " ".join(notes.split())
    assert "b: rs_iam is 0 for all 28 units; rs_q_iam is undefined for all units." in notes
    assert "a: rs_q_iam is undefined for all units." in notes


def test_an_experiment_without_labels_has_no_selectivity():
    table, notes, _ = lines({"a": 12}, labels=False)
    assert table[2].split()[:7] == ["a", "12", "1", "-", "-", "-", "RS"] and table[2].count("undefined") == 2
    assert "selectivity is undefined for all units" in " ".join(notes.split())


def test_a_layer_of_dead_units_has_no_medians():
    table, _, _ = lines({"a": 1}, methods=("am",))
    assert table[2].split() == ["a", "1", "1", "-", "-", "-", "RS", "-", "undefined"]


@pytest.mark.parametrize("methods", [(), ("am", "iam", "iam_z", "am-long_name")])
def test_each_method_has_two_columns(methods):
    table, _, _ = lines({"a": 12}, methods=methods)
    assert table[0].count("Spearman") == len(methods) and len({len(line) for line in table}) == 1
    assert ("am-long_name" in table[0]) == bool(methods)


def test_notes_fit_into_a_terminal():
    _, notes, _ = lines({"a_rather_long.name_of_a.layer": 5}, methods=tuple(f"am-{number}" for number in range(9)))
    assert max(map(len, notes.splitlines())) <= 120
