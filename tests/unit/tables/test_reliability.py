"""Reliability against published examples and closed forms; nulls on cases with a known answer."""

import numpy as np
import pytest
import scipy.stats

from unitscope.data.summaries import class_means
from unitscope.scores.selectivity import class_selectivity, permuted_selectivity
from unitscope.scores.substitution import Exceeding, by_seed, substitution
from unitscope.stats.reliabilities import disattenuated, intraclass, spearman_brown
from unitscope.tables.reliability import ScoresBySeed, nulls_table, permuted_draws, reliability_table

UNITS = 40
TAPS = [{"layer": "3", "depth": 1, "units": UNITS, "kind": "conv"}]
# Six targets, each rated by the same four judges (Shrout and Fleiss 1979, Table 2).
JUDGES = np.array([[9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2], [5, 3, 6, 2, 6, 4], [8, 2, 8, 6, 9, 7]], float)


def draws(seed=0):
    return np.random.default_rng(seed)


# --- reliability -----------------------------------------------------------------------------------------------------


def test_intraclass_correlation_equals_the_published_example():
    single, mean = intraclass(JUDGES)
    # Their Table 4 gives .29 and .62.
    assert single[0] == pytest.approx(0.29, abs=0.005) and mean[0] == pytest.approx(0.62, abs=0.005)


def test_shifted_ratings_reduce_absolute_agreement():
    same = np.tile(np.arange(5.0), (3, 1))
    assert [value[0] for value in intraclass(same)] == pytest.approx([1, 1])
    # Absolute agreement: a shift counts. BMS = 5, JMS = 0.5 * 5 * 4, EMS = 0.
    single, mean = intraclass(np.stack([np.arange(5.0), np.arange(5.0) + 2]))
    assert single[0] == pytest.approx(5 / (5 + 2 * 10 / 5)) and mean[0] == pytest.approx(5 / (5 + 10 / 5))


def test_noise_is_not_reliable_and_constants_have_no_reliability():
    single, mean = intraclass(draws().random((4, 2000)))
    assert abs(single[0]) < 0.05 and abs(mean[0]) < 0.15
    assert np.isnan(intraclass(np.full((3, 9), 0.3))).all()
    # Two units change places: what is between units is what is within them, and rounding is no reliability above 0.
    changed = np.zeros((2, 11))
    changed[0, 3] = changed[1, 8] = 1 / 11
    assert not intraclass(changed)[1][0] > 0
    assert np.isnan(intraclass(draws().random((1, 9)))).all()


def test_reliability_at_equal_signal_and_noise_variance():
    # Variance 1 of units and 1 of the rest: 1/2 for one seed, k/(k + 1) for k.
    ratings = draws().normal(size=4000) + draws(1).normal(size=(3, 4000))
    single, mean = intraclass(ratings)
    assert single[0] == pytest.approx(1 / 2, abs=0.03) and mean[0] == pytest.approx(3 / 4, abs=0.03)


def test_weights_equal_repetitions():
    ratings, weights = draws().random((3, 12)), draws(1).integers(0, 4, (5, 12)).astype(float)
    weighted = np.stack(intraclass(ratings, weights))
    for number, weight in enumerate(weights):
        again = intraclass(np.repeat(ratings, weight.astype(int), axis=1))
        np.testing.assert_allclose(weighted[:, number], np.concatenate(again), rtol=1e-9)


def test_spearman_brown_and_the_correction_for_attenuation():
    assert spearman_brown(np.array([0.0, 0.5, 1.0])).tolist() == [0, 2 / 3, 1]
    assert disattenuated(np.array(0.3), np.array(0.5), np.array(0.72)) == pytest.approx(0.3 / 0.6)
    for first, second in ((0.0, 0.5), (-0.1, -0.1), (0.5, np.nan)):
        assert np.isnan(disattenuated(np.array(0.3), np.array(first), np.array(second)))


def units_table(rs, selectivity, halves, dead=None):
    """Return a units table of one layer and method, given (units,) each and selectivity by half (2, units)."""
    count = len(rs)
    return {
        "experiment": np.full(count, "small"),
        "layer": np.full(count, "3"),
        "unit": np.arange(count),
        "dead": np.zeros(count, bool) if dead is None else dead,
        "selectivity": selectivity,
        "rs_am": rs,
        "rs_z_am": np.full(count, np.nan),
        "rs_q_am": np.zeros(count),
        "rs_r_am": np.zeros(count),
        "seeds_am": np.full(count, 3),
        "selectivity_half0": halves[0],
        "selectivity_half1": halves[1],
    }


