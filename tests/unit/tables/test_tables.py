"""The tables of units and of correlations, through the library and through the real scripts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import scores_by_hand as by_hand

from unitscope.scores.natural_columns import NaturalTable
from unitscope.scores.score_names import NATURAL_FORMS, NATURAL_SCORES, RS_SCORES
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.scores.sparseness_columns import SparsenessTable
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.stats.correlation import spearman
from unitscope.stats.reliabilities import intraclass
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import create_hdf5
from unitscope.storage.records import write_json
from unitscope.tables.ablation_columns import AblationTable
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.correlations import layer_correlations
from unitscope.tables.table_access import correlation_of, median_of, rows_of
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow.provenance import script_named

ROOT = Path(__file__).parents[3]
LAYERS = {"conv1": 12, "3": 5, "features.10": 30}
SETTINGS = {"permutations": 99, "resamples": 200, "seed": 0, "images": None}
DESIGN = [
    *("experiment", "network", "layer", "depth", "unit", "dead", "selectivity", "top_class"),
    *("rs_am", "rs_z_am", "rs_q_am", "ties_am", "seeds_am", "substitutes_am"),
    *("rs_iam", "rs_z_iam", "rs_q_iam", "ties_iam", "seeds_iam", "substitutes_iam"),
    *("ablation_loss", "ablation_accuracy", "ablation_worst_class"),
    *("ablation_loss_mean", "ablation_accuracy_mean", "ablation_worst_class_mean"),
]


def run(script, *arguments):
    return execute(script_named(script, ROOT), *arguments)


def execute(*words):
    command = [sys.executable, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def write(folder, layers=LAYERS, targets=None, labels=True):
    """Write the artifacts that the tables are made from; return the arguments of units.py, without the output."""
    records = by_hand.taps(layers)
    write_json(folder / "taps.json", records)
    write_table(folder / "selectivity.csv", by_hand.selectivity(records, labels=labels), SelectivityTable)
    substitution, ablation = [], []
    for tap in records:
        # The names of the files say nothing, and their order is not the layers'.
        ablation.insert(0, folder / f"a{tap['depth']}.csv")
        write_table(ablation[0], by_hand.ablation(tap), AblationTable)
        for method in by_hand.METHODS:
            substitution.append(folder / f"s{len(substitution)}.csv")
            write_table(substitution[-1], by_hand.substitution(tap, method, targets), SubstitutionTable)
    return [
        *("--experiment", "small", "--network", "7", "--taps", folder / "taps.json"),
        *("--selectivity", folder / "selectivity.csv"),
        *("--substitution", *substitution, "--ablation", *ablation),
    ]


def run_units(folder, arguments):
    done = run("units", *arguments, "--output", folder / "units.csv")
    assert done.returncode == 0, done.stderr
    return read_table(folder / "units.csv", UnitsTable)


def test_units_table_has_the_documented_columns_and_each_unit_once(tmp_path):
    table = run_units(tmp_path, write(tmp_path))
    assert list(table)[: len(DESIGN)] == DESIGN
    assert table["layer"].tolist() == ["conv1"] * 12 + ["3"] * 5 + ["features.10"] * 30
    assert table["unit"].tolist() == [*range(12), *range(5), *range(30)]
    assert table["depth"].tolist() == [1] * 12 + [2] * 5 + [3] * 30
    assert set(table["network"].tolist()) == {"7"} and table["network"].dtype.kind == "U"
    assert table["dead"].dtype == bool and table["seeds_am"].dtype == np.int64
    assert table["top_class"].dtype.kind == "U"


def test_scores_are_joined_to_their_units(tmp_path):
    table = run_units(tmp_path, write(tmp_path))
    for tap in by_hand.taps(LAYERS):
        layer_units = rows_of(table, tap["layer"])
        expected = by_hand.substitution(tap, "iam")
        np.testing.assert_array_equal(layer_units["rs_iam"], expected["rs"])
        assert layer_units["substitutes_iam"].tolist() == expected["substitutes"].tolist()
        np.testing.assert_array_equal(layer_units["ablation_loss_mean"], by_hand.ablation(tap)["ablation_loss_mean"])


def test_order_of_rows_and_files_changes_nothing(tmp_path):
    arguments = write(tmp_path)
    run_units(tmp_path, arguments)
    once = (tmp_path / "units.csv").read_bytes()
    generator = np.random.default_rng(0)
    schemas = {"s": SubstitutionTable, "a": AblationTable, "selectivity": SelectivityTable}
    for path in [*tmp_path.glob("s*.csv"), *tmp_path.glob("a*.csv")]:
        schema = schemas[path.stem.rstrip("0123456789")]
        table = read_table(path, schema)
        order = generator.permutation(len(table["unit"]))
        write_table(path, {name: column[order] for name, column in table.items()}, schema)
    files = [path for path in arguments if str(path).startswith(str(tmp_path / "a"))]
    shuffled = [argument for argument in arguments if argument not in files] + files[::-1]
    run_units(tmp_path, shuffled)
    assert (tmp_path / "units.csv").read_bytes() == once


def test_units_that_were_not_targets(tmp_path):
    table = rows_of(run_units(tmp_path, write(tmp_path, targets=[3, 1])), "conv1")
    assert np.flatnonzero(np.isfinite(table["rs_am"])).tolist() == [1, 3]
    assert table["seeds_am"].tolist() == [0, 2, 0, 2] + [0] * 8
    assert table["substitutes_am"].tolist() == ["", "4", "", "2 1"] + [""] * 8
    assert np.isnan(table["ties_am"][[0, 2]]).all()
    assert np.isfinite(table["selectivity"][:-1]).all() and np.isfinite(table["ablation_loss"]).all()


def test_without_images_only_raw_rs_is_defined(tmp_path):
    arguments = write(tmp_path)
    without = [*arguments[:6], "--selectivity", "--substitution", *sorted(tmp_path.glob("s[0-9].csv")), "--ablation"]
    table = run_units(tmp_path, without)
    assert list(table)[: len(DESIGN)] == DESIGN
    assert np.isnan(table["selectivity"]).all() and np.isnan(table["ablation_loss"]).all()
    assert np.isfinite(table["rs_am"]).any() and not table["dead"].any()


@pytest.mark.parametrize(
    ("column", "value", "message"), [("layer", "conv9", "conv9"), ("unit", 12, "12 units"), ("unit", -1, "conv1")]
)
def test_scores_of_something_else_are_refused(tmp_path, column, value, message):
    arguments = write(tmp_path)
    table = read_table(tmp_path / "a1.csv", AblationTable)
    table[column] = np.array([value] * 12)
    write_table(tmp_path / "a1.csv", table, AblationTable)
    done = run("units", *arguments, "--output", tmp_path / "units.csv")
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "units.csv").exists()


def correlated(folder, settings=SETTINGS, more=()):
    arguments = ("--units", folder / "units.csv", "--taps", folder / "taps.json", "--settings", json.dumps(settings))
    done = run("layers", *arguments, *more, "--output", folder / "layers.csv")
    assert done.returncode == 0, done.stderr
    return read_table(folder / "layers.csv", LayersTable)


def test_layers_table_has_the_documented_columns_and_pairs(tmp_path):
    run_units(tmp_path, write(tmp_path))
    table = correlated(tmp_path)
    assert list(table) == [
        *("experiment", "layer", "depth", "kind", "method", "x", "y", "units", "used"),
        *("spearman", "ci_low", "ci_high", "p_value", "reason"),
        *("population_sparseness", "ascent_failures"),
        *("z_error", "reliability_x", "reliability_y", "ceiling", "images_needed"),
    ]
    rows = list(zip(*(table[name].tolist() for name in ("layer", "method", "x", "y")), strict=True))
    assert len(set(rows)) == len(rows) == 3 * 70
    for pair in (
        *(("am", "selectivity", y) for y in RS_SCORES),
        *(("", "selectivity", f"ablation_{y}") for y in ("loss", "loss_mean", "accuracy", "accuracy_mean")),
        *(("iam", x, f"ablation_{y}") for x in RS_SCORES for y in ("loss", "loss_mean", "accuracy")),
        *(("am:iam", score, score) for score in RS_SCORES),
        *(("am", "class_information", y) for y in RS_SCORES),
        *(("", "class_information", y) for y in ("selectivity", "ablation_loss")),
        *(("iam", x, y) for x in ("auc", "selectivity_corrected") for y in RS_SCORES),
        *(("", x, y) for x in ("auc", "selectivity_corrected") for y in ("ablation_loss", "ablation_loss_mean")),
    ):
        assert ("features.10", *pair) in rows
    assert set(table["kind"].tolist()) == {"conv"}


def test_sparseness_and_failures_of_the_ascent_stand_in_every_row_of_their_layer(tmp_path):
    run_units(tmp_path, write(tmp_path))
    write_table(tmp_path / "sparseness.csv", by_hand.sparseness(by_hand.taps(LAYERS)), SparsenessTable)
    without = correlated(tmp_path)
    assert np.isnan(without["population_sparseness"]).all() and np.isnan(without["ascent_failures"]).all()
    more = ("--sparseness", tmp_path / "sparseness.csv", "--substitution", *sorted(tmp_path.glob("s[0-9].csv")))
    table = correlated(tmp_path, more=more)
    for depth, layer in enumerate(LAYERS, start=1):
        assert set(table["population_sparseness"][table["layer"] == layer]) == {1 - 1 / (1 + depth)}
    # Of AM alone, and of no pair of methods.
    assert set(table["ascent_failures"][table["method"] == "am"]) == {1.5}
    assert np.isnan(table["ascent_failures"][table["method"] != "am"]).all()


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [({"objective": "am"}, 1.0), ({"objective": "iam"}, np.nan), ({"objective": "am", "minimize": True}, np.nan)],
)
def test_failures_are_counted_where_the_activation_is_maximized(tmp_path, attributes, expected):
    responses = np.array([[[3.0, 2.0], [0.0, 1.0]]], np.float32)
    with create_hdf5(tmp_path / "images.h5", {"layer": "fc", "method": "mine"}) as file:
        file.attrs.update(attributes)
        file["units"], file["responses"], file["preactivations"] = np.arange(2), responses, -responses
    done = run("substitution", "--images", tmp_path / "images.h5", "--output", tmp_path / "scores.csv")
    assert done.returncode == 0, done.stderr
    table = read_table(tmp_path / "scores.csv", SubstitutionTable)
    np.testing.assert_array_equal(table["ascent_failures"], [expected] * 2)
    # Half of what unit 1 gives on its own image is exceeded on that of unit 0.
    assert table["rs_r"].tolist() == [1, 0] and table["substitutes_r"].tolist() == ["1", ""]
    assert table["exceeders"].tolist() == [0, 0] and table["left_out_r"].tolist() == [0, 0]


def test_rs_on_natural_images_joins_at_the_end_and_is_correlated_with_rs_on_synthetic_ones(tmp_path):
    arguments = write(tmp_path)
    without = list(run_units(tmp_path, arguments))
    natural = by_hand.natural(by_hand.taps(LAYERS))
    write_table(tmp_path / "natural.csv", natural, NaturalTable)
    table = run_units(tmp_path, [*arguments, "--natural", tmp_path / "natural.csv"])
    assert [name for name in table if name not in NATURAL_SCORES] == without and set(NATURAL_SCORES) <= set(table)
    np.testing.assert_array_equal(table["rs_q_natural"], natural["rs_q_natural"])
    layers = correlated(tmp_path)
    assert len(layers["x"]) == 3 * (70 + 9)
    layer_units = rows_of(table, "features.10")
    for x, y in zip(NATURAL_SCORES, NATURAL_FORMS, strict=True):
        correlation = correlation_of(layers, "features.10", "iam", x, y)
        assert correlation["spearman"] == pytest.approx(
            spearman(layer_units[x], layer_units[f"{y}_iam"], 1, 1).value, nan_ok=True
        )


def test_correlations_leave_out_dead_units_and_those_without_a_score(tmp_path):
    units = run_units(tmp_path, write(tmp_path))
    correlation = correlation_of(correlated(tmp_path), "features.10", "am", "selectivity", "rs")
    layer_units = rows_of(units, "features.10")
    assert (correlation["units"], correlation["used"]) == (30, 28)
    assert correlation["spearman"] == pytest.approx(
        spearman(layer_units["selectivity"][1:-1], layer_units["rs_am"][1:-1], 1, 1).value
    )
    # Dead units have an ablation loss, and it does not count.
    loss = correlation_of(correlated(tmp_path), "features.10", "", "selectivity", "ablation_loss")
    assert loss["used"] == 29


def test_undefined_correlations_have_a_reason(tmp_path):
    run_units(tmp_path, write(tmp_path))
    table = correlated(tmp_path)
    correlation = correlation_of(table, "conv1", "iam", "selectivity", "rs_q")
    assert (
        np.isnan(correlation["spearman"])
        and correlation["reason"] == "rs_q_iam is undefined for all units"
        and not correlation["used"]
    )
    assert "10 units" in correlation_of(table, "3", "am", "selectivity", "rs")["reason"]
    with_interval = np.isfinite(table["ci_low"])
    assert (table["reason"][with_interval] == "").all() and (table["reason"][~with_interval] != "").all()


def test_constant_rs_gives_an_undefined_correlation():
    _, _, layers = by_hand.experiment({"a": 12, "b": 12}, constant=("b",))
    correlation = correlation_of(layers, "b", "am", "selectivity", "rs")
    assert np.isnan(correlation["spearman"]) and correlation["reason"] == "rs_am is 0 for all 10 units"
    between = correlation_of(layers, "b", "am:iam", "rs", "rs")
    assert np.isnan(between["spearman"]) and np.isnan(between["p_value"])


def test_added_layer_changes_no_other_row():
    _, _, few = by_hand.experiment({"a": 12, "b": 20})
    _, _, more = by_hand.experiment({"a": 12, "b": 20, "c": 15})
    old = more["layer"] != "c"
    for name, column in few.items():
        np.testing.assert_array_equal(more[name][old], column)


def test_added_method_changes_no_other_row():
    _, _, few = by_hand.experiment({"a": 12}, methods=["am"])
    _, _, more = by_hand.experiment({"a": 12}, methods=["am", "iam"])
    for row in range(len(few["method"])):
        key = [few[name][row] for name in ("layer", "method", "x", "y")]
        assert correlation_of(more, *key)["p_value"] == pytest.approx(few["p_value"][row], nan_ok=True, abs=0)


def test_same_inputs_same_bytes(tmp_path):
    run_units(tmp_path, write(tmp_path))
    correlated(tmp_path)
    once = (tmp_path / "layers.csv").read_bytes()
    correlated(tmp_path)
    assert (tmp_path / "layers.csv").read_bytes() == once
    correlated(tmp_path, SETTINGS | {"seed": 1})
    assert (tmp_path / "layers.csv").read_bytes() != once


def test_summary_fits_a_terminal_and_reports_undefined_correlations(tmp_path):
    _, units, layers = by_hand.experiment({"conv1": 12, "features.10": 30, "hidden": 12}, constant=("hidden",))
    folder = tmp_path / "digits"
    write_table(folder / "units.csv", units, UnitsTable)
    write_table(folder / "layers.csv", layers, LayersTable)
    (folder / "figures").mkdir()
    # The last three are left over from earlier settings.
    left = ("graph", "conv9.am.sheet", "conv1.iam_z.sheet")
    for name in ("depth", "conv1.am.sheet", "conv1.am.responses", *left):
        (folder / "figures" / f"{name}.png").touch()
    for method, shift in (("am", 0.0), ("iam", -0.25)):
        with create_hdf5(folder / f"images/conv1.{method}.h5", {}) as file:
            file["units"] = np.arange(3)
            file["responses"] = file["preactivations"] = np.ones((1, 3, 12), np.float32)
            file["rounding"] = np.array([[0.0, shift, 0.0]], np.float32)
    done = execute("-m", "unitscope", "summary", ROOT / "config.yaml", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    table = done.stdout[: done.stdout.index("Figures")]
    assert max(map(len, table.splitlines())) <= 110
    hidden = next(line for line in table.splitlines() if line.startswith("hidden"))
    assert hidden.split()[:4] == [
        "hidden",
        "12",
        "1",
        f"{median_of(rows_of(units, 'hidden'), 'selectivity'):.2f}",
    ]
    assert hidden.split()[4:6] == [
        f"{median_of(rows_of(units, 'hidden'), name):.2f}" for name in ("selectivity_corrected", "auc")
    ]
    assert hidden.split()[6] == "RS"
    assert hidden.split()[-2:] == ["undefined", "undefined"]
    # Each of the three layers has a line for each form of RS; only the raw one is constant.
    scale_free = [line for line in table.splitlines() if line.strip().startswith(("RS (z)", "RS (q)", "RS (r)"))]
    assert [line.split()[1] for line in scale_free] == ["(z)", "(q)", "(r)"] * 3
    values = rows_of(units, "hidden")
    assert scale_free[6].split()[2:4] == [f"{median_of(values, f'rs_z_{m}'):.2f}" for m in ("am", "iam")]
    assert scale_free[6].count("[") == 2
    assert scale_free[7].split()[2:] == ["-", "-", "undefined", "undefined"]
    assert "hidden: rs_am is 0 for all 10 units" in table
    assert "RS = 0: no other unit" in table
    assert str(folder / "figures/depth.png") in done.stdout
    assert "*.sheet.png (1)" in done.stdout
    assert "graph.png" not in done.stdout
    assert "Rounding the images to 8 bits moved the RS of 1 of 6 images, by 0.250 at most." in done.stdout


def of_seeds(records, units, noise=0.0):
    """Return what two noise seeds give, by layer and method: the score itself, but for noise."""
    generator = np.random.default_rng(4)
    return {
        (tap["layer"], method): {
            "rs_z": rows_of(units, tap["layer"])[f"rs_z_{method}"] + noise * generator.normal(size=(2, tap["units"]))
        }
        for tap in records
        for method in by_hand.METHODS
    }


def test_correlations_with_a_loss_have_reliabilities_a_ceiling_and_a_number_of_images():
    records, units, _ = by_hand.experiment({"a": 200})
    generator = np.random.default_rng(1)
    signal, noise = generator.normal(size=200), generator.normal(size=(2, 200))
    for half in (0, 1):
        units[f"ablation_loss_half{half}"] = signal + noise[half]
    units["ablation_loss"] = signal + noise.mean(0)
    ratings = of_seeds(records, units, noise=0.1)
    layers = layer_correlations(units, records, 9, 99, 0, images=500, ratings=ratings)
    kept = ~units["dead"] & np.isfinite(units["selectivity"])
    half = scipy.stats.spearmanr(*(units[f"ablation_loss_half{number}"][kept] for number in (0, 1))).statistic
    reliability = 2 * half / (1 + half)
    row = correlation_of(layers, "a", "", "selectivity", "ablation_loss")
    assert row["reliability_y"] == pytest.approx(reliability) and 0.5 < reliability < 0.8
    assert row["reliability_x"] > 0.99
    assert row["ceiling"] == pytest.approx(np.sqrt(row["reliability_x"] * reliability))
    assert row["images_needed"] == pytest.approx(500 * 4 * (1 - reliability) / reliability)
    # RS of two seeds; of raw RS no ratings are given, and its reliability is unknown.
    rated = correlation_of(layers, "a", "am", "rs_z", "ablation_loss")
    scored = kept & np.isfinite(units["rs_z_am"])
    expected = intraclass(ratings["a", "am"]["rs_z"][:, scored])[1][0]
    assert rated["reliability_x"] == pytest.approx(expected) and 0.8 < expected < 0.99
    unrated = correlation_of(layers, "a", "am", "rs", "ablation_loss")
    assert np.isnan(unrated["reliability_x"]) and unrated["ceiling"] == pytest.approx(unrated["reliability_y"] ** 0.5)
    # Where y is no loss, no number of images follows; of the accuracy there are no halves.
    assert np.isnan(correlation_of(layers, "a", "am", "selectivity", "rs_z")["images_needed"])
    assert np.isnan(correlation_of(layers, "a", "", "selectivity", "ablation_accuracy")["reliability_y"])
    unknown = layer_correlations(units, records, 9, 99, 0)
    assert np.isnan(unknown["images_needed"]).all() and np.isfinite(unknown["ceiling"]).any()
    assert (np.isfinite(layers["z_error"]) == np.isfinite(layers["ci_low"])).all()


def test_noise_seeds_and_images_of_the_ablation_are_read_from_the_artifacts(tmp_path):
    run_units(tmp_path, write(tmp_path, layers={"a": 30}))
    generator = np.random.default_rng(2)
    with create_hdf5(tmp_path / "activations.h5", {}) as file:
        file["labels"] = np.repeat(np.arange(4), 25)
        group = file.create_group("layers/a")
        for name in ("mean", "std", "positive_q99", "max", "firing_rate"):
            group[name] = generator.random(30) + 0.5
        group.attrs["signed"] = False
    responses = generator.gamma(1.0, 1.0, (3, 30, 30)).astype(np.float32)
    with create_hdf5(tmp_path / "images.h5", {}) as file:
        file["units"], file["responses"] = np.arange(30), responses
        file.attrs["layer"], file.attrs["method"] = "a", "am"
    arguments = ["--units", tmp_path / "units.csv", "--taps", tmp_path / "taps.json"]
    arguments += ["--activations", tmp_path / "activations.h5", "--images", tmp_path / "images.h5"]
    arguments += ["--settings", json.dumps(SETTINGS | {"images": 40}), "--output", tmp_path / "layers.csv"]
    done = run("layers", *arguments)
    assert done.returncode == 0, done.stderr
    layers = read_table(tmp_path / "layers.csv", LayersTable)
    units = read_table(tmp_path / "units.csv", UnitsTable)
    row = correlation_of(layers, "a", "am", "rs", "ablation_loss")
    counts = (responses > np.einsum("stt->st", responses)[:, :, None]).sum(2).astype(float)
    kept = ~units["dead"] & np.isfinite(units["rs_am"])
    assert row["reliability_x"] == pytest.approx(intraclass(counts[:, kept])[1][0])
    needed = 40 * 4 * (1 - row["reliability_y"]) / row["reliability_y"]
    assert row["images_needed"] == pytest.approx(needed, nan_ok=row["reliability_y"] <= 0)
    assert np.isnan(correlation_of(layers, "a", "iam", "rs", "ablation_loss")["reliability_x"])
