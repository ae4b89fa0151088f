"""Scores of the atlas: which columns are scores, how they are called, which the table shows first."""

import numpy as np
import pytest

from unitscope.atlas.page_scores import ACTIVATION_SCORES, Activity, is_main, score_columns, score_name

METHODS = ("am", "iam", "am_grey")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("selectivity", "class selectivity"),
        ("rs_am", "RS, AM"),
        ("rs_z_iam", "RS (z), IAM"),
        ("rs_q_am_grey", "RS (q), am_grey"),
        ("ties_am", "ties, AM"),
        ("seeds_iam", "seeds used, IAM"),
        ("rs_natural", "RS on natural images"),
        ("rs_z_natural", "RS (z) on natural images"),
        ("activation_mean", "mean activation"),
        ("activation_positive_q99", "99th percentile of the positive activations"),
        ("class_information", "class information, in bits"),
        # A column of a later version, a method that has no scores here.
        ("curvature", "curvature"),
        ("rs_other", "rs_other"),
    ],
)
def test_scores_have_names(key, name):
    assert score_name(key, METHODS) == name


def test_the_table_shows_main_scores_first():
    main = (
        "selectivity",
        "rs_am",
        "rs_z_iam",
        "rs_q_am_grey",
        "ablation_loss",
        "ablation_loss_mean",
        "activation_mean",
    )
    more = ("ties_am", "seeds_am", "rs_natural", "selectivity_half0", "activation_max", "rs_other", "class_information")
    assert [is_main(key, METHODS) for key in (*main, *more)] == [True] * len(main) + [False] * len(more)


def units():
    return {
        "experiment": np.array(["e"] * 3),
        "layer": np.array(["b", "b", "a"]),
        "depth": np.array([1, 1, 2]),
        "unit": np.array([0, 1, 0]),
        "dead": np.array([False, True, False]),
        "selectivity": np.array([0.5, np.nan, 1.0]),
        "top_class": np.array(["x", "", "y"], dtype=object),
        "seeds_am": np.array([2, 0, 1]),
    }


def activity(*values):
    return Activity({name: np.array(values, np.float32) for name in ACTIVATION_SCORES}, None)


def test_numeric_columns_are_scores_and_places_are_not():
    assert list(score_columns(units(), {})) == ["selectivity", "seeds_am"]


def test_activations_follow_the_rows_of_the_table():
    columns = score_columns(units(), {"a": activity(9), "b": activity(1, 0)})
    assert list(columns) == ["selectivity", "seeds_am", *(f"activation_{name}" for name in ACTIVATION_SCORES)]
    assert all(columns[f"activation_{name}"].tolist() == [1, 0, 9] for name in ACTIVATION_SCORES)
