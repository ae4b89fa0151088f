"""The paper's claims on tables made up so that each claim is true, false, or cannot be decided."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scores_by_hand as by_hand

from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.evidence import Evidence
from unitscope.config.resolve import CLAIM_METHODS, COMPARING_CLAIMS
from unitscope.paper.paper_claims import CLAIMS, paper_claims_table
from unitscope.paper.question import V1_SCORES
from unitscope.stats.correlation import spearman
from unitscope.stats.effects import difference, proportion, quadrant_difference, quadrant_difference_by_chance
from unitscope.tables.correlations import layer_correlations
from unitscope.tables.table_access import correlation_of
from unitscope.tables.unit_tables import units_table

LAYERS = {"one": 160, "two": 160, "three": 160, "four": 160, "five": 160, "six": 160}
THREE = ["one", "two", "three"]


def evidence(columns=None, name="own", accuracy=0.8, seed=0, images=10_000):
    """Return an experiment of six layers whose scores are noise, but for the columns that are given.

    A column is a function of the layer's selectivity (units,), of the depth from 1 and of a generator.
    """
    draws = np.random.default_rng(seed)
    records = by_hand.taps(LAYERS)
    table = units_table(name, "net", records, None, [], [])
    for method in by_hand.METHODS:
        for score in V1_SCORES:
            table[f"{score}_{method}"] = draws.random(len(table["unit"])).round(2)
        table[f"rs_r_{method}"] = np.random.default_rng([seed, len(method)]).random(len(table["unit"]))
        table[f"substitutes_{method}"] = np.full(len(table["unit"]), "1 2 3", dtype=object)
        table[f"seeds_{method}"] = np.ones(len(table["unit"]), int)
    table["selectivity"] = draws.random(len(table["unit"]))
    for half in (0, 1):
        table[f"selectivity_half{half}"] = table["selectivity"] + draws.normal(0, 0.01, len(table["unit"]))
        table[f"ablation_loss_half{half}"] = draws.normal(size=len(table["unit"]))
    for tap in records:
        in_layer = table["layer"] == tap["layer"]
        for column, value in (columns or {}).items():
            table[column][in_layer] = value(table["selectivity"][in_layer], tap["depth"], draws)
    correlations = layer_correlations(table, records, permutations=99, resamples=200, seed=0)
    return Evidence(name, table, {key: np.array(value) for key, value in correlations.items()}, accuracy, images)


def verdict(claim, *experiments, layers=tuple(THREE), score=None):
    claims = {claim: {"layers": list(layers), "experiments": [one.name for one in experiments]}}
    named = {one.name: one for one in experiments}
    table = paper_claims_table(claims, named, experiments[0].name, resamples=200, seed=0)
    assert tuple(table) == ClaimsTable.names() and len({len(column) for column in table.values()}) == 1
    score = score or CLAIMS[claim].scores[0]
    verdicts = {v for v, s in zip(table["verdict"], table["score"], strict=True) if s == score}
    assert len(verdicts) == 1
    return verdicts.pop()


def noisy(values, draws, share=0.3):
    return np.clip(values + draws.normal(0, share, len(values)), 0, None)


def rising(selectivity, depth, draws):
    return noisy(selectivity, draws)


def falling(selectivity, depth, draws):
    return noisy(1 - selectivity, draws)


def constant(value):
    return lambda selectivity, depth, draws: np.full(len(selectivity), value)


def turning(selectivity, depth, draws):
    return falling(selectivity, depth, draws) if depth == 2 else rising(selectivity, depth, draws)


def fading(selectivity, depth, draws):
    return noisy(selectivity, draws, 0.1 * 3.0**depth)


def growing(selectivity, depth, draws):
    return noisy(selectivity, draws, 8.1 / 3.0**depth)


def step(selectivity, depth, draws):
    return np.full(len(selectivity), 0.5 if depth < 4 else 0.1) + draws.normal(0, 0.005, len(selectivity))


def line(selectivity, depth, draws):
    return 0.7 - 0.1 * depth + draws.normal(0, 0.0005, len(selectivity))


def shifted(by):
    """Return RS under both methods, IAM's shifted."""
    return {
        "rs_am": lambda selectivity, depth, draws: selectivity + 0.2,
        "rs_iam": lambda selectivity, depth, draws: selectivity + 0.2 + by + draws.normal(0, 0.01, len(selectivity)),
    }