def scores_by_seed(shares, start=None, units=None, minimized=False):
    """Return answers of which raw RS is known; RS (z) is nowhere defined, RS (q) and RS (r) 0 everywhere."""
    units = np.arange(shares.shape[1]) if units is None else units
    start = shares if start is None else start
    scores = [
        {
            score: Exceeding(values, 1)
            for score, values in {
                "rs": one,
                "rs_z": np.full(one.shape, np.nan),
                **dict.fromkeys(("rs_q", "rs_r"), np.zeros(one.shape)),
            }.items()
        }
        for one in (shares, start)
    ]
    return {("3", "am"): ScoresBySeed(units, minimized, *scores)}


def row(table, **criteria):
    matches = [n for n in range(len(table["layer"])) if all(table[key][n] == value for key, value in criteria.items())]
    assert len(matches) == 1
    return {key: column[matches[0]] for key, column in table.items()}


def test_attenuation_by_noise_is_corrected():
    # As many units as make the estimates narrow.
    truth = draws().normal(size=1500)
    shares = truth + draws(1).normal(0, 1, (3, 1500))
    halves = truth + draws(2).normal(0, 1, (2, 1500))
    units = units_table(shares.mean(0), halves.mean(0), halves)
    table = reliability_table(units, [{**TAPS[0], "units": 1500}], scores_by_seed(shares), 200, 0)
    rs = row(table, score="rs")
    assert rs["icc_single"] == pytest.approx(0.5, abs=0.06) and rs["icc"] == pytest.approx(0.75, abs=0.05)
    assert rs["split_half"] == pytest.approx(0.5, abs=0.06)
    assert rs["selectivity_reliability"] == pytest.approx(2 / 3, abs=0.05)
    assert rs["spearman"] < 0.75 and rs["disattenuated"] == pytest.approx(1, abs=0.06)
    assert rs["disattenuated_low"] < rs["disattenuated"] < rs["disattenuated_high"] and rs["reason"] == ""
    assert rs["spearman"] == pytest.approx(scipy.stats.spearmanr(shares.mean(0), halves.mean(0)).statistic)
    assert rs["disattenuated"] == pytest.approx(rs["spearman"] / np.sqrt(rs["icc"] * rs["selectivity_reliability"]))


def test_undefined_reliability_has_a_reason():
    selectivity, rs = draws().random(UNITS), draws(1).random((3, UNITS))
    halves = np.stack([selectivity, selectivity])
    units = units_table(rs.mean(0), selectivity, halves)
    table = reliability_table(units, TAPS, scores_by_seed(rs), 50, 0)
    assert row(table, score="rs_q")["reason"] == (
        "rs_q_am is 0 for all 40 units; RS is the same for all units and seeds"
    )
    unscored = row(table, score="rs_z")
    assert unscored["reason"].startswith("only 0 units have rs_z_am") and np.isnan(unscored["spearman"])
    once = row(reliability_table(units, TAPS, scores_by_seed(rs[:1]), 50, 0), score="rs")
    assert once["seeds"] == 1 and np.isnan(once["icc"]) and np.isnan(once["disattenuated"])
    assert np.isfinite(once["spearman"]) and once["reason"] == "one noise seed: RS has no reliability"
    # Halves that contradict one another, and seeds too.
    opposed = units_table(rs.mean(0), selectivity, np.stack([selectivity, -selectivity]))
    seeds = np.stack([rs[0], 1 - rs[0]])
    both = row(reliability_table(opposed, TAPS, scores_by_seed(seeds), 50, 0), score="rs")
    assert np.isnan(both["disattenuated"])
    assert "reliability of selectivity not above 0" in both["reason"]


def test_dead_silent_and_untargeted_units_are_left_out():
    rs, selectivity = draws().random((2, 10)), draws(1).random(UNITS)
    rs[1, 3] = np.nan
    dead = np.arange(UNITS) == 20
    targets = np.arange(15, 25)
    units = units_table(np.zeros(UNITS), selectivity, np.stack([selectivity] * 2), dead)
    reliability = row(reliability_table(units, TAPS, scores_by_seed(rs, units=targets), 50, 0), score="rs")
    assert reliability["used"] == 8 and reliability["units"] == UNITS
    left = [place for place in range(10) if place not in (3, 5)]
    expected = scipy.stats.spearmanr(rs[:, left].mean(0), selectivity[targets[left]]).statistic
    assert reliability["spearman"] == pytest.approx(expected)


# --- RS, seed by seed ------------------------------------------------------------------------------------------------


def test_seeds_average_to_the_scores_of_the_table():
    responses = np.maximum(draws().normal(0.5, 1, (4, 12, 12)), 0)
    scales = {"mean": draws(1).random(12), "std": draws(2).random(12), "quantile": draws(3).random(12)}
    averaged, seeds = substitution(responses, np.arange(12), **scales), by_seed(responses, np.arange(12), **scales)
    for score in ("rs", "rs_z", "rs_q", "rs_r"):
        shares = seeds[score].counts / np.broadcast_to(seeds[score].competitors, 4)[:, None]
        comparable = seeds[score].comparable()
        np.testing.assert_allclose(comparable.counts / comparable.competitors, shares, rtol=1e-12)
        np.testing.assert_allclose(np.nanmean(shares, axis=0), getattr(averaged, score), rtol=1e-12)
    assert np.isnan(seeds["rs"].counts).sum() == 4 * 12 - averaged.seeds.sum() > 0


