"""How far RS and class selectivity can be trusted: their reliability, and what their relation is where there is none.

A score that another noise seed or other images would change hides a relation; a relation that stands as well on images
of nothing, under labels that mean nothing or in a network that has learnt nothing, is none of what was learnt. Tables
and arrays in, tables out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unitscope.data.summaries import group_means
from unitscope.randomness import generator
from unitscope.scores.score_names import RS_SCORES
from unitscope.scores.selectivity import class_selectivity
from unitscope.scores.substitution import Exceeding, by_seed
from unitscope.stats.bootstrap import bootstrap_weighted
from unitscope.stats.correlation import why_undefined
from unitscope.stats.estimate import undefined
from unitscope.stats.ranks import rank_correlations
from unitscope.stats.reliabilities import disattenuated, intraclass, spearman_brown
from unitscope.tables.reliability_columns import (
    MINIMIZED,
    PERMUTED,
    REAL,
    START,
    UNTRAINED,
    NullsTable,
    ReliabilityTable,
)
from unitscope.tables.table_access import Table, layers_of, rows_of


@dataclass(frozen=True)
class ScoresBySeed:
    """RS of a layer's target units by one method, on the images made for them and on those that they were made from.

    Attributes:
        units: (targets,).
        minimized: Whether the images minimize.
        generated: Of the images, by score.
        start: The same of the start images.
    """

    units: np.ndarray
    minimized: bool
    generated: Mapping[str, Exceeding]
    start: Mapping[str, Exceeding]

    @classmethod
    def of(
        cls,
        units: np.ndarray,
        responses: np.ndarray,
        start_responses: np.ndarray,
        scales: Mapping[str, np.ndarray],
        preactivations: np.ndarray | None = None,
    ) -> "ScoresBySeed":
        """Score responses (seeds, targets, units), given `mean`, `std` and `quantile` (units,) where there are any.

        Args:
            units: (targets,).
            responses: To the images.
            start_responses: To the start images.
            scales: Of real images.
            preactivations: (seeds, targets, units) where the images minimize: the units that go lower exceed. They have
                no scales, and the start images are no null of them.
        """
        if preactivations is None:
            generated, start = (by_seed(of_images, units, **scales) for of_images in (responses, start_responses))
            return cls(units, False, generated, start)
        of_preactivations = by_seed(-preactivations, units)
        return cls(
            units,
            True,
            of_preactivations,
            {
                score: replace(exceeding, counts=exceeding.counts * np.nan)
                for score, exceeding in of_preactivations.items()
            },
        )


# --- reliability -----------------------------------------------------------------------------------------------------


def reliability_table(
    units: Table,
    taps: Sequence[Mapping[str, Any]],
    by_method: Mapping[tuple[str, str], ScoresBySeed],
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the reliability of RS and of selectivity, and their correlation with and without it, by layer and method.

    RS is rated by each noise seed (`intraclass`), selectivity by each half of the test images: the rank correlation of
    the halves, stepped up by `spearman_brown`. The formulas are of linear correlations; that they are applied to
    Spearman's here is an approximation. All columns of a row are of the same units: alive, not silent in any seed, with
    a selectivity on both halves.

    Args:
        units: The units table of one experiment.
        taps: A record a layer, with `layer`, `depth` and `units`.
        by_method: By layer and method.
        resamples: Of the bootstrap, which resamples units and computes all anew, the reliabilities too.
        seed: Of the bootstrap.
    """
    rows = []
    for tap, (layer, method), scores in _in_order(taps, by_method):
        target_units = {name: column[scores.units] for name, column in rows_of(units, layer).items()}
        for score in RS_SCORES:
            draws = (seed, "reliability", layer, method, score)
            row = _reliability(target_units, scores.generated[score], f"{score}_{method}", resamples, draws)
            named = {"experiment": units["experiment"][0], **{key: tap[key] for key in ("layer", "depth", "units")}}
            rows.append({**named, "method": method, "score": score, **row})
    return ReliabilityTable.of_rows(rows)