def both(value):
    return {"rs_am": value, "rs_iam": value}


def losses(value):
    return {f"ablation_loss_half{half}": value for half in (0, 1)}


SUPPORTED = [
    ("C1", both(rising)),
    ("C2", both(rising)),
    ("C3", {"rs_am": lambda s, depth, draws: 0.3 * s}),
    ("C4", shifted(-0.05)),
    ("C5", both(rising) | {"rs_am": lambda s, depth, draws: s, "rs_iam": lambda s, depth, draws: s**2}),
    ("C6", {}),
    ("C8", {"rs_iam": rising}),
    ("C10", {"rs_iam": rising}),
    ("C11", {"rs_iam": lambda s, depth, draws: 0.04 * s}),
    ("C13", {"rs_iam": lambda s, depth, draws: 0.8 + 0.1 * s}),
    ("C14", {"rs_iam": lambda s, depth, draws: 0.3 * s}),
    ("C15", {"rs_iam": turning}),
    # Its other reading: no relation in any layer.
    ("C15", {"rs_iam": lambda s, depth, draws: np.abs(s - np.median(s))}),
    ("C17", {"rs_iam": lambda s, depth, draws: s} | losses(falling)),
    ("C18", losses(falling)),
    ("C20", losses(fading)),
]
CONTRADICTED = [
    ("C1", {"rs_am": rising, "rs_iam": falling}),
    ("C2", both(falling)),
    ("C3", {"rs_am": lambda s, depth, draws: 0.4 + s}),
    ("C4", shifted(0.05)),
    ("C4", shifted(-0.3)),
    ("C5", {"rs_am": lambda s, depth, draws: s, "rs_iam": lambda s, depth, draws: 1 - s}),
    ("C6", {"substitutes_iam": constant("7")}),
    ("C8", {"rs_iam": turning}),
    ("C10", {"rs_iam": falling}),
    ("C11", {"rs_iam": lambda s, depth, draws: 0.3 + 0.01 * s}),
    ("C11", {"rs_iam": lambda s, depth, draws: 0.4 * s}),
    ("C13", {"rs_iam": lambda s, depth, draws: s}),
    ("C14", {"rs_iam": lambda s, depth, draws: 0.4 + s}),
    ("C15", {"rs_iam": rising}),
    ("C17", {"rs_iam": lambda s, depth, draws: s} | losses(rising)),
    ("C18", losses(rising)),
    ("C20", losses(growing)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("claim", "columns"), SUPPORTED)
def test_true_claims_are_supported(claim, columns):
    assert verdict(claim, evidence(columns)) == "supported"


@pytest.mark.slow
@pytest.mark.parametrize(("claim", "columns"), CONTRADICTED)
def test_false_claims_are_contradicted(claim, columns):
    assert verdict(claim, evidence(columns)) == "contradicted"


@pytest.mark.parametrize("claim", ["C1", "C2", "C8", "C10", "C17", "C20"])
def test_noise_is_inconclusive(claim):
    # Scores without any relation: an interval of 95 % includes 0 in nearly every case, and in this one.
    assert verdict(claim, evidence(seed=5), layers=("one", "two")) == "inconclusive"


def test_the_last_hidden_layer_and_the_logits_are_separate_readings():
    columns = {
        "selectivity": lambda s, depth, draws: 0.6 + 0.4 * s if depth == 1 else 0.2 * s,
        "rs_iam": lambda s, depth, draws: np.where(s < 0.9, 0, 0.1),
    }
    table = paper_claims_table(
        {"C7": {"layers": ["one", "two"], "experiments": []}}, {"own": evidence(columns)}, "own", 200, 0
    )
    verdicts = {
        layer: v for layer, v, s in zip(table["layer"], table["verdict"], table["score"], strict=True) if s == "rs"
    }
    assert verdicts == {"one": "supported", "two": "contradicted"}


def test_one_step_of_the_medians():
    assert verdict("C12", evidence({"rs_iam": step}), layers=tuple(LAYERS)) == "supported"
    assert verdict("C12", evidence({"rs_iam": line}), layers=tuple(LAYERS)) == "contradicted"


def test_layers_are_in_network_order():
    experiment = evidence({"rs_iam": step} | losses(fading))
    for claim in ("C12", "C20"):
        tables = [
            paper_claims_table({claim: {"layers": layers, "experiments": []}}, {"own": experiment}, "own", 50, 0)
            for layers in (list(LAYERS), list(reversed(LAYERS)))
        ]
        assert repr(tables[0]) == repr(tables[1])
    assert (
        "best step: before four; the estimate decides, not the interval"
        in paper_claims_table(
            {"C12": {"layers": ["six", "five", "four", "one", "two", "three"], "experiments": []}},
            {"own": experiment},
            "own",
            50,
            0,
        )["note"]
    )


def test_empty_layers_are_excluded_from_slopes():
    undefined_second = losses(
        lambda s, depth, draws: np.full(len(s), np.nan) if depth == 2 else fading(s, depth, draws)
    )
    assert verdict("C20", evidence(undefined_second), layers=("one", "two", "three", "four")) == "supported"
    # Without the first one there is nothing to be turned by.
    absent = losses(lambda s, depth, draws: np.full(len(s), np.nan) if depth == 1 else fading(s, depth, draws))
    assert verdict("C20", evidence(absent)) == "inconclusive"
    table = paper_claims_table(
        {"C3": {"layers": ["one"], "experiments": []}}, {"own": evidence({"rs_am": constant(np.nan)})}, "own", 50, 0
    )
    assert "undefined" in table["note"][0] and "nan" not in table["note"][0]


def test_claims_about_trainings_use_trainings_as_the_sample():
    falls = [evidence({"rs_iam": fading}, f"t{seed}", seed=seed) for seed in range(5)]
    rises = [evidence({"rs_iam": growing}, f"t{seed}", seed=seed) for seed in range(5)]
    assert verdict("C9", *falls) == "supported"
    assert verdict("C9", *rises) == "contradicted"
    # However clear it is within four trainings.
    assert verdict("C9", *falls[:4]) == "inconclusive"
    assert verdict("C19", *falls) == "inconclusive"


def test_accuracy_comparison():
    better, worse = evidence(name="convnet", accuracy=0.87), evidence(name="mlp", accuracy=0.55)
    assert verdict("C16", worse, better) == "supported"
    assert verdict("C16", better, worse) == "contradicted"
    # Ten test images tell nothing.
    few = [evidence(name=name, accuracy=accuracy, images=10) for name, accuracy in (("mlp", 0.7), ("convnet", 0.8))]
    assert verdict("C16", *few) == "inconclusive"


def test_difference_of_two_proportions_is_newcombes():
    # Table II of Newcombe 1998 (Statistics in Medicine 17), method 10: 56/70 - 48/80 and 9/10 - 3/10.
    for hits, ends in (((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090))):
        estimate = difference(proportion(*hits[:2]), proportion(*hits[2:]))
        assert (round(estimate.low, 4), round(estimate.high, 4)) == ends


def test_score_and_loss_of_the_same_images_are_not_combined():
    # Both halves share their noise with the losses of the same half: correlated within a half, unrelated across.
    def half(number):
        return lambda s, depth, draws: np.random.default_rng([number, depth]).normal(size=len(s))

    shared = {f"{column}_half{n}": half(n) for column in ("selectivity", "ablation_loss") for n in (0, 1)}
    assert verdict("C18", evidence(shared)) != "contradicted"
    swapped = shared | {f"ablation_loss_half{n}": half(1 - n) for n in (0, 1)}
    assert verdict("C18", evidence(swapped)) == "contradicted"


def test_correlation_within_the_equivalence_bounds_does_not_contradict_independence():
    experiment = evidence(losses(lambda s, depth, draws: noisy(s, draws, 1.5)), seed=2)
    table = paper_claims_table({"C18": {"layers": ["one"], "experiments": []}}, {"own": experiment}, "own", 500, 0)
    assert 0.1 < table["effect"][0] < 0.3 and table["ci_low"][0] > 0
    assert table["verdict"] == ["inconclusive"] and table["level"] == [0.9]
    # What decides is what is shown.
    for course, level in ((falling, 0.95), (rising, 0.95)):
        experiment = evidence(losses(course))
        table = paper_claims_table({"C18": {"layers": ["one"], "experiments": []}}, {"own": experiment}, "own", 200, 0)
        assert table["level"] == [level]


def test_layers_without_a_correlation_are_not_counted():
    names, sparse = tuple(LAYERS), {"three", "four"}

    def undefined(course):
        return lambda s, depth, draws: np.zeros(len(s)) if names[depth - 1] in sparse else course(s, depth, draws)

    claims = {claim: {"layers": list(names), "experiments": ["own"]} for claim in ("C15", "C20")}
    experiment = evidence({"rs_iam": undefined(turning)} | losses(undefined(fading)))
    table = paper_claims_table(claims, {"own": experiment}, "own", 50, 0)
    over_layers = [row for row, layer in enumerate(table["layer"]) if not layer]
    main_rows = [row for row in over_layers if table["score"][row] in ("rs", "selectivity")]
    assert [table["claim"][row] for row in main_rows] == ["C15", "C20"]
    for row in main_rows:
        assert table["n"][row] == len(names) - 2
        assert f"defined in {len(names) - 2} of {len(names)} layers" in table["note"][row]
    # A slope over the layers that are left would be one of other layers.
    trainings = [evidence({"rs_iam": undefined(fading)}, f"t{seed}", seed=seed) for seed in range(6)]
    everything = {one.name: one for one in trainings}
    claims = {"C9": {"layers": list(names), "experiments": list(everything)}}
    table = paper_claims_table(claims, everything, "t0", 50, 0)
    assert table["n"][0] == 0 and table["verdict"][0] == "inconclusive"
    assert "6 of 6 trainings have an undefined layer" in table["note"][0]


def test_trainings_without_selective_units_are_not_reported_as_too_few():
    trainings = [
        evidence({"selectivity": constant(0.1)}, f"t{seed}", accuracy=0.5 + seed / 100, seed=seed) for seed in range(12)
    ]
    everything = {one.name: one for one in trainings}
    table = paper_claims_table({"C19": {"layers": ["one"], "experiments": list(everything)}}, everything, "t0", 50, 0)
    assert table["verdict"] == ["inconclusive"] and "few" not in table["note"][0] and "same" in table["note"][0]


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "expected"), [(-1, "supported"), (1, "contradicted")])
def test_twelve_trainings_decide_the_generalization_claim(sign, expected):
    trainings = [
        evidence({"selectivity": lambda s, depth, draws, top=0.5 + seed / 30: top * s}, f"t{seed}", seed=seed)
        for seed in range(12)
    ]
    trainings = [replace(one, accuracy=0.7 + sign * seed / 100) for seed, one in enumerate(trainings)]
    assert verdict("C19", *trainings) == expected


