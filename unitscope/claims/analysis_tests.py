"""Tests of the claims about the analyses: statistic, effect, interval and whether it holds, row by row (A1 to A8).

Effects are read from the tables that the analyses have written, or follow from their numbers.
"""

from functools import partial
from itertools import product

import numpy as np
import scipy.stats

from unitscope.claims.analysis_results import AnalysisResults, records, why_no_interval
from unitscope.claims.verdicts import Part, above, at_least, below
from unitscope.interventions.cumulative import DIRECTIONS, RANDOM, areas
from unitscope.randomness import generator
from unitscope.stats import effects
from unitscope.stats.bootstrap import bootstrap
from unitscope.stats.effects import difference
from unitscope.stats.estimate import Estimate, undefined
from unitscope.tables.inhibition import by_unit
from unitscope.tables.reliability_columns import MINIMIZED, REAL
from unitscope.tables.table_access import Table, correlation_of, layers_of, rows_of

MOVED, KEPT = 0.9, 0.99
"""Rank correlations of a score with itself under other scales: below the one its order has moved, from the other on it
is the same. In between it is neither."""
SAME_FUNCTION = 1e-3
"""How far a logit, or a selectivity, may be off in a network that is said to compute the same."""
AGREES = 0.5
"""A rank correlation above this says that two measurements are of one thing, as in claim C5."""
RELIABLE = 0.7
"""Reliability from which a score is good enough for research (Nunnally 1978, "Psychometric Theory", 2nd ed.)."""
MOST = 0.5
"""A share above this is that of most."""


def order_under_scales(results: AnalysisResults, score: str) -> list[Part]:
    """A1: random scales that leave the function as it is move the order of raw RS, and leave that of the others.

    The images are those that are stored. The statistic is the mean over draws of scales of the rank correlation of the
    score before and after, draws are the sample. Where the function has not stayed, nothing is shown. A score that is
    the same for all units has no order that could move; but where none of its values changes, it has stayed. (That
    images made anew under `iam_z` stay is in the tables, as one number of one draw: no interval to decide by.)
    """
    moves = score == "rs"
    sign, bound = ("<", MOVED) if moves else (">=", KEPT)
    text = f"mean Spearman of the score before and after scaling {sign} {bound}"
    rule = partial(below if moves else at_least, bound=bound)
    table = results.tables["scale"]
    parts = []
    for layer in layers_of(table):
        unasked = records(table, layer=layer, condition="")
        parts += [Part(layer, "", text, undefined(), 0, "open", note=row["reason"]) for row in unasked]
        for method in [] if unasked else results.methods["scale"]:
            rows = records(table, layer=layer, condition="kept", method=method, score=score)
            agreement = np.array([row["agreement"] for row in rows], dtype=float)
            if not moves:
                unchanged = np.array([row["mean_change"] == 0 for row in rows], dtype=bool)
                agreement[np.isnan(agreement) & unchanged] = 1.0
            estimate = effects.over_trainings(agreement)
            notes = [row["reason"] for row, value in zip(rows, agreement, strict=True) if np.isnan(value)]
            if notes:
                # An order that is there in some draws only has no mean over all of them.
                notes = [f"undefined in {len(notes)} of {len(rows)} draws: {notes[0]}"]
                estimate = Estimate(estimate.value)
            elif len(rows) < 2:
                notes = ["one draw of scales has no interval"]
            off = np.nanmax([[row["logits_change"], row["selectivity_change"]] for row in rows], initial=0.0)
            holds = rule(estimate)
            if off > SAME_FUNCTION:
                holds, notes = "open", [*notes, f"the function has moved: by {off:.2g}"]
            n = len(rows) if any(row["units"] for row in rows) else 0
            parts.append(Part(layer, method, text, estimate, n, holds, note="; ".join(notes)))
    return parts


def predicts_loss(results: AnalysisResults, score: str) -> list[Part]:
    """A2: units of high RS cost less when ablated. The score asks no test image, the loss is of either half of them."""
    text = "Spearman of the score and the rise of the loss < 0"
    parts = []
    for row in records(results.tables["importance"], predictor=score):
        if row["method"] in results.methods["importance"]:
            estimate = Estimate.from_row(row, "spearman", "ci_low", "ci_high")
            parts.append(
                Part(
                    row["layer"],
                    row["method"],
                    text,
                    estimate,
                    row["used"],
                    below(estimate),
                    note=why_no_interval(row, estimate),
                )
            )
    return parts


