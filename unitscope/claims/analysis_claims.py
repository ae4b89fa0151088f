"""What the analyses beyond the paper decide: a claim of each, with statistic, effect, interval and verdict.

A1 to A9 ask whether RS is what the paper takes it for. Rules and bounds stand here, the same for every experiment. As
in `unitscope.paper.paper_claims`, a claim is supported where the interval lies on the predicted side in every row,
contradicted where it lies wholly on the other side in any, else inconclusive. Raw RS and its scale-free forms are asked
one by one. Intervals are of 95 % each and not corrected for their number: among many rows one may contradict by chance.

Nothing is measured here: effects are read from the tables that the analyses have written, or follow from their numbers.
What is undefined has a row that says why and is open. A row of which n is 0 asks about nothing (a layer that cannot be
rescaled, a score that no unit has, no unit with a high RS), and takes no part in the verdict; one with units but
without an effect or an interval does, and leaves the verdict open.

The methods that a claim is asked of are those that maximize: RS of a minimum is another thing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import scipy.stats

from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.verdicts import Part, above, all_hold, at_least, below, record
from unitscope.interventions.cumulative import DIRECTIONS, RANDOM, areas
from unitscope.interventions.cumulative_columns import AreasTable, CurvesTable
from unitscope.interventions.joint_columns import JointTable
from unitscope.interventions.scale_columns import ScaleTable
from unitscope.randomness import generator
from unitscope.scores.graph_columns import GraphsTable
from unitscope.stats import effects
from unitscope.stats.effects import Interval, bootstrapped, difference
from unitscope.storage.columns import Schema
from unitscope.tables.importance_columns import ImportanceTable
from unitscope.tables.inhibition import by_unit
from unitscope.tables.inhibition_columns import InhibitionTable
from unitscope.tables.reliability_columns import NullsTable, ReliabilityTable
from unitscope.tables.unit_tables import MINIMIZED, REAL, RS_SCORES, Table, correlation_of, layers_of, rows_of

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

UNDEFINED = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Written:
    """What the analyses of an experiment have written.

    Attributes:
        name: Name of the experiment.
        methods: For each analysis that it has, the methods whose RS it is asked of.
        tables: Tables by name: "units", "layers" and those of its analyses. A table of several files is stacked.
        resamples: Of each bootstrap.
        seed: Of each bootstrap.
    """

    name: str
    methods: Mapping[str, Sequence[str]]
    tables: Mapping[str, Table]
    resamples: int
    seed: int


def records(table: Table, **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of a table in which columns have the wanted values, as records."""
    own = np.ones(len(next(iter(table.values()))), dtype=bool)
    for name, value in wanted.items():
        own &= table[name] == value
    return [{name: column[row].item() for name, column in table.items()} for row in np.flatnonzero(own)]


def _known(row: Mapping[str, Any], *columns: str) -> Interval:
    """Return an effect and the ends of its interval as a row holds them."""
    return Interval(*(float(row[name]) for name in columns))


def _why(row: Mapping[str, Any], found: Interval) -> str:
    """Return why an effect has no interval; a row's other reasons are not about it."""
    return "" if np.isfinite(found.low) else str(row["reason"])


# --- tests -----------------------------------------------------------------------------------------------------------


def order_under_scales(written: Written, score: str) -> list[Part]:
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
    table = written.tables["scale"]
    parts = []
    for layer in layers_of(table):
        unasked = records(table, layer=layer, condition="")
        parts += [Part(layer, "", text, UNDEFINED, 0, "open", note=row["reason"]) for row in unasked]
        for method in [] if unasked else written.methods["scale"]:
            rows = records(table, layer=layer, condition="kept", method=method, score=score)
            agreement = np.array([row["agreement"] for row in rows], dtype=float)
            if not moves:
                unchanged = np.array([row["mean_change"] == 0 for row in rows], dtype=bool)
                agreement[np.isnan(agreement) & unchanged] = 1.0
            found = effects.over_trainings(agreement)
            notes = [row["reason"] for row, value in zip(rows, agreement, strict=True) if np.isnan(value)]
            if notes:
                # An order that is there in some draws only has no mean over all of them.
                notes = [f"undefined in {len(notes)} of {len(rows)} draws: {notes[0]}"]
                found = found._replace(low=np.nan, high=np.nan)
            elif len(rows) < 2:
                notes = ["one draw of scales has no interval"]
            off = np.nanmax([[row["logits_change"], row["selectivity_change"]] for row in rows], initial=0.0)
            holds = rule(found)
            if off > SAME_FUNCTION:
                holds, notes = "open", [*notes, f"the function has moved: by {off:.2g}"]
            n = len(rows) if any(row["units"] for row in rows) else 0
            parts.append(Part(layer, method, text, found, n, holds, note="; ".join(notes)))
    return parts


