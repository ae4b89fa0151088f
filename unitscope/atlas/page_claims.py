"""Claims with their verdicts and tests, as the page shows them."""

import math
from collections.abc import Mapping
from typing import Any

from unitscope.atlas.page_scores import METHOD_SCORES
from unitscope.claims.verdicts import place
from unitscope.scores.score_names import method_name
from unitscope.tables.number_text import number, typeset
from unitscope.tables.table_access import Table


def claim_groups(claims: Table, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the claims of an experiment, each with its text, its verdict by score, and its rows as text.

    Args:
        claims: The claims table.
        texts: What each claim says.
    """
    groups = []
    for name in sorted(set(claims["claim"].tolist()), key=place):
        claim_table = {column: values[claims["claim"] == name] for column, values in claims.items()}
        rows = [
            {column: values[row] for column, values in claim_table.items()} for row in range(len(claim_table["claim"]))
        ]
        groups.append(
            {
                "name": name,
                "source": str(claim_table["source"][0]),
                "text": texts.get(name, ""),
                "verdicts": verdicts_by_score(claim_table),
                "rows": [
                    {
                        "layer": row["layer"],
                        "method": method_name(row["method"]),
                        "score": METHOD_SCORES.get(row["score"], row["score"]),
                        "statistic": row["statistic"],
                        "effect": typeset(number(row["effect"])),
                        "interval": interval_text(row),
                        "n": row["n"],
                        "holds": row["holds"],
                        "note": row["note"],
                    }
                    for row in rows
                ],
            }
        )
    return groups


def verdicts_by_score(claim_table: Table) -> list[dict[str, Any]]:
    """Return each verdict on a claim with the scores that it holds under, and the layer where layers differ."""
    of_score: dict[str, set[str]] = {}
    for score, verdict in zip(claim_table["score"].tolist(), claim_table["verdict"].tolist(), strict=True):
        of_score.setdefault(score, set()).add(verdict)
    by_verdict: dict[str, list[str]] = {}
    columns = (claim_table[name].tolist() for name in ("layer", "score", "verdict"))
    for layer, score, verdict in zip(*columns, strict=True):
        words = [METHOD_SCORES.get(score, score)] + ([layer] if len(of_score[score]) > 1 else [])
        by_verdict.setdefault(verdict, []).append(" in ".join(word for word in words if word))
    return [
        {"verdict": verdict, "scores": [word for word in dict.fromkeys(scores) if word]}
        for verdict, scores in by_verdict.items()
    ]


def interval_text(row: Mapping[str, Any]) -> str:
    """Return the interval of a row of claims.csv with its level."""
    if not (math.isfinite(row["ci_low"]) and math.isfinite(row["ci_high"])):
        return "none"
    return f"{typeset(number(row['ci_low']))} to {typeset(number(row['ci_high']))} ({100 * row['level']:.0f} %)"
