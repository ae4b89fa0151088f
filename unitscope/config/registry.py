"""The analyses that an experiment may be asked for beside its scores, each declared once, and the names of all figures.

What a config may name, which final files a run makes, which tables a claim reads, and which figures belong to an
experiment follow from here. Files are named below the folder of the experiment's results.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Experiment = Mapping[str, Any]
Names = Callable[[Experiment], list[str]]
"""Names that depend on the settings of an experiment: of methods, files or figures."""


def maximizing_methods(experiment: Experiment) -> list[str]:
    """Return the methods of an experiment whose images excite units: whose RS is that of the paper."""
    return [method for method, recipe in experiment["methods"].items() if not recipe["minimize"]]


def iam_methods(experiment: Experiment) -> list[str]:
    """Return the methods of an experiment that maximize IAM: whose substitutes are removed and make a graph."""
    return [method for method in maximizing_methods(experiment) if experiment["methods"][method]["objective"] == "iam"]


def _none(experiment: Experiment) -> list[str]:
    return []


def _named(*names: str) -> Names:
    return lambda experiment: list(names)


def _with_iam(*names: str) -> Names:
    return lambda experiment: list(names) if iam_methods(experiment) else []


def _of_layers(pattern: str) -> Names:
    return lambda experiment: [pattern.format(layer=layer) for layer in experiment["layers"]]


def cumulative_files(kind: str) -> Names:
    """Return the files of one kind of cumulative ablation: of each layer, and of all together if that is asked for."""

    def names(experiment: Experiment) -> list[str]:
        together = experiment["cumulative"]["together"] and len(experiment["layers"]) > 1
        return [*_of_layers(f"{kind}/{{layer}}.csv")(experiment), *([f"{kind}_of_all.csv"] if together else [])]

    return names


def _of_maximizing(pattern: str) -> Names:
    return lambda experiment: [
        pattern.format(layer=layer, method=method)
        for layer in experiment["layers"]
        for method in maximizing_methods(experiment)
    ]


def _of_iam(pattern: str, *more: str) -> Names:
    return lambda experiment: [
        *(
            pattern.format(layer=layer, method=method)
            for layer in experiment["layers"]
            for method in iam_methods(experiment)
        ),
        *more,
    ]


@dataclass(frozen=True)
class Analysis:
    """What an analysis makes of an experiment.

    Attributes:
        rules: Those that are run where an experiment asks for it alone, in the order of the flow.
        tables: Its final tables.
        figures: Names of its figures.
        evidence: The tables that its claim reads, by the name under which it does. None that a job writes together with
            a figure: how that looks must not ask for the verdict again.
        claim: Whether it makes a claim, one of `unitscope.claims.analysis_claims`.
        methods: The methods that its claim is asked of.
        needs_method: Whether it is refused where there is no such method.
    """

    rules: tuple[str, ...]
    tables: Names = _none
    figures: Names = _none
    evidence: Mapping[str, Names] = field(default_factory=dict)
    claim: bool = True
    methods: Names = maximizing_methods
    needs_method: bool = False


ANALYSES: dict[str, Analysis] = {
    "scale": Analysis(
        rules=("scale", "scale_figure"), figures=_named("scale"), evidence={"scale": _of_layers("scale/{layer}.csv")}
    ),
    "importance": Analysis(
        rules=("predictors", "gradients", "importance", "importance_figures"),
        tables=_named("importance.csv", "partial.csv", "partial_loss.csv"),
        figures=_named("importance"),
        evidence={"importance": _named("importance.csv")},
    ),
    "joint": Analysis(
        rules=("joint", "joint_summary", "joint_figure"),
        tables=_with_iam("joint.csv"),
        figures=_with_iam("joint"),
        evidence={"joint": _named("joint.csv")},
        methods=iam_methods,
    ),
    "cumulative": Analysis(
        rules=("cumulative", "cumulative_together", "cumulative_areas", "cumulative_figure"),
        tables=_named("cumulative_areas.csv"),
        figures=_named("cumulative"),
        evidence={"areas": _named("cumulative_areas.csv"), "curves": cumulative_files("cumulative")},
    ),
    "reliability": Analysis(
        rules=("reliability", "nulls_figures"),
        tables=_named("reliability.csv", "nulls.csv"),
        figures=_named("nulls"),
        evidence={"reliability": _named("reliability.csv"), "nulls": _named("nulls.csv")},
    ),
    "natural": Analysis(
        rules=("natural", "natural_figures"),
        tables=_named("natural.csv"),
        figures=_named("natural", "natural_z", "natural_q"),
    ),
    "graph": Analysis(
        rules=("graph", "graphs"),
        tables=_of_iam("graph/{layer}.{method}.graphml", "graphs.csv"),
        figures=_named("graph"),
        evidence={"graph": _of_iam("graph/{layer}.{method}.csv")},
        methods=iam_methods,
        needs_method=True,
    ),
    "inhibition": Analysis(
        rules=("inhibition", "inhibition_figure"),
        tables=_named("inhibition.csv", "inhibition_layers.csv"),
        figures=_named("inhibition"),
        evidence={"inhibition": _named("inhibition.csv")},
        methods=iam_methods,
    ),
    "replacement": Analysis(
        rules=("replacement", "replacement_summary", "replacement_figure"),
        tables=_with_iam("replacement.csv"),
        figures=_with_iam("replacement"),
        methods=iam_methods,
        claim=False,
    ),
    "shapley": Analysis(
        rules=("shapley", "shapley_figure"),
        tables=_of_layers("shapley/{layer}.csv"),
        figures=_named("shapley"),
        claim=False,
    ),
    "responses": Analysis(
        rules=("responses", "responses_figure"),
        tables=_of_maximizing("responses/{layer}.{method}.csv"),
        figures=lambda experiment: ["dendrogram"] if maximizing_methods(experiment) else [],
        claim=False,
    ),
    "planted": Analysis(
        rules=("planted", "planted_summary", "planted_figure"),
        tables=_with_iam("planted.csv", "planted_advantage.csv"),
        figures=_with_iam("planted"),
        claim=False,
        methods=iam_methods,
    ),
}
"""By name, in the order in which the schema lists them."""

OVERVIEWS = (
    *("selectivity_rs", "selectivity_rs_z", "selectivity_rs_q", "selectivity_rs_r", "depth", "substitutes"),
    *("ablation", "ablation_rs_z", "ablation_rs_q", "ablation_rs_r"),
)
"""Figures of every experiment with real images."""

BY_LAYER = ("sheet", "responses")
"""Figures of each layer and method."""


def evidence(experiment: Experiment, analyses: list[str]) -> dict[str, list[str]]:
    """Return the tables that the claims of analyses read, by name; none where there is no method to ask."""
    return {
        name: files(experiment) if analysis_name in analyses and analysis.methods(experiment) else []
        for analysis_name, analysis in ANALYSES.items()
        for name, files in analysis.evidence.items()
    }


def overviews(experiment: Experiment, dataset: str | None) -> list[str]:
    """Return the figures of an experiment over all layers; none where its network has no data set."""
    if dataset is None:
        return []
    return [
        *OVERVIEWS,
        *(name for analysis in experiment["analyses"] for name in ANALYSES[analysis].figures(experiment)),
    ]


def layer_figures(experiment: Experiment) -> list[str]:
    """Return the figures of single layers and methods."""
    return [
        f"{layer}.{method}.{kind}"
        for layer in experiment["layers"]
        for method in experiment["methods"]
        for kind in BY_LAYER
    ]
