"""A claim of the paper as it is put to an experiment: its layers, its scores, its bootstraps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unitscope.claims.evidence import Evidence
from unitscope.claims.verdicts import (
    Part,
    within,
)
from unitscope.randomness import generator
from unitscope.stats.bootstrap import TOO_FEW_VALUES, bootstrap
from unitscope.stats.correlation import Correlation, spearman
from unitscope.stats.estimate import Estimate
from unitscope.tables.table_access import correlation_of, rows_of

V1_SCORES = ("rs", "rs_z", "rs_q")
"""Forms of RS that the claims are asked of: fixed with their rules, whatever forms are added later."""
FROZEN_OFF_MODE = 0
"""The rules were fixed before intervals were left out where a score has too few distinct values, and do so nowhere."""
NO_RELATION = 0.2
"""A correlation within plus or minus this is no relation."""


@dataclass(frozen=True)
class Question:
    """A claim as it is put to an experiment.

    Attributes:
        evidence: Of the experiment.
        layers: The layers that the claim names, in the order of the network.
        others: The experiments that it is compared with; for a claim about trainings, all trainings of the network.
        score: "rs", "rs_z" or "rs_q".
        resamples: Of each bootstrap.
        seed: Of each bootstrap.
    """

    evidence: Evidence
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
        rows = rows_of(self.evidence.units, layer)
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
        rule: Callable[[Estimate], str],
        level: float = 0.95,
    ) -> "Part":
        """Return an effect of columns of a layer's living units, and whether its interval lies as a rule predicts."""
        scores = self.columns(layer, *columns)
        seed = self.generator(statistic, layer, method)
        estimate = bootstrap(
            effect, *scores, level=level, resamples=self.resamples, seed=seed, fewest_off_mode=FROZEN_OFF_MODE
        )
        n = self.scored(layer, *columns).shape[1]
        return Part(layer, method, statistic, estimate, n, rule(estimate), level=level)

    def selectivity_correlation(self, layer: str, method: str) -> Correlation:
        """Return the correlation of selectivity and the score in the table of layers, always with its interval.

        The table leaves out intervals of scores with too few distinct values, which it had when the rules were fixed:
        the same resamples are drawn again.
        """
        row = correlation_of(self.evidence.layers, layer, method, "selectivity", self.score)
        estimate, reason = Estimate.from_row(row, "spearman", "ci_low", "ci_high"), row["reason"]
        if reason.startswith(TOO_FEW_VALUES):
            selectivity, rs = self.columns(layer, "selectivity", self.rs(method))
            draws = generator(self.seed, layer, method, "selectivity", self.score)
            estimate = spearman(selectivity, rs, 1, self.resamples, draws, fewest_off_mode=FROZEN_OFF_MODE)
            reason = estimate.reason
        return Correlation(estimate.value, estimate.low, estimate.high, reason, row["p_value"], row["used"])


def no_relation(estimate: Estimate) -> str:
    """Return whether the interval of a correlation says that there is none: "yes", "no" or "open"."""
    return within(estimate, (-NO_RELATION, NO_RELATION))