def foretells_loss(written: Written, score: str) -> list[Part]:
    """A2: units of high RS cost less when ablated. The score asks no test image, the loss is of either half of them."""
    text = "Spearman of the score and the rise of the loss < 0"
    parts = []
    for row in records(written.tables["importance"], predictor=score):
        if row["method"] in written.methods["importance"]:
            found = _known(row, "spearman", "ci_low", "ci_high")
            parts.append(
                Part(row["layer"], row["method"], text, found, row["used"], below(found), note=_why(row, found))
            )
    return parts


def stands_in(written: Written, score: str) -> list[Part]:
    """A3: a unit of high RS and its substitutes cost more together than one by one, and more so than random units.

    High has two readings, and the claim is of both: RS of 0.5 or more, and RS at or above the median of the units that
    are asked.
    """
    texts = {
        "half": "median interaction over its controls, units with RS >= 0.5, > 0",
        "median": "median interaction over its controls, units with RS from the median on, > 0",
    }
    parts = []
    for row in records(written.tables["joint"]):
        if row["method"] in written.methods["joint"]:
            found = _known(row, "effect", "ci_low", "ci_high")
            note = "; ".join(
                filter(None, [f"median RS {row['border']:.2f}" * (row["high"] == "median"), row["reason"]])
            )
            holds = above(found)
            parts.append(Part(row["layer"], row["method"], texts[row["high"]], found, row["n"], holds, note=note))
    return parts


def order_of_removal(written: Written, score: str) -> list[Part]:
    """A4: more is left where units of high RS go first than in random order, and less where those of low RS do.

    The effect is the area under the accuracy over the mean area of the random orders. The interval of the table is over
    images alone, in which any one order differs from the mean of others. So it is widened by what one random order may
    differ from that mean: Student's prediction interval of the random orders' areas.
    """
    areas_of, curves = written.tables["areas"], written.tables["curves"]
    predicted = {"ascending": ("<", below), "descending": (">", above)}
    parts = []
    keys = dict.fromkeys(zip(areas_of["layer"].tolist(), areas_of["clamp"].tolist(), strict=True))
    for layer, clamp in keys:
        chance = one_random_order(curves, layer, clamp)
        for method, direction in product(written.methods["cumulative"], DIRECTIONS):
            name, (sign, rule) = f"{score}_{method}", predicted[direction]
            where = "" if layer else ", all layers together"
            text = f"area under accuracy - that of random orders, {direction}, clamp {clamp}{where} {sign} 0"
            for row in records(areas_of, layer=layer, clamp=clamp, score=name, direction=direction):
                found = difference(_known(row, "accuracy_over", "accuracy_over_low", "accuracy_over_high"), chance)
                n = row["scored"] or _scored(written.tables["units"], layer, name)
                note = row["reason"] or ("" if np.isfinite(chance.low) else "fewer than two random orders")
                parts.append(Part(layer, method, text, found, n, rule(found), note=note))
    return parts


def one_random_order(curves: Table, layer: str, clamp: str) -> Interval:
    """Return how far the area under one random order's accuracy may lie from the mean of those drawn: 0, with 95 %.

    Student's prediction interval of a further draw, t sd sqrt(1 + 1 / k) from k draws; NaN from fewer than two.

    Args:
        curves: Rows of an order and point.
        layer: Whose units are removed; empty where all layers lose units.
        clamp: What they are clamped to.
    """
    own = (curves["layer"] == layer) & (curves["clamp"] == clamp) & (curves["score"] == RANDOM)
    draws = np.unique(curves["draw"][own])
    if len(draws) < 2:
        return Interval(0.0, np.nan, np.nan)
    found = []
    for draw in draws:
        rows = own & (curves["draw"] == draw)
        order = np.argsort(curves["fraction"][rows])
        found.append(areas(curves["fraction"][rows][order], curves["accuracy"][rows][order][:, None])[0])
    half = scipy.stats.t.ppf(0.975, len(draws) - 1) * np.std(found, ddof=1) * np.sqrt(1 + 1 / len(draws))
    return Interval(0.0, -float(half), float(half))


def _scored(units: Table, layer: str, column: str) -> int:
    """Return how many units have a score that gives no order: those of a layer, or of all where none is named."""
    own = rows_of(units, layer) if layer else units
    return int(np.isfinite(own[column].astype(float)).sum())


