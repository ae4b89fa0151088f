"""The page that compares a study with the paper: its figures under the paper's numbers, its claims with verdicts.

All that it says is taken from the experiments' tables and settings. Which experiment shows a figure follows from the
claims that it answers to.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unitscope.claims.verdicts import VERDICTS
from unitscope.config.resolve import trained_epochs
from unitscope.figures import drawing, image_figures, score_figures
from unitscope.figures.image_figures import UnitImages
from unitscope.figures.style import Style
from unitscope.paper.paper_claims import CLAIMS
from unitscope.tables.unit_tables import (
    RS_SCORES,
    Table,
    correlation_of,
    layers_of,
    median_of,
    method_name,
    methods_of,
    rows_of,
    subset,
    two_decimals,
)


@dataclass(frozen=True)
class Result:
    """An experiment, as the page needs it.

    Attributes:
        name: Name of the experiment.
        entry: Its name in the config, the same for several trainings of one recipe.
        units: Table of units.
        layers: Table of correlations.
        claims: Table of claims.
        record: The training record of its network.
        asked: The layers that each claim names.
    """

    name: str
    entry: str
    units: Table
    layers: Table
    claims: Table
    record: Mapping[str, Any]
    asked: Mapping[str, Sequence[str]]

    def answers(self, claim: str) -> bool:
        """Return whether the experiment answers to a claim."""
        return claim in self.asked

    def rows(self, claim: str, score: str) -> list[dict[str, Any]]:
        """Return the rows of a claim, asked of a score."""
        table = self.claims
        own = np.flatnonzero((table["claim"] == claim) & (table["score"] == score))
        return [{name: column[row].item() for name, column in table.items()} for row in own]

    def layers_named(self, *claims: str) -> list[str]:
        """Return the layers that claims name, in the order of the network."""
        named = {layer for claim in claims for layer in self.asked.get(claim, ())}
        return [layer for layer in layers_of(self.units) if layer in named]


# --- figures ---------------------------------------------------------------------------------------------------------

WIDE = 9.5
"""Inches of a figure that shows three scores by two methods side by side."""


def draw(
    style: Style, figure: str, own: Result, trainings: Sequence[Result], images: Mapping[tuple[str, str], UnitImages]
) -> bytes:
    """Return a figure of the paper, drawn from an experiment, as PNG.

    Args:
        style: How it looks.
        figure: "fig1" to "fig6".
        own: The experiment.
        trainings: It and the other trainings of its entry.
        images: Of layer and method, where the figure shows images.
    """
    wide = replace(style, width=WIDE)

    def scatter(methods: Sequence[str], *claims: str) -> list[Any]:
        layers = own.layers_named(*claims)
        if not layers:
            # A figure answers to several claims, and the experiment is asked for others of them.
            return []
        table = subset(own.units, layers, methods)
        return [score_figures.selectivity_rs(wide, table, own.layers, *RS_SCORES)]

    def by_depth(claim: str) -> Any:
        layers = own.layers_named(claim)
        if len(trainings) > 1:
            return score_figures.trend(wide, [one.layers for one in trainings], layers)
        return score_figures.depth(wide, subset(own.units, layers, methods_of(own.units)), own.layers)

    if figure == "fig1":
        parts = scatter(("am", "iam"), "C1")
    elif figure == "fig2":
        parts = [image_figures.substitutes(style, subset(own.units, own.layers_named("C6"), ("iam",)), images)]
    elif figure == "fig3":
        parts = [*scatter(("iam",), "C7"), by_depth("C8")]
    elif figure == "fig4":
        spread = score_figures.spread(wide, own.units, *RS_SCORES)
        parts = [*scatter(("am", "iam"), "C10", "C11"), spread, by_depth("C12")]
    elif figure == "fig5":
        parts = scatter(("am", "iam"), "C13")
    else:
        parts = [*scatter(("am", "iam"), "C14"), by_depth("C15")]
    return drawing.stacked(style, parts)


def _by_entry(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the trainings of each entry of the config."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.entry, []).append(result)
    return found


# --- texts -----------------------------------------------------------------------------------------------------------


def claim_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row a claim and entry of the config: what it says, what was found, and the verdicts of all trainings.

    Returns:
        For each: claim, source, text, entry, layer (where each layer is a reading of its own), statistic, found (the
        parts of the first training), verdict (under the claim's own score) and others (the verdicts under the
        scale-free scores, by score).
    """
    rows = []
    for name, claim in CLAIMS.items():
        for entry, group in _by_entry([result for result in results if result.answers(name)]).items():
            parts = group[0].rows(name, claim.scores[0])
            readings = dict.fromkeys(part["layer"] for part in parts) if claim.by_layer else [None]
            for layer in readings:
                own = [part for part in parts if layer in (None, part["layer"])]
                verdicts = {score: _verdicts(group, name, score, layer) for score in claim.scores}
                rows.append(
                    {
                        "claim": name,
                        "source": claim.source,
                        "text": claim.text + (f" ({layer})" if layer else ""),
                        "entry": entry,
                        "layer": layer or "",
                        "statistic": list(dict.fromkeys(part["statistic"] for part in own)),
                        "found": _found(own),
                        "verdict": verdicts[claim.scores[0]],
                        "others": {score: verdicts.get(score, "") for score in RS_SCORES[1:]},
                    }
                )
    return rows


