"""Planted copies: scores and areas by hand and against SciPy, a network in which the answer is known, the figure."""

import numpy as np
import pytest
import scipy.stats
import torch
from figure_texts import all_texts, assert_readable
from networks_by_hand import Tokens, opened, quiet
from torch import nn

from unitscope.figures import planted_figures
from unitscope.figures.style import Style
from unitscope.interventions import planted, planted_summary
from unitscope.interventions.noisy_copies import noisy_copies
from unitscope.interventions.planted_columns import PlantedAdvantageTable, PlantedSummaryTable, PlantedTable
from unitscope.interventions.planted_scores import FORMS, PLANTED_SCORES, RIVAL, auc_of, competitor_scores
from unitscope.interventions.widening import exact_copies, widened
from unitscope.maximization.recipe import Recipe
from unitscope.stats.bootstrap import TOO_FEW_VALUES
from unitscope.storage.csv_tables import read_table

PIXELS = 24
RECIPE = Recipe(objective="iam", steps=40, points=2)
NOISE = np.random.default_rng(0)
REAL = NOISE.integers(0, 256, (300, 4, 6, 1), dtype=np.uint8)
LABELS = np.arange(300) % 3


def pixel_units(weight=None) -> nn.Module:
    """Return a network in which unit j responds with pixel j, and the units vote for three classes."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, PIXELS), nn.ReLU(), nn.Linear(PIXELS, 3))
    module = quiet(module)
    module[1].weight.copy_(torch.eye(PIXELS) if weight is None else weight)
    module[1].bias.zero_()
    return module


def data(units=PIXELS, has_classes=True):
    batches = [(REAL[:200], LABELS[:200]), (REAL[200:], LABELS[200:])]
    return planted.PlantedData(lambda: batches, lambda: batches[1:], 100, has_classes, np.ones(units), None)


def images_only():
    return (images for images, _ in data().train())


HOW = {"seed": 0, "start_seed": 0, "readout": "mean", "batch": 8}


def rows_at(layer, level, originals, **changed):
    planting = noisy_copies(layer, originals, [level], images_only, 0)[level]
    return planted.planted_rows(layer, level, planting, RECIPE, data(layer.units, **changed), **HOW)


# --- scores ----------------------------------------------------------------------------------------------------------


def test_competitors_are_scored_on_the_scale_of_each_form():
    responses = np.array([4.0, 2.0, 6.0, 1.0])
    mean, std = np.array([0.0, 1.0, 2.0, 0.5]), np.array([1.0, 0.5, 4.0, 0.0])
    quantile, self_responses = np.array([1.0, 4.0, np.nan, 2.0]), np.array([9.0, 8.0, 3.0, 0.0])
    correlations = {"correlation": np.array([1.0, -0.5, 0.2, np.nan])}
    scores = competitor_scores(responses, 0, mean, std, quantile, self_responses, correlations)
    expected = {
        "rs": [np.nan, 0.5, 1.5, 0.25],
        "rs_z": [np.nan, 2.0, 1.0, np.nan],
        "rs_q": [np.nan, 0.5, np.nan, 0.5],
        "rs_r": [np.nan, 0.25, 2.0, np.nan],
        "correlation": [np.nan, 0.5, 0.2, np.nan],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(scores[name], values)
    silent = competitor_scores(responses * [0, 1, 1, 1], 0, mean, std, quantile, self_responses, correlations)
    assert all(np.isnan(silent[form]).all() for form in FORMS)
    np.testing.assert_array_equal(silent["correlation"], expected["correlation"])


def test_the_area_is_that_of_mann_and_whitney():
    draws = np.random.default_rng(0)
    for _ in range(1000):
        scores = draws.integers(0, 5, draws.integers(2, 12)).astype(float)
        scores[draws.random(len(scores)) < 0.2] = np.nan
        copy = int(draws.integers(len(scores)))
        others = np.delete(scores, copy)
        others = others[np.isfinite(others)]
        area = auc_of(scores, copy)
        if np.isnan(scores[copy]) or not len(others):
            assert np.isnan(area)
        else:
            statistic = scipy.stats.mannwhitneyu([scores[copy]], others).statistic
            assert area == pytest.approx(statistic / len(others))


def test_without_a_copy_the_area_is_one_half_on_average():
    scores = np.random.default_rng(0).integers(0, 9, 40).astype(float)
    assert np.mean([auc_of(scores, unit) for unit in range(40)]) == pytest.approx(0.5)


# --- a network -------------------------------------------------------------------------------------------------------


def test_an_exact_copy_ranks_first_by_every_score_and_replaces_its_original():
    layer = opened(pixel_units(), (1, 4, 6))["1"]
    rows = rows_at(layer, 1.0, [3, 7, 11])
    assert [(row["unit"], row["copy"], row["planted"]) for row in rows] == [(3, 24, 1.0), (7, 25, 1.0), (11, 26, 1.0)]
    for row in rows:
        assert row["competitors"] == 26 and row["angle"] == 0 and row["reason"] == ""
        assert row["correlation"] == pytest.approx(1) and row["correlation_readout"] == pytest.approx(1)
        assert [row[f"auc_{score}"] for score in PLANTED_SCORES] == [1.0] * len(PLANTED_SCORES)
        assert row["kl_copy"] == pytest.approx(0, abs=1e-9)
        assert row["controls"] >= 5 and row["advantage"] > 1e-4
        assert row["advantage"] == pytest.approx(row["kl_controls"] - row["kl_copy"])
        assert row["function_kl"] < 1e-9 and row["logits_change"] < 1e-4


def test_the_advantage_rises_with_the_correlation():
    layer = opened(pixel_units(), (1, 4, 6))["1"]
    units = list(range(0, 24, 2))
    by_level = {level: rows_at(layer, level, units) for level in (1.0, 0.7, 0.3)}
    means = [np.mean([row["advantage"] for row in by_level[level]]) for level in (1.0, 0.7, 0.3)]
    assert means[0] > means[1] > means[2] > 0
    divergences = [np.mean([row["kl_copy"] for row in by_level[level]]) for level in (1.0, 0.7, 0.3)]
    assert divergences[0] < 1e-9 < divergences[1] < divergences[2]


def test_areas_of_shuffled_copies_are_near_one_half():
    weight = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (PIXELS, PIXELS))).float()
    layer = opened(pixel_units(weight), (1, 4, 6))["1"]
    firing = planted.statistics_of(layer, data().train(), "mean").units.firing_rate
    originals = np.flatnonzero(firing > 0.2)[:12].tolist()
    wide = widened(layer, exact_copies(layer, originals))
    statistics = planted.statistics_of(wide, data().train(), "mean")
    targets = np.array([*originals, *range(24, wide.units)])
    images = planted.maximize(wide, targets, RECIPE, batch=8).responses[0]
    planted_copies = planted.detection(wide, originals, images, np.ones(24), statistics)
    # The copy of the next original stands for that of each.
    others, count = np.roll(originals, -1).tolist(), len(originals)
    order = [*np.roll(np.arange(count), -1), *range(count, 2 * count)]
    assert count > 8
    shuffled = planted.detection(wide, others, images[order], np.ones(24), statistics)
    for score in PLANTED_SCORES:
        areas, null = (np.array([row[f"auc_{score}"] for row in rows]) for rows in (planted_copies, shuffled))
        assert abs(null.mean() - 0.5) < 0.2, score
        assert areas.mean() > 0.7 and areas.mean() > null.mean() + 0.25, score


def test_replacement_is_that_of_the_outputs_computed_by_hand():
    module = pixel_units()
    layer = opened(module, (1, 4, 6))["1"]
    wide = widened(layer, exact_copies(layer, [2]))
    statistics = planted.statistics_of(wide, data().train(), "mean")
    prediction = statistics.maps.predict(2, [9])
    replaced = planted.PredictedUnit([2], prediction)
    intact = planted.ClampedSet([], np.zeros(0))
    batch = data().test()
    (part,) = planted.removal_by_batch(wide, batch, [intact, replaced], compare=True)
    pixels = torch.from_numpy(batch[0][0].reshape(100, -1).astype(np.float32)) / 255
    units = torch.relu(pixels)
    # Only half of the weight is the original's; the other half is its copy's, which stays.
    predicted = float(prediction.coefficients[0]) * units[:, 9] + prediction.intercept
    change = (predicted - units[:, 2])[:, None] * (module[3].weight[:, 2] / 2)
    logits = module[3](units).double()
    logs = [torch.log_softmax(values, 1) for values in (logits, logits + change)]
    expected = (logs[0].exp() * (logs[0] - logs[1])).sum(1)
    np.testing.assert_allclose(part.divergence[1], expected, rtol=1e-3, atol=1e-8)


def test_without_classes_nothing_is_replaced_and_scores_find_copies_all_the_same():
    layer = opened(pixel_units(), (1, 4, 6))["1"]
    (row,) = rows_at(layer, 1.0, [5], has_classes=False)
    assert row["reason"] == "the data set has no classes" and "advantage" not in row
    assert row["auc_rs_z"] == 1.0
    table = planted.table("1", "iam", [row])
    assert np.isnan(table["advantage"]).all() and table["auc_rs_z"].tolist() == [1.0]


def test_a_signed_layer_has_no_quantiles():
    module = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 8), nn.Linear(8, 3))
    layer = opened(quiet(module), (1, 4, 6))["1"]
    rows = rows_at(layer, 0.7, [0, 1])
    assert layer.signed and all(np.isnan(row["auc_rs_q"]) and np.isfinite(row["auc_correlation"]) for row in rows)


def test_a_layer_of_few_units_has_no_controls():
    module = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 4), nn.ReLU(), nn.Linear(4, 3))
    layer = opened(quiet(module), (1, 4, 6))["1"]
    alive = [unit for unit in range(4) if planted.statistics_of(layer, data().train(), "mean").units.std[unit] > 0.01]
    rows = rows_at(layer, 1.0, alive[:1])
    assert rows[0]["controls"] == 0 and np.isnan(rows[0]["advantage"]) and "too few control units" in rows[0]["reason"]
    assert np.isfinite(rows[0]["kl_copy"])


def test_statistics_of_tokens_are_over_images_and_tokens():
    layer = opened(quiet(Tokens()))["up"]
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    batches = [(images[:12], LABELS[:12]), (images[12:], LABELS[12:20])]
    statistics = planted.statistics_of(layer, batches, "mean")
    tapped = layer.tapped()
    values = tapped.nonlinearity(tapped.outputs(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)).double()
    expected = np.corrcoef(values.flatten(0, 1).T.numpy())
    np.testing.assert_allclose(statistics.map_correlation, expected, atol=1e-5)
    np.testing.assert_allclose(statistics.readout_correlation, np.corrcoef(values.mean(1).T.numpy()), atol=1e-5)
    np.testing.assert_allclose(statistics.units.mean, values.mean((0, 1)).numpy(), rtol=1e-4, atol=1e-6)


# --- the summary -----------------------------------------------------------------------------------------------------


def by_hand(layer="conv1", units=12):
    """Return the table of a layer: RS (z) finds every copy, raw RS none, the correlation those at 1 alone."""
    rows = []
    for level in (1.0, 0.5):
        for unit in range(units):
            # Distinct values around the mean: an interval needs them.
            off = 0.001 * (unit - (units - 1) / 2)
            rival = 1.0 if level == 1 else 0.75 - 2 * off
            areas = {"rs": 0.25 + off, "rs_z": 1.0, "rs_q": np.nan, "rs_r": 0.5 + 0.01 * unit, RIVAL: rival}
            rows.append(
                {
                    **{"planted": level, "unit": unit, "copy": units + unit, "correlation": level},
                    **{f"auc_{name}": area for name, area in areas.items()},
                    **{"advantage": (level - 0.4) * (1 + unit), "kl_copy": 1.0, "kl_controls": 2.0, "reason": ""},
                    **{"function_kl": 0.01 * (1 - level)},
                }
            )
    return planted.table(layer, "iam", rows)


def test_the_summary_is_the_mean_over_units_and_the_difference_to_the_correlation():
    rows = planted_summary.detection_rows(by_hand(), 200, 0)
    row = {(one["planted"], one["score"]): one for one in rows}
    assert len(rows) == 2 * len(PLANTED_SCORES)
    assert (
        row[1.0, "rs"]["auc"] == pytest.approx(0.25) and row[1.0, "rs"]["used"] == 12 and row[1.0, "rs"]["first"] == 0
    )
    assert row[1.0, "rs_z"]["first"] == 1 and row[0.5, "rs_z"]["over_correlation"] == pytest.approx(0.25)
    assert row[0.5, "rs"]["over_correlation"] == pytest.approx(-0.5)
    assert row[0.5, "rs_r"]["auc"] == pytest.approx(0.555)
    assert row[0.5, "rs_r"]["ci_low"] < 0.555 < row[0.5, "rs_r"]["ci_high"]
    assert np.isnan(row[1.0, "rs_q"]["auc"]) and row[1.0, "rs_q"]["used"] == 0
    assert row[1.0, "rs_q"]["reason"] == "no unit has it"
    assert np.isnan(row[1.0, RIVAL]["over_correlation"]) and row[1.0, RIVAL]["reason"].startswith(TOO_FEW_VALUES)
    assert PlantedSummaryTable.of_rows(rows)["auc"].dtype == np.float64


def test_the_dose_is_the_slope_within_units():
    rows = planted_summary.advantage_rows(by_hand(), 200, 0)
    assert [one["planted"] for one in rows] == [1.0, 0.5]
    # 0.5 (1 + unit) apart at correlations 0.5 apart: the mean of 1 to 12.
    assert [one["slope"] for one in rows] == pytest.approx([6.5, 6.5])
    assert rows[0]["slope_low"] < 6.5 < rows[0]["slope_high"]
    assert rows[0]["advantage"] == pytest.approx(0.6 * 6.5) and rows[0]["positive"] == 1
    assert rows[0]["ci_low"] > 0 and rows[1]["function_kl"] == pytest.approx(0.005)
    assert PlantedAdvantageTable.of_rows(rows)["slope"].dtype == np.float64
    few = planted_summary.advantage_rows(by_hand(units=3), 200, 0)
    assert np.isnan(few[0]["ci_low"]) and "no interval" in few[0]["reason"]


def test_a_layer_without_copies_has_no_row_in_the_summaries():
    refused = planted.table("logits", "iam", [{"reason": "its activation is an output of the network"}])
    assert planted_summary.detection_rows(refused, 9, 0) == [] == planted_summary.advantage_rows(refused, 9, 0)


# --- the figure ------------------------------------------------------------------------------------------------------


def drawn(tables, style=Style(dpi=60)):  # noqa: B008
    detection = [row for table in tables for row in planted_summary.detection_rows(table, 50, 0)]
    advantage = [row for table in tables for row in planted_summary.advantage_rows(table, 50, 0)]
    summaries = PlantedSummaryTable.of_rows(detection), PlantedAdvantageTable.of_rows(advantage)
    return planted_figures.planted(style, tables, *summaries)


REFUSED = [{"reason": "its activation is an output of the network"}]


@pytest.mark.parametrize(
    "layers",
    [["a_rather_long.name_of_a.layer"], ["conv1", "conv2", "hidden"], [f"features.{number}" for number in range(13)]],
    ids=["one", "few", "many"],
)
def test_the_figure_can_be_read(layers):
    tables = [*(by_hand(layer) for layer in layers), planted.table("classifier", "iam", REFUSED)]
    assert_readable(drawn(tables))
    assert_readable(drawn(tables, Style(dpi=60, font_size=10, width=6)))


def test_the_figure_reads_the_answer_from_the_tables():
    tables = [by_hand("conv1"), by_hand("conv2"), planted.table("logits", "iam", REFUSED)]
    text = " ".join(all_texts(drawn(tables)).split())
    assert "at 1: RS 0.25, RS (z) 1.00, RS (r) 0.56, correlation 1.00;" in text
    assert "at 0.5: RS 0.25, RS (z) 1.00, RS (r) 0.56, correlation 0.75." in text
    # At 1, RS (z) and the correlation are the same in each unit.
    assert "RS 0 better, 4 worse, 0 open; RS (z) 2 better, 0 worse, 2 open; RS (q) 0 better, 0 worse, 0 open" in text
    assert "Advantage above 0 in 4 of 4 layers x planted correlations, below 0 in 0;" in text
    assert "it rises with the correlation in 2 of 2 layers and falls in 0." in text
    assert "Without copies: logits (its activation is an output of the network)." in text
    worse = by_hand("conv1")
    worse["advantage"] *= -1
    assert "below 0 in 2; it rises with the correlation in 0 of 1 layers and falls in 1." in " ".join(
        all_texts(drawn([worse])).split()
    )


def test_points_are_where_the_tables_say():
    areas, doses = drawn([by_hand("conv1")]).axes
    line = {name: areas.lines[1 + place].get_ydata() for place, name in enumerate(PLANTED_SCORES)}
    assert line["rs"].tolist() == pytest.approx([0.25, 0.25])
    assert line[RIVAL].tolist() == pytest.approx([1.0, 0.75])
    dots, means = doses.lines[1:3]
    np.testing.assert_array_equal(dots.get_ydata(), by_hand()["advantage"])
    assert means.get_ydata().tolist() == pytest.approx([3.9, 0.65])


def test_a_figure_without_copies_is_labelled():
    texts = all_texts(drawn([planted.table("logits", "iam", REFUSED)]))
    assert "No copies can be planted in a layer of this experiment." in texts


# --- the flow --------------------------------------------------------------------------------------------------------


@pytest.mark.verify
def test_the_flow_plants_copies_into_one_layer_and_refuses_another_with_a_reason(project):
    project.change("experiments.small.layers", ["hidden1", "logits"])
    project.change("experiments.small.analyses", ["planted"])
    project.change("experiments.small.planted", {"correlations": [1.0, 0.7], "units": 4, "images": 300})
    project.snakemake()
    folder = project.folder / "results/small"
    table = read_table(folder / "planted/hidden1.csv", PlantedTable)
    assert table["planted"].tolist() == [1.0] * 4 + [0.7] * 4 and set(table["method"]) == {"iam"}
    exact, planted_copies = table["planted"] == 1, np.isfinite(table["copy"])
    assert (table["auc_correlation"][exact] == 1).all() and (table["kl_copy"][exact] < 1e-8).all()
    assert np.abs(table["correlation"][planted_copies] - table["planted"][planted_copies]).max() <= 0.011
    left_out = read_table(folder / "planted/logits.csv", PlantedTable)
    assert left_out["reason"].tolist() == ["its activation is an output of the network"]
    summary = read_table(folder / "planted.csv", PlantedSummaryTable)
    assert set(summary["layer"]) == {"hidden1"} and not (folder / "claims.csv").exists()
    assert (folder / "figures/planted.png").stat().st_size > 10_000
    # Another setting is of this analysis alone.
    project.change("experiments.small.planted.units", 3)
    assert project.executed("snakemake") == {
        *("small/planted/hidden1", "small/planted/logits", "small/planted_summary", "small/planted_figure")
    }
