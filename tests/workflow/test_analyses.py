"""The analyses natural, importance and reliability through the real Snakemake, on a small study; and their figures."""

import copy
import re

import numpy as np
import pytest
import scores_by_hand as by_hand
from figure_texts import all_texts, assert_readable
from projects import SMALL, Project, read_result, undeclared

from unitscope.figures import importance_figures, natural_figures, nulls_figures
from unitscope.figures.style import Style
from unitscope.scores.score_names import NATURAL_FORMS, NATURAL_SCORES, RS_SCORES
from unitscope.tables.correlations import layer_correlations
from unitscope.tables.table_access import correlation_of, rows_of

pytestmark = pytest.mark.verify

STYLE = Style(dpi=60)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory) -> Project:
    """Return a project with a trained and an untrained network, all three analyses of the first done."""
    study = copy.deepcopy(SMALL)
    study["networks"]["raw"] = {**study["networks"]["small"], "training": {"epochs": 0}}
    small = study["experiments"]["small"]
    study["experiments"]["raw"] = {**copy.deepcopy(small), "network": "raw"}
    small |= {
        "layers": ["hidden1", "logits"],
        "seeds": [0, 1],
        "analyses": ["natural", "importance", "reliability"],
        "reliability": {"untrained": "raw", "permutations": 20},
        "figures": {"dpi": 60},
    }
    project = Project.create(tmp_path_factory.mktemp("analysed") / "project", study)
    project.run("snakemake", "--cores", "1", "experiment_small")
    return project


def table(project, name):
    return read_result(project.folder / "results/small" / name)


def test_all_outputs_exist_and_no_job_remains(analysed):
    folder = analysed.folder / "results/small"
    for name in ("natural", "natural_z", "natural_q", "importance", "nulls"):
        for kind in ("png", "pdf"):
            assert (folder / f"figures/{name}.{kind}").stat().st_size > 1000
    assert "Nothing to be done" in analysed.run("snakemake", "-n", "experiment_small")
    # Of the untrained network only what is compared.
    raw_files = {path.name for path in (analysed.folder / "results/raw").iterdir()}
    assert "units.csv" in raw_files and not raw_files & {"natural.csv", "layers.csv", "atlas.html"}


def test_tables_are_as_declared(analysed):
    assert undeclared(analysed.folder / "results") == set()


def test_tables_contain_rs_on_natural_images(analysed):
    units, natural, layers = (table(analysed, name) for name in ("units.csv", "natural.csv", "layers.csv"))
    assert set(NATURAL_SCORES) <= set(units)
    np.testing.assert_array_equal(units["rs_z_natural"], natural["rs_z_natural"])
    assert np.isfinite(natural["rs_natural"]).sum() > 15 and natural["images_natural"].max() == 9
    correlation = correlation_of(layers, "hidden1", "iam", "rs_z_natural", "rs_z")
    assert np.isfinite(correlation["spearman"])
    assert "rs_natural" not in read_result(analysed.folder / "results/raw/units.csv")


def test_importance_covers_every_layer(analysed):
    importance, units = table(analysed, "importance.csv"), table(analysed, "units.csv")
    # Six predictors, four forms of RS by two methods, and two sets for each.
    assert len(importance["layer"]) == 2 * (6 + 2 * len(RS_SCORES) + 4)
    hidden_units = rows_of(units, "hidden1")
    row = (importance["layer"] == "hidden1") & (importance["predictor"] == "selectivity")
    from unitscope.stats.effects import across_halves

    halves = np.array(
        [hidden_units[f"{name}_half{half}"] for name in ("selectivity", "ablation_loss") for half in (0, 1)]
    )
    # A unit that is silent on one half of the images has no selectivity there.
    scored = ~hidden_units["dead"] & np.isfinite(halves).all(0)
    assert importance["used"][row] == scored.sum() > 3
    assert importance["spearman"][row] == pytest.approx(across_halves(*halves[:, scored]))
    measured = table(analysed, "predictors.csv")
    assert np.isfinite(measured["weight_norm"]).all()
    half = measured["mean_half0"] * 0.5 + measured["mean_half1"] * 0.5
    assert measured["mean"] == pytest.approx(half, rel=1e-6)


def test_reliability_of_two_seeds_and_one_row_per_null(analysed):
    reliability = table(analysed, "reliability.csv")
    assert set(reliability["seeds"].tolist()) == {2}
    # Raw RS is 0 for all in a network that has hardly learnt.
    scored = (reliability["layer"] == "hidden1") & (reliability["score"] == "rs_z")
    assert np.isfinite(reliability["icc"][scored]).all() and np.isfinite(reliability["split_half"][scored]).all()
    undefined = np.isnan(reliability["disattenuated"])
    assert (reliability["reason"][undefined] != "").all()
    nulls = table(analysed, "nulls.csv")
    assert len(nulls["layer"]) == 2 * 2 * 4 * 4
    assert set(nulls["null"].tolist()) == {"none", "start", "permuted", "untrained"}
    other = (nulls["layer"] == "logits") & (nulls["null"] == "untrained")
    assert set(nulls["reason"][other].tolist()) == {"experiment raw has no layer logits"}
    scored = (nulls["layer"] == "hidden1") & (nulls["score"] == "rs_z")
    assert np.isfinite(nulls["spearman"][scored & (nulls["null"] != "untrained")]).all()
    raw = rows_of(read_result(analysed.folder / "results/raw/units.csv"), "hidden1")
    for method in ("am", "iam"):
        row = scored & (nulls["null"] == "untrained") & (nulls["method"] == method)
        defined = ~raw["dead"] & np.isfinite(raw[f"rs_z_{method}"] + raw["selectivity"])
        assert nulls["used"][row] == defined.sum() > 0
        assert nulls["rs"][row] == pytest.approx(raw[f"rs_z_{method}"][defined].mean())
    undefined = np.isnan(nulls["spearman"])
    assert (nulls["reason"][undefined] != "").all()