def _reliability(
    target_units: Table, exceeding: Exceeding, name: str, resamples: int, seed: tuple[int | str, ...]
) -> dict[str, Any]:
    exceeding = exceeding.comparable()
    seeds = len(exceeding.counts)
    # Counts for RS, whose share they are: sums of them tie where RS does.
    scores = np.concatenate(
        [
            [target_units["selectivity_half0"], target_units["selectivity_half1"], target_units["selectivity"]],
            exceeding.counts,
        ]
    )
    scores = scores[:, ~target_units["dead"] & np.isfinite(scores).all(0)]
    used = scores.shape[1]
    reasons = []
    if used < 3:
        reasons.append(f"only {used} units have {name} in every seed and selectivity on both halves")
        scores = np.full((3 + seeds, 3), np.nan)
    single, icc = (float(value[0]) for value in intraclass(scores[3:]))
    half = float(rank_correlations(scores[:2])[0, 0, 1]) if used > 2 else np.nan
    reliability = float(spearman_brown(np.array(half)))
    plain = corrected = rated = undefined()
    if used > 2:
        rated = bootstrap_weighted(_icc, scores[3:], resamples, generator(*seed))
        plain = bootstrap_weighted(_correlation, _related(scores), resamples, generator(*seed))
        corrected = bootstrap_weighted(_corrected, scores, resamples, generator(*seed))
        if not np.isfinite(plain.value):
            mean = scores[3:].mean(0)
            which = (name, mean[0] / exceeding.competitors) if np.ptp(mean) == 0 else ("selectivity", scores[2, 0])
            plain = undefined(f"{which[0]} is {which[1]:.4g} for all {used} units")
        reasons.append(plain.reason)
        if seeds < 2:
            reasons.append("one noise seed: RS has no reliability")
        elif not icc > 0:
            reasons.append(
                "RS is the same for all units and seeds" if np.isnan(icc) else "reliability of RS not above 0"
            )
        if not reliability > 0:
            reasons.append("reliability of selectivity not above 0")
        reasons += [estimate.reason for estimate in (rated, corrected) if np.isfinite(estimate.value)]
    return {
        **{"used": used, "seeds": seeds, "icc_single": single, "icc": icc},
        **{"split_half": half, "selectivity_reliability": reliability},
        **plain.columns("spearman", "ci_low", "ci_high"),
        **corrected.columns("disattenuated", "disattenuated_low", "disattenuated_high"),
        "reason": "; ".join(dict.fromkeys(filter(None, reasons))),
        **{"icc_low": rated.low, "icc_high": rated.high},
    }


def _related(scores: np.ndarray) -> np.ndarray:
    """Return selectivity (the third score) and the mean over seeds of RS (the fourth and later), (2, units)."""
    return np.stack([scores[2], scores[3:].mean(0)])


