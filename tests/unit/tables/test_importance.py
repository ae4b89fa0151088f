"""What foretells the cost of an ablation: units whose answers are known, formulas against their definitions."""

import numpy as np
import pytest
import scipy.stats
import torch
from networks_by_hand import Residual, Shared, Varied, linear, opened, quiet
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unitscope.scores.predictors import PENALTIES, _residuals, activity, redundancy, weight_norms
from unitscope.scores.score_names import RS_SCORES
from unitscope.stats import effects
from unitscope.stats.bootstrap import bootstrap, bootstrap_weighted
from unitscope.stats.ranks import partial_correlation, rank_correlations, ranks
from unitscope.tables.importance import (
    CONTROLS,
    cross_half_correlation,
    cross_validated_r2,
    importance_table,
    partial_loss_table,
    partial_table,
)
from unitscope.tables.importance_settings import ImportanceSettings

SETTINGS = ImportanceSettings(folds=5, repeats=4, seed=0)
TAPS = [{"layer": "3", "depth": 1, "units": 60, "kind": "conv"}]


def draws(seed=0):
    return np.random.default_rng(seed)


# --- predictors ------------------------------------------------------------------------------------------------------


def test_a_duplicate_is_redundant_an_independent_unit_is_not_and_a_dead_one_is_undefined():
    values = np.maximum(draws().normal(0.2, 1, (500, 5)), 0)
    values[:, 1] = 1000 * values[:, 0]
    values[:, 3] = 0
    values[:, 4] = values[:, 0] - 0.5 * values[:, 2] + draws(1).normal(0, 0.1, 500)
    redundancies = redundancy(values)
    assert redundancies[0] > 0.999 and redundancies[1] > 0.999
    assert 0.9 < redundancies[4] < 0.999
    assert np.isnan(redundancies[3])
    assert -0.05 < redundancy(np.delete(values, 4, axis=1))[2] < 0.05


def test_redundancy_does_not_depend_on_scales_or_the_order_of_units():
    values = np.maximum(draws().normal(0.2, 1, (200, 6)) @ draws(1).normal(size=(6, 6)), 0)
    redundancies, order = redundancy(values), [3, 1, 0, 5, 4, 2]
    np.testing.assert_allclose(redundancy(values * 2.0 ** np.arange(-9, 9, 3)), redundancies, rtol=1e-6)
    np.testing.assert_allclose(redundancy(values[:, order]), redundancies[order], rtol=1e-6)


def test_a_rarely_active_unit_neither_predicts_nor_is_predicted():
    values = draws().random((200, 3))
    rare = np.zeros((200, 1))
    rare[:19] = draws(1).random((19, 1))
    redundancies = redundancy(np.concatenate([values, rare], axis=1))
    assert np.isnan(redundancies[3])
    assert redundancies[:3].tolist() == redundancy(values).tolist()
    assert np.isfinite(redundancy(np.concatenate([values, np.roll(rare, 1, axis=0) + rare], axis=1))[3])


def test_too_few_values_to_regress():
    assert np.isnan(redundancy(draws().random((200, 1)))).all()
    assert np.isnan(redundancy(draws().random((9, 4)))).all()


def test_joint_leave_one_out_regressions_equal_individual_ridge_regressions():
    values = draws().normal(size=(80, 7)) @ draws(1).normal(size=(7, 7))
    fitted, held = (part / values.std(0) for part in (values[:60] - values[:60].mean(0), values[60:]))
    residuals = _residuals(fitted, held)
    for unit in range(7):
        others, target = np.delete(fitted, unit, axis=1), fitted[:, unit]
        scores = {}
        for penalty in PENALTIES:
            inverse = np.linalg.inv(others.T @ others / 60 + penalty * np.eye(6))
            hat = others @ inverse @ others.T / 60
            squares = ((target - hat @ target) ** 2).mean()
            # Of the images' degrees of freedom one goes to the mean.
            scores[penalty] = squares / (1 - (np.trace(hat) + 1) / 60) ** 2, inverse @ others.T @ target / 60
        _, weights = min(scores.values(), key=lambda pair: pair[0])
        np.testing.assert_allclose(
            residuals[:, unit], held[:, unit] - np.delete(held, unit, axis=1) @ weights, atol=1e-8
        )


