"""The paper's figures, drawn from the experiments that answer to their claims, and their captions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from unitscope.figures import depth_figures, drawing, score_figures, substitutes_figure
from unitscope.figures.style import Style
from unitscope.figures.unit_images import UnitImages
from unitscope.paper.results import Result
from unitscope.scores.score_names import RS_SCORES
from unitscope.tables.table_access import methods_of, subset

WIDE = 12.5
"""Inches of a figure that shows four scores by two methods side by side."""


def draw(
    style: Style, figure: str, result: Result, trainings: Sequence[Result], images: Mapping[tuple[str, str], UnitImages]
) -> bytes:
    """Return a figure of the paper, drawn from an experiment, as PNG.

    Args:
        style: How it looks.
        figure: "fig1" to "fig6".
        result: The experiment.
        trainings: It and the other trainings of its entry.
        images: Of layer and method, where the figure shows images.
    """
    wide = replace(style, width=WIDE)

    def scatter(methods: Sequence[str], *claims: str) -> list[Any]:
        layers = result.layers_named(*claims)
        if not layers:
            # A figure answers to several claims, and the experiment is asked for others of them.
            return []
        table = subset(result.units, layers, methods)
        return [score_figures.selectivity_rs(wide, table, result.layers, *RS_SCORES)]

    def by_depth(claim: str) -> Any:
        layers = result.layers_named(claim)
        if len(trainings) > 1:
            return depth_figures.trend(wide, [one.layers for one in trainings], layers)
        return depth_figures.depth(wide, subset(result.units, layers, methods_of(result.units)), result.layers)

    if figure == "fig1":
        parts = scatter(("am", "iam"), "C1")
    elif figure == "fig2":
        parts = [
            substitutes_figure.substitutes(style, subset(result.units, result.layers_named("C6"), ("iam",)), images)
        ]
    elif figure == "fig3":
        parts = [*scatter(("iam",), "C7"), by_depth("C8")]
    elif figure == "fig4":
        spread = depth_figures.spread(wide, result.units, *RS_SCORES)
        parts = [*scatter(("am", "iam"), "C10", "C11"), spread, by_depth("C12")]
    elif figure == "fig5":
        parts = scatter(("am", "iam"), "C13")
    else:
        parts = [*scatter(("am", "iam"), "C14"), by_depth("C15")]
    return drawing.stacked(style, parts)


CAPTIONS = {
    "fig1": (
        "RS in its four forms against class selectivity in the first and third convolution, under AM and IAM; each "
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
        "Above, RS in its four forms against selectivity in the fully connected layers; below, their correlation by "
        "depth.",
        "a high selectivity with RS at 0 above; below, a positive correlation that falls with depth.",
        ("C7", "C8", "C9"),
    ),
    "fig4": (
        "RS in its four forms against selectivity in layers 1 and 3, and in layers 9 and 11; then RS and its "
        "correlation by depth.",
        "low RS of unselective units in the early layers, a small RS of all units in the late ones, and one step.",
        ("C10", "C11", "C12"),
    ),
    "fig5": (
        "RS in its four forms against selectivity in the hidden layers.",
        "about one RS for all units of a layer.",
        ("C13",),
    ),
    "fig6": (
        "RS in its four forms against selectivity in layers 3 and 11, and their correlation by depth.",
        "many unselective units at low RS, and a correlation that follows no rule.",
        ("C14", "C15"),
    ),
}
"""What a figure shows, what the paper leads to expect, and the claims that answer to it."""
BY_TRAINING = ("fig3", "fig4", "fig6")
"""Figures whose course over depth has a line for each training, where there are several."""


def caption(
    figure: str, result: Result, trainings: Sequence[Result], claims: Sequence[Mapping[str, Any]]
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
        "experiment": result.name,
        "trainings": len(trainings) if figure in BY_TRAINING else 1,
        "claims": rows,
        "several": len({row["entry"] for row in rows}) > 1,
    }