def test_minimizing_images_are_scored_by_units_with_lower_preactivations():
    preactivations = np.array([[[-3.0, -4.0, 1.0], [-5.0, -2.0, -1.0], [0.0, 0.0, 0.5]]])
    nothing = np.zeros((1, 3, 3))
    scores = ScoresBySeed.of(np.arange(3), nothing, nothing, {}, preactivations)
    assert scores.minimized and scores.generated["rs"].counts[0, :2].tolist() == [1, 1]
    # Never below 0: it is silent, as a unit is that no image excites.
    assert np.isnan(scores.generated["rs"].counts[0, 2])
    assert np.isnan(scores.start["rs"].counts).all() and np.isnan(scores.generated["rs_z"].counts).all()
    assert not ScoresBySeed.of(np.arange(3), nothing, nothing, {}).minimized


# --- nulls -----------------------------------------------------------------------------------------------------------


def test_permuted_labels_by_draw_average_to_the_bias():
    values, labels = draws().gamma(1, 1, (60, 5)), np.repeat([0, 1, 2], 20)
    selectivities = permuted_draws(values, labels, 3, 300, 0)
    assert selectivities.shape == (300, 5)
    assert selectivities.mean(0) == pytest.approx(permuted_selectivity(values, labels, list("abc"), 300, 1), abs=0.02)
    assert (
        selectivities.max(0) < class_selectivity(class_means((labels == 1)[:, None] * values, labels, list("abc")))
    ).all()


def nulls(units, by_method, permuted=None, untrained=None):
    return nulls_table(units, TAPS, by_method, permuted or {}, untrained, 200, 0)


def test_each_null_differs_from_the_actual_relation():
    rs, chance = draws().random(UNITS), draws(1).random(UNITS)
    units = units_table(rs, rs**2, np.stack([rs] * 2))
    untrained = units_table(chance, draws(2).random(UNITS), np.stack([rs] * 2)) | {"experiment": np.full(UNITS, "raw")}
    permuted = {"3": np.stack([draws(seed).permutation(rs) for seed in range(50)])}
    table = nulls(units, scores_by_seed(rs[None], np.stack([chance, 1 - rs])), permuted, untrained)
    real = row(table, score="rs", null="none")
    assert real["spearman"] == pytest.approx(1) and real["rs"] == pytest.approx(rs.mean()) and real["used"] == UNITS
    start = row(table, score="rs", null="start")
    mean = (chance + 1 - rs) / 2
    assert start["spearman"] == pytest.approx(scipy.stats.spearmanr(mean, rs).statistic)
    assert start["rs"] == pytest.approx(mean.mean())
    shuffled = row(table, score="rs", null="permuted")
    correlations = [scipy.stats.spearmanr(rs, one).statistic for one in permuted["3"]]
    assert shuffled["spearman"] == pytest.approx(np.mean(correlations))
    assert (shuffled["ci_low"], shuffled["ci_high"]) == pytest.approx(tuple(np.quantile(correlations, [0.025, 0.975])))
    raw = row(table, score="rs", null="untrained")
    assert raw["rs"] == pytest.approx(chance.mean()) and abs(raw["spearman"]) < 0.4
    assert row(table, score="rs_q", null="none")["reason"] == "rs_q_am is 0 for all 40 units"
    assert row(table, score="rs_z", null="permuted")["reason"] == "rs_z_am is undefined for all units"


def test_missing_nulls_have_a_reason():
    rs = draws().random(UNITS)
    units = units_table(rs, rs, np.stack([rs] * 2))
    elsewhere = units_table(rs, rs, np.stack([rs] * 2)) | {"layer": np.full(UNITS, "other")}
    table = nulls(units, scores_by_seed(rs[None]), untrained=elsewhere)
    assert row(table, score="rs", null="permuted")["reason"] == "there are no classes"
    assert row(table, score="rs", null="untrained")["reason"] == "experiment small has no layer 3"
    less = {name: column[:9] for name, column in units.items()}
    assert (
        "no rs_am of 40 units"
        in row(nulls(units, scores_by_seed(rs[None]), untrained=less), score="rs", null="untrained")["reason"]
    )
    assert "untrained" not in nulls(units, scores_by_seed(rs[None]))["null"]


def test_minimizing_method_is_a_null_model():
    rs = draws().random(UNITS)
    table = nulls(units_table(rs, rs, np.stack([rs] * 2)), scores_by_seed(rs[None], minimized=True))
    assert set(table["null"]) == {"minimized", "permuted"}