def test_activity_by_hand():
    measures = activity(np.array([[1.0, 0.0, 0.1], [3.0, 0.0, 0.1], [0.0, 0.0, 0.1], [-2.0, 0.0, 0.1]], np.float32))
    assert measures["mean"].tolist()[:2] == [0.5, 0] and measures["std"].tolist() == [np.sqrt(3.25), 0, 0]
    assert measures["firing_rate"].tolist() == [0.5, 0, 1]


def test_weight_norms_by_hand():
    module = linear([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]], [9.0, 9.0, 9.0])
    assert weight_norms(opened(module, (1, 1, 2))["units"]).tolist() == [5, 0, 1]


@pytest.mark.parametrize(("layer", "norm"), [("conv1", "bn1"), ("conv2", "bn2"), ("stem", None), ("fc", None)])
def test_weight_norms_include_the_batch_norm(layer, norm):
    module = quiet(Residual())
    weights = module.get_submodule(layer).weight
    if norm:
        # What the convolution with the norm behind it does to an image without a bias, by linearity.
        folded = fuse_conv_bn_eval(module.get_submodule(layer), module.get_submodule(norm))
        weights = folded.weight
    expected = [float(torch.linalg.vector_norm(row)) for row in weights]
    assert weight_norms(opened(module)[layer]) == pytest.approx(expected, rel=1e-6)


def test_weight_norms_of_every_kind_of_layer():
    for layer in opened(quiet(Varied())):
        assert weight_norms(layer).shape == (layer.units,)
    shared = opened(quiet(Shared()), (3, 2, 2))
    assert weight_norms(shared["shared-call2"]).tolist() == weight_norms(shared["shared"]).tolist()
    still = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False), nn.ReLU()).eval()
    assert weight_norms(opened(still, (1, 4, 4))["0"]) is None


