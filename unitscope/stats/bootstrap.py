"""Percentile bootstrap over units: intervals of any statistic of units' scores (Efron 1979).

Units are drawn with replacement, within their layer where there are several. Statistics come in two forms: an effect of
the scores of one resample, and a statistic of all resamples of a block at once, given by how often each unit occurs:
ranks are cumulative sums then (`unitscope.stats.ranks`), and thousands of resamples are a few matrix products.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from unitscope.stats.estimate import Estimate, undefined

FEWEST_FOR_INTERVAL = 10
"""Fewest units for a bootstrap interval."""

FEWEST_OFF_MODE = 20
"""Fewest units that must differ from the most frequent value of a score for a bootstrap interval over units: with fewer
the resamples resemble each other, and the interval is too narrow (tests/unit/stats/test_bootstrap.py)."""

TOO_FEW_VALUES = "too few distinct values"
"""First words of the reason where it is fewer."""

MOST_UNDEFINED = 0.05
"""Largest share of resamples in which a statistic may be undefined for it to have an interval."""

BLOCK = 2**20
"""Numbers drawn at once, whatever the number of units."""

ENDS = (0.025, 0.975)
"""Quantiles of the resamples between which an interval of 95 % lies."""


def block_sizes(total: int, width: int) -> list[int]:
    """Return the sizes of the blocks in which `total` resamples of `width` numbers each are drawn."""
    size = max(1, BLOCK // max(width, 1))
    return [min(size, total - start) for start in range(0, total, size)]


def occurrences(drawn: np.ndarray) -> np.ndarray:
    """Return how often each unit occurs in each resample, (resamples, units), from the units drawn, of that shape."""
    resamples, units = drawn.shape
    places = drawn + units * np.arange(resamples)[:, None]
    return np.bincount(places.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float64)


def why_too_few_values(*scores: np.ndarray, fewest: int = FEWEST_OFF_MODE) -> str:
    """Return why scores have too few distinct values for a bootstrap interval over units; empty if they have enough.

    A value that no two units share is not a mode: continuous scores of 10 units have an interval.

    Args:
        scores: Each (units,), all finite.
        fewest: Fewest units off the mode of each score; 0 allows any.
    """
    for score in scores:
        counts = np.unique(score, return_counts=True)[1]
        at_mode = int(counts.max(initial=0))
        if at_mode > 1 and len(score) - at_mode < fewest:
            off_mode = len(score) - at_mode
            return f"{TOO_FEW_VALUES}: {off_mode} of {len(score)} units are not at the mode"
    return ""


def percentile_interval(
    value: float, resampled: np.ndarray, ends: tuple[float, float] = ENDS, what: str = "it is undefined"
) -> Estimate:
    """Return a value with its percentile interval.

    Args:
        value: The statistic of the units themselves.
        resampled: (resamples,) the statistic of each resample; NaN where it is undefined.
        ends: Quantiles between which the interval lies.
        what: What makes a resample undefined, in the words of `reason`.

    Returns:
        The interval is NaN where the statistic is undefined in over 5 % of the resamples.
    """
    defined = resampled[np.isfinite(resampled)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(resampled):
        missing = f"{len(resampled) - len(defined)} of {len(resampled)} resamples"
        return Estimate(value, reason=f"no interval: {what} in {missing}")
    low, high = np.quantile(defined, ends)
    return Estimate(value, float(low), float(high))


def bootstrap_interval(
    value: float,
    statistic: Callable[[Sequence[np.ndarray]], np.ndarray],
    units: Sequence[int],
    resamples: int,
    draws: np.random.Generator,
    *,
    ends: tuple[float, float] = ENDS,
    width: int = 1,
    what: str = "it is undefined",
) -> Estimate:
    """Return a value with its percentile bootstrap interval over units.

    Args:
        value: The statistic of the units themselves.
        statistic: Maps the units that a block of resamples consists of, (resamples, units) for each layer, to a number
            for each resample, NaN where it is undefined.
        units: Number of units of each layer.
        resamples: Number of resamples.
        draws: Generator of the resamples. Those of one layer do not depend on the size of the blocks.
        ends: Quantiles between which the interval lies.
        width: Numbers that `statistic` holds for each unit of a resample.
        what: What makes a resample undefined, in the words of `reason`.

    Returns:
        The interval is NaN where a layer has 1 to 9 units, and where the statistic is undefined in over 5 % of the
        resamples.
    """
    if not np.isfinite(value):
        return undefined("undefined")
    if reason := why_too_few_units(*units):
        return Estimate(value, reason=reason)
    return percentile_interval(value, resample(statistic, units, resamples, draws, width), ends, what)


def why_too_few_units(*units: int) -> str:
    """Return why layers of so many units have no bootstrap interval; empty where they have. No units are no layer."""
    few = any(0 < count < FEWEST_FOR_INTERVAL for count in units)
    return f"no interval below {FEWEST_FOR_INTERVAL} units" if few else ""


def _why_no_interval(
    value: float, units: Sequence[int], scores: Iterable[np.ndarray], fewest: int = FEWEST_OFF_MODE
) -> str:
    """Return why a statistic of units' scores has no interval, before any resample is drawn; empty where it may."""
    if not np.isfinite(value):
        return "undefined"
    return why_too_few_units(*units) or why_too_few_values(*scores, fewest=fewest)


