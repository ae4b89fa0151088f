"""Tests of the claims that the paper's figures make (C1 to C15): RS against class selectivity, by layer, by depth."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from unitscope.claims.verdicts import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    Part,
    above,
    at_least,
    at_most,
    below,
    within,
)
from unitscope.paper.question import FROZEN_OFF_MODE, NO_RELATION, Question, no_relation
from unitscope.stats import effects
from unitscope.stats.bootstrap import bootstrap_layers
from unitscope.stats.estimate import Estimate
from unitscope.tables.table_access import correlation_of

FEWEST_TRAININGS = 5
"""Below this many trainings nothing is concluded about trainings."""
SELECTIVE = 0.5
"""A unit above this class selectivity is a highly selective one."""


def selectivity_correlation(question: Question, methods: Sequence[str]) -> list[Part]:
    """C1, C8: Spearman(RS, selectivity) is positive."""
    parts = []
    for layer, method in product(question.layers, methods):
        correlation = question.selectivity_correlation(layer, method)
        text = "Spearman with selectivity > 0"
        part = Part(
            layer,
            method,
            text,
            correlation,
            correlation.used,
            above(correlation),
            note=correlation.reason,
            p_value=correlation.p_value,
        )
        parts.append(part)
    return parts


def lower_quartile(question: Question, methods: Sequence[str]) -> list[Part]:
    """C2, C10: unselective units have lower RS than selective ones."""
    text = "Cliff's delta of RS, most over least selective quarter > 0"
    return [
        question.part(layer, method, text, effects.quartile_delta, (question.rs(method), "selectivity"), above)
        for layer, method in product(question.layers, methods)
    ]


def quadrants(question: Question, methods: Sequence[str]) -> list[Part]:
    """C3, C14: units low in selectivity and RS are many, units high in both are few.

    Where RS is low for most units this holds without any relation; what it would be then, is noted: the same shares of
    units are low in each, and fall together by chance.
    """
    text = "share low in both - share high in both > 0"
    parts = []
    for layer, method in product(question.layers, methods):
        part = question.part(
            layer, method, text, effects.quadrant_difference, (question.rs(method), "selectivity"), above
        )
        if part.n:
            by_chance = effects.quadrant_difference_by_chance(
                *question.scored(layer, question.rs(method), "selectivity")
            )
            part = replace(part, note=f"without any relation it would be {by_chance:.2f}")
        parts.append(part)
    return parts


def lower_under_iam(question: Question) -> list[Part]:
    """C4: RS under IAM is a little lower than under AM."""
    text = "Hodges-Lehmann shift of RS, IAM - AM, between -0.1 and 0"
    little = partial(within, bounds=(-0.1, 0.0))
    return [
        question.part(layer, "am:iam", text, effects.shift, (question.rs("iam"), question.rs("am")), little)
        for layer in question.layers
    ]


def same_trend(question: Question) -> list[Part]:
    """C5: RS under AM and under IAM agree, and relate to selectivity with the same sign."""
    both = (question.rs("am"), question.rs("iam"))
    agree, sign = "Spearman of RS under AM and IAM > 0.5", "product of their correlations with selectivity > 0"
    high = partial(above, bound=0.5)
    parts = []
    for layer in question.layers:
        parts.append(question.part(layer, "am:iam", agree, effects.rank_correlation, both, high))
        parts.append(question.part(layer, "am:iam", sign, effects.same_sign, (*both, "selectivity"), above))
    return parts


def exceeded_twice(question: Question) -> list[Part]:
    """C6: among the most selective tenth there are units with two substitutes on their IAM image. Any layer will do."""
    parts = []
    for layer in question.layers:
        selectivity, rs, substitutes = question.columns(layer, "selectivity", "rs_iam", "substitutes_iam")
        scored = np.isfinite(selectivity) & np.isfinite(rs)
        order = np.argsort(-np.where(scored, selectivity, -np.inf), kind="stable")
        top = order[: int(np.ceil(scored.sum() / 10))]
        hits = sum(len(substitutes[unit].split()) >= 2 for unit in top)
        estimate = effects.proportion(hits, len(top))
        holds = "yes" if hits else "no" if len(top) else "open"
        text = "share of the most selective tenth with two substitutes > 0"
        parts.append(
            Part(layer, "iam", text, estimate, len(top), holds, note="existence: the interval decides nothing")
        )
    return parts


def selective_and_unexceeded(question: Question) -> list[Part]:
    """C7: selectivity is large and RS mostly 0."""
    selective, free = "median selectivity >= 0.5", "share of units with RS = 0 above 0.5"
    parts = []
    for layer in question.layers:
        large, most = partial(at_least, bound=SELECTIVE), partial(above, bound=0.5)
        parts.append(question.part(layer, "", selective, effects.median, ("selectivity",), large))
        parts.append(question.part(layer, "iam", free, effects.share_of_zeros, (question.rs("iam"),), most))
    return parts


def falls_with_depth(question: Question) -> list[Part]:
    """C9: over trainings, Fisher's z of the correlation of RS and selectivity falls from layer to layer.

    A training in which a layer has no correlation has no slope: it would be one over other layers.
    """
    slopes = []
    for training in question.others:
        rows = [
            correlation_of(training.layers, layer, "iam", "selectivity", question.score) for layer in question.layers
        ]
        values = np.array([row["spearman"] for row in rows], dtype=float)
        slopes.append(slope_of_z(values) if np.isfinite(values).all() else np.nan)
    estimate = effects.over_trainings(np.array(slopes))
    n = int(np.isfinite(slopes).sum())
    enough = n >= FEWEST_TRAININGS
    notes = [] if n == len(slopes) else [f"{len(slopes) - n} of {len(slopes)} trainings have an undefined layer"]
    notes += [] if enough else [f"{n} trainings; at least {FEWEST_TRAININGS} are needed"]
    text = "slope of Fisher's z on depth < 0"
    return [Part("", "iam", text, estimate, n, below(estimate) if enough else "open", note="; ".join(notes))]


def small_without_diversity(question: Question) -> list[Part]:
    """C11: RS is small, and nearly the same for all units."""
    rs = (question.rs("iam"),)
    parts = []
    for layer in question.layers:
        small = partial(at_most, bound=0.1)
        parts.append(question.part(layer, "iam", "median RS <= 0.1", effects.median, rs, small))
        parts.append(same_for_all(question, layer, 0.05))
    return parts


def one_step(question: Question) -> list[Part]:
    """C12: over the layers, median RS steps once rather than following a line; the estimate of BIC decides."""
    scores = [question.columns(layer, question.rs("iam")) for layer in question.layers]
    text = "BIC of a line - BIC of a step, of the layers' medians > 6"
    seed = question.generator(text)

    def gain(medians: np.ndarray) -> float:
        return effects.step_over_line(medians)[0]

    estimate = bootstrap_layers(
        gain, effects.median, scores, resamples=question.resamples, seed=seed, fewest_off_mode=FROZEN_OFF_MODE
    )
    holds, note = "open", "too few layers, or a layer without RS"
    if np.isfinite(estimate.value):
        holds = "yes" if estimate.value > 6 else "no" if estimate.value < -6 else "open"
        medians = np.array([effects.median(*question.scored(layer, question.rs("iam"))) for layer in question.layers])
        step = question.layers[effects.step_over_line(medians)[1]]
        note = f"best step: before {step}; the estimate decides, not the interval"
    return [Part("", "iam", text, estimate, len(question.layers), holds, note=note)]


def same_in_each(question: Question) -> list[Part]:
    """C13: RS is mostly the same in each layer."""
    return [same_for_all(question, layer, 0.1) for layer in question.layers]


def same_for_all(question: Question, layer: str, bound: float) -> Part:
    """Return whether the interquartile range of a layer's RS under IAM is at most a bound."""
    text, rule = f"interquartile range of RS <= {bound}", partial(at_most, bound=bound)
    return question.part(layer, "iam", text, effects.interquartile_range, (question.rs("iam"),), rule)