@pytest.mark.parametrize(
    ("change", "recomputed"),
    [
        (("experiments.small.importance", {"folds": 4}), {"importance", "importance_figures", "claims", "atlas"}),
        (
            ("experiments.small.reliability", {"untrained": "raw", "permutations": 9}),
            {"reliability", "nulls_figures", "claims", "atlas"},
        ),
        (
            ("experiments.small.figures", {"dpi": 50}),
            {"figures", "sheets", "natural_figures", "importance_figures", "nulls_figures"},
        ),
    ],
    ids=["folds", "permutations", "figures"],
)
def test_changed_setting_reruns_only_dependent_rules(analysed, tmp_path, change, recomputed):
    project = analysed.copy(tmp_path / "project")
    project.change(*change)
    output = project.run("snakemake", "-n", "experiment_small")
    planned = set(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE))
    assert {rule for rule in planned if not rule.startswith("experiment_")} == recomputed


def test_every_analysis_has_its_verdicts(analysed):
    claims = table(analysed, "claims.csv")
    assert list(dict.fromkeys(claims["claim"].tolist())) == ["A2", "A5", "A6"]
    assert set(zip(claims["claim"].tolist(), claims["source"].tolist(), strict=True)) == {
        ("A2", "importance"),
        ("A5", "reliability"),
        ("A6", "natural"),
    }
    nulls = table(analysed, "nulls.csv")
    assert (claims["claim"] == "A5").sum() == 2 * 2 * 4 + (nulls["null"] != "none").sum()
    importance_row = rows_of(table(analysed, "importance.csv"), "hidden1")
    predictor_row = (importance_row["method"] == "iam") & (importance_row["predictor"] == "rs_z")
    row = (
        (claims["claim"] == "A2")
        & (claims["layer"] == "hidden1")
        & (claims["method"] == "iam")
        & (claims["score"] == "rs_z")
    )
    assert claims["effect"][row] == pytest.approx(importance_row["spearman"][predictor_row])
    # What is undefined says why.
    assert (claims["note"][np.isnan(claims["effect"])] != "").all()


def test_columns_of_a_disabled_analysis_are_absent(analysed, tmp_path):
    project = analysed.copy(tmp_path / "project")
    project.change("experiments.small.analyses", [])
    project.run("snakemake", "--cores", "1", "results/small/layers.csv")
    assert "rs_natural" not in table(project, "units.csv")
    assert "rs_natural" not in table(project, "layers.csv")["x"].tolist()


# --- figures ---------------------------------------------------------------------------------------------------------

LAYERS = [{"conv1": 30, "hidden": 30}, {f"features.{number}": 12 for number in range(16)}]


@pytest.mark.parametrize("layers", LAYERS, ids=["few", "many"])
@pytest.mark.parametrize("methods", [("am",), ("am", "iam", "iam_z")], ids=["one", "three"])
def test_figures_are_readable(layers, methods):
    _, units, correlations = by_hand.experiment(layers, methods, permutations=9, resamples=20, on_natural=True)
    for score in NATURAL_FORMS:
        assert_readable(natural_figures.natural(STYLE, units, correlations, score))
    rows = [
        {"layer": layer, "method": method, "predictor": predictor}
        for layer in layers
        for method, names in [("", ("selectivity", "weight_norm"))]
        + [(method, (*RS_SCORES, "all_but_rs", "all")) for method in methods]
        for predictor in names
    ]
    random = np.random.default_rng(0)
    values = random.uniform(-1, 1, len(rows))
    values[::7] = np.nan
    table_columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    table_columns |= {"spearman": values, "ci_low": values - 0.3, "ci_high": values + 0.3, "r2": values * 20}
    figure = importance_figures.importance(STYLE, table_columns)
    assert_readable(figure)
    assert "RS (z), AM" in all_texts(figure)
    nulls = [
        {"layer": layer, "method": method, "score": score, "null": null}
        for layer in layers
        for method in methods
        for score in RS_SCORES
        for null in ("none", "start", "permuted", "untrained")
    ]
    values = random.uniform(-1, 1, len(nulls))
    values[::5] = np.nan
    table_columns = {key: np.array([row[key] for row in nulls]) for key in nulls[0]}
    table_columns |= {
        "spearman": values,
        "ci_low": values - 0.1,
        "ci_high": np.where(values > 0.8, np.nan, values + 0.1),
    }
    assert_readable(nulls_figures.nulls(STYLE, table_columns))


def test_undefined_correlations_are_labelled_in_figures():
    records, units, _ = by_hand.experiment({"a": 14}, permutations=9, resamples=20, on_natural=True)
    units["rs_natural"][:] = 0
    layers = layer_correlations(units, records, 9, 20, seed=0)
    figure = natural_figures.natural(STYLE, units, {name: np.array(column) for name, column in layers.items()})
    assert "RS on test images is 0 for all" in all_texts(figure).replace("\n", " ")