def _icc(ratings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return intraclass(ratings, weights)[1]


def _corrected(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    half = rank_correlations(scores[:2], weights)[:, 0, 1]
    return disattenuated(_correlation(_related(scores), weights), _icc(scores[3:], weights), spearman_brown(half))


# --- nulls -----------------------------------------------------------------------------------------------------------


def permuted_draws(values: np.ndarray, labels: np.ndarray, classes: int, draws: int, seed: int) -> np.ndarray:
    """Return the class selectivity (draws, units) of activations (images, units) under permuted labels.

    The labels of a draw are the same for every layer.
    """
    positive, sizes = np.maximum(values, 0), np.bincount(labels, minlength=classes)
    shuffled = (generator("nulls", seed, draw).permutation(labels) for draw in range(draws))
    return np.stack([class_selectivity(group_means(positive, one, sizes)) for one in shuffled])


def nulls_table(
    units: Table,
    taps: Sequence[Mapping[str, Any]],
    by_method: Mapping[tuple[str, str], ScoresBySeed],
    permuted: Mapping[str, np.ndarray],
    untrained: Table | None,
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the relation of RS and selectivity beside what it is where there is nothing to be found.

    A row a layer, method, score and null. "none" is the real thing ("minimized" where a method's images minimize); for
    "start" RS is that on the images that the ascent starts from, where the unit answers them; for "permuted",
    selectivity is that under permuted labels; "untrained" is the same network before training, another experiment.

    Args:
        units: The units table of one experiment.
        taps: A record a layer, with `layer`, `depth` and `units`.
        by_method: By layer and method.
        permuted: For each layer, selectivity under permuted labels (draws, units); no layer where there are no labels.
        untrained: The units table of the untrained network, if one is named.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        The columns of nulls.csv: the mean RS of the units used, and Spearman's correlation of RS and selectivity with
        its bootstrap interval over units; of permuted labels the mean over draws, and what 95 % of them lie between.
    """
    rows = []
    for tap, (layer, method), scores in _in_order(taps, by_method):
        layer_units = rows_of(units, layer)
        alive, selectivity = ~layer_units["dead"], layer_units["selectivity"]
        for score in RS_SCORES:
            column, draws = f"{score}_{method}", (seed, "nulls", layer, method, score)
            real = np.where(alive, layer_units[column], np.nan)
            start = np.full(len(alive), np.nan)
            start[scores.units] = scores.start[score].mean()
            kinds = {
                MINIMIZED if scores.minimized else REAL: _relation(real, selectivity, column, resamples, draws),
                PERMUTED: _under_permuted(real, permuted.get(layer), column),
            }
            if not scores.minimized:
                name = f"{score} on start images"
                kinds[START] = _relation(np.where(alive, start, np.nan), selectivity, name, resamples, draws)
            if untrained is not None:
                kinds[UNTRAINED] = _untrained(untrained, layer, column, len(alive), resamples, draws)
            named = {"experiment": units["experiment"][0], **{key: tap[key] for key in ("layer", "depth", "units")}}
            rows += [{**named, "method": method, "score": score, "null": kind, **row} for kind, row in kinds.items()]
    return NullsTable.of_rows(rows)


def _relation(
    rs: np.ndarray, selectivity: np.ndarray, name: str, resamples: int, seed: tuple[int | str, ...]
) -> dict[str, Any]:
    kept = np.isfinite(rs) & np.isfinite(selectivity)
    correlation = undefined(why_undefined(rs, selectivity, kept, (name, "selectivity")))
    if not correlation.reason:
        correlation = bootstrap_weighted(_correlation, np.stack([rs, selectivity]), resamples, generator(*seed))
    return {
        **{"used": int(kept.sum()), "rs": float(rs[kept].mean()) if kept.any() else np.nan},
        **correlation.columns("spearman", "ci_low", "ci_high"),
        "reason": correlation.reason,
    }


def _correlation(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return rank_correlations(scores, weights)[:, 0, 1]


def _under_permuted(rs: np.ndarray, permuted: np.ndarray | None, name: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("rs", "spearman", "ci_low", "ci_high"), np.nan)
    if permuted is None:
        return {"used": 0, **nothing, "reason": "there are no classes"}
    kept = np.isfinite(rs) & np.isfinite(permuted).all(0)
    if reason := why_undefined(rs, permuted[0], kept, (name, "selectivity")):
        return {"used": int(kept.sum()), **nothing, "reason": reason}
    correlations = rank_correlations(np.concatenate([[rs[kept]], permuted[:, kept]]))[0, 0, 1:]
    low, high = np.nanquantile(correlations, [0.025, 0.975])
    mean = {"rs": float(rs[kept].mean()), "spearman": float(np.nanmean(correlations))}
    return {"used": int(kept.sum()), **mean, "ci_low": float(low), "ci_high": float(high), "reason": ""}


def _untrained(
    table: Table, layer: str, column: str, units: int, resamples: int, seed: tuple[int | str, ...]
) -> dict[str, Any]:
    nothing = {"used": 0, **dict.fromkeys(("rs", "spearman", "ci_low", "ci_high"), np.nan)}
    name = table["experiment"][0]
    if layer not in layers_of(table):
        return {**nothing, "reason": f"experiment {name} has no layer {layer}"}
    layer_units = rows_of(table, layer)
    if column not in layer_units or len(layer_units["unit"]) != units:
        return {**nothing, "reason": f"experiment {name} has no {column} of {units} units"}
    rs = np.where(layer_units["dead"], np.nan, layer_units[column])
    return _relation(rs, layer_units["selectivity"], column, resamples, (*seed, UNTRAINED))


def _in_order(
    taps: Sequence[Mapping[str, Any]], by_method: Mapping[tuple[str, str], ScoresBySeed]
) -> list[tuple[Mapping[str, Any], tuple[str, str], ScoresBySeed]]:
    """Return taps, (layer, method) and scores by the layers' order, methods as they come."""
    return [(tap, key, scores) for tap in taps for key, scores in by_method.items() if key[0] == tap["layer"]]
