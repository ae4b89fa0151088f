"""The claims of Chen et al. 2018 as tests on an experiment's tables: statistic, effect, interval and verdict.

The rules were fixed before any experiment was run. A claim is supported where the interval lies on the predicted side
for every layer (and method) that it names, contradicted where it lies wholly on the other side for any, and else
inconclusive; exceptions are said where they are made. Claims about raw RS are asked of `rs_z` and `rs_q` as well, which
do not depend on the scales of the units. Effects themselves belong to `unitscope.stats.effects`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.evidence import Evidence
from unitscope.claims.verdicts import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    Part,
    above,
    all_hold,
    any_holds,
    at_least,
    at_most,
    below,
    place,
    record,
    within,
)
from unitscope.randomness import generator
from unitscope.stats import effects
from unitscope.stats.effects import Interval, bootstrapped
from unitscope.stats.statistics import FEWEST_FOR_INTERVAL, holm
from unitscope.tables.unit_tables import RS_SCORES, correlation_of, layers_of, rows_of

FEWEST_TRAININGS = 5
"""Below this many trainings nothing is concluded about trainings."""

NO_RELATION = 0.2
"""A correlation within plus or minus this is no relation."""

SELECTIVE = 0.5
"""A unit above this class selectivity is a highly selective one."""


@dataclass(frozen=True)
class Asked:
    """A claim as it is put to an experiment.

    Attributes:
        own: The experiment.
        layers: The layers that the claim names, in the order of the network.
        others: The experiments that it is compared with; for a claim about trainings, all trainings of the network.
        score: "rs", "rs_z" or "rs_q".
        resamples: Of each bootstrap.
        seed: Of each bootstrap.
    """

    own: Evidence
    layers: Sequence[str]
    others: Sequence[Evidence]
    score: str
    resamples: int
    seed: int

    def rs(self, method: str) -> str:
        """Return the column of the score that the claim is asked of, by a method."""
        return f"{self.score}_{method}"

    def columns(self, layer: str, *names: str) -> list[np.ndarray]:
        """Return columns of a layer's living units, each (units,)."""
        rows = rows_of(self.own.units, layer)
        return [rows[name][~rows["dead"]] for name in names]

    def scored(self, layer: str, *names: str) -> np.ndarray:
        """Return columns (columns, units) of those living units of a layer that have a number in all of them."""
        scores = np.stack(self.columns(layer, *names))
        return scores[:, np.isfinite(scores).all(0)]

    def generator(self, *names: str) -> np.random.Generator:
        """Return the draws of a test, which no other test's influence."""
        return generator(self.seed, "claims", self.score, *names)

    def part(
        self,
        layer: str,
        method: str,
        statistic: str,
        effect: Callable[..., float],
        columns: Sequence[str],
        rule: Callable[[Interval], str],
        level: float = 0.95,
    ) -> "Part":
        """Return an effect of columns of a layer's living units, and whether its interval lies as a rule predicts."""
        scores = self.columns(layer, *columns)
        seed = self.generator(statistic, layer, method)
        found = bootstrapped(effect, *scores, level=level, resamples=self.resamples, seed=seed)
        n = self.scored(layer, *columns).shape[1]
        return Part(layer, method, statistic, found, n, rule(found), level=level)


def no_relation(found: Interval) -> str:
    """Return whether the interval of a correlation says that there is none: "yes", "no" or "open"."""
    return within(found, (-NO_RELATION, NO_RELATION))


# --- tests -----------------------------------------------------------------------------------------------------------


def selectivity_correlation(asked: Asked, methods: Sequence[str]) -> list[Part]:
    """C1, C8: Spearman(RS, selectivity) is positive."""
    parts = []
    for layer, method in product(asked.layers, methods):
        row = correlation_of(asked.own.layers, layer, method, "selectivity", asked.score)
        found = Interval(row["spearman"], row["ci_low"], row["ci_high"])
        text = "Spearman with selectivity > 0"
        part = Part(layer, method, text, found, row["used"], above(found), note=row["reason"], p_value=row["p_value"])
        parts.append(part)
    return parts


def lower_quartile(asked: Asked, methods: Sequence[str]) -> list[Part]:
    """C2, C10: unselective units have lower RS than selective ones."""
    text = "Cliff's delta of RS, most over least selective quarter > 0"
    return [
        asked.part(layer, method, text, effects.quartile_delta, (asked.rs(method), "selectivity"), above)
        for layer, method in product(asked.layers, methods)
    ]