def reliable_and_above_nulls(written: Written, score: str) -> list[Part]:
    """A5: RS is reliable over noise seeds, and its correlation with selectivity lies above that of every null.

    The nulls are those that were asked: RS on the start images, permuted labels, the untrained network, and the ascent
    with its sign turned: RS of the minimum, of each method that minimizes.
    """
    rated = f"ICC(2,k) of the score over noise seeds >= {RELIABLE}"
    methods = written.methods["reliability"]
    parts = []
    for row in records(written.tables["reliability"], score=score):
        if row["method"] in methods:
            found = _known(row, "icc", "icc_low", "icc_high")
            holds = at_least(found, RELIABLE)
            note = _why(row, found)
            parts.append(Part(row["layer"], row["method"], rated, found, row["used"], holds, note=note))
    nulls = records(written.tables["nulls"], score=score)
    for own in nulls:
        if own["method"] not in methods or own["null"] != REAL:
            continue
        for row in nulls:
            flipped = row["null"] == MINIMIZED
            if row["layer"] != own["layer"] or row["null"] == REAL or not (flipped or row["method"] == own["method"]):
                continue
            found = difference(*(_known(one, "spearman", "ci_low", "ci_high") for one in (own, row)))
            null = f"{row['null']}' ({row['method']})" if flipped else f"{row['null']}'"
            text = f"Spearman with selectivity, over that of the null '{null} > 0"
            note = "; ".join(dict.fromkeys(filter(None, [own["reason"], row["reason"]])))
            n = min(own["used"], row["used"])
            parts.append(Part(own["layer"], own["method"], text, found, n, above(found), note=note))
    return parts


def same_on_natural_images(written: Written, score: str) -> list[Part]:
    """A6: RS on a unit's own top natural images goes with RS on the image made for it."""
    text = f"Spearman of the score on natural images and on those made > {AGREES}"
    parts = []
    for layer, method in product(layers_of(written.tables["units"]), written.methods["natural"]):
        row = correlation_of(written.tables["layers"], layer, method, f"{score}_natural", score)
        found = _known(row, "spearman", "ci_low", "ci_high")
        note = row["reason"]
        if score == "rs" and not note:
            note = "both sides have the units' scales in common"
        parts.append(Part(layer, method, text, found, row["used"], above(found, AGREES), note=note))
    return parts


def unequal_substitutes(written: Written, score: str) -> list[Part]:
    """A7: a few units stand in for many: Gini's coefficient of the in-degrees lies above that of random substitutes.

    The interval is what 95 % of the draws of the null leave: the observed coefficient less either end of theirs.
    """
    text = "Gini of in-degrees over its mean by chance > 0"
    parts = []
    for row in records(written.tables["graph"], score=score):
        if row["method"] in written.methods["graph"]:
            effect, low, high = (row["gini"] - row[f"gini_null{end}"] for end in ("", "_high", "_low"))
            found = Interval(effect, low, high)
            note = row["reason"] or ("" if np.isfinite(low) else "too few draws for an interval")
            parts.append(Part(row["layer"], row["method"], text, found, row["targets"], above(found), note=note))
    return parts


def most_are_inhibited(written: Written, score: str) -> list[Part]:
    """A8: the image made for a unit by IAM silences most other units of its layer. Dead units are no targets."""
    text = f"median share of the other units inhibited > {MOST}"
    table, units = written.tables["inhibition"], written.tables["units"]
    parts = []
    for layer, method in product(layers_of(table), written.methods["inhibition"]):
        dead = rows_of(units, layer)["dead"]
        shares = np.where(dead, np.nan, by_unit(table, layer, method, len(dead)))
        seed = generator(written.seed, "claims", "A8", layer, method)
        found = bootstrapped(effects.median, shares, resamples=written.resamples, seed=seed)
        n = int(np.isfinite(shares).sum())
        reasons = dict.fromkeys(row["reason"] for row in records(table, layer=layer, method=method) if row["reason"])
        note = "" if np.isfinite(found.low) else "; ".join(reasons) if not n else f"no interval from {n} units"
        parts.append(Part(layer, method, text, found, n, above(found, MOST), note=note))
    return parts


# --- the claims ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AnalysisClaim:
    """What an analysis decides.

    Attributes:
        source: The analysis.
        text: What it says, in our words.
        parts: The test, given a score.
        tables: The tables of the analysis that the test reads, by the names under which it does.
        scores: What it is asked of.
    """

    source: str
    text: str
    parts: Callable[[Written, str], list[Part]]
    tables: Mapping[str, type[Schema]] = field(default_factory=dict)
    scores: Sequence[str] = RS_SCORES


