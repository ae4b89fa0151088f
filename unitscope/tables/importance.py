"""Does RS foretell what ablation costs? Predictors of the ablation loss within each layer, alone and together.

Units are scored on one half of the test images and ablated on the other, halves swapped, so that noise that both share
is no relation. And the relation of RS and selectivity, given what else tells units apart. Tables in, tables out: the
predictors themselves come from `unitscope.scores.predictors` and the tables of the experiment.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from unitscope.randomness import generator
from unitscope.scores.score_names import RS_SCORES
from unitscope.stats.bootstrap import FEWEST_FOR_INTERVAL, bootstrap_weighted
from unitscope.stats.correlation import why_undefined
from unitscope.stats.estimate import undefined
from unitscope.stats.ranks import partial_correlation, rank_correlations, ranks
from unitscope.stats.reliabilities import ceiling, images_needed, of_half
from unitscope.tables.importance_columns import ImportanceTable, PartialLossTable, PartialTable
from unitscope.tables.importance_settings import ImportanceSettings
from unitscope.tables.table_access import Table, methods_of, rows_of

DATA_SIDE = ("selectivity", "mean", "std", "firing_rate", "redundancy")
"""Predictors that are measured on test images, and so on either half of them."""

CONTROLS = ("mean", "std", "firing_rate", "weight_norm")
"""What the relation of RS and selectivity is asked given."""

WITHOUT_RS, WITH_RS = "all_but_rs", "all"
"""Names of the two sets of predictors: all but RS, and these with the four forms of RS by a method."""

LOG_MEAN = "log_mean"
"""Logarithm of the mean activation."""

LOSS_CONTROLS = ("redundancy", LOG_MEAN)
"""What the relation of RS and the ablation loss is asked given, one at a time."""

GRADIENT_SIDE = ("first_order", "integrated", "compensation")
"""Predictors from the gradients of the loss on either half of the test images; compensation is the first-order effect
minus the ablation loss, both on the half."""

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps scores (scores, units) and weights (resamples, units) to (resamples,)."""

UNITS_A_COEFFICIENT = 3
"""Fewer units than this for each coefficient of a regression, and its R2 says nothing."""


@dataclass(frozen=True)
class Predictor:
    """A score of a layer's units that might foretell their ablation loss.

    Attributes:
        method: Method of the images that it stands on; empty where it stands on none.
        name: Its name.
        halves: (2, units), from either half of the test images; equal where it needs none.
        in_sets: Whether it belongs to the sets of predictors. What gradients or other removals of the unit show of its
            loss does not: the sets ask what RS adds to what is known without them.
    """

    method: str
    name: str
    halves: np.ndarray
    in_sets: bool = True


def predictors_of(
    units: Table, measured: Table, gradients: Table | None = None, shapley: Table | None = None
) -> list[Predictor]:
    """Return the predictors of a layer's living units.

    Args:
        units: The rows of the layer in the units table.
        measured: The rows of the layer in predictors.csv, in the same order.
        gradients: Those in gradients/{layer}.csv, likewise; None leaves its predictors out.
        shapley: Those in shapley/{layer}.csv, likewise.
    """
    alive = ~units["dead"]
    predictors = []
    for name in DATA_SIDE:
        table = units if name == "selectivity" else measured
        predictors.append(Predictor("", name, np.stack([table[f"{name}_half{half}"][alive] for half in (0, 1)])))
    predictors.append(Predictor("", "weight_norm", np.stack([measured["weight_norm"][alive]] * 2)))
    for name, source in (("first_order", gradients), ("integrated", gradients), ("shapley", shapley)):
        if source is not None:
            of_halves = np.stack([source[f"{name}_half{half}"][alive] for half in (0, 1)])
            predictors.append(Predictor("", name, of_halves, in_sets=False))
    if gradients is not None:
        effects = [gradients[f"first_order_half{half}"] - units[f"ablation_loss_half{half}"] for half in (0, 1)]
        predictors.append(Predictor("", "compensation", np.stack(effects)[:, alive], in_sets=False))
    for method in methods_of(units):
        predictors += [
            Predictor(method, score, np.stack([units[f"{score}_{method}"][alive]] * 2)) for score in RS_SCORES
        ]
    return predictors