def quadrants(asked: Asked, methods: Sequence[str]) -> list[Part]:
    """C3, C14: units low in selectivity and RS are many, units high in both are few.

    Where RS is low for most units this holds without any relation; what it would be then, is noted: the same shares of
    units are low in each, and fall together by chance.
    """
    text = "share low in both - share high in both > 0"
    parts = []
    for layer, method in product(asked.layers, methods):
        part = asked.part(layer, method, text, effects.quadrant_difference, (asked.rs(method), "selectivity"), above)
        if part.n:
            by_chance = effects.quadrant_difference_by_chance(*asked.scored(layer, asked.rs(method), "selectivity"))
            part = replace(part, note=f"without any relation it would be {by_chance:.2f}")
        parts.append(part)
    return parts


def lower_under_iam(asked: Asked) -> list[Part]:
    """C4: RS under IAM is a little lower than under AM."""
    text = "Hodges-Lehmann shift of RS, IAM - AM, between -0.1 and 0"
    little = partial(within, bounds=(-0.1, 0.0))
    return [
        asked.part(layer, "am:iam", text, effects.shift, (asked.rs("iam"), asked.rs("am")), little)
        for layer in asked.layers
    ]


def same_trend(asked: Asked) -> list[Part]:
    """C5: RS under AM and under IAM agree, and relate to selectivity with the same sign."""
    both = (asked.rs("am"), asked.rs("iam"))
    agree, sign = "Spearman of RS under AM and IAM > 0.5", "product of their correlations with selectivity > 0"
    high = partial(above, bound=0.5)
    parts = []
    for layer in asked.layers:
        parts.append(asked.part(layer, "am:iam", agree, effects.rank_correlation, both, high))
        parts.append(asked.part(layer, "am:iam", sign, effects.same_sign, (*both, "selectivity"), above))
    return parts


def exceeded_twice(asked: Asked) -> list[Part]:
    """C6: among the most selective tenth there are units with two substitutes on their IAM image. Any layer will do."""
    parts = []
    for layer in asked.layers:
        selectivity, rs, substitutes = asked.columns(layer, "selectivity", "rs_iam", "substitutes_iam")
        scored = np.isfinite(selectivity) & np.isfinite(rs)
        order = np.argsort(-np.where(scored, selectivity, -np.inf), kind="stable")
        top = order[: int(np.ceil(scored.sum() / 10))]
        hits = sum(len(substitutes[unit].split()) >= 2 for unit in top)
        found = effects.proportion(hits, len(top))
        holds = "yes" if hits else "no" if len(top) else "open"
        text = "share of the most selective tenth with two substitutes > 0"
        parts.append(Part(layer, "iam", text, found, len(top), holds, note="existence: the interval decides nothing"))
    return parts


def selective_and_unexceeded(asked: Asked) -> list[Part]:
    """C7: selectivity is large and RS mostly 0."""
    selective, free = "median selectivity >= 0.5", "share of units with RS = 0 above 0.5"
    parts = []
    for layer in asked.layers:
        large, most = partial(at_least, bound=SELECTIVE), partial(above, bound=0.5)
        parts.append(asked.part(layer, "", selective, effects.median, ("selectivity",), large))
        parts.append(asked.part(layer, "iam", free, effects.share_of_zeros, (asked.rs("iam"),), most))
    return parts


def falls_with_depth(asked: Asked) -> list[Part]:
    """C9: over trainings, Fisher's z of the correlation of RS and selectivity falls from layer to layer.

    A training in which a layer has no correlation has no slope: it would be one over other layers.
    """
    slopes = []
    for training in asked.others:
        rows = [correlation_of(training.layers, layer, "iam", "selectivity", asked.score) for layer in asked.layers]
        values = np.array([row["spearman"] for row in rows], dtype=float)
        slopes.append(slope_of_z(values) if np.isfinite(values).all() else np.nan)
    found = effects.over_trainings(np.array(slopes))
    n = int(np.isfinite(slopes).sum())
    enough = n >= FEWEST_TRAININGS
    notes = [] if n == len(slopes) else [f"{len(slopes) - n} of {len(slopes)} trainings have an undefined layer"]
    notes += [] if enough else [f"{n} trainings; at least {FEWEST_TRAININGS} are needed"]
    text = "slope of Fisher's z on depth < 0"
    return [Part("", "iam", text, found, n, below(found) if enough else "open", note="; ".join(notes))]


def small_without_diversity(asked: Asked) -> list[Part]:
    """C11: RS is small, and nearly the same for all units."""
    rs = (asked.rs("iam"),)
    parts = []
    for layer in asked.layers:
        small = partial(at_most, bound=0.1)
        parts.append(asked.part(layer, "iam", "median RS <= 0.1", effects.median, rs, small))
        parts.append(same_for_all(asked, layer, 0.05))
    return parts


