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

import numpy as np

from unitscope.claims.analysis_results import AnalysisResults, verdict
from unitscope.claims.analysis_tests import (
    most_are_inhibited,
    order_of_removal,
    order_under_scales,
    predicts_loss,
    reliable_and_above_nulls,
    same_on_natural_images,
    stands_in,
    unequal_substitutes,
)
from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.verdicts import Part, record
from unitscope.interventions.cumulative_columns import AreasTable, CurvesTable
from unitscope.interventions.joint_columns import JointTable
from unitscope.interventions.scale_columns import ScaleTable
from unitscope.scores.graph_columns import GraphsTable
from unitscope.scores.score_names import NATURAL_FORMS, RS_SCORES
from unitscope.stats.estimate import undefined
from unitscope.storage.columns import Schema
from unitscope.tables.importance_columns import ImportanceTable
from unitscope.tables.inhibition_columns import InhibitionTable
from unitscope.tables.reliability_columns import NullsTable, ReliabilityTable


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
    parts: Callable[[AnalysisResults, str], list[Part]]
    tables: Mapping[str, type[Schema]] = field(default_factory=dict)
    scores: Sequence[str] = RS_SCORES


ANALYSIS_CLAIMS: Mapping[str, AnalysisClaim] = {
    "A1": AnalysisClaim(
        "scale",
        "Scales that leave the function as it is move the order of raw RS, and not that of RS (z), RS (q) and RS (r).",
        order_under_scales,
        {"scale": ScaleTable},
    ),
    "A2": AnalysisClaim(
        "importance",
        "Units with high RS matter less when ablated.",
        predicts_loss,
        {"importance": ImportanceTable},
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
        "natural",
        "RS on a unit's natural images goes with RS on the image made for it.",
        same_on_natural_images,
        scores=NATURAL_FORMS,
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
TEXTS = {
    **{name: claim.text for name, claim in ANALYSIS_CLAIMS.items()},
    "A9": "The correlation of RS with class selectivity comes with training: it is higher at the last epoch than at the"
    " first.",
}
"""What each claim says."""


def analysis_claims_table(results: AnalysisResults) -> dict[str, np.ndarray]:
    """Answer the claims of those analyses that an experiment has.

    Returns:
        The columns of `ClaimsTable`, one row per part; `source` is the analysis.
    """
    rows = []
    for name, claim in ANALYSIS_CLAIMS.items():
        if claim.source in results.methods:
            # Without a method to ask, there may be no table.
            scores = claim.scores if results.methods[claim.source] else ()
            by_score = {score: claim.parts(results, score) for score in scores}
            if not any(by_score.values()):
                note = "no method or score of the experiment is one that this is asked of"
                by_score = {claim.scores[0]: [Part("", "", claim.source, undefined(), 0, "open", note=note)]}
            for score, parts in by_score.items():
                rows += [record(results.name, name, claim.source, score, part, verdict(parts)) for part in parts]
    return ClaimsTable.of_rows(rows)
