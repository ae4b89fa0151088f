"""The claims as the page lists them: parts in words, verdicts of several trainings, verdicts at a glance."""

import numpy as np
import pytest
from results_by_hand import part, result

from unitscope.paper.claim_rows import (
    DIVIDED,
    MOST_PARTS,
    OTHER_SCORES,
    claim_rows,
    effect_texts,
    range_text,
    verdict_rows,
)
from unitscope.paper.paper_claims import CLAIMS

# --- one row per claim -----------------------------------------------------------------------------------------------


def scored(claim, verdict="supported", **columns):
    """Return the rows of a claim about RS in its three forms, of one verdict."""
    return [part(claim, score=score, verdict=verdict, **columns) for score in ("rs", "rs_z", "rs_q")]


def test_row_shows_claim_effect_and_verdict():
    (row,) = claim_rows([result(parts=scored("C1", note="why", p_holm=0.012))])
    assert row == {
        **{"claim": "C1", "source": "Fig. 1", "text": CLAIMS["C1"].text, "entry": "net", "layer": ""},
        **{"statistic": ["Spearman > 0"], "found": ["conv1 IAM: 0.50 [0.25, 0.75], n = 10, p = 0.012 (why)"]},
        **{"verdict": "supported", "others": {"rs_z": "supported", "rs_q": "supported"}},
    }


def test_claims_with_results_are_in_the_order_of_the_paper():
    rows = claim_rows([result(parts=[*scored("C10"), *scored("C2"), *scored("C1")])])
    assert [row["claim"] for row in rows] == ["C1", "C2", "C10"]
    assert claim_rows([result()]) == claim_rows([]) == []


def test_each_statistic_is_named_once_and_forms_of_rs_apart():
    parts = scored("C1") + scored("C1", layer="conv3") + scored("C1", statistic="slope > 0", effect=-0.5)
    parts += [part("C1", score="rs_z", effect=9.0)]
    (row,) = claim_rows([result(parts=parts)])
    assert row["statistic"] == ["Spearman > 0", "slope > 0"]
    assert [text.partition(" [")[0] for text in row["found"]] == [
        "conv1 IAM: 0.50",
        "conv3 IAM: 0.50",
        "conv1 IAM: -0.50",
    ]


def test_verdicts_of_scale_free_scores_are_separate():
    parts = [
        part("C1", score=score, verdict=verdict)
        for score, verdict in (("rs", "supported"), ("rs_z", "contradicted"), ("rs_q", "inconclusive"))
    ]
    (row,) = claim_rows([result(parts=parts)])
    assert row["verdict"] == "supported" and row["others"] == {"rs_z": "contradicted", "rs_q": "inconclusive"}


def test_a_claim_about_another_score_has_no_verdict_on_forms_of_rs():
    (row,) = claim_rows([result(parts=[part("C18", score="selectivity", verdict="contradicted")])])
    assert row["verdict"] == "contradicted" and row["others"] == {"rs_z": "", "rs_q": ""}


def test_layers_of_a_claim_with_separate_verdicts_have_one_row_each():
    parts = scored("C7", layer="hidden") + scored("C7", "contradicted", layer="logits", effect=0.1)
    hidden, logits = claim_rows([result(parts=parts)])
    assert (hidden["layer"], hidden["verdict"], logits["layer"], logits["verdict"]) == (
        *("hidden", "supported", "logits"),
        "contradicted",
    )
    assert hidden["text"] == f"{CLAIMS['C7'].text} (hidden)"
    assert len(hidden["found"]) == 1 and hidden["found"][0].startswith("hidden IAM: 0.50")


def test_trainings_of_one_entry_share_a_row_and_the_first_is_shown():
    verdicts = ("supported", "inconclusive", "supported")
    trainings = [
        result(f"net-seed{seed}", scored("C1", verdict, effect=seed / 10)) for seed, verdict in enumerate(verdicts)
    ]
    (row,) = claim_rows(trainings)
    assert row["found"] == ["conv1 IAM: 0.00 [0.25, 0.75], n = 10"]
    assert row["verdict"] == "supported (2 of 3), inconclusive (1 of 3)"
    (row,) = claim_rows([trainings[0], trainings[2]])
    assert row["verdict"] == "supported"


def test_each_entry_has_its_row():
    rows = claim_rows([result("a", scored("C1"), entry="a"), result("b", scored("C1", "contradicted"), entry="b")])
    assert [(row["entry"], row["verdict"]) for row in rows] == [("a", "supported"), ("b", "contradicted")]


