"""Verdicts of the analyses on tables made up so that each claim is true, false, or cannot be decided."""

import numpy as np
import pytest
import scipy.stats
import scores_by_hand as by_hand

from unitscope.claims.analysis_claims import ANALYSIS_CLAIMS, TEXTS, analysis_claims_table
from unitscope.claims.analysis_results import AnalysisResults
from unitscope.claims.analysis_tests import one_random_order
from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.training_claim import training_claims_table
from unitscope.interventions.scale_columns import ScaleTable
from unitscope.scores.score_names import NATURAL_FORMS, RS_SCORES
from unitscope.stats.effects import difference
from unitscope.stats.estimate import Estimate
from unitscope.tables.correlations import layer_correlations

LAYERS = {"one": 30, "two": 30}
METHODS = ["am", "iam"]
IAM = ("joint", "graph", "inhibition")


def columns(rows):
    """Return records as the columns of a table."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def answered(analysis, more=None, methods=None, **tables):
    """Return the claims table of an experiment with one analysis, which has written some tables."""
    _, units, layers = by_hand.experiment(LAYERS, on_natural=True)
    methods_by_analysis = {analysis: (["iam"] if analysis in IAM else METHODS) if methods is None else methods}
    results = AnalysisResults(
        "small", methods_by_analysis, {"units": units, "layers": layers, **tables, **(more or {})}, 200, 0
    )
    table = analysis_claims_table(results)
    assert tuple(table) == ClaimsTable.names() and len({len(column) for column in table.values()}) == 1
    return {name: np.array(column) for name, column in table.items()}


def verdicts(table):
    """Return the verdict under each score."""
    return dict(sorted(set(zip(table["score"].tolist(), table["verdict"].tolist(), strict=True))))


def where(table, **criteria):
    """Return the only row in which columns have the wanted values."""
    matches = np.all([table[name] == value for name, value in criteria.items()], axis=0)
    (row,) = np.flatnonzero(matches)
    return {name: column[row].item() for name, column in table.items()}


# --- A1: scale -------------------------------------------------------------------------------------------------------


def scale(agreement, change=0.1, logits=0.0, draws=5, unasked=()):
    """Return the scores of all layers under other scales, given the agreement of each score in each draw."""
    blank = ScaleTable.blank()
    rows = [{**blank, "layer": layer, "reason": "no nonlinearity follows it directly"} for layer in unasked]
    for layer in LAYERS:
        for method in (*METHODS, "down"):
            for score, value in agreement.items():
                for draw in range(draws):
                    value_here = value(draw) if callable(value) else value
                    reason = f"{score} is 0 for all 30 units" if np.isnan(value_here) else ""
                    row = {"layer": layer, "condition": "kept", "method": method, "score": score, "draw": draw}
                    row |= {"units": 30, "agreement": value_here, "mean_change": change if score == "rs" else 0.0}
                    rows.append({**blank, **row, "logits_change": logits, "reason": reason})
                rows.append({**blank, **row, "condition": "made", "agreement": 0.0})
    return columns(rows)


STAYS = {"rs_z": 1.0, "rs_q": 1.0, "rs_r": 1.0}


def test_raw_rs_changes_and_scale_free_rs_does_not():
    table = answered("scale", scale=scale({"rs": lambda draw: 0.3 + 0.1 * draw, **STAYS}, unasked=["logits"]))
    assert verdicts(table) == dict.fromkeys(RS_SCORES, "supported")
    assert set(table["method"]) == {"", "am", "iam"}
    row = where(table, layer="one", method="iam", score="rs")
    # Five draws at 0.3, 0.4 ... 0.7: mean 0.5, Student's interval.
    half = scipy.stats.t.ppf(0.975, 4) * np.std([0.3, 0.4, 0.5, 0.6, 0.7], ddof=1) / np.sqrt(5)
    assert (row["effect"], row["ci_low"], row["ci_high"]) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert row["n"] == 5
    # A layer that cannot be rescaled says so, and decides nothing.
    logits = where(table, layer="logits", score="rs")
    assert (logits["holds"], logits["n"], logits["note"]) == ("open", 0, "no nonlinearity follows it directly")


def test_opposite_scale_behavior_contradicts_the_claim():
    assert verdicts(answered("scale", scale=scale({"rs": 1.0, "rs_z": 0.5, "rs_q": 0.95, "rs_r": 0.9}))) == (
        dict.fromkeys(RS_SCORES, "contradicted")
    )
    # Between the bounds it is neither moved nor kept.
    between = answered("scale", scale=scale({"rs": lambda draw: 0.9 + 0.01 * (draw - 2), **STAYS}))
    assert verdicts(between)["rs"] == "inconclusive"


def test_changed_network_function_is_inconclusive():
    table = answered("scale", scale=scale({"rs": 0.1, **STAYS}, logits=0.5))
    assert set(table["verdict"]) == {"inconclusive"} and set(table["holds"]) == {"open"}
    assert "the function has moved: by 0.5" in table["note"][0]


def test_undefined_draws_are_inconclusive():
    # In some draws there is no order: no mean over all of them. One draw is no sample.
    some = answered("scale", scale=scale({"rs": lambda draw: np.nan if draw == 3 else 0.2, **STAYS}))
    assert verdicts(some)["rs"] == "inconclusive"
    assert some["note"][0] == "undefined in 1 of 5 draws: rs is 0 for all 30 units"
    assert set(answered("scale", scale=scale({"rs": 0.1, **STAYS}, draws=1))["holds"]) == {"open"}
    # The same for all units, before and after: that has stayed, but it is no order that could have moved.
    flat = answered("scale", scale=scale({"rs": np.nan, "rs_z": np.nan, "rs_q": 1.0, "rs_r": 1.0}, change=0.0))
    assert verdicts(flat) == {**dict.fromkeys(RS_SCORES, "supported"), "rs": "inconclusive"}


# --- A2: importance --------------------------------------------------------------------------------------------------


def importance(effects):
    """Return what foretells the loss, given (Spearman, ends) of raw RS by layer; the other scores tell nothing."""
    rows = []
    for layer in LAYERS:
        for method, predictor in [("", "selectivity"), *((m, s) for m in METHODS for s in RS_SCORES)]:
            value, low, high = effects[layer] if predictor == "rs" else (0.0, -0.3, 0.3)
            row = {"layer": layer, "method": method, "predictor": predictor, "used": 28, "spearman": value}
            reason = "rs is 0 for all 28 units" if np.isnan(value) else "no R2 below 30 units"
            rows.append({**row, "ci_low": low, "ci_high": high, "reason": reason})
    return columns(rows)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ((-0.5, -0.7, -0.3), (-0.4, -0.6, -0.1), "supported"),
        ((-0.5, -0.7, -0.3), (0.4, 0.1, 0.6), "contradicted"),
        ((-0.5, -0.7, -0.3), (-0.1, -0.3, 0.2), "inconclusive"),
        ((-0.5, -0.7, -0.3), (np.nan, np.nan, np.nan), "inconclusive"),
    ],
)
def test_units_of_high_rs_cost_less(one, two, expected):
    table = answered("importance", importance=importance({"one": one, "two": two}))
    assert verdicts(table) == {**dict.fromkeys(RS_SCORES, "inconclusive"), "rs": expected}
    # A missing R2 is not about the correlation.
    assert table["note"][0] == "" and (table["statistic"] == table["statistic"][0]).all()
    if np.isnan(two[0]):
        row = where(table, layer="two", method="am", score="rs")
        assert (row["holds"], row["note"]) == ("open", "rs is 0 for all 28 units")


# --- A3: joint -------------------------------------------------------------------------------------------------------


def joint(**by_reading):
    rows = []
    for layer in LAYERS:
        for reading, (n, effect, low, high) in by_reading.items():
            row = {"layer": layer, "method": "iam", "high": reading, "border": 0.5, "n": n, "effect": effect}
            rows.append({**row, "ci_low": low, "ci_high": high, "reason": "" if n >= 10 else "too few"})
    return columns(rows)


NONE = (0, np.nan, np.nan, np.nan)


@pytest.mark.parametrize(
    ("half", "median", "expected"),
    [
        ((12, 0.2, 0.1, 0.3), (15, 0.1, 0.01, 0.2), "supported"),
        ((12, 0.2, 0.1, 0.3), (15, -0.1, -0.2, -0.01), "contradicted"),
        # No unit has a high RS: that reading is about nothing. Four have: it is, and cannot be decided.
        (NONE, (15, 0.1, 0.01, 0.2), "supported"),
        ((4, 0.2, np.nan, np.nan), (15, 0.1, 0.01, 0.2), "inconclusive"),
        (NONE, NONE, "inconclusive"),
    ],
)
def test_substitutes_compensate(half, median, expected):
    table = answered("joint", joint=joint(half=half, median=median))
    assert verdicts(table) == {"rs": expected}
    assert len(table["claim"]) == 4


def test_without_a_method_of_iam_the_claim_has_one_open_row():
    for analysis in IAM:
        table = answered(analysis, methods=[])
        assert (table["n"].tolist(), table["holds"].tolist()) == ([0], ["open"])
        assert table["verdict"][0] == "inconclusive" and "no method" in table["note"][0]


# --- A4: cumulative --------------------------------------------------------------------------------------------------


def cumulative(ascending, descending, spread=0.01, draws=10, layers=("one", "")):
    """Return areas over random orders (with images' interval of 0.01 either way), and the random orders' curves."""
    areas, curves = [], []
    for layer in layers:
        for method in METHODS:
            for direction, over in (("ascending", ascending), ("descending", descending)):
                row = {"layer": layer, "clamp": "zero", "score": f"rs_{method}", "direction": direction, "scored": 29}
                row |= {"accuracy_over": over, "accuracy_over_low": over - 0.01, "accuracy_over_high": over + 0.01}
                areas.append({**row, "reason": ""})
        for draw in range(draws):
            # Areas (1 + h) / 4 + h / 4 = 1/4 + h/2.
            middle = 0.5 + spread * (-1) ** draw
            for fraction, accuracy in ((0.0, 1.0), (0.5, middle), (1.0, 0.0)):
                row = {"layer": layer, "clamp": "zero", "score": "random", "draw": draw}
                curves.append({**row, "fraction": fraction, "accuracy": accuracy})
    return {"areas": columns(areas), "curves": columns(curves)}


@pytest.mark.parametrize(
    ("ascending", "descending", "expected"),
    [(-0.2, 0.2, "supported"), (0.2, -0.2, "contradicted"), (-0.2, -0.2, "contradicted"), (0.0, 0.2, "inconclusive")],
)
def test_removal_of_high_rs_units_first(ascending, descending, expected):
    table = answered("cumulative", cumulative(ascending, descending))
    # RS (z) and RS (q) were not among the scores by which units were removed.
    assert verdicts(table) == {"rs": expected}
    assert len(table["claim"]) == 2 * 2 * 2 and sum("all layers together" in text for text in table["statistic"]) == 4


def test_removal_order_is_compared_with_single_random_orders():
    # On these images any order differs from the mean of others; one random order does as much.
    wide = cumulative(-0.05, 0.05, spread=0.2)
    table = answered("cumulative", wide)
    assert verdicts(table) == {"rs": "inconclusive"}
    assert verdicts(answered("cumulative", cumulative(-0.05, 0.05, spread=0.01))) == {"rs": "supported"}
    chance = one_random_order(wide["curves"], "one", "zero")
    sd = np.std([0.1, -0.1] * 5, ddof=1)
    assert chance.high == pytest.approx(scipy.stats.t.ppf(0.975, 9) * sd * np.sqrt(1.1)) == pytest.approx(-chance.low)
    row = table["ci_high"][0] - table["effect"][0]
    assert row == pytest.approx(np.hypot(0.01, chance.high))
    few = answered("cumulative", cumulative(-0.2, 0.2, draws=1))
    assert verdicts(few) == {"rs": "inconclusive"} and few["note"][0] == "fewer than two random orders"


def test_score_without_removal_order_is_inconclusive():
    tables_ = cumulative(-0.2, 0.2)
    areas = tables_["areas"]
    lost = (areas["layer"] == "one") & (areas["score"] == "rs_am")
    for name in ("accuracy_over", "accuracy_over_low", "accuracy_over_high"):
        areas[name][lost] = np.nan
    areas["scored"][lost], areas["reason"] = 0, np.where(lost, "the score is constant, or no unit has it", "")
    table = answered("cumulative", tables_)
    # The units have the score, which is constant: open. Had none of them the score, the row would be about nothing.
    assert verdicts(table) == {"rs": "inconclusive"}
    matches = (table["layer"] == "one") & (table["method"] == "am")
    assert set(table["n"][matches]) == {28} and set(table["note"][matches]) == {
        "the score is constant, or no unit has it"
    }


# --- A5: reliability -------------------------------------------------------------------------------------------------


def reliability(icc, real, null, seeds=3, kinds=("start", "permuted", "untrained"), minimized=None):
    """Return both tables: ICC(2,k) with its ends, correlations with theirs; that of the minimum is a null too."""
    rated, nulls = [], []
    for layer in LAYERS:
        for method in (*METHODS, "down"):
            for score in RS_SCORES:
                named = {"layer": layer, "method": method, "score": score}
                value, low, high = icc
                reason = "one noise seed: RS has no reliability" if seeds < 2 else ""
                rated.append({**named, "used": 28, "icc": value, "icc_low": low, "icc_high": high, "reason": reason})
                first = "minimized" if method == "down" else "none"
                for kind in (first, *(kind for kind in kinds if method != "down" or kind != "start")):
                    value, low, high = {"none": real, "minimized": minimized or null}.get(kind, null)
                    row = {"null": kind, "used": 28, "spearman": value, "ci_low": low, "ci_high": high, "reason": ""}
                    nulls.append({**named, **row})
    return {"reliability": columns(rated), "nulls": columns(nulls)}


SURE, ABOVE, AROUND = (0.9, 0.8, 0.95), (0.6, 0.4, 0.8), (0.0, -0.2, 0.2)


@pytest.mark.parametrize(
    ("icc", "real", "null", "expected"),
    [
        (SURE, ABOVE, AROUND, "supported"),
        ((0.3, 0.1, 0.5), ABOVE, AROUND, "contradicted"),
        (SURE, AROUND, ABOVE, "contradicted"),
        (SURE, (0.3, 0.1, 0.5), AROUND, "supported"),
        (SURE, (0.2, 0.05, 0.35), AROUND, "inconclusive"),
        ((0.8, 0.6, 0.9), ABOVE, AROUND, "inconclusive"),
        (SURE, ABOVE, (np.nan, np.nan, np.nan), "inconclusive"),
    ],
)
def test_rs_is_reliable_and_exceeds_its_nulls(icc, real, null, expected):
    table = answered("reliability", reliability(icc, real, null))
    assert verdicts(table) == dict.fromkeys(RS_SCORES, expected)
    assert set(table["method"]) == set(METHODS)
    # The ICC; three nulls of its own, and the method that minimizes.
    assert len(table["claim"]) == 2 * 2 * len(RS_SCORES) * (1 + 3 + 1)


def test_minimization_is_a_null_model():
    for minimized, expected in ((AROUND, "supported"), ((0.95, 0.9, 0.99), "contradicted")):
        table = answered("reliability", reliability(SURE, ABOVE, AROUND, minimized=minimized))
        assert verdicts(table) == dict.fromkeys(RS_SCORES, expected)
        assert any("the null 'minimized' (down) > 0" in text for text in table["statistic"])


def test_one_seed_leaves_reliability_open():
    table = answered("reliability", reliability((np.nan,) * 3, ABOVE, AROUND, seeds=1))
    assert set(table["verdict"]) == {"inconclusive"}
    assert "one noise seed: RS has no reliability" in table["note"]


def test_the_difference_of_independent_estimates():
    estimate = difference(Estimate(0.5, 0.2, 0.7), Estimate(0.1, -0.3, 0.5))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (0.4, 0.4 - np.hypot(0.3, 0.4), 0.4 + np.hypot(0.2, 0.4))
    )
    # Held against what is known exactly, it is the interval itself.
    estimate = difference(Estimate(0.5, 0.2, 0.7), Estimate(0.1, 0.1, 0.1))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.4, 0.1, 0.6))


# --- A6: natural images ----------------------------------------------------------------------------------------------


def natural(relation):
    """Return the units and their correlations; RS on natural images is a function of RS on those made (units,)."""
    records, units, _ = by_hand.experiment(LAYERS, on_natural=True)
    draws = np.random.default_rng(0)
    for score in NATURAL_FORMS:
        shared = draws.random(len(units["unit"]))
        for method in METHODS:
            units[f"{score}_{method}"] = shared + draws.normal(0, 0.02, len(shared))
        units[f"{score}_natural"] = relation(shared, draws)
    layers = layer_correlations(units, records, permutations=99, resamples=200, seed=0)
    return {"units": units, "layers": {name: np.array(column) for name, column in layers.items()}}


@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        (lambda rs, draws: rs + draws.normal(0, 0.05, len(rs)), "supported"),
        (lambda rs, draws: draws.random(len(rs)), "contradicted"),
        (lambda rs, draws: rs + draws.normal(0, 0.35, len(rs)), "inconclusive"),
        (lambda rs, draws: np.zeros(len(rs)), "inconclusive"),
    ],
    ids=["same", "noise", "between", "constant"],
)
def test_natural_images_agree(relation, expected):
    table = answered("natural", natural(relation))
    # RS (r) needs images generated for units.
    assert verdicts(table)["rs_z"] == expected and set(table["score"]) == set(NATURAL_FORMS)
    # Raw RS has the scales in common on both sides, and says so.
    raw = table["note"][table["score"] == "rs"]
    assert all("scales in common" in note or "is 0 for all" in note for note in raw)


def test_score_undefined_for_all_units_has_an_open_row():
    tables = natural(lambda rs, draws: rs)
    records, units = by_hand.taps(LAYERS), tables["units"]
    units["rs_q_natural"][units["layer"] == "two"] = np.nan
    layers = layer_correlations(units, records, permutations=99, resamples=200, seed=0)
    table = answered("natural", {"units": units, "layers": {name: np.array(c) for name, c in layers.items()}})
    row = where(table, layer="two", method="am", score="rs_q")
    assert (row["n"], row["holds"], row["verdict"]) == (0, "open", "supported")
    assert row["note"] == "rs_q_natural is undefined for all units"


# --- A7: graphs ------------------------------------------------------------------------------------------------------


def graph(gini, targets=28, low=0.3, high=0.4):
    rows = [
        {"layer": layer, "method": "iam", "score": score, "targets": targets, "gini": gini, "gini_null": 0.35}
        | {"gini_null_low": low, "gini_null_high": high, "reason": "" if gini == gini else "there are no edges"}
        for layer in LAYERS
        for score in RS_SCORES
    ]
    return columns(rows)


@pytest.mark.parametrize(
    ("gini", "expected"),
    [(0.6, "supported"), (0.2, "contradicted"), (0.38, "inconclusive"), (np.nan, "inconclusive")],
)
def test_concentration_of_substitutes(gini, expected):
    table = answered("graph", graph=graph(gini))
    assert verdicts(table) == dict.fromkeys(RS_SCORES, expected)
    if gini == 0.6:
        effect = [table[name][0] for name in ("effect", "ci_low", "ci_high")]
        assert effect == pytest.approx([0.25, 0.2, 0.3])
    if np.isnan(gini):
        assert set(table["note"]) == {"there are no edges"}


def test_too_few_null_draws_are_inconclusive():
    table = answered("graph", graph=graph(0.6, low=np.nan, high=np.nan))
    assert set(table["verdict"]) == {"inconclusive"} and set(table["note"]) == {"too few draws for an interval"}


# --- A8: inhibition --------------------------------------------------------------------------------------------------


def inhibition(share, signed=()):
    random = np.random.default_rng(0)
    rows = [
        {"layer": layer, "method": method, "unit": unit, "seeds": 1}
        | {"inhibited": np.nan if layer in signed else share + random.uniform(-0.1, 0.1)}
        | {"reason": "activations are signed" if layer in signed else ""}
        for layer, count in LAYERS.items()
        for method in (*METHODS, "down")
        for unit in range(count)
    ]
    return columns(rows)


@pytest.mark.parametrize(("share", "expected"), [(0.7, "supported"), (0.3, "contradicted"), (0.5, "inconclusive")])
def test_share_of_inhibited_units(share, expected):
    table = answered("inhibition", inhibition=inhibition(share))
    assert verdicts(table) == {"inhibited": expected}
    # IAM alone; the last unit of each layer is dead.
    assert set(table["method"]) == {"iam"} and set(table["n"]) == {29}


def test_inhibition_is_undefined_in_a_signed_layer():
    table = answered("inhibition", inhibition=inhibition(0.7, signed=["two"]))
    row = where(table, layer="two")
    assert (row["n"], row["holds"], row["note"]) == (0, "open", "activations are signed")
    assert verdicts(table) == {"inhibited": "supported"}


# --- A9: training time -----------------------------------------------------------------------------------------------


def training(first, last, seeds=(0, 3)):
    """Return the joined table of trainings, given Spearman with its ends at the first and the last epoch."""
    rows = []
    for seed in seeds:
        # Between the two it may do what it likes.
        for epoch, (value, low, high) in ((0, first), (4, (-0.9, -1.0, -0.8)), (12, last)):
            for layer in LAYERS:
                for method in (*METHODS, "down"):
                    for score in RS_SCORES:
                        row = {"experiment": f"small-seed{seed}-epoch{epoch}", "seed": seed, "epoch": epoch}
                        row |= {"layer": layer, "method": method, "score": score, "used": 28, "spearman": value}
                        reason = "rs is 0 for all 28 units" if np.isnan(value) else ""
                        rows.append({**row, "ci_low": low, "ci_high": high, "reason": reason})
    return columns(rows)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (AROUND, ABOVE, "supported"),
        (ABOVE, AROUND, "contradicted"),
        (AROUND, AROUND, "inconclusive"),
        ((np.nan,) * 3, ABOVE, "inconclusive"),
    ],
)
def test_change_during_training(first, last, expected):
    table = {name: np.array(column) for name, column in training_claims_table(training(first, last), METHODS).items()}
    assert tuple(table) == ClaimsTable.names()
    assert verdicts(table) == dict.fromkeys(RS_SCORES, expected)
    assert set(table["experiment"]) == {"small-seed0-epoch12", "small-seed3-epoch12"}
    assert set(table["method"]) == set(METHODS)
    if np.isnan(first[0]):
        assert set(table["note"]) == {"epoch 0: rs is 0 for all 28 units"}


# --- all of them -----------------------------------------------------------------------------------------------------


def test_only_claims_of_the_experiments_analyses_are_tested():
    table = answered("natural")
    assert set(table["claim"]) == {"A6"} and set(table["source"]) == {"natural"}
    assert np.isnan(table["p_value"]).all() and np.isnan(table["p_holm"]).all()
    assert list(TEXTS) == [f"A{number}" for number in range(1, 10)]
    assert {claim.source for claim in ANALYSIS_CLAIMS.values()} == {
        *("scale", "importance", "joint", "cumulative", "reliability", "natural", "graph", "inhibition"),
    }


def test_the_same_tables_give_the_same_verdicts():
    first, second = (answered("inhibition", inhibition=inhibition(0.5)) for _ in range(2))
    assert repr(first) == repr(second)