def resample(
    statistic: Callable[[Sequence[np.ndarray]], np.ndarray],
    units: Sequence[int],
    resamples: int,
    draws: np.random.Generator,
    width: int = 1,
) -> np.ndarray:
    """Return a statistic of each bootstrap resample, (resamples,); the arguments are those of `bootstrap_interval`."""
    sizes = block_sizes(resamples, width * sum(units))
    return np.concatenate([statistic(_drawn(units, size, draws)) for size in sizes])


def _drawn(units: Sequence[int], size: int, draws: np.random.Generator) -> list[np.ndarray]:
    """Return the units of `size` resamples, (size, units) for each layer; resamples are drawn one after the other."""
    if len(units) == 1:
        return [draws.integers(max(units[0], 1), size=(size, units[0]))]
    resamples = [[draws.integers(max(count, 1), size=count) for count in units] for _ in range(size)]
    return [np.stack(layer) for layer in zip(*resamples, strict=True)]


def bootstrap_weighted(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scores: np.ndarray,
    resamples: int,
    draws: np.random.Generator,
    related: int | None = None,
) -> Estimate:
    """Return a statistic of weighted units with its percentile bootstrap interval over units.

    Args:
        statistic: Maps scores (scores, units) and weights (resamples, units) to a number for each resample, NaN where
            it is undefined.
        scores: (scores, units); a unit that is NaN in any of them is left out.
        resamples: Number of resamples.
        draws: Generator of the resamples.
        related: Number of scores, the first ones, of which `FEWEST_OFF_MODE` units must differ from the mode; None
            stands for all. The others are controls.

    Returns:
        The interval is NaN where `bootstrap_interval` leaves it out, and for scores of too few distinct values.
    """
    scores = np.asarray(scores, dtype=np.float64)
    scores = scores[:, np.isfinite(scores).all(0)]
    units = scores.shape[1]
    value = float(statistic(scores, np.ones((1, units)))[0]) if units else np.nan
    if reason := _why_no_interval(value, [units], scores[:related]):
        return Estimate(value, reason=reason)
    return bootstrap_interval(
        value,
        lambda drawn: statistic(scores, occurrences(drawn[0])),
        [units],
        resamples,
        draws,
        width=len(scores),
    )


def bootstrap(
    effect: Callable[..., float],
    *scores: np.ndarray,
    level: float = 0.95,
    resamples: int = 2_000,
    seed: int | np.random.Generator = 0,
    fewest_off_mode: int = FEWEST_OFF_MODE,
) -> Estimate:
    """Return an effect of units' scores with its percentile bootstrap interval over units.

    Args:
        effect: Maps the scores to a number, NaN where it is undefined.
        scores: Each (units,); a unit that is NaN in any of them is left out.
        level: Share of resamples between the ends.
        resamples: Number of resamples.
        seed: Of the resamples, or a generator.
        fewest_off_mode: Fewest units that must differ from the mode of each score. 0 where the sample does not consist
            of units, as for a number per training.

    Returns:
        The interval is NaN where `bootstrap_interval` leaves it out, and for scores of too few distinct values.
    """
    return bootstrap_layers(
        lambda values: values[0], effect, [scores], level, resamples, seed, fewest_off_mode=fewest_off_mode
    )


def bootstrap_layers(
    course: Callable[[np.ndarray], float],
    effect: Callable[..., float],
    layers: Sequence[Sequence[np.ndarray]],
    level: float = 0.95,
    resamples: int = 2_000,
    seed: int | np.random.Generator = 0,
    fewest_off_mode: int = FEWEST_OFF_MODE,
) -> Estimate:
    """Return a number from an effect in several layers, with its interval: units are resampled within their layer.

    Args:
        course: Maps the effects of all layers (layers,) to a number, NaN where it is undefined.
        effect: Maps the scores of a layer to a number.
        layers: The scores of each layer, as `bootstrap` takes them. A layer without units has the effect NaN.
        level: Share of resamples between the ends.
        resamples: Number of resamples.
        seed: Of the resamples, or a generator.
        fewest_off_mode: As `bootstrap` takes it, for each layer.

    Returns:
        The interval is NaN where `bootstrap_interval` leaves it out, and for scores of too few distinct values.
    """
    tables = [np.stack([np.asarray(score, dtype=np.float64) for score in scores]) for scores in layers]
    tables = [table[:, np.isfinite(table).all(0)] for table in tables]

    def value(chosen: Sequence[np.ndarray]) -> float:
        return float(course(np.array([effect(*table) if table.size else np.nan for table in chosen])))

    def statistic(drawn: Sequence[np.ndarray]) -> np.ndarray:
        resampled = zip(*drawn, strict=True)
        return np.array(
            [value([table[:, units] for table, units in zip(tables, one, strict=True)]) for one in resampled]
        )

    units, whole = [table.shape[1] for table in tables], value(tables)
    scores_of_all = [score for table in tables for score in table]
    if reason := _why_no_interval(whole, units, scores_of_all, fewest_off_mode):
        return Estimate(whole, reason=reason)
    return bootstrap_interval(
        whole,
        statistic,
        units,
        resamples,
        np.random.default_rng(seed),
        ends=((1 - level) / 2, (1 + level) / 2),
    )
