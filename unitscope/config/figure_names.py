"""Names of the figures of an experiment: those that its rules draw, and no left-overs of earlier settings."""

from collections.abc import Mapping
from typing import Any

from unitscope.config.resolve import iam_methods

OVERVIEWS = (
    *("selectivity_rs", "selectivity_rs_z", "selectivity_rs_q", "depth", "substitutes"),
    *("ablation", "ablation_rs_z", "ablation_rs_q"),
)
"""Figures of every experiment with real images."""

OF_ANALYSES = {
    "scale": ("scale",),
    "natural": ("natural", "natural_z", "natural_q"),
    "importance": ("importance",),
    "reliability": ("nulls",),
    "joint": ("joint",),
    "cumulative": ("cumulative",),
    "graph": ("graph",),
    "inhibition": ("inhibition",),
}
"""Figures of each analysis."""

BY_LAYER = ("sheet", "responses")
"""Figures of each layer and method."""


def figures_of(experiment: Mapping[str, Any], analysis: str) -> tuple[str, ...]:
    """Return the figures of an analysis of an experiment; joint ablation has none without a method of IAM."""
    return () if analysis == "joint" and not iam_methods(experiment) else OF_ANALYSES[analysis]


def overviews(experiment: Mapping[str, Any], dataset: str | None) -> list[str]:
    """Return the figures of an experiment over all layers; none where its network has no data set."""
    if dataset is None:
        return []
    return [*OVERVIEWS, *(name for analysis in experiment["analyses"] for name in figures_of(experiment, analysis))]


def layer_figures(experiment: Mapping[str, Any]) -> list[str]:
    """Return the figures of single layers and methods."""
    return [
        f"{layer}.{method}.{kind}"
        for layer in experiment["layers"]
        for method in experiment["methods"]
        for kind in BY_LAYER
    ]
