"""Inhibition: shares counted by hand, what is undefined and why, its correlations, and the figure."""

import numpy as np
import pytest
import scores_by_hand as by_hand
from figure_texts import STYLE, all_texts, assert_readable

from unitscope.figures import inhibition_figures
from unitscope.tables.inhibition import (
    ALONE,
    FAILED,
    SIGNED,
    Inhibition,
    inhibition,
    inhibition_correlations,
    inhibition_rows,
)

LAYERS = {"conv1": 12, "hidden": 12}


def columns(rows):
    """Return records as the columns of a table."""
    rows = list(rows)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_shares_are_over_the_other_units():
    # Unit 0 inhibits two of three others, unit 2 none; what is exactly 0 is not inhibited, nor is the unit itself.
    before = np.array([[[1.0, -1.0, -2.0, 0.5], [9, 9, 9, 9], [0.0, 0.0, 3.0, 1.0]]])[:, [0, 2]]
    shares = inhibition(before, np.maximum(before, 0), np.array([0, 2]))
    assert shares.inhibited.tolist() == [2 / 3, 0.0]
    assert shares.seeds.tolist() == [1, 1]


def test_seeds_in_which_the_unit_is_silent_are_left_out():
    before = np.array([[[1.0, -1, -1]], [[-1.0, -1, -1]], [[2.0, 1, -1]]])
    shares = inhibition(before, np.maximum(before, 0), np.array([0]))
    assert (shares.inhibited.tolist(), shares.seeds.tolist()) == ([0.75], [2])
    silent = inhibition(before[[1]], np.maximum(before[[1]], 0), np.array([0]))
    assert np.isnan(silent.inhibited).all() and silent.seeds.tolist() == [0]


def test_minimizing_images_count_only_if_they_inhibit_the_target():
    before = np.array([[[-1.0, -1, 2], [3, 1, 2], [-1, 1, 2]]])
    shares = inhibition(before, -before, np.arange(3))
    # Unit 0's image inhibits unit 1 of two others; the images of units 1 and 2 have not inhibited them.
    assert shares.inhibited[0] == 0.5 and np.isnan(shares.inhibited[1:]).all()
    assert shares.seeds.tolist() == [1, 0, 0]


def test_undefined_inhibition_has_a_reason():
    inhibitions = {
        ("conv1", "am"): (np.array([0, 4]), Inhibition(np.array([0.5, np.nan]), np.array([2, 0]))),
        ("one", "am"): (np.array([0]), Inhibition(np.array([np.nan]), np.array([1]))),
        ("logits", "am"): (np.array([0]), Inhibition(np.array([0.5]), np.array([1]))),
    }
    taps = [{"layer": layer, "signed": layer == "logits"} for layer in ("conv1", "one", "logits")]
    table = columns(inhibition_rows(inhibitions, taps, "small"))
    assert table["reason"].tolist() == ["", FAILED, ALONE, SIGNED]
    assert table["inhibited"][0] == 0.5 and np.isnan(table["inhibited"][1:]).all()
    assert table["unit"].tolist() == [0, 4, 0, 0]


def inhibited(signed=()):
    """Return an experiment in which inhibition falls with selectivity, its rows, and its correlations."""
    records, units, _ = by_hand.experiment(LAYERS)
    records = [{**tap, "signed": tap["layer"] in signed} for tap in records]
    inhibitions = {}
    for tap in records:
        selectivity = units["selectivity"][units["layer"] == tap["layer"]]
        for method in by_hand.METHODS:
            inhibitions[tap["layer"], method] = np.arange(12), Inhibition(1 - selectivity, np.ones(12, int))
    rows = columns(inhibition_rows(inhibitions, records, "small"))
    return units, rows, columns(inhibition_correlations(rows, units, records, 99, 99, 0))


def test_correlations_within_layers_leave_out_dead_units():
    units, _, correlations = inhibited(signed=["hidden"])
    of_selectivity = (correlations["layer"] == "conv1") & (correlations["y"] == "selectivity")
    assert correlations["spearman"][of_selectivity].tolist() == pytest.approx([-1, -1]) and correlations["used"][
        of_selectivity
    ].tolist() == [11, 11]
    living = units["selectivity"][(units["layer"] == "conv1") & ~units["dead"]]
    assert correlations["median"][of_selectivity].tolist() == [1 - np.median(living)] * 2
    signed = correlations["layer"] == "hidden"
    assert set(correlations["reason"][signed]) == {SIGNED} and np.isnan(correlations["spearman"][signed]).all()
    assert set(correlations["y"]) == {"selectivity", "rs", "rs_z", "rs_q", "rs_r"}
    # rs_q has no value at all in this experiment.
    missing = (correlations["layer"] == "conv1") & (correlations["y"] == "rs_q")
    assert np.isnan(correlations["spearman"][missing]).all() and set(correlations["reason"][missing]) == {
        "rs_q is undefined for all units"
    }


def test_figure_is_readable():
    units, rows, correlations = inhibited(signed=["hidden"])
    figure = inhibition_figures.inhibition(STYLE, units, rows, correlations)
    assert_readable(figure)
    assert "undefined" in all_texts(figure) and "nothing is silenced" in all_texts(figure)
    marks = figure.axes[0].lines[0]
    drawn = np.isfinite(marks.get_xdata())
    assert marks.get_ydata()[drawn] == pytest.approx(1 - marks.get_xdata()[drawn]) and drawn.sum() == 11