def stands_in(results: AnalysisResults, score: str) -> list[Part]:
    """A3: a unit of high RS and its substitutes cost more together than one by one, and more so than random units.

    High has two readings, and the claim is of both: RS of 0.5 or more, and RS at or above the median of the units that
    are asked.
    """
    texts = {
        "half": "median interaction over its controls, units with RS >= 0.5, > 0",
        "median": "median interaction over its controls, units with RS from the median on, > 0",
    }
    parts = []
    for row in records(results.tables["joint"]):
        if row["method"] in results.methods["joint"]:
            estimate = Estimate.from_row(row, "effect", "ci_low", "ci_high")
            note = "; ".join(
                filter(None, [f"median RS {row['border']:.2f}" * (row["high"] == "median"), row["reason"]])
            )
            holds = above(estimate)
            parts.append(Part(row["layer"], row["method"], texts[row["high"]], estimate, row["n"], holds, note=note))
    return parts


def order_of_removal(results: AnalysisResults, score: str) -> list[Part]:
    """A4: more is left where units of high RS go first than in random order, and less where those of low RS do.

    The effect is the area under the accuracy over the mean area of the random orders. The interval of the table is over
    images alone, in which any one order differs from the mean of others. So it is widened by what one random order may
    differ from that mean: Student's prediction interval of the random orders' areas.
    """
    areas_of, curves = results.tables["areas"], results.tables["curves"]
    predicted = {"ascending": ("<", below), "descending": (">", above)}
    parts = []
    keys = dict.fromkeys(zip(areas_of["layer"].tolist(), areas_of["clamp"].tolist(), strict=True))
    for layer, clamp in keys:
        chance = one_random_order(curves, layer, clamp)
        for method, direction in product(results.methods["cumulative"], DIRECTIONS):
            name, (sign, rule) = f"{score}_{method}", predicted[direction]
            where = "" if layer else ", all layers together"
            text = f"area under accuracy - that of random orders, {direction}, clamp {clamp}{where} {sign} 0"
            for row in records(areas_of, layer=layer, clamp=clamp, score=name, direction=direction):
                estimate = difference(
                    Estimate.from_row(row, "accuracy_over", "accuracy_over_low", "accuracy_over_high"), chance
                )
                n = row["scored"] or _scored(results.tables["units"], layer, name)
                note = row["reason"] or ("" if np.isfinite(chance.low) else "fewer than two random orders")
                parts.append(Part(layer, method, text, estimate, n, rule(estimate), note=note))
    return parts


def one_random_order(curves: Table, layer: str, clamp: str) -> Estimate:
    """Return how far the area under one random order's accuracy may lie from the mean of those drawn: 0, with 95 %.

    Student's prediction interval of a further draw, t sd sqrt(1 + 1 / k) from k draws; NaN from fewer than two.

    Args:
        curves: Rows of an order and point.
        layer: Whose units are removed; empty where all layers lose units.
        clamp: What they are clamped to.
    """
    matches = (curves["layer"] == layer) & (curves["clamp"] == clamp) & (curves["score"] == RANDOM)
    draws = np.unique(curves["draw"][matches])
    if len(draws) < 2:
        return Estimate(0.0)
    area_by_draw = []
    for draw in draws:
        rows = matches & (curves["draw"] == draw)
        order = np.argsort(curves["fraction"][rows])
        area_by_draw.append(areas(curves["fraction"][rows][order], curves["accuracy"][rows][order][:, None])[0])
    half = scipy.stats.t.ppf(0.975, len(draws) - 1) * np.std(area_by_draw, ddof=1) * np.sqrt(1 + 1 / len(draws))
    return Estimate(0.0, -float(half), float(half))


def _scored(units: Table, layer: str, column: str) -> int:
    """Return how many units have a score that gives no order: those of a layer, or of all where none is named."""
    selected_units = rows_of(units, layer) if layer else units
    return int(np.isfinite(selected_units[column].astype(float)).sum())