def _verdicts(group: Sequence[Result], claim: str, score: str, layer: str | None) -> str:
    """Return the verdict, or how many trainings came to which."""
    found = Counter(
        next(row["verdict"] for row in result.rows(claim, score) if layer in (None, row["layer"])) for result in group
    )
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{verdict} ({count} of {len(group)})" for verdict, count in found.most_common())


DIVIDED = "trainings differ"
"""In place of a verdict, where trainings of one network came to different ones."""
OTHER_SCORES = "other scores"
"""In place of a score of RS, for claims that are not about RS."""


def verdict_rows(claims: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a verdict: the claims that came to it by score of RS, and those that are about other scores.

    Args:
        claims: As `claim_rows` gives them. A claim of several entries or layers is named with each of them.

    Returns:
        For each: verdict, and claims by score (`OTHER_SCORES` for the last).
    """
    asked = Counter(row["claim"] for row in claims)
    rows: dict[str, dict[str, list[str]]] = {}
    for row in claims:
        where = ", ".join(filter(None, [row["entry"], row["layer"]])) if asked[row["claim"]] > 1 else ""
        name = f"{row['claim']} ({where})" if where else row["claim"]
        own = CLAIMS[row["claim"]].scores[0]
        for score, verdict in {own if own in RS_SCORES else OTHER_SCORES: row["verdict"], **row["others"]}.items():
            if verdict:
                verdict = verdict if verdict in VERDICTS else DIVIDED
                rows.setdefault(verdict, {}).setdefault(score, []).append(name)
    return [{"verdict": verdict, "claims": rows[verdict]} for verdict in (*VERDICTS, DIVIDED) if verdict in rows]


def sensitivity_rows(compared: Sequence[Mapping[str, str]], layers: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Return Spearman of RS and selectivity of each compared variant, training, layer and score.

    Args:
        compared: As `comparison.variants` gives it.
        layers: The table of correlations of each experiment.
    """
    rows = []
    for one in compared:
        table = layers[one["experiment"]]
        for layer in layers_of(table):
            for score in RS_SCORES:
                found = correlation_of(table, layer, one["method"], "selectivity", score)
                kept = ("spearman", "ci_low", "ci_high", "used", "reason")
                rows.append({**one, "layer": layer, "score": score, **{key: found[key] for key in kept}})
    return rows


def sensitivity_ranges(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a layer, objective and score: the default's mean over trainings, and the variants' extremes.

    A variant whose correlation is undefined in a training has no mean: it is counted apart, and is neither extreme.
    """
    found = []
    for place, every in _means_over_trainings(rows, "variant").items():
        means = {variant: mean for variant, mean in every.items() if np.isfinite(mean)}
        lowest, highest = (choose(means, key=means.__getitem__, default=None) for choose in (min, max))
        undefined = len(every) - len(means)
        found.append(
            {
                **dict(zip(PLACE, place, strict=True)),
                "default": number(means.get("default", np.nan)),
                "lowest": f"{number(means[lowest])} ({lowest})" if lowest else "-",
                "highest": f"{number(means[highest])} ({highest})" if highest else "-",
                "positive": f"{sum(value > 0 for value in means.values())} of {len(means)}"
                + (f", {undefined} undefined" if undefined else ""),
            }
        )
    return found


def by_length(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    """Return how Spearman of RS and selectivity goes on with the length of an ascent, or of a training.

    Args:
        rows: As `sensitivity_rows` gives them.
        key: "steps" or "epochs"; rows in which it is None differ in more than the length.

    Returns:
        lengths: ascending; rows: a row a layer, objective and score, with its mean over the trainings at each
        length, as text.
    """
    own = [row for row in rows if row[key] is not None]
    lengths = sorted({row[key] for row in own})
    return {
        "lengths": lengths,
        "rows": [
            {
                **dict(zip(PLACE, place, strict=True)),
                "means": [number(means[length]) if length in means else "-" for length in lengths],
            }
            for place, means in _means_over_trainings(own, key).items()
        ],
    }


def accuracies_by_epochs(compared: Sequence[Mapping[str, Any]], records: Mapping[str, Any]) -> dict[int, list[str]]:
    """Return the test accuracies that trainings of each length reached, as text.

    Args:
        compared: As `comparison.variants` gives it.
        records: The training record of each network of which `epochs` is known.
    """
    networks = {one["network"]: one["epochs"] for one in compared if one["epochs"] is not None}
    found: dict[int, list[str]] = {}
    for network, epochs in networks.items():
        found.setdefault(epochs, []).append(f"{records[network]['test']['accuracy']:.1%}")
    return found


PLACE = ("layer", "objective", "score")
"""Where the variants of a sensitivity study are compared."""


def _means_over_trainings(rows: Sequence[Mapping[str, Any]], key: str) -> dict[tuple[str, ...], dict[Any, float]]:
    """Return the mean Spearman by place and then by a key of the rows; NaN where a training's is undefined."""
    values: dict[tuple[str, ...], dict[Any, list[float]]] = {}
    for row in rows:
        place = tuple(row[name] for name in PLACE)
        values.setdefault(place, {}).setdefault(row[key], []).append(float(row["spearman"]))
    return {place: {name: float(np.mean(own)) for name, own in by_name.items()} for place, by_name in values.items()}


def training_ranges(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return how far trainings of one network differ in Spearman of RS and selectivity.

    Returns:
        A row a layer and method of each entry with several: entry, layer, method, trainings (how many), and ranges, the
        lowest and the highest by score, as text.
    """
    rows = []
    for entry, group in _by_entry(results).items():
        if len(group) < 2:
            continue
        units = group[0].units
        for layer, method in ((layer, method) for layer in layers_of(units) for method in methods_of(units)):
            ranges = {
                score: _range_text(
                    [
                        float(correlation_of(one.layers, layer, method, "selectivity", score)["spearman"])
                        for one in group
                    ]
                )
                for score in RS_SCORES
            }
            rows.append({"entry": entry, "layer": layer, "method": method, "trainings": len(group), "ranges": ranges})
    return rows


def _range_text(values: Sequence[float]) -> str:
    """Return the lowest and the highest of those that are defined, and how many those are where some are not."""
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return "undefined"
    text = f"{number(min(known))} to {number(max(known))}"
    return text if len(known) == len(values) else f"{text} (defined in {len(known)})"


MOST_PARTS = 8
"""Parts of a claim that are listed one by one; of more, the range is given."""


def _found(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    by_statistic: dict[str, list[Mapping[str, Any]]] = {}
    for part in parts:
        by_statistic.setdefault(part["statistic"], []).append(part)
    texts = []
    for group in by_statistic.values():
        if len(group) <= MOST_PARTS:
            texts += [_part_text(part) for part in group]
            continue
        held = Counter(part["holds"] for part in group)
        counts = ", ".join(f"{word} in {held[word]}" for word in ("yes", "no", "open") if held[word])
        texts.append(f"{_of_what(group)}: {_range_text([part['effect'] for part in group])}; {counts}")
    return texts


def _of_what(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return what parts of one statistic are about: how many layers, and of which methods where those are several."""
    layers = {part["layer"] for part in parts}
    methods = list(dict.fromkeys(part["method"] for part in parts))
    if len(layers) * len(methods) != len(parts):
        return f"{len(parts)} comparisons"
    return f"{len(layers)} layers" + (f", {', '.join(map(method_name, methods))}" if len(methods) > 1 else "")


def _part_text(part: Mapping[str, Any]) -> str:
    where = " ".join(
        filter(None, [part["layer"], ", ".join(map(method_name, filter(None, part["method"].split(":"))))])
    )
    interval = "no interval"
    if np.isfinite(part["ci_low"]):
        level = "" if part["level"] == 0.95 else f" ({part['level']:.0%})"
        interval = f"[{number(part['ci_low'])}, {number(part['ci_high'])}]{level}"
    value = f"{number(part['effect'])} {interval}, n = {part['n']}"
    if np.isfinite(part["p_holm"]):
        value += f", p = {part['p_holm']:.2g}"
    value += f" ({part['note']})" if part["note"] else ""
    return f"{where}: {value}" if where else value


def number(value: float) -> str:
    """Return a number for people."""
    if not np.isfinite(value):
        return "undefined"
    return two_decimals(value) if abs(value) < 100 else f"{value:.0f}"


def network_rows(results: Sequence[Result], datasets: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Return a row an entry of the config: its network, how it was trained, and its test accuracy or accuracies.

    Args:
        results: The experiments.
        datasets: Of each data set, the number of its "classes", and of its "train" and "test" images.
    """
    rows = []
    for entry, group in _by_entry(results).items():
        settings = group[0].record["settings"]
        accuracies = [result.record.get("test", {}).get("accuracy", np.nan) for result in group]
        rows.append(
            {
                "entry": entry,
                "model": settings["model"],
                "dataset": settings["dataset"],
                "images": datasets.get(settings["dataset"]),
                "training": _training_text(settings),
                "head": "a linear head fitted here" if settings["head"] else "",
                "accuracies": [f"{accuracy:.1%}" for accuracy in accuracies],
            }
        )
    return rows


def _training_text(network: Mapping[str, Any]) -> str:
    if not network["training"]:
        return "given weights"
    epochs, all_epochs = trained_epochs(network), network["training"]["epochs"]
    length = str(epochs) if epochs == all_epochs else f"{epochs} of {all_epochs}"
    return f"{length} epoch" + "s" * (all_epochs != 1)


def layer_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row a layer of each entry's first training: units, those with RS, dead ones, medians, correlations.

    Of what depends on the method, values by method (and score).
    """
    rows = []
    for entry, group in _by_entry(results).items():
        own = group[0]
        methods = methods_of(own.units)
        for layer in layers_of(own.units):
            units = rows_of(own.units, layer)
            correlations = {
                (method, score): float(correlation_of(own.layers, layer, method, "selectivity", score)["spearman"])
                for method in methods
                for score in RS_SCORES
            }
            rows.append(
                {
                    "entry": entry,
                    "layer": layer,
                    "units": len(units["unit"]),
                    "scored": {
                        method: str(int(((units[f"seeds_{method}"] > 0) & ~units["dead"]).sum())) for method in methods
                    },
                    "dead": int(units["dead"].sum()),
                    "selectivity": number(median_of(units, "selectivity")),
                    "rs": {
                        (method, score): number(median_of(units, f"{score}_{method}")) for method, score in correlations
                    },
                    "spearman": {key: number(value) for key, value in correlations.items()},
                }
            )
    return rows


def memory_table(table: Table) -> dict[str, Any]:
    """Return what jobs took, to be printed: "experiments", the columns, and "rules", each with "rule" and "cells".

    Args:
        table: A row a rule and experiment, with peak_mib and seconds (of the longest job).

    Example:
        >>> took = {"rule": ["atlas"], "experiment": ["mlp"], "peak_mib": [310], "seconds": [4]}
        >>> memory_table({name: np.array(column) for name, column in took.items()})["rules"]
        [{'rule': 'atlas', 'cells': ['310 (4 s)']}]
    """
    rules, experiments, peaks, seconds = (
        table[name].tolist() for name in ("rule", "experiment", "peak_mib", "seconds")
    )
    texts = [f"{peak} ({longest} s)" for peak, longest in zip(peaks, seconds, strict=True)]
    cells = dict(zip(zip(rules, experiments, strict=True), texts, strict=True))
    names = list(dict.fromkeys(experiments))
    return {
        "experiments": names,
        "rules": [
            {"rule": rule, "cells": [cells.get((rule, name), "-") for name in names]} for rule in dict.fromkeys(rules)
        ],
    }


CAPTIONS = {
    "fig1": (
        "RS in its three forms against class selectivity in the first and third convolution, under AM and IAM; each "
        "point is a unit.",
        "selective units have a high RS and unselective ones a low RS, a little lower under IAM.",
        ("C1", "C2", "C3", "C4", "C5"),
    ),
    "fig2": (
        "The IAM image of the most selective unit that two others exceed on it, beside theirs.",
        "their images show what the unit looks for, and more.",
        ("C6",),
    ),
    "fig3": (
        "Above, RS in its three forms against selectivity in the fully connected layers; below, their correlation by "
        "depth.",
        "a high selectivity with RS at 0 above; below, a positive correlation that falls with depth.",
        ("C7", "C8", "C9"),
    ),
    "fig4": (
        "RS in its three forms against selectivity in layers 1 and 3, and in layers 9 and 11; then RS and its "
        "correlation by depth.",
        "low RS of unselective units in the early layers, a small RS of all units in the late ones, and one step.",
        ("C10", "C11", "C12"),
    ),
    "fig5": (
        "RS in its three forms against selectivity in the hidden layers.",
        "about one RS for all units of a layer.",
        ("C13",),
    ),
    "fig6": (
        "RS in its three forms against selectivity in layers 3 and 11, and their correlation by depth.",
        "many unselective units at low RS, and a correlation that follows no rule.",
        ("C14", "C15"),
    ),
}
"""What a figure shows, what the paper leads to expect, and the claims that answer to it."""


BY_TRAINING = ("fig3", "fig4", "fig6")
"""Figures whose course over depth has a line for each training, where there are several."""


def caption(
    figure: str, own: Result, trainings: Sequence[Result], claims: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what is said below a figure: number, name, shows, expected, experiment, claims with their verdicts.

    The arguments are those of `draw`, and what `claim_rows` gives.
    """
    shows, expected, answered = CAPTIONS[figure]
    rows = [row for row in claims if row["claim"] in answered]
    return {
        "name": figure,
        "number": figure.removeprefix("fig"),
        "shows": shows,
        "expected": expected,
        "experiment": own.name,
        "trainings": len(trainings) if figure in BY_TRAINING else 1,
        "claims": rows,
        "several": len({row["entry"] for row in rows}) > 1,
    }