def one_step(asked: Asked) -> list[Part]:
    """C12: over the layers, median RS steps once rather than following a line; the estimate of BIC decides."""
    scores = [asked.columns(layer, asked.rs("iam")) for layer in asked.layers]
    text = "BIC of a line - BIC of a step, of the layers' medians > 6"
    seed = asked.generator(text)

    def gain(medians: np.ndarray) -> float:
        return effects.step_over_line(medians)[0]

    found = effects.bootstrapped_layers(gain, effects.median, scores, resamples=asked.resamples, seed=seed)
    holds, note = "open", "too few layers, or a layer without RS"
    if np.isfinite(found.effect):
        holds = "yes" if found.effect > 6 else "no" if found.effect < -6 else "open"
        medians = np.array([effects.median(*asked.scored(layer, asked.rs("iam"))) for layer in asked.layers])
        step = asked.layers[effects.step_over_line(medians)[1]]
        note = f"best step: before {step}; the estimate decides, not the interval"
    return [Part("", "iam", text, found, len(asked.layers), holds, note=note)]


def same_in_each(asked: Asked) -> list[Part]:
    """C13: RS is mostly the same in each layer."""
    return [same_for_all(asked, layer, 0.1) for layer in asked.layers]


def same_for_all(asked: Asked, layer: str, bound: float) -> Part:
    """Return whether the interquartile range of a layer's RS under IAM is at most a bound."""
    text, rule = f"interquartile range of RS <= {bound}", partial(at_most, bound=bound)
    return asked.part(layer, "iam", text, effects.interquartile_range, (asked.rs("iam"),), rule)


def irregular(asked: Asked) -> list[Part]:
    """C15: no relation in any layer, or signs that change while Cochran's Q rejects one common correlation."""
    text = f"Spearman with selectivity within {NO_RELATION}"
    columns = (asked.rs("iam"), "selectivity")
    parts = [
        asked.part(layer, "iam", text, effects.rank_correlation, columns, no_relation, level=0.9)
        for layer in asked.layers
    ]
    correlations = np.array([part.found.effect for part in parts])
    q, p = effects.cochran_q(correlations, np.array([part.n for part in parts]))
    changes = (correlations > 0).any() and (correlations < 0).any()
    holds = "open" if not np.isfinite(q) else "yes" if changes and p < 0.05 else "no" if not changes else "open"
    n = int(np.isfinite(correlations).sum())
    note = _of_layers("signs change" if changes else "one sign", n, parts)
    text = "Cochran's Q of the layers' correlations, p < 0.05 and changing signs"
    return [*parts, Part("", "iam", text, Interval(q, np.nan, np.nan), n, holds, p_value=p, note=note)]


def _of_layers(note: str, defined: int, layers: Sequence[Any]) -> str:
    """Return a note, and how many layers a statistic rests on where it rests on some of them alone."""
    rest = "" if defined == len(layers) else f"defined in {defined} of {len(layers)} layers"
    return "; ".join(filter(None, [note, rest]))


def irregular_verdict(parts: Sequence[Part]) -> str:
    """Return the verdict on C15: either of its two readings supports it; a correlation of one sign contradicts it."""
    *layers, common = parts
    if common.holds == "yes" or all(part.holds == "yes" for part in layers):
        return SUPPORTED
    one_sign = all(part.found.low > 0 for part in layers) or all(part.found.high < 0 for part in layers)
    return CONTRADICTED if one_sign else INCONCLUSIVE


def generalizes_worse(asked: Asked) -> list[Part]:
    """C16: the network's test accuracy lies below that of another; images are the sample, not trainings."""
    parts = []
    for other in asked.others:
        if other.name != asked.own.name:
            found = effects.difference_of_proportions(_accuracy(asked.own), _accuracy(other))
            text = f"accuracy - accuracy of {other.name} < 0"
            parts.append(Part("", "", text, found, asked.own.test_images, below(found)))
    return parts


def _accuracy(evidence: Evidence) -> Interval:
    known = np.isfinite(evidence.accuracy)
    hits = round(evidence.accuracy * evidence.test_images) if known else 0
    return effects.proportion(hits, evidence.test_images if known else 0)


HALVES = ("selectivity_half0", "selectivity_half1", "ablation_loss_half0", "ablation_loss_half1")


def matters_less(asked: Asked) -> list[Part]:
    """C17: units with high RS lose less when ablated. RS asks no test image: both halves' losses are predicted."""
    columns = (asked.rs("iam"), asked.rs("iam"), *HALVES[2:])
    text = "Spearman of RS and the rise of the loss < 0"
    return [asked.part(layer, "iam", text, effects.across_halves, columns, below) for layer in asked.layers]