def reliable_and_above_nulls(results: AnalysisResults, score: str) -> list[Part]:
    """A5: RS is reliable over noise seeds, and its correlation with selectivity lies above that of every null.

    The nulls are those that were asked: RS on the start images, permuted labels, the untrained network, and the ascent
    with its sign turned: RS of the minimum, of each method that minimizes.
    """
    rated = f"ICC(2,k) of the score over noise seeds >= {RELIABLE}"
    methods = results.methods["reliability"]
    parts = []
    for row in records(results.tables["reliability"], score=score):
        if row["method"] in methods:
            estimate = Estimate.from_row(row, "icc", "icc_low", "icc_high")
            holds = at_least(estimate, RELIABLE)
            note = why_no_interval(row, estimate)
            parts.append(Part(row["layer"], row["method"], rated, estimate, row["used"], holds, note=note))
    nulls = records(results.tables["nulls"], score=score)
    for reference in nulls:
        if reference["method"] not in methods or reference["null"] != REAL:
            continue
        for row in nulls:
            flipped = row["null"] == MINIMIZED
            if (
                row["layer"] != reference["layer"]
                or row["null"] == REAL
                or not (flipped or row["method"] == reference["method"])
            ):
                continue
            estimate = difference(
                *(Estimate.from_row(one, "spearman", "ci_low", "ci_high") for one in (reference, row))
            )
            null = f"{row['null']}' ({row['method']})" if flipped else f"{row['null']}'"
            text = f"Spearman with selectivity, over that of the null '{null} > 0"
            note = "; ".join(dict.fromkeys(filter(None, [reference["reason"], row["reason"]])))
            n = min(reference["used"], row["used"])
            parts.append(Part(reference["layer"], reference["method"], text, estimate, n, above(estimate), note=note))
    return parts


def same_on_natural_images(results: AnalysisResults, score: str) -> list[Part]:
    """A6: RS on a unit's own top natural images goes with RS on the image made for it."""
    text = f"Spearman of the score on natural images and on those made > {AGREES}"
    parts = []
    for layer, method in product(layers_of(results.tables["units"]), results.methods["natural"]):
        row = correlation_of(results.tables["layers"], layer, method, f"{score}_natural", score)
        estimate = Estimate.from_row(row, "spearman", "ci_low", "ci_high")
        note = row["reason"]
        if score == "rs" and not note:
            note = "both sides have the units' scales in common"
        parts.append(Part(layer, method, text, estimate, row["used"], above(estimate, AGREES), note=note))
    return parts


def unequal_substitutes(results: AnalysisResults, score: str) -> list[Part]:
    """A7: a few units stand in for many: Gini's coefficient of the in-degrees lies above that of random substitutes.

    The interval is what 95 % of the draws of the null leave: the observed coefficient less either end of theirs.
    """
    text = "Gini of in-degrees over its mean by chance > 0"
    parts = []
    for row in records(results.tables["graph"], score=score):
        if row["method"] in results.methods["graph"]:
            effect, low, high = (row["gini"] - row[f"gini_null{end}"] for end in ("", "_high", "_low"))
            estimate = Estimate(effect, low, high)
            note = row["reason"] or ("" if np.isfinite(low) else "too few draws for an interval")
            parts.append(Part(row["layer"], row["method"], text, estimate, row["targets"], above(estimate), note=note))
    return parts


def most_are_inhibited(results: AnalysisResults, score: str) -> list[Part]:
    """A8: the image made for a unit by IAM silences most other units of its layer. Dead units are no targets."""
    text = f"median share of the other units inhibited > {MOST}"
    table, units = results.tables["inhibition"], results.tables["units"]
    parts = []
    for layer, method in product(layers_of(table), results.methods["inhibition"]):
        dead = rows_of(units, layer)["dead"]
        shares = np.where(dead, np.nan, by_unit(table, layer, method, len(dead)))
        seed = generator(results.seed, "claims", "A8", layer, method)
        estimate = bootstrap(effects.median, shares, resamples=results.resamples, seed=seed)
        n = int(np.isfinite(shares).sum())
        reasons = dict.fromkeys(row["reason"] for row in records(table, layer=layer, method=method) if row["reason"])
        note = estimate.reason if n else "; ".join(reasons)
        parts.append(Part(layer, method, text, estimate, n, above(estimate, MOST), note=note))
    return parts
