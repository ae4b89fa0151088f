"""The claims as the page lists them: what was found in words, and the verdicts of all trainings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unitscope.claims.verdicts import VERDICTS
from unitscope.paper.paper_claims import CLAIMS
from unitscope.paper.question import V1_SCORES
from unitscope.paper.results import Result, by_entry
from unitscope.scores.score_names import method_name
from unitscope.tables.number_text import interval, number


def claim_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row a claim and entry of the config: what it says, what was found, and the verdicts of all trainings.

    Returns:
        For each: claim, source, text, entry, layer (where each layer is a reading of its own), statistic, found (the
        parts of the first training), verdict (under the claim's own score) and others (the verdicts under the
        scale-free scores, by score).
    """
    rows = []
    for name, claim in CLAIMS.items():
        for entry, group in by_entry([result for result in results if result.has_claim(name)]).items():
            parts = group[0].rows(name, claim.scores[0])
            readings = dict.fromkeys(part["layer"] for part in parts) if claim.by_layer else [None]
            for layer in readings:
                layer_parts = [part for part in parts if layer in (None, part["layer"])]
                verdicts = {score: _verdicts(group, name, score, layer) for score in claim.scores}
                rows.append(
                    {
                        "claim": name,
                        "source": claim.source,
                        "text": claim.text + (f" ({layer})" if layer else ""),
                        "entry": entry,
                        "layer": layer or "",
                        "statistic": list(dict.fromkeys(part["statistic"] for part in layer_parts)),
                        "found": effect_texts(layer_parts),
                        "verdict": verdicts[claim.scores[0]],
                        "others": {score: verdicts.get(score, "") for score in V1_SCORES[1:]},
                    }
                )
    return rows


def _verdicts(group: Sequence[Result], claim: str, score: str, layer: str | None) -> str:
    """Return the verdict, or how many trainings came to which."""
    counts = Counter(
        next(row["verdict"] for row in result.rows(claim, score) if layer in (None, row["layer"])) for result in group
    )
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{verdict} ({count} of {len(group)})" for verdict, count in counts.most_common())


DIVIDED = "trainings differ"
"""In place of a verdict, where trainings of one network came to different ones."""
OTHER_SCORES = "other scores"
"""In place of a score of RS, for claims that are not about RS."""


def verdict_rows(claims: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a verdict: the claims that came to it by score of RS, and those that are about other scores.

    Args:
        claims: As `claim_rows` gives them. A claim of several entries or layers is named with each of them.

    Returns:
        For each: verdict, and claims by score (`OTHER_SCORES` for the last).
    """
    row_counts = Counter(row["claim"] for row in claims)
    rows: dict[str, dict[str, list[str]]] = {}
    for row in claims:
        where = ", ".join(filter(None, [row["entry"], row["layer"]])) if row_counts[row["claim"]] > 1 else ""
        name = f"{row['claim']} ({where})" if where else row["claim"]
        main_score = CLAIMS[row["claim"]].scores[0]
        for score, verdict in {
            main_score if main_score in V1_SCORES else OTHER_SCORES: row["verdict"],
            **row["others"],
        }.items():
            if verdict:
                verdict = verdict if verdict in VERDICTS else DIVIDED
                rows.setdefault(verdict, {}).setdefault(score, []).append(name)
    return [{"verdict": verdict, "claims": rows[verdict]} for verdict in (*VERDICTS, DIVIDED) if verdict in rows]


def range_text(values: Sequence[float]) -> str:
    """Return the lowest and the highest of those that are defined, and how many those are where some are not."""
    defined = [value for value in values if np.isfinite(value)]
    if not defined:
        return "undefined"
    text = f"{number(min(defined))} to {number(max(defined))}"
    return text if len(defined) == len(values) else f"{text} (defined in {len(defined)})"


MOST_PARTS = 8
"""Parts of a claim that are listed one by one; of more, the range is given."""


def effect_texts(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the parts of a claim found, in words: a text per part, or one per statistic of many parts."""
    by_statistic: dict[str, list[Mapping[str, Any]]] = {}
    for part in parts:
        by_statistic.setdefault(part["statistic"], []).append(part)
    texts = []
    for group in by_statistic.values():
        if len(group) <= MOST_PARTS:
            texts += [_part_text(part) for part in group]
            continue
        held = Counter(part["holds"] for part in group)
        counts = ", ".join(f"{word} in {held[word]}" for word in ("yes", "no", "open") if held[word])
        texts.append(f"{_of_what(group)}: {range_text([part['effect'] for part in group])}; {counts}")
    return texts


def _of_what(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return what parts of one statistic are about: how many layers, and of which methods where those are several."""
    layers = {part["layer"] for part in parts}
    methods = list(dict.fromkeys(part["method"] for part in parts))
    if len(layers) * len(methods) != len(parts):
        return f"{len(parts)} comparisons"
    return f"{len(layers)} layers" + (f", {', '.join(map(method_name, methods))}" if len(methods) > 1 else "")


def _part_text(part: Mapping[str, Any]) -> str:
    where = " ".join(
        filter(None, [part["layer"], ", ".join(map(method_name, filter(None, part["method"].split(":"))))])
    )
    level = f" ({part['level']:.0%})" if part["level"] != 0.95 and np.isfinite(part["ci_low"]) else ""
    value = f"{number(part['effect'])} {interval(part['ci_low'], part['ci_high'])}{level}, n = {part['n']}"
    if np.isfinite(part["p_holm"]):
        value += f", p = {part['p_holm']:.2g}"
    value += f" ({part['note']})" if part["note"] else ""
    return f"{where}: {value}" if where else value