def irregular(question: Question) -> list[Part]:
    """C15: no relation in any layer, or signs that change while Cochran's Q rejects one common correlation."""
    text = f"Spearman with selectivity within {NO_RELATION}"
    columns = (question.rs("iam"), "selectivity")
    parts = [
        question.part(layer, "iam", text, effects.rank_correlation, columns, no_relation, level=0.9)
        for layer in question.layers
    ]
    correlations = np.array([part.estimate.value for part in parts])
    q, p = effects.cochran_q(correlations, np.array([part.n for part in parts]))
    changes = (correlations > 0).any() and (correlations < 0).any()
    holds = "open" if not np.isfinite(q) else "yes" if changes and p < 0.05 else "no" if not changes else "open"
    n = int(np.isfinite(correlations).sum())
    note = note_of_layers("signs change" if changes else "one sign", n, parts)
    text = "Cochran's Q of the layers' correlations, p < 0.05 and changing signs"
    return [*parts, Part("", "iam", text, Estimate(q), n, holds, p_value=p, note=note)]


def note_of_layers(note: str, defined: int, layers: Sequence[Any]) -> str:
    """Return a note, and how many layers a statistic rests on where it rests on some of them alone."""
    rest = "" if defined == len(layers) else f"defined in {defined} of {len(layers)} layers"
    return "; ".join(filter(None, [note, rest]))


def irregular_verdict(parts: Sequence[Part]) -> str:
    """Return the verdict on C15: either of its two readings supports it; a correlation of one sign contradicts it."""
    *layers, common = parts
    if common.holds == "yes" or all(part.holds == "yes" for part in layers):
        return SUPPORTED
    one_sign = all(part.estimate.low > 0 for part in layers) or all(part.estimate.high < 0 for part in layers)
    return CONTRADICTED if one_sign else INCONCLUSIVE


def slope_of_z(correlations: np.ndarray) -> float:
    """Return the slope of Fisher's z of correlations (layers,), in the order of the network, from layer to layer."""
    return effects.slope(effects.fishers_z(correlations), np.arange(len(correlations)))
