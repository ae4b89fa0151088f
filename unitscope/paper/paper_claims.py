"""The claims of Chen et al. 2018, each with its test on an experiment's tables, and the verdicts.

The rules were fixed before any experiment was run. A claim is supported where the interval lies on the predicted side
for every layer (and method) that it names, contradicted where it lies wholly on the other side for any, and else
inconclusive; exceptions are said where they are made. Claims about raw RS are asked of `rs_z` and `rs_q` as well, which
do not depend on the scales of the units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.evidence import Evidence
from unitscope.claims.verdicts import (
    Part,
    all_hold,
    any_holds,
    place,
    record,
)
from unitscope.paper.figure_claims import (
    exceeded_twice,
    falls_with_depth,
    irregular,
    irregular_verdict,
    lower_quartile,
    lower_under_iam,
    one_step,
    quadrants,
    same_in_each,
    same_trend,
    selective_and_unexceeded,
    selectivity_correlation,
    small_without_diversity,
)
from unitscope.paper.question import V1_SCORES, Question
from unitscope.paper.text_claims import (
    fades_with_depth,
    generalizes_worse,
    matters_less,
    not_critical,
    selective_trainings,
)
from unitscope.stats.correlation import holm
from unitscope.tables.table_access import layers_of


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
    parts: Callable[[Question], list[Part]]
    scores: Sequence[str] = V1_SCORES
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


def paper_claims_table(
    claims: Mapping[str, Mapping[str, Sequence[str]]],
    experiments: Mapping[str, Evidence],
    experiment: str,
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Answer claims from an experiment's tables.

    Args:
        claims: For each claim, "layers" and "experiments": which ones it names.
        experiments: All experiments that are named, and the own one.
        experiment: Name of the own experiment.
        resamples: Of each bootstrap.
        seed: Of each bootstrap.

    Returns:
        The columns of `ClaimsTable`, one row per part.
    """
    rows: list[dict[str, Any]] = []
    families = []
    for name in sorted(claims, key=place):
        claim, where = CLAIMS[name], claims[name]
        for score in claim.scores:
            question = Question(
                experiments[experiment],
                [layer for layer in layers_of(experiments[experiment].units) if layer in where["layers"]],
                [experiments[other] for other in where["experiments"]],
                score,
                resamples,
                seed,
            )
            parts = [_explained(part) for part in claim.parts(question)]
            for part in parts:
                reading = [other for other in parts if other.layer == part.layer] if claim.by_layer else parts
                rows.append(record(experiment, name, claim.source, score, part, claim.verdict(reading)))
                families.append((claim.family or claim.source, score))
    p_values = np.array([row["p_value"] for row in rows], dtype=float)
    adjusted = np.full(len(rows), np.nan)
    for family in dict.fromkeys(families):
        in_family = np.array([other == family for other in families])
        adjusted[in_family] = holm(p_values[in_family])
    for row, p in zip(rows, adjusted.tolist(), strict=True):
        row["p_holm"] = p
    return ClaimsTable.of_rows(rows)


def _explained(part: Part) -> Part:
    """Return a part with a note where a value is missing."""
    if part.note or np.isfinite(part.estimate.value):
        return part
    return replace(part, note="undefined: a score is missing, or the same for all units")