class Normed(nn.Module):
    """A batch norm that is a function."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        x = F.batch_norm(self.conv(x), torch.zeros(4), torch.ones(4))
        return self.fc(torch.relu(x).mean((2, 3)))


def test_weight_norms_are_undefined_before_a_functional_batch_norm():
    assert weight_norms(opened(quiet(Normed()))["conv"]) is None


# --- correlations and their intervals --------------------------------------------------------------------------------


def test_rank_correlations_equal_scipys_with_weights_as_repetitions():
    scores = np.round(draws().normal(size=(4, 30)), 1)
    np.testing.assert_allclose(rank_correlations(scores)[0], scipy.stats.spearmanr(scores.T).statistic, atol=1e-12)
    weights = draws(1).integers(0, 4, (3, 30)).astype(float)
    for weight, correlations in zip(weights, rank_correlations(scores, weights), strict=True):
        repeated = np.repeat(scores, weight.astype(int), axis=1)
        np.testing.assert_allclose(correlations, scipy.stats.spearmanr(repeated.T).statistic, atol=1e-12)
    assert np.isnan(rank_correlations(np.stack([scores[0], np.ones(30)]))[0, 0, 1])


def test_partial_correlation_equals_correlation_of_rank_residuals():
    controls = draws().normal(size=(2, 50))
    scores = np.concatenate([controls.sum(0) + draws(1).normal(size=(2, 50)), controls])
    ranked = np.stack([ranks(score) for score in scores])
    design = np.stack([np.ones(50), *ranked[2:]], axis=1)
    left = [row - design @ np.linalg.lstsq(design, row, rcond=None)[0] for row in ranked[:2]]
    expected = np.corrcoef(left)[0, 1]
    assert partial_correlation(rank_correlations(scores))[0] == pytest.approx(expected, abs=1e-9)
    # A score that is given twice, or is the same for all, is given once, or not at all.
    more = np.concatenate([scores, controls[:1], np.ones((1, 50))])
    assert partial_correlation(rank_correlations(more))[0] == pytest.approx(expected, abs=1e-9)
    assert partial_correlation(rank_correlations(scores[:2]))[0] == pytest.approx(rank_correlations(scores)[0, 0, 1])


def test_partial_correlation_vanishes_if_a_third_score_explains_it():
    third = draws().normal(size=400)
    noise = draws(1).normal(0, 0.3, (2, 400))
    confounded = rank_correlations(np.stack([third + noise[0], third + noise[1], third]))
    assert confounded[0, 0, 1] > 0.85 and abs(partial_correlation(confounded)[0]) < 0.12
    determined = rank_correlations(np.stack([third, third + noise[1], third]))
    assert np.isnan(partial_correlation(determined)[0])
    assert np.isnan(partial_correlation(rank_correlations(np.stack([np.ones(400), noise[0], third])))[0])


def test_cross_half_correlation_equals_the_effect_of_the_claims():
    truth = draws().normal(size=40)
    scores = truth + draws(1).normal(0, 0.5, (4, 40))
    estimate = bootstrap_weighted(cross_half_correlation, scores, 2000, draws(2))
    expected = bootstrap(effects.across_halves, *scores, resamples=2000, seed=3)
    assert estimate.value == pytest.approx(expected.value)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_noise_shared_within_a_half_is_not_a_relation():
    noise = draws().normal(size=(2, 300))
    assert abs(bootstrap_weighted(cross_half_correlation, np.concatenate([noise, noise]), 10, draws(1)).value) < 0.15


# --- R2 --------------------------------------------------------------------------------------------------------------


def test_a_predictor_of_the_loss_has_an_r2_of_one_and_noise_none():
    truth = draws().random(60)
    losses = np.stack([np.exp(9 * truth), truth**3])
    perfect = np.stack([-truth, -truth])[:, None]
    assert cross_validated_r2(perfect, losses, 5, 3, draws()) == pytest.approx(1)
    noise = draws(1).random((2, 8, 60))
    alone, many = (cross_validated_r2(noise[:, :count], losses, 5, 10, draws()) for count in (1, 8))
    assert many < alone < 0.05
    both = np.concatenate([noise[:, :1], perfect], axis=1)
    assert cross_validated_r2(both, losses, 5, 3, draws()) == pytest.approx(1)


def test_r2_of_one_split_follows_its_definition():
    predictor, losses = draws().random((2, 1, 20)), draws(1).random((2, 20))
    part = draws(2).permutation(20) % 4
    r2_by_half = []
    for half in (0, 1):
        x, y = ranks(predictor[half, 0]), ranks(losses[1 - half])
        predictions = np.array(
            [np.polyval(np.polyfit(x[part != p], y[part != p], 1), one) for one, p in zip(x, part, strict=True)]
        )
        means = np.array([y[part != p].mean() for p in part])
        r2_by_half.append(1 - ((y - predictions) ** 2).sum() / ((y - means) ** 2).sum())
    assert cross_validated_r2(predictor, losses, 4, 1, draws(2)) == pytest.approx(np.mean(r2_by_half))


# --- tables ----------------------------------------------------------------------------------------------------------


def study(units=60, seed=0):
    """Return a units table and predictors of which RS tells the loss exactly, and the rest nothing."""
    random = draws(seed)
    rs, noise = random.permutation(units) / units, random.random((12, units))
    units_table = {
        "experiment": np.full(units, "small"),
        "layer": np.full(units, "3"),
        "unit": np.arange(units),
        "dead": np.arange(units) == 0,
        "selectivity": noise[0],
        "rs_am": rs,
        "rs_z_am": noise[1],
        "rs_q_am": np.full(units, np.nan),
        "rs_r_am": draws(seed + 1000).random(units),
        "seeds_am": np.ones(units),
        **{f"selectivity_half{half}": noise[0] for half in (0, 1)},
        **{f"ablation_loss_half{half}": np.exp(-9 * rs) for half in (0, 1)},
    }
    measured = {
        "layer": units_table["layer"],
        "unit": units_table["unit"],
        "weight_norm": noise[2],
        **{"mean": noise[3], "std": noise[0] + 0.01 * noise[4], "firing_rate": np.ones(units)},
    }
    for half in (0, 1):
        measured |= {
            f"mean_half{half}": noise[3],
            f"std_half{half}": noise[5],
            f"firing_rate_half{half}": np.ones(units),
        }
        measured |= {f"redundancy_half{half}": np.where(np.arange(units) == 1, np.nan, noise[6])}
    return units_table, measured


def rows_by(table, *keys):
    names = list(zip(*(table[key] for key in keys), strict=True))
    return {name: {key: column[row] for key, column in table.items()} for row, name in enumerate(names)}


def test_every_predictor_has_a_row_and_decisive_rs_has_an_r2_of_one():
    units, measured = study()
    rows = rows_by(importance_table(units, measured, TAPS, SETTINGS, 200), "method", "predictor")
    alone = [("", name) for name in ("selectivity", "mean", "std", "firing_rate", "redundancy", "weight_norm")]
    of_am = [("am", name) for name in ("rs", "rs_z", "rs_q", "rs_r")]
    assert list(rows) == [*alone, *of_am, ("am", "all_but_rs"), ("am", "all")]
    rs = rows["am", "rs"]
    assert rs["spearman"] == pytest.approx(-1) and rs["ci_high"] == pytest.approx(-1) and rs["r2"] == pytest.approx(1)
    assert rs["units"] == 60 and rs["used"] == 59 and rs["reason"] == ""
    assert rows["", "redundancy"]["used"] == 58 and abs(rows["", "redundancy"]["spearman"]) < 0.4
    assert rows["am", "all"]["r2"] == pytest.approx(1) and rows["am", "all_but_rs"]["r2"] < 0.1
    assert rows["am", "all"]["used"] == rows["am", "all_but_rs"]["used"] == 58
    assert (
        np.isnan(rows["am", "rs_q"]["spearman"]) and rows["am", "rs_q"]["reason"] == "rs_q is undefined for all units"
    )
    assert rows["", "firing_rate"]["reason"] == "firing_rate is 1 for all 59 units"
    assert "without rs_q" in rows["am", "all"]["reason"] and np.isnan(rows["am", "all"]["spearman"])


def test_few_units_have_no_r2_but_a_reason():
    units, measured = study(units=16)
    taps = [{**TAPS[0], "units": 16}]
    rows = rows_by(importance_table(units, measured, taps, SETTINGS, 200), "method", "predictor")
    assert np.isfinite(rows["am", "rs"]["r2"])
    assert np.isnan(rows["am", "all"]["r2"]) and "need 27 units" in rows["am", "all"]["reason"]


def test_without_labels_importance_is_undefined_with_a_reason():
    units, measured = study()
    for half in (0, 1):
        units[f"ablation_loss_half{half}"] = np.full(60, np.nan)
    table = importance_table(units, measured, TAPS, SETTINGS, 50)
    assert np.isnan(table["r2"]).all() and np.isnan(table["spearman"]).all()
    assert all("ablation_loss is undefined for all units" in reason for reason in table["reason"])


def test_added_layer_changes_no_row():
    units, measured = study()
    others = study(seed=1)
    both = [
        {name: np.concatenate([one[name], np.full(60, "b") if name == "layer" else two[name]]) for name in one}
        for one, two in zip((units, measured), others, strict=True)
    ]
    taps = [*TAPS, {"layer": "b", "depth": 2, "units": 60, "kind": "conv"}]
    for make in (
        lambda *tables: importance_table(*tables, SETTINGS, 99),
        lambda *tables: partial_table(*tables, 99, 0),
        lambda *tables: partial_loss_table(*tables, 99, 0),
    ):
        once, twice = make(units, measured, TAPS), make(*both, taps)
        for name, column in once.items():
            np.testing.assert_array_equal(twice[name][: len(column)], column)


def test_partial_correlations_are_next_to_plain_ones():
    units, measured = study()
    # RS and selectivity have nothing in common but the mean activation.
    measured["mean"] = draws(4).normal(size=60)
    units["rs_am"] = measured["mean"] + draws(5).normal(0, 0.4, 60)
    units["selectivity"] = measured["mean"] + draws(6).normal(0, 0.4, 60)
    rows = rows_by(partial_table(units, measured, TAPS, 300, 0), "method", "score")
    rs = rows["am", "rs"]
    assert rs["spearman"] > 0.7 and abs(rs["partial"]) < 0.35 and rs["partial_low"] < 0 < rs["partial_high"]
    assert rs["spearman"] == pytest.approx(
        scipy.stats.spearmanr(units["rs_am"][1:], units["selectivity"][1:]).statistic
    )
    assert rs["given"].split() == list(CONTROLS) and rs["used"] == 59 and rs["reason"] == ""
    assert rows["am", "rs_q"]["reason"] == "rs_q_am is undefined for all units"
    measured["weight_norm"] = np.full(60, np.nan)
    rows = rows_by(partial_table(units, measured, TAPS, 300, 0), "method", "score")
    assert rows["am", "rs"]["given"] == "mean std firing_rate" and np.isfinite(rows["am", "rs"]["partial"])


def test_too_few_units_for_the_controls():
    units, measured = study()
    few = {name: column[:8] for name, column in units.items()}, {name: column[:8] for name, column in measured.items()}
    row = rows_by(partial_table(*few, [{**TAPS[0], "units": 8}], 50, 0), "method", "score")["am", "rs"]
    assert np.isfinite(row["spearman"]) and np.isnan(row["partial"])
    assert "7 units are too few" in row["reason"]


# --- gradients, Shapley values, reliabilities ------------------------------------------------------------------------


def effects_of(units, seed=7):
    """Return gradients and Shapley values of which the first-order effect predicts the loss, and the rest nothing."""
    noise = draws(seed).random((2, 3, len(units["unit"])))
    shared = {"layer": units["layer"], "unit": units["unit"]}
    gradients = shared | {
        f"{name}_half{half}": noise[half, place] for half in (0, 1) for place, name in enumerate(["integrated", "rest"])
    }
    gradients |= {f"first_order_half{half}": 3 * units[f"ablation_loss_half{half}"] for half in (0, 1)}
    return gradients, shared | {f"shapley_half{half}": noise[half, 2] for half in (0, 1)}


def test_gradients_and_shapley_values_predict_alone_and_belong_to_no_set():
    units, measured = study()
    gradients, shapley = effects_of(units)
    without = rows_by(importance_table(units, measured, TAPS, SETTINGS, 99), "method", "predictor")
    table = importance_table(units, measured, TAPS, SETTINGS, 99, gradients=gradients, shapley=shapley)
    rows = rows_by(table, "method", "predictor")
    added = [("", name) for name in ("first_order", "integrated", "shapley", "compensation")]
    assert list(rows) == [*list(without)[:6], *added, *list(without)[6:]]
    # Twice the loss of the same half is left: the loss of the other half, which is equal here.
    for name in ("first_order", "compensation"):
        assert rows["", name]["spearman"] == pytest.approx(1) and rows["", name]["r2"] == pytest.approx(1)
    assert all(abs(rows["", name]["spearman"]) < 0.4 for name in ("integrated", "shapley"))
    for name, row in without.items():
        np.testing.assert_equal({key: rows[name][key] for key in row}, row)
    some = importance_table(units, measured, TAPS, SETTINGS, 99, gradients=gradients)
    assert ("", "shapley") not in rows_by(some, "method", "predictor")


def test_predictors_are_from_the_other_half_than_the_loss():
    units, measured = study()
    gradients, _ = effects_of(units)
    for half in (0, 1):
        units[f"ablation_loss_half{half}"] = draws(half).random(60)
        gradients[f"first_order_half{half}"] = 2 * units[f"ablation_loss_half{half}"]
    table = importance_table(units, measured, TAPS, SETTINGS, 99, gradients=gradients)
    rows = rows_by(table, "method", "predictor")
    assert abs(rows["", "first_order"]["spearman"]) < 0.4 and abs(rows["", "compensation"]["spearman"]) < 0.4


def test_reliabilities_of_predictors_and_losses_on_half_of_the_images():
    units, measured = study(units=400)
    signal, noise = draws(1).normal(size=400), draws(2).normal(size=(4, 400))
    for half in (0, 1):
        units[f"ablation_loss_half{half}"] = signal + noise[half]
        units[f"selectivity_half{half}"] = signal + 0.1 * noise[2 + half]
    table = importance_table(units, measured, [{**TAPS[0], "units": 400}], SETTINGS, 99, images=300)
    rows = rows_by(table, "method", "predictor")
    of_loss = scipy.stats.spearmanr(units["ablation_loss_half0"][1:], units["ablation_loss_half1"][1:]).statistic
    row = rows["", "selectivity"]
    assert row["reliability_y"] == pytest.approx(of_loss) and 0.4 < of_loss < 0.55 and row["reliability_x"] > 0.97
    assert row["ceiling"] == pytest.approx(np.sqrt(of_loss * row["reliability_x"]))
    assert row["spearman"] == pytest.approx(row["ceiling"], abs=0.06)
    assert row["images_needed"] == pytest.approx(150 * 4 * (1 - of_loss) / of_loss)
    # RS needs no test image: its reliability is not known here.
    assert np.isnan(rows["am", "rs"]["reliability_x"]) and rows["am", "rs"]["ceiling"] == pytest.approx(of_loss**0.5)
    assert np.isnan(rows["am", "all"]["ceiling"])
    unknown = importance_table(units, measured, [{**TAPS[0], "units": 400}], SETTINGS, 9)
    assert np.isnan(unknown["images_needed"]).all()


def test_partial_correlations_with_the_loss_control_for_redundancy_or_the_mean_activation():
    units, measured = study(units=300)
    random = draws(3)
    mean, redundancy_of = random.normal(size=300), random.normal(size=300)
    # RS (raw) follows the mean, RS (z) redundancy, RS (q) the loss itself; the loss follows all three.
    for half in (0, 1):
        measured[f"mean_half{half}"] = np.exp(mean + 0.1 * random.normal(size=300))
        measured[f"redundancy_half{half}"] = redundancy_of + 0.1 * random.normal(size=300)
    units["rs_am"] = mean + 0.3 * random.normal(size=300)
    units["rs_z_am"] = redundancy_of + 0.3 * random.normal(size=300)
    units["rs_q_am"] = random.normal(size=300)
    for half in (0, 1):
        units[f"ablation_loss_half{half}"] = mean + redundancy_of + units["rs_q_am"] + 0.1 * random.normal(size=300)
    taps = [{**TAPS[0], "units": 300, "signed": False}]
    rows = rows_by(partial_loss_table(units, measured, taps, 200, 0), "score", "given")
    assert list(rows) == [(score, given) for score in RS_SCORES for given in ("redundancy", "log_mean")]
    for score, explains, other in (("rs", "log_mean", "redundancy"), ("rs_z", "redundancy", "log_mean")):
        explained, kept = rows[score, explains], rows[score, other]
        assert explained["spearman"] > 0.4 and abs(explained["partial"]) < 0.15
        assert explained["partial_low"] < 0 < explained["partial_high"]
        assert kept["partial_low"] > 0.3 and kept["spearman"] == pytest.approx(explained["spearman"])
        assert explained["used"] == kept["used"] == 299
    assert all(rows["rs_q", given]["partial_low"] > 0.5 for given in ("redundancy", "log_mean"))
    row, kept = rows["rs", "redundancy"], np.arange(300) > 0
    expected = np.mean([
        scipy.stats.spearmanr(units["rs_am"][kept], units[f"ablation_loss_half{half}"][kept]).statistic
        for half in (0, 1)
    ])  # fmt: skip
    assert row["spearman"] == pytest.approx(expected) and row["reason"] == ""


def test_partial_correlations_with_the_loss_have_reasons():
    units, measured = study()
    taps = [{**TAPS[0], "signed": True}]
    rows = rows_by(partial_loss_table(units, measured, taps, 99, 0), "score", "given")
    signed = rows["rs", "log_mean"]
    assert signed["reason"] == "activations are signed: their mean has no logarithm" and np.isnan(signed["partial"])
    assert rows["rs_q", "redundancy"]["reason"] == "rs_q_am is undefined for all units"
    assert np.isfinite(rows["rs_z", "redundancy"]["partial_low"])
    units["rs_am"] = np.where(np.arange(60) < 50, 0.0, units["rs_am"])
    rows = rows_by(partial_loss_table(units, measured, taps, 99, 0), "score", "given")
    assert "too few distinct values: 10 of 58 units" in rows["rs", "redundancy"]["reason"]
    assert np.isfinite(rows["rs", "redundancy"]["partial"]) and np.isnan(rows["rs", "redundancy"]["partial_low"])