# --- parts in words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"layer": "", "method": ""}, "0.50 [0.25, 0.75], n = 10"),
        ({"layer": ""}, "IAM: 0.50 [0.25, 0.75], n = 10"),
        ({"method": "am:iam"}, "conv1 AM, IAM: 0.50 [0.25, 0.75], n = 10"),
        ({"level": 0.9}, "conv1 IAM: 0.50 [0.25, 0.75] (90%), n = 10"),
        ({"ci_low": np.nan, "ci_high": np.nan, "level": 0.9}, "conv1 IAM: 0.50 no interval, n = 10"),
        ({"effect": np.nan, "ci_low": np.nan}, "conv1 IAM: undefined no interval, n = 10"),
        ({"p_holm": 0.00012}, "conv1 IAM: 0.50 [0.25, 0.75], n = 10, p = 0.00012"),
        ({"note": "two trainings"}, "conv1 IAM: 0.50 [0.25, 0.75], n = 10 (two trainings)"),
    ],
)
def test_a_part_shows_its_value_its_interval_and_what_it_rests_on(columns, text):
    assert effect_texts([part(**columns)]) == [text]


def test_many_parts_of_a_statistic_are_summed_up():
    few = [part(layer=f"conv{number}") for number in range(MOST_PARTS)]
    assert len(effect_texts(few)) == MOST_PARTS
    more = [*few, part(layer="conv8", effect=-0.25, holds="no"), part(statistic="slope > 0")]
    assert effect_texts(more) == [
        "9 layers: -0.25 to 0.50; yes in 8, no in 1",
        "conv1 IAM: 0.50 [0.25, 0.75], n = 10",
    ]
    assert effect_texts([]) == []


def test_summary_of_many_parts_names_what_was_compared():
    both = [part(layer=f"conv{number}", method=method) for number in range(5) for method in ("am", "iam")]
    assert effect_texts(both) == ["5 layers, AM, IAM: 0.50 to 0.50; yes in 10"]
    # Not each layer by each method.
    assert effect_texts([*both, part(layer="conv9", holds="open")]) == [
        "11 comparisons: 0.50 to 0.50; yes in 10, open in 1"
    ]


def test_a_range_spans_the_defined_values():
    assert range_text([0.5]) == "0.50 to 0.50"
    assert range_text([0.5, -1, 250.4]) == "-1.00 to 250"
    assert range_text([0.5, np.nan, np.inf, 0.25]) == "0.25 to 0.50 (defined in 2)"
    assert range_text([np.nan]) == range_text([]) == "undefined"


# --- verdicts at a glance --------------------------------------------------------------------------------------------


def claim(name, verdict, rs_z="", rs_q="", entry="net", layer=""):
    return {"claim": name, "entry": entry, "layer": layer, "verdict": verdict, "others": {"rs_z": rs_z, "rs_q": rs_q}}


def test_claims_are_listed_by_verdict_and_score():
    rows = verdict_rows(
        [
            claim("C1", "inconclusive", "supported", "supported"),
            claim("C2", "supported", "inconclusive", "supported"),
            claim("C18", "supported"),
        ]
    )
    assert rows == [
        {"verdict": "supported", "claims": {"rs_z": ["C1"], "rs_q": ["C1", "C2"], "rs": ["C2"], OTHER_SCORES: ["C18"]}},
        {"verdict": "inconclusive", "claims": {"rs": ["C1"], "rs_z": ["C2"]}},
    ]
    assert verdict_rows([]) == []


def test_trainings_that_differ_come_last():
    rows = verdict_rows([claim("C1", "supported (1 of 2), contradicted (1 of 2)"), claim("C2", "contradicted")])
    assert rows == [
        {"verdict": "contradicted", "claims": {"rs": ["C2"]}},
        {"verdict": DIVIDED, "claims": {"rs": ["C1"]}},
    ]


def test_claims_of_several_entries_or_layers_name_them():
    rows = verdict_rows(
        [
            claim("C7", "supported", layer="hidden"),
            claim("C7", "supported", layer="logits"),
            claim("C18", "supported", entry="a"),
            claim("C18", "supported", entry="b"),
            claim("C1", "supported", entry="a"),
        ]
    )
    assert rows[0]["claims"] == {
        "rs": ["C7 (net, hidden)", "C7 (net, logits)", "C1"],
        OTHER_SCORES: ["C18 (a)", "C18 (b)"],
    }
