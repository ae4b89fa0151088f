"""Claims on the page of the atlas: their rows as text, and each verdict with the scores that it holds under."""

import numpy as np
import pytest
from results_by_hand import part

from unitscope.atlas.page_claims import claim_groups, interval_text, verdicts_by_score
from unitscope.claims.claims_columns import ClaimsTable

MINUS = "\N{MINUS SIGN}"


def table(*rows):
    return ClaimsTable.of_rows(list(rows))


def test_claims_of_the_paper_precede_those_of_analyses_each_by_number():
    claims = table(part("A2"), part("C10"), part("A10"), part("C2"), part("C10"))
    assert [group["name"] for group in claim_groups(claims, {})] == ["C2", "C10", "A2", "A10"]
    assert [len(group["rows"]) for group in claim_groups(claims, {})] == [1, 2, 1, 1]


def test_a_claim_has_its_source_and_its_text():
    (group,) = claim_groups(table(part("C2", source="Fig. 1")), {"C2": "RS rises.", "C3": "other"})
    assert (group["source"], group["text"]) == ("Fig. 1", "RS rises.")
    assert claim_groups(table(part("C2")), {})[0]["text"] == ""


def test_rows_are_shown_as_text():
    row = part(effect=-0.125, ci_low=-1.5, ci_high=0.0, level=0.9, score="rs_z", method="iam", n=7, note="why")
    ((shown,),) = (group["rows"] for group in claim_groups(table(row), {}))
    assert shown == {
        **{"layer": "conv1", "method": "IAM", "score": "RS (z)", "statistic": "Spearman > 0", "effect": f"{MINUS}0.12"},
        **{"interval": f"{MINUS}1.50 to 0.00 (90 %)", "n": 7, "holds": "yes", "note": "why"},
    }


def test_undefined_effects_are_named():
    ((shown,),) = (
        group["rows"] for group in claim_groups(table(part(effect=np.nan, ci_low=np.nan, ci_high=np.nan)), {})
    )
    assert (shown["effect"], shown["interval"]) == ("undefined", "none")


@pytest.mark.parametrize(("low", "high"), [(np.nan, 1.0), (0.0, np.nan), (0.0, np.inf)])
def test_an_interval_has_two_ends(low, high):
    assert interval_text({"ci_low": low, "ci_high": high, "level": 0.95}) == "none"


def verdicts(*rows):
    return [
        (one["verdict"], one["scores"])
        for one in verdicts_by_score(table(*(part(layer=x, score=y, verdict=z) for x, y, z in rows)))
    ]


def test_a_verdict_names_its_scores_once():
    assert verdicts(("a", "rs", "supported"), ("b", "rs", "supported"), ("a", "rs_z", "supported")) == [
        ("supported", ["RS", "RS (z)"])
    ]


def test_a_verdict_names_layers_where_they_differ():
    assert verdicts(("a", "rs", "supported"), ("b", "rs", "contradicted"), ("a", "rs_q", "supported")) == [
        ("supported", ["RS in a", "RS (q)"]),
        ("contradicted", ["RS in b"]),
    ]


def test_other_scores_keep_their_names_and_accuracies_have_none():
    assert verdicts(("", "selectivity", "inconclusive")) == [("inconclusive", ["selectivity"])]
    assert verdicts(("", "", "supported")) == [("supported", [])]