ANALYSIS_CLAIMS: Mapping[str, AnalysisClaim] = {
    "A1": AnalysisClaim(
        "scale",
        "Scales that leave the function as it is move the order of raw RS, and not that of RS (z) and RS (q).",
        order_under_scales,
        {"scale": ScaleTable},
    ),
    "A2": AnalysisClaim(
        "importance", "Units with high RS matter less when ablated.", foretells_loss, {"importance": ImportanceTable}
    ),
    "A3": AnalysisClaim(
        "joint",
        "Substitutes stand in: a unit of high RS and they cost more together than one by one, beyond random units.",
        stands_in,
        {"joint": JointTable},
        ("rs",),
    ),
    "A4": AnalysisClaim(
        "cumulative",
        "More is left where units of high RS are removed first than in random order, less where those of low RS are.",
        order_of_removal,
        {"areas": AreasTable, "curves": CurvesTable},
    ),
    "A5": AnalysisClaim(
        "reliability",
        "RS is reliable, and its correlation with selectivity lies above its nulls.",
        reliable_and_above_nulls,
        {"reliability": ReliabilityTable, "nulls": NullsTable},
    ),
    "A6": AnalysisClaim(
        "natural", "RS on a unit's natural images goes with RS on the image made for it.", same_on_natural_images
    ),
    "A7": AnalysisClaim(
        "graph", "A few units stand in for many, more than by chance.", unequal_substitutes, {"graph": GraphsTable}
    ),
    "A8": AnalysisClaim(
        "inhibition",
        "The image made for a unit by IAM silences most other units of its layer.",
        most_are_inhibited,
        {"inhibition": InhibitionTable},
        ("inhibited",),
    ),
}
"""Claims of one experiment, by the analysis that they are asked of."""

EVIDENCE = {name: schema for claim in ANALYSIS_CLAIMS.values() for name, schema in claim.tables.items()}
"""Tables that the claims read, by the names under which they do."""

TRAINING = "training time"
"""Source of A9. It is about several experiments, the checkpoints of one training, and stands beside their table."""

TEXTS = {
    **{name: claim.text for name, claim in ANALYSIS_CLAIMS.items()},
    "A9": "The correlation of RS with class selectivity comes with training: it is higher at the last epoch than at the"
    " first.",
}
"""What each claim says."""


def verdict(parts: Sequence[Part]) -> str:
    """Return the verdict over the parts that ask about anything: all of them hold, one does not, or neither."""
    return all_hold([part for part in parts if part.n])


def analysis_answers(written: Written) -> dict[str, np.ndarray]:
    """Answer the claims of those analyses that an experiment has.

    Returns:
        The columns of `ClaimsTable`, one row per part; `source` is the analysis.
    """
    rows = []
    for name, claim in ANALYSIS_CLAIMS.items():
        if claim.source in written.methods:
            # Without a method to ask, there may be no table.
            scores = claim.scores if written.methods[claim.source] else ()
            by_score = {score: claim.parts(written, score) for score in scores}
            if not any(by_score.values()):
                note = "no method or score of the experiment is one that this is asked of"
                by_score = {claim.scores[0]: [Part("", "", claim.source, UNDEFINED, 0, "open", note=note)]}
            for score, parts in by_score.items():
                rows += [record(written.name, name, claim.source, score, part, verdict(parts)) for part in parts]
    return ClaimsTable.of_rows(rows)


def training_answers(training: Table, methods: Sequence[str]) -> dict[str, np.ndarray]:
    """Answer A9 from the joined table of a training's checkpoints: one training by itself, units are the sample.

    The correlations of the first and of the last epoch are of the same units; their difference is taken as that of
    independent ones, which makes the interval too wide where they go together.

    Args:
        training: As `training_time.joined` returns it.
        methods: Those that maximize.

    Returns:
        The columns of `ClaimsTable`; `experiment` is that of the last checkpoint; one verdict per training and score.
    """
    text = "Spearman with selectivity, last epoch - first > 0"
    rows = []
    for seed, score in product(dict.fromkeys(training["seed"].tolist()), RS_SCORES):
        own = records(training, seed=seed, score=score)
        epochs = [row["epoch"] for row in own]
        first, last = (
            {(row["layer"], row["method"]): row for row in own if row["epoch"] == end}
            for end in (min(epochs), max(epochs))
        )
        parts = []
        for (layer, method), row in last.items():
            if method in methods:
                before = first[layer, method]
                found = difference(*(_known(one, "spearman", "ci_low", "ci_high") for one in (row, before)))
                whys = {f"epoch {one['epoch']}": one["reason"] for one in (before, row) if one["reason"]}
                note = "; ".join(f"{when}: {why}" for when, why in whys.items())
                n = min(row["used"], before["used"])
                parts.append(Part(layer, method, text, found, n, above(found), note=note))
        name = next(iter(last.values()))["experiment"]
        rows += [record(name, "A9", TRAINING, score, part, verdict(parts)) for part in parts]
    return ClaimsTable.of_rows(rows)