def test_expected_quadrant_counts_equal_those_of_independent_scores():
    # Eleven units with RS 0: six are low in both, five are not, and nothing is related to anything.
    selectivity = np.arange(11.0)
    assert quadrant_difference(np.zeros(11), selectivity) == pytest.approx(6 / 11)
    assert quadrant_difference_by_chance(np.zeros(11), selectivity) == pytest.approx(6 / 11)
    # Ties at the median are low.
    tied = np.array([0, 1, 1, 1, 1, 1, 1, 2, 2, 3.0])
    assert quadrant_difference_by_chance(np.zeros(10), tied) == quadrant_difference(np.zeros(10), tied)


def test_undefined_correlations_are_inconclusive_with_a_note():
    experiment = evidence({"rs_iam": constant(0.0), "rs_z_iam": rising})
    table = paper_claims_table({"C8": {"layers": ["one"], "experiments": []}}, {"own": experiment}, "own", 200, 0)
    assert table["verdict"][:2].tolist() == ["inconclusive", "supported"]
    assert "rs_iam is 0 for all 160 units" in table["note"][0]
    # rs_z is asked under the same claim, and corrected on its own.
    assert table["score"].tolist() == ["rs", "rs_z", "rs_q"]


def test_p_values_are_corrected_within_a_figure():
    experiment = evidence(both(rising))
    claims = {name: {"layers": ["one", "two"], "experiments": []} for name in ("C8", "C1")}
    table = paper_claims_table(claims, {"own": experiment}, "own", 200, 0)
    assert list(dict.fromkeys(table["claim"])) == ["C1", "C8"]
    first = [
        row for row, (c, s) in enumerate(zip(table["claim"], table["score"], strict=True)) if (c, s) == ("C1", "rs")
    ]
    eighth = [
        row for row, (c, s) in enumerate(zip(table["claim"], table["score"], strict=True)) if (c, s) == ("C8", "rs")
    ]
    assert [table["p_value"][row] for row in first] == pytest.approx([0.01] * 4)
    assert [table["p_holm"][row] for row in first] == pytest.approx([0.04] * 4)
    assert [table["p_holm"][row] for row in eighth] == pytest.approx([0.02] * 2)


