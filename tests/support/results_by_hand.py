"""Experiments as the page of the reproduction reads them, written by hand."""

import numpy as np
import scores_by_hand as by_hand

from unitscope.claims.claims_columns import ClaimsTable
from unitscope.paper.results import Result


def part(claim="C1", **columns):
    """Return a row of claims.csv."""
    row = {
        **{"experiment": "first", "claim": claim, "source": "Fig. 1", "layer": "conv1", "method": "iam"},
        **{"score": "rs", "statistic": "Spearman > 0", "effect": 0.5, "ci_low": 0.25, "ci_high": 0.75, "level": 0.95},
        **{"n": 10, "p_value": np.nan, "p_holm": np.nan, "holds": "yes", "verdict": "supported", "note": ""},
    }
    return row | columns


def result(name="first", parts=(), layers=None, entry="net", claims=None, record=None, **options):
    """Return an experiment.

    Args:
        name: Its name.
        parts: Rows of its table of claims, as `part` returns them.
        layers: Numbers of units by layer.
        entry: Its entry of the config.
        claims: The layers that each claim names; by default the first layer, for all claims of `parts`.
        record: The record of its network.
        options: As `scores_by_hand.experiment` takes them.
    """
    layers = layers or {"conv1": 6, "hidden": 6}
    _, units, correlations = by_hand.experiment(layers, permutations=9, resamples=20, **options)
    claims = {one["claim"]: [next(iter(layers))] for one in parts} if claims is None else claims
    return Result(name, entry, units, correlations, ClaimsTable.of_rows(list(parts)), record or {}, claims)
