"""The claim about a training's checkpoints, A9: whether the correlation of RS with selectivity comes with training."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from unitscope.claims.analysis_results import records, verdict
from unitscope.claims.claims_columns import ClaimsTable
from unitscope.claims.verdicts import Part, above, record
from unitscope.scores.score_names import RS_SCORES
from unitscope.stats.effects import difference
from unitscope.stats.estimate import Estimate
from unitscope.tables.table_access import Table

TRAINING = "training time"
"""Source of A9. It is about several experiments, the checkpoints of one training, and stands beside their table."""


def training_claims_table(training: Table, methods: Sequence[str]) -> dict[str, np.ndarray]:
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
        score_rows = records(training, seed=seed, score=score)
        epochs = [row["epoch"] for row in score_rows]
        first, last = (
            {(row["layer"], row["method"]): row for row in score_rows if row["epoch"] == end}
            for end in (min(epochs), max(epochs))
        )
        parts = []
        for (layer, method), row in last.items():
            if method in methods:
                before = first[layer, method]
                estimate = difference(
                    *(Estimate.from_row(one, "spearman", "ci_low", "ci_high") for one in (row, before))
                )
                whys = {f"epoch {one['epoch']}": one["reason"] for one in (before, row) if one["reason"]}
                note = "; ".join(f"{when}: {why}" for when, why in whys.items())
                n = min(row["used"], before["used"])
                parts.append(Part(layer, method, text, estimate, n, above(estimate), note=note))
        name = next(iter(last.values()))["experiment"]
        rows += [record(name, "A9", TRAINING, score, part, verdict(parts)) for part in parts]
    return ClaimsTable.of_rows(rows)