def test_every_claim_has_a_test_and_requires_its_methods():
    assert list(CLAIMS) == [f"C{number}" for number in range(1, 21)]
    assert set(COMPARING_CLAIMS) < set(CLAIMS) and set(CLAIM_METHODS) < set(CLAIMS)
    experiment = evidence()
    for name in CLAIMS:
        methods = CLAIM_METHODS.get(name, ())
        removed = [method for method in by_hand.METHODS if method not in methods]
        table = {
            key: column for key, column in experiment.units.items() if not key.endswith(tuple(f"_{m}" for m in removed))
        }
        claims = {name: {"layers": list(LAYERS), "experiments": ["own"]}}
        paper_claims_table(claims, {"own": Evidence("own", table, experiment.layers, 0.8, 100)}, "own", 20, 0)


def test_frozen_claims_use_three_forms_of_rs_whatever_forms_exist():
    """Verdicts of v1 do not change with RS (r), with detection measures or with their correlations."""
    experiment = evidence()
    claims = {name: {"layers": THREE, "experiments": ["own"]} for name in ("C1", "C2", "C3", "C4", "C5", "C11", "C17")}
    before = paper_claims_table(claims, {"own": experiment}, "own", 99, 0)
    assert set(before["score"]) == {"rs", "rs_z", "rs_q"}
    assert all(set(claim.scores) <= {"rs", "rs_z", "rs_q", "selectivity", "accuracy"} for claim in CLAIMS.values())
    units = {**experiment.units, **{f"rs_r_{method}": experiment.units["selectivity"] for method in by_hand.METHODS}}
    units["auc"], units["selectivity_corrected"] = units["selectivity"][::-1], units["selectivity"] ** 2
    layers = layer_correlations(units, by_hand.taps(LAYERS), permutations=99, resamples=200, seed=0)
    after = paper_claims_table(claims, {"own": replace(experiment, units=units, layers=layers)}, "own", 99, 0)
    for name, column in before.items():
        np.testing.assert_array_equal(column, after[name])


def test_rules_that_were_frozen_have_intervals_of_scores_with_few_distinct_values(monkeypatch):
    def sparse(selectivity, depth, draws):
        return np.where(np.arange(len(selectivity)) % 10, 0.0, selectivity)

    def rows():
        claims = {"C1": {"layers": THREE, "experiments": []}}
        table = paper_claims_table(claims, {"own": evidence(both(sparse))}, "own", resamples=200, seed=0)
        return {name: column[table["score"] == "rs"].tolist() for name, column in table.items()}

    of_today = rows()
    assert np.isfinite(of_today["ci_low"]).all() and set(of_today["note"]) == {""}
    left_out = correlation_of(evidence(both(sparse)).layers, "one", "am", "selectivity", "rs")
    assert left_out["reason"].startswith("too few distinct values: 16 of 160 units") and np.isnan(left_out["ci_low"])
    # The table of layers as it was when the rules were fixed.
    monkeypatch.setattr("unitscope.tables.correlations.spearman", partial(spearman, fewest_off_mode=0))
    assert rows() == of_today