def cross_half_correlation(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of a predictor with the ablation loss, each from another half of the test images.

    `effects.across_halves` of all resamples of a bootstrap at once: the mean of both pairs of halves.

    Args:
        scores: (4, units): the predictor by half, then the loss by half.
        weights: (resamples, units).

    Returns:
        (resamples,)
    """
    correlations = rank_correlations(scores, weights)
    return (correlations[:, 0, 3] + correlations[:, 1, 2]) / 2


def cross_validated_r2(
    predictors: np.ndarray, losses: np.ndarray, folds: int, repeats: int, draws: np.random.Generator
) -> float:
    """Return how much of the ranks of units' ablation loss a linear regression on ranks of predictors foretells.

    Both sides are ranked among the layer's units: losses are skewed, and a few units would decide. The units are parted
    into folds; each is foretold by least squares on the others. R2 = 1 - (squared errors) / (squared distances from the
    mean of the units fitted on), summed over the folds; the mean over several partings, and over both ways round of the
    halves. Below 0 the predictors foretell worse than no predictor. There is no bootstrap interval: a resample has
    copies of a unit on both sides of a parting.

    Args:
        predictors: (2, predictors, units), by half.
        losses: (2, units), by half.
        folds: Number of folds.
        repeats: Number of partings.
        draws: What they are drawn from.
    """
    units = losses.shape[1]
    r2_by_repeat = []
    for _ in range(repeats):
        part = draws.permutation(units) % folds
        for half in (0, 1):
            columns = [np.ones(units), *(ranks(score) / units for score in predictors[half])]
            design, target = np.stack(columns, 1), ranks(losses[1 - half])
            errors = distances = 0.0
            for number in range(folds):
                held = part == number
                fit = np.linalg.lstsq(design[~held], target[~held], rcond=None)[0]
                errors += float(((target[held] - design[held] @ fit) ** 2).sum())
                distances += float(((target[held] - target[~held].mean()) ** 2).sum())
            r2_by_repeat.append(1 - errors / distances if distances else np.nan)
    return float(np.mean(r2_by_repeat))


def importance_table(
    units: Table,
    measured: Table,
    taps: Sequence[Mapping[str, Any]],
    settings: ImportanceSettings,
    resamples: int,
    *,
    gradients: Table | None = None,
    shapley: Table | None = None,
    images: int | None = None,
) -> dict[str, np.ndarray]:
    """Return how well each predictor foretells the ablation loss, by layer, dead units left out.

    Args:
        units: The units table of one experiment.
        measured: Its predictors.csv.
        taps: A record a layer, with `layer`, `depth` and `units`.
        settings: `folds`, `repeats` and `seed`.
        resamples: Of the bootstrap.
        gradients: Its gradients/{layer}.csv, all layers under one another; None leaves these predictors out.
        shapley: Its shapley/{layer}.csv, likewise.
        images: Number of test images that ablation losses are measured on, both halves; None where it is not known.

    Returns:
        The columns of importance.csv, a row a layer and predictor (`method` is empty where it stands on no images
        made), then for each method one for all predictors but RS and one for these with its four forms of RS, both of
        the same units.
    """
    rows = []
    for tap in taps:
        layer_units, layer_measures = rows_of(units, tap["layer"]), rows_of(measured, tap["layer"])
        losses = np.stack([layer_units[f"ablation_loss_half{half}"][~layer_units["dead"]] for half in (0, 1)])
        optional = [None if table is None else rows_of(table, tap["layer"]) for table in (gradients, shapley)]
        predictors = predictors_of(layer_units, layer_measures, *optional)
        named = {"experiment": layer_units["experiment"][0], **{key: tap[key] for key in ("layer", "depth", "units")}}
        layer_rows = [
            *_alone(predictors, losses, tap["layer"], settings, resamples, images),
            *_together(predictors, losses, tap["layer"], settings),
        ]
        rows += [{**named, **row} for row in layer_rows]
    return ImportanceTable.of_rows(rows)


def _alone(
    predictors: Sequence[Predictor],
    losses: np.ndarray,
    layer: str,
    settings: ImportanceSettings,
    resamples: int,
    images: int | None,
) -> Iterator[dict[str, Any]]:
    for predictor in predictors:
        name = (settings.seed, "importance", layer, predictor.method, predictor.name)
        kept = np.isfinite(np.concatenate([predictor.halves, losses])).all(0)
        reason = _why_undefined(predictor.halves, losses, predictor.name)
        correlation = undefined(reason)
        r2, unfit = np.nan, ""
        if not reason:
            scores = np.concatenate([predictor.halves, losses])
            correlation = bootstrap_weighted(cross_half_correlation, scores, resamples, generator(*name, "bootstrap"))
            r2, unfit = _fitted(predictor.halves[:, None, kept], losses[:, kept], settings, generator(*name, "folds"))
        yield {
            **{"method": predictor.method, "predictor": predictor.name, "used": int(kept.sum())},
            **correlation.columns("spearman", "ci_low", "ci_high"),
            **{"r2": r2, "reason": "; ".join(filter(None, [correlation.reason, unfit]))},
            **_reliabilities(predictor.halves[:, kept], losses[:, kept], images),
        }


def _reliabilities(predictor: np.ndarray, losses: np.ndarray, images: int | None) -> dict[str, float]:
    """Return the reliabilities of what is correlated: of a predictor (2, units) and of the loss (2, units) on a half.

    That of a predictor which needs no test image, and so is equal on both, is not known here.
    """
    of_predictor = np.nan if np.array_equal(*predictor) else of_half(*predictor)
    of_loss = of_half(*losses)
    return {
        **{"reliability_x": of_predictor, "reliability_y": of_loss, "ceiling": ceiling(of_predictor, of_loss)},
        "images_needed": images_needed(of_loss, images / 2) if images else np.nan,
    }


def _together(
    predictors: Sequence[Predictor], losses: np.ndarray, layer: str, settings: ImportanceSettings
) -> Iterator[dict[str, Any]]:
    for method in dict.fromkeys(predictor.method for predictor in predictors if predictor.method):
        available = [each for each in predictors if each.method in ("", method) and each.in_sets]
        left_out = {predictor.name: _why_undefined(predictor.halves, losses, predictor.name) for predictor in available}
        reasons = [f"without {name}: {reason}" for name, reason in left_out.items() if reason]
        available = [predictor for predictor in available if not left_out[predictor.name]]
        # The same units and partings for both, so that their difference is what RS adds.
        kept = np.isfinite(np.concatenate([losses, *(predictor.halves for predictor in available)])).all(0)
        for name, subset in (
            (WITHOUT_RS, [predictor for predictor in available if not predictor.method]),
            (WITH_RS, available if any(predictor.method for predictor in available) else []),
        ):
            r2, unfit = np.nan, "no R2: no predictor of the set is defined"
            if subset:
                draws = generator(settings.seed, "importance", layer, "together")
                stack = np.stack([predictor.halves[:, kept] for predictor in subset], axis=1)
                r2, unfit = _fitted(stack, losses[:, kept], settings, draws)
            yield {
                **{"method": method, "predictor": name, "used": int(kept.sum())},
                **undefined().columns("spearman", "ci_low", "ci_high"),
                "r2": r2,
                "reason": "; ".join([*filter(None, [unfit]), *reasons]),
                **dict.fromkeys(("reliability_x", "reliability_y", "ceiling", "images_needed"), np.nan),
            }


def _fitted(
    predictors: np.ndarray, losses: np.ndarray, settings: ImportanceSettings, draws: np.random.Generator
) -> tuple[float, str]:
    """Return R2 of predictors (2, predictors, units), and why there is none."""
    count, units = predictors.shape[1:]
    least = max(FEWEST_FOR_INTERVAL, UNITS_A_COEFFICIENT * (count + 1))
    if units < least:
        return np.nan, f"no R2: {count} predictors need {least} units" if count > 1 else f"no R2 below {least} units"
    if (np.ptp(losses, axis=1) == 0).any():
        return np.nan, "no R2: the loss is the same for all units"
    return cross_validated_r2(predictors, losses, settings.folds, settings.repeats, draws), ""


def _why_undefined(predictor: np.ndarray, losses: np.ndarray, name: str) -> str:
    """Return why a predictor (2, units) has no correlation with losses (2, units); empty where it has one."""
    kept = np.isfinite(np.concatenate([predictor, losses])).all(0)
    names = ("ablation_loss", name)
    reasons = (why_undefined(losses[1 - half], predictor[half], kept, names) for half in (0, 1))
    return next(filter(None, reasons), "")


# --- RS and selectivity, given the rest ------------------------------------------------------------------------------


def partial_table(
    units: Table, measured: Table, taps: Sequence[Mapping[str, Any]], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the rank correlation of RS and selectivity given `CONTROLS`, beside the plain one, by layer and method.

    Both are of the same units (those that have all of it) and, for their intervals, of the same resamples; formula and
    source in `ranks.partial_correlation`. What is the same for all units is given by itself and left out.

    Args:
        units: The units table of one experiment.
        measured: Its predictors.csv.
        taps: A record a layer, with `layer`, `depth` and `units`.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    rows = []
    for tap in taps:
        layer_units, layer_measures = rows_of(units, tap["layer"]), rows_of(measured, tap["layer"])
        alive = ~layer_units["dead"]
        controls = {
            name: layer_measures[name][alive] for name in CONTROLS if np.isfinite(layer_measures[name][alive]).any()
        }
        for method in methods_of(layer_units):
            for score in RS_SCORES:
                pair = [layer_units[f"{score}_{method}"][alive], layer_units["selectivity"][alive]]
                related = dict(zip((f"{score}_{method}", "selectivity"), pair, strict=True))
                seeds = (seed, tap["layer"], method, score)
                partial_row = _partial_row(related, controls, list(controls), (_plain, _partial), resamples, seeds)
                named = {"experiment": layer_units["experiment"][0], **{k: tap[k] for k in ("layer", "depth", "units")}}
                rows.append({**named, "method": method, "score": score, **partial_row})
    return PartialTable.of_rows(rows)


def partial_loss_table(
    units: Table,
    measured: Table,
    taps: Sequence[Mapping[str, Any]],
    resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the rank correlation of RS and the ablation loss given each of `LOSS_CONTROLS`, next to the plain one.

    The loss is measured on the half of the test images that the control is not from; the mean of both ways. If RS only
    follows a unit's scale or its redundancy, nothing is left of the relation once these are given.

    Args:
        units: The units table of one experiment.
        measured: Its predictors.csv.
        taps: One record per layer, with `layer`, `depth`, `units` and `signed`.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        The columns of `PartialLossTable`; the logarithm of the mean activation is undefined in signed layers.
    """
    rows = []
    for tap in taps:
        layer_units, layer_measures = rows_of(units, tap["layer"]), rows_of(measured, tap["layer"])
        alive = ~layer_units["dead"]
        losses = {f"ablation_loss_half{half}": layer_units[f"ablation_loss_half{half}"][alive] for half in (0, 1)}
        named = {"experiment": layer_units["experiment"][0], **{key: tap[key] for key in ("layer", "depth", "units")}}
        for method, score, given in product(methods_of(layer_units), RS_SCORES, LOSS_CONTROLS):
            related = {f"{score}_{method}": layer_units[f"{score}_{method}"][alive], **losses}
            controls = {half: _control(layer_measures, given, half, tap.get("signed", False))[alive] for half in "01"}
            seeds = (seed, "loss", tap["layer"], method, score, given)
            statistics = _plain_loss, _partial_loss
            row = _partial_row(related, controls, [given], statistics, resamples, seeds)
            if tap.get("signed", False) and given == LOG_MEAN:
                row["reason"] = "activations are signed: their mean has no logarithm"
            rows.append({**named, "method": method, "score": score, **row})
    return PartialLossTable.of_rows(rows)


def _control(measured: Table, name: str, half: str, signed: bool) -> np.ndarray:
    """Return a control (units,) on one half of the test images."""
    if name != LOG_MEAN:
        return measured[f"{name}_half{half}"]
    mean = np.where(signed, np.nan, measured[f"mean_half{half}"])
    return np.log(mean, out=np.full(len(mean), np.nan), where=mean > 0)


def _partial_row(
    related: Mapping[str, np.ndarray],
    controls: Mapping[str, np.ndarray],
    given: Sequence[str],
    statistics: tuple[Statistic, Statistic],
    resamples: int,
    seed: tuple[int | str, ...],
) -> dict[str, Any]:
    """Return a correlation and the partial one, of the same units and resamples.

    Args:
        related: Scores (units,) that are correlated, by their names for `reason`.
        controls: Scores (units,) that are given, behind them.
        given: Names of those that are given at once.
        statistics: The correlation and the partial one, of all scores, as `bootstrap_weighted` takes them.
        resamples: Of the bootstrap.
        seed: Name of its draws.
    """
    scores = np.stack([*related.values(), *controls.values()])
    scores = scores[:, np.isfinite(scores).all(0)]
    used = scores.shape[1]
    reason = ""
    for name, values in related.items():
        if not reason and not np.isfinite(values).any():
            reason = f"{name} is undefined for all units"
    if not reason and used < 3:
        reason = f"only {used} units have all of it"
    for name, values in zip(related, scores, strict=False):
        if not reason and (values == values[0]).all():
            reason = f"{name} is {values[0]:.4g} for all {used} units"
    plain = partial = undefined(reason)
    if not reason:
        plain, partial = (
            bootstrap_weighted(statistic, scores, resamples, generator(*seed, "partial"), related=len(related))
            for statistic in statistics
        )
        # Residuals on k scores have n - 1 - k degrees of freedom, and a correlation needs two of them at least.
        if used < len(given) + 4:
            partial = undefined(f"{used} units are too few, given {len(given)} scores")
        elif not np.isfinite(partial.value):
            partial = undefined("the given scores tell one of the two without a rest")
    reasons = [plain.reason, f"partial: {partial.reason}" if partial.reason and not reason else ""]
    return {
        "used": used,
        **plain.columns("spearman", "ci_low", "ci_high"),
        **partial.columns("partial", "partial_low", "partial_high"),
        **{"given": " ".join(given), "reason": "; ".join(filter(None, reasons))},
    }


def _plain(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return rank_correlations(scores[:2], weights)[:, 0, 1]


def _partial(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return partial_correlation(rank_correlations(scores, weights))


def _plain_loss(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean correlation of RS, the first of five scores, with the loss on either half, the next two."""
    correlations = rank_correlations(scores[:3], weights)
    return (correlations[:, 0, 1] + correlations[:, 0, 2]) / 2


def _partial_loss(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the same, given the control on the other half: the last two scores."""
    correlations = rank_correlations(scores, weights)
    of_halves = [correlations[:, places][:, :, places] for places in ([0, 2, 3], [0, 1, 4])]
    return (partial_correlation(of_halves[0]) + partial_correlation(of_halves[1])) / 2