def not_critical(asked: Asked) -> list[Part]:
    """C18: selectivity does not predict the loss of an ablation, or selective units lose less.

    The 90 % interval says that there is no relation; the one of 95 % that it is negative or, above what counts as none,
    that the claim is wrong. The part is the one that decides.
    """
    text = f"Spearman of selectivity and the rise of the loss within {NO_RELATION} or negative"

    def negative(found: Interval) -> str:
        return "yes" if below(found) == "yes" else "no" if above(found, NO_RELATION) == "yes" else "open"

    parts = []
    for layer in asked.layers:
        none = asked.part(layer, "", text, effects.across_halves, HALVES, no_relation, level=0.9)
        sign = asked.part(layer, "", text, effects.across_halves, HALVES, negative)
        undecided = none.holds != "yes" and sign.holds == "open"
        parts.append(replace(none, holds="open") if undecided else none if none.holds == "yes" else sign)
    return parts


def selective_trainings(asked: Asked) -> list[Part]:
    """C19: over trainings, more highly selective units go with a lower test accuracy."""
    shares = []
    for training in asked.others:
        values = np.concatenate([rows_of(training.units, layer)["selectivity"] for layer in asked.layers])
        known = values[np.isfinite(values)]
        shares.append(float((known > SELECTIVE).mean()) if known.size else np.nan)
    accuracies = np.array([training.accuracy for training in asked.others])
    text = f"Spearman of the share of units with selectivity > {SELECTIVE} and test accuracy < 0"
    found = bootstrapped(
        effects.rank_correlation,
        np.array(shares),
        accuracies,
        resamples=asked.resamples,
        seed=asked.generator(text),
    )
    n = int((np.isfinite(shares) & np.isfinite(accuracies)).sum())
    note = f"{n} trainings of one recipe: too few for an interval" if n < FEWEST_FOR_INTERVAL else ""
    return [Part("", "", text, found, n, below(found), note=note)]


def fades_with_depth(asked: Asked) -> list[Part]:
    """C20: selectivity relates to the loss of an ablation in the first layer, and less the deeper the layer.

    The slope is that of Fisher's z, turned so that the first layer's is positive: magnitudes would be biased upward
    where units are few.
    """
    text = "Spearman of selectivity and the rise of the loss, not 0"
    shallow = asked.part(asked.layers[0], "", text, effects.across_halves, HALVES, above)
    related = "yes" if above(shallow.found) == "yes" or below(shallow.found) == "yes" else "open"
    turned = np.sign(shallow.found.effect)
    text = "slope of Fisher's z on depth towards 0"
    scores = [list(asked.scored(layer, *HALVES)) for layer in asked.layers]
    defined = sum(len(own[0]) > 0 and bool(np.isfinite(effects.across_halves(*own))) for own in scores)
    slope = effects.bootstrapped_layers(
        lambda correlations: slope_of_z(turned * correlations),
        effects.across_halves,
        scores,
        resamples=asked.resamples,
        seed=asked.generator(text),
    )
    note = _of_layers("", defined, asked.layers)
    return [replace(shallow, holds=related), Part("", "", text, slope, defined, below(slope), note=note)]


def slope_of_z(correlations: np.ndarray) -> float:
    """Return the slope of Fisher's z of correlations (layers,), in the order of the network, from layer to layer."""
    return effects.slope(effects.fishers_z(correlations), np.arange(len(correlations)))


