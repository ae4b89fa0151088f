"""Tests of the claims that the paper makes in its text: accuracy, and what an ablation costs (C16 to C20)."""

from dataclasses import replace

import numpy as np

from unitscope.claims.evidence import Evidence
from unitscope.claims.verdicts import (
    Part,
    above,
    below,
)
from unitscope.paper.figure_claims import SELECTIVE, note_of_layers, slope_of_z
from unitscope.paper.question import FROZEN_OFF_MODE, NO_RELATION, Question, no_relation
from unitscope.stats import effects
from unitscope.stats.bootstrap import FEWEST_FOR_INTERVAL, bootstrap, bootstrap_layers
from unitscope.stats.estimate import Estimate
from unitscope.tables.table_access import rows_of


def generalizes_worse(question: Question) -> list[Part]:
    """C16: the network's test accuracy lies below that of another; images are the sample, not trainings."""
    parts = []
    for other in question.others:
        if other.name != question.evidence.name:
            estimate = effects.difference(_accuracy(question.evidence), _accuracy(other))
            text = f"accuracy - accuracy of {other.name} < 0"
            parts.append(Part("", "", text, estimate, question.evidence.test_images, below(estimate)))
    return parts


def _accuracy(evidence: Evidence) -> Estimate:
    defined = np.isfinite(evidence.accuracy)
    hits = round(evidence.accuracy * evidence.test_images) if defined else 0
    return effects.proportion(hits, evidence.test_images if defined else 0)


HALVES = ("selectivity_half0", "selectivity_half1", "ablation_loss_half0", "ablation_loss_half1")


def matters_less(question: Question) -> list[Part]:
    """C17: units with high RS lose less when ablated. RS asks no test image: both halves' losses are predicted."""
    columns = (question.rs("iam"), question.rs("iam"), *HALVES[2:])
    text = "Spearman of RS and the rise of the loss < 0"
    return [question.part(layer, "iam", text, effects.across_halves, columns, below) for layer in question.layers]


def not_critical(question: Question) -> list[Part]:
    """C18: selectivity does not predict the loss of an ablation, or selective units lose less.

    The 90 % interval says that there is no relation; the one of 95 % that it is negative or, above what counts as none,
    that the claim is wrong. The part is the one that decides.
    """
    text = f"Spearman of selectivity and the rise of the loss within {NO_RELATION} or negative"

    def negative(estimate: Estimate) -> str:
        return "yes" if below(estimate) == "yes" else "no" if above(estimate, NO_RELATION) == "yes" else "open"

    parts = []
    for layer in question.layers:
        none = question.part(layer, "", text, effects.across_halves, HALVES, no_relation, level=0.9)
        sign = question.part(layer, "", text, effects.across_halves, HALVES, negative)
        undecided = none.holds != "yes" and sign.holds == "open"
        parts.append(replace(none, holds="open") if undecided else none if none.holds == "yes" else sign)
    return parts


def selective_trainings(question: Question) -> list[Part]:
    """C19: over trainings, more highly selective units go with a lower test accuracy."""
    shares = []
    for training in question.others:
        values = np.concatenate([rows_of(training.units, layer)["selectivity"] for layer in question.layers])
        defined = values[np.isfinite(values)]
        shares.append(float((defined > SELECTIVE).mean()) if defined.size else np.nan)
    accuracies = np.array([training.accuracy for training in question.others])
    text = f"Spearman of the share of units with selectivity > {SELECTIVE} and test accuracy < 0"
    estimate = bootstrap(
        effects.rank_correlation,
        np.array(shares),
        accuracies,
        resamples=question.resamples,
        seed=question.generator(text),
        fewest_off_mode=FROZEN_OFF_MODE,
    )
    n = int((np.isfinite(shares) & np.isfinite(accuracies)).sum())
    note = f"{n} trainings of one recipe: too few for an interval" if n < FEWEST_FOR_INTERVAL else ""
    return [Part("", "", text, estimate, n, below(estimate), note=note)]


def fades_with_depth(question: Question) -> list[Part]:
    """C20: selectivity relates to the loss of an ablation in the first layer, and less the deeper the layer.

    The slope is that of Fisher's z, turned so that the first layer's is positive: magnitudes would be biased upward
    where units are few.
    """
    text = "Spearman of selectivity and the rise of the loss, not 0"
    shallow = question.part(question.layers[0], "", text, effects.across_halves, HALVES, above)
    related = "yes" if above(shallow.estimate) == "yes" or below(shallow.estimate) == "yes" else "open"
    turned = np.sign(shallow.estimate.value)
    text = "slope of Fisher's z on depth towards 0"
    scores = [list(question.scored(layer, *HALVES)) for layer in question.layers]
    defined = sum(
        len(layer_scores[0]) > 0 and bool(np.isfinite(effects.across_halves(*layer_scores))) for layer_scores in scores
    )
    slope = bootstrap_layers(
        lambda correlations: slope_of_z(turned * correlations),
        effects.across_halves,
        scores,
        resamples=question.resamples,
        seed=question.generator(text),
        fewest_off_mode=FROZEN_OFF_MODE,
    )
    note = note_of_layers("", defined, question.layers)
    return [replace(shallow, holds=related), Part("", "", text, slope, defined, below(slope), note=note)]