# --- the claims ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        source: Where it stands.
        text: What it says, in our words.
        parts: The test.
        scores: The RS scores it is asked of, raw RS first; another score's name where it is not about RS.
        verdict: How its parts are summed up.
        by_layer: Whether each layer is a reading of its own, with a verdict of its own.
        family: Tests that are corrected for one another; empty: those of the same source.
    """

    source: str
    text: str
    parts: Callable[[Asked], list[Part]]
    scores: Sequence[str] = RS_SCORES
    verdict: Callable[[Sequence[Part]], str] = all_hold
    by_layer: bool = False
    family: str = ""


SELECTIVITY = ("selectivity",)

CLAIMS: Mapping[str, Claim] = {
    # Methods that a claim asks for are in `config.CLAIM_METHODS`.
    "C1": Claim(
        "Fig. 1",
        "In the first and third convolution RS rises with class selectivity, under AM and under IAM.",
        partial(selectivity_correlation, methods=("am", "iam")),
    ),
    "C2": Claim(
        "Fig. 1",
        "The least selective quarter of the units has lower RS than the most selective.",
        partial(lower_quartile, methods=("am", "iam")),
    ),
    "C3": Claim(
        "Fig. 1",
        "Many units are low in selectivity and in RS, few are high in both (AM).",
        partial(quadrants, methods=("am",)),
    ),
    "C4": Claim("Fig. 1", "RS under IAM is a little lower than under AM.", lower_under_iam),
    "C5": Claim("Fig. 1", "The trend is the same under AM and IAM.", same_trend),
    "C6": Claim(
        "Fig. 2",
        "There is a highly selective unit that two others exceed on its own IAM image.",
        exceeded_twice,
        scores=("rs",),
        verdict=any_holds,
    ),
    "C7": Claim(
        "Fig. 3a",
        "In the fully connected layer before the classifier selectivity is large and RS mostly 0.",
        selective_and_unexceeded,
        by_layer=True,
    ),
    "C8": Claim(
        "Fig. 3b",
        "RS and selectivity correlate positively in every convolution of the shallow network.",
        partial(selectivity_correlation, methods=("iam",)),
    ),
    "C9": Claim("Fig. 3b", "This correlation falls with depth.", falls_with_depth, family="C9"),
    "C10": Claim(
        "Fig. 4a",
        "In the first and third layer of VGG16 on CIFAR-10 unselective units have low RS.",
        partial(lower_quartile, methods=("iam",)),
    ),
    "C11": Claim("Fig. 4b", "In its 9th and 11th layer RS is small and without diversity.", small_without_diversity),
    "C12": Claim("Fig. 4", "The change comes at one layer.", one_step),
    "C13": Claim("Fig. 5", "In the MLP RS is mostly the same, in every layer.", same_in_each),
    "C14": Claim(
        "Fig. 6a",
        "In the 3rd and 11th layer of VGG16 on ImageNet unselective units gather at low RS.",
        partial(quadrants, methods=("iam",)),
    ),
    "C15": Claim(
        "Fig. 6b",
        "There the correlation of RS and selectivity is irregular over the layers.",
        irregular,
        verdict=irregular_verdict,
    ),
    "C16": Claim("text", "The MLP generalizes worse than the convolutional network.", generalizes_worse, ("accuracy",)),
    "C17": Claim("text", "Units with high RS matter less when ablated (not tested in the paper).", matters_less),
    "C18": Claim("abstract", "Selectivity does not tell that a unit is critical.", not_critical, SELECTIVITY),
    "C19": Claim(
        "text", "Too many highly selective units go with worse generalization.", selective_trainings, SELECTIVITY
    ),
    "C20": Claim(
        "Morcos et al. 2018",
        "Selectivity and importance are related in shallow layers, less in deep ones.",
        fades_with_depth,
        SELECTIVITY,
    ),
}


def answers(
    asked: Mapping[str, Mapping[str, Sequence[str]]],
    experiments: Mapping[str, Evidence],
    own: str,
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Answer claims from an experiment's tables.

    Args:
        asked: For each claim, "layers" and "experiments": which ones it names.
        experiments: All experiments that are named, and the own one.
        own: Name of the own experiment.
        resamples: Of each bootstrap.
        seed: Of each bootstrap.

    Returns:
        The columns of `ClaimsTable`, one row per part.
    """
    rows: list[dict[str, Any]] = []
    families = []
    for name in sorted(asked, key=place):
        claim, where = CLAIMS[name], asked[name]
        for score in claim.scores:
            question = Asked(
                experiments[own],
                [layer for layer in layers_of(experiments[own].units) if layer in where["layers"]],
                [experiments[other] for other in where["experiments"]],
                score,
                resamples,
                seed,
            )
            parts = [_explained(part) for part in claim.parts(question)]
            for part in parts:
                reading = [other for other in parts if other.layer == part.layer] if claim.by_layer else parts
                rows.append(record(own, name, claim.source, score, part, claim.verdict(reading)))
                families.append((claim.family or claim.source, score))
    p_values = np.array([row["p_value"] for row in rows], dtype=float)
    adjusted = np.full(len(rows), np.nan)
    for family in dict.fromkeys(families):
        own_rows = np.array([other == family for other in families])
        adjusted[own_rows] = holm(p_values[own_rows])
    for row, p in zip(rows, adjusted.tolist(), strict=True):
        row["p_holm"] = p
    return ClaimsTable.of_rows(rows)


def _explained(part: Part) -> Part:
    """Return a part with a note where a value is missing."""
    if part.note or np.isfinite(part.found.effect):
        return part
    return replace(part, note="undefined: a score is missing, or the same for all units")
