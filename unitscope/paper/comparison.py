"""A study beside the paper: which of its experiments shows which figure, and in what it is less than a larger study.

Functions on resolved configs, light enough for the rules to import. `scripts/paper/reproduction.py` makes the page.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from unitscope.config.resolve import Study
from unitscope.data.dataset_settings import DatasetSettings
from unitscope.settings import as_mapping

FIGURES = {"fig1": "C1", "fig2": "C6", "fig3": "C8", "fig4": "C12", "fig5": "C13", "fig6": "C15"}
"""The paper's figures, each with the claim that an experiment has to answer to for it to be drawn."""

NOT_REDUCED = {
    "experiments",
    "network",
    "threads",
    "path",
    "folder",
    "source",
    "store",
    "sha256",
    "seed",
}
"""Keys of settings that say where things are and how they are kept, not how large a study is."""


def numbered(study: Study) -> dict[str, str]:
    """Return the figures that a study can show, each with the first experiment that answers to its claim."""
    experiment_by_figure = {}
    for figure, claim in FIGURES.items():
        experiment = next((name for name, settings in study.experiments.items() if claim in settings["claims"]), None)
        if experiment:
            experiment_by_figure[figure] = experiment
    return experiment_by_figure


def reductions(study: Study, full: Study) -> list[dict[str, Any]]:
    """Return the settings in which a study differs from a larger one: experiment, setting, here, full.

    Experiments belong together where they answer to the same claim; of several trainings the first is compared.
    """
    rows, compared_claims = [], set()
    for name, settings in study.experiments.items():
        first = next(iter(settings["claims"]), None)
        other = next((one for one in full.experiments.values() if first and first in one["claims"]), None)
        if other is None or first in compared_claims:
            continue
        compared_claims.add(first)
        study_settings, full_settings = (
            dict(_settings(one, place)) for one, place in ((settings, study), (other, full))
        )
        for key in sorted(study_settings.keys() | full_settings.keys()):
            if study_settings.get(key) != full_settings.get(key):
                rows.append(
                    {
                        "experiment": name,
                        "setting": key,
                        "here": study_settings.get(key),
                        "full": full_settings.get(key),
                    }
                )
    return rows


def variants(study: Study) -> list[dict[str, Any]]:
    """Return what a sensitivity study compares: experiment, network, method, objective, variant, steps, epochs.

    A variant is what differs from the default, by the names of experiment and method; several trainings share one.
    Steps are given where an ascent differs from the default in its length alone, or not at all, and None elsewhere;
    epochs likewise where the training does.

    Args:
        study: Its `reproduction.sensitivity` is how the experiments' names begin; their trainings' seeds end them.
    """
    prefix = (study.reproduction or {}).get("sensitivity")
    rows: list[dict[str, Any]] = []
    if not prefix:
        return rows
    names = {
        name: re.sub(r"-?seed[0-9]+$", "", name.removeprefix(prefix)).strip("-")
        for name in study.experiments
        if name.startswith(prefix)
    }
    untouched = next((study.experiments[name] for name, network_variant in names.items() if not network_variant), None)
    for name, network_variant in names.items():
        experiment = study.experiments[name]
        epochs = _epochs_alone(experiment, untouched, study) if untouched else None
        for method, recipe in experiment["methods"].items():
            objective, _, changed = method.partition("-")
            default = experiment["methods"].get(objective, {})
            same = not network_variant and all(
                recipe[key] == default.get(key) for key in recipe.keys() - {"steps", "points"}
            )
            rows.append(
                {
                    "experiment": name,
                    "network": experiment["network"],
                    "method": method,
                    "objective": objective,
                    "variant": " ".join(filter(None, [network_variant, changed])) or "default",
                    "steps": recipe["steps"] if same else None,
                    "epochs": None if changed else epochs,
                }
            )
    return rows


def _epochs_alone(experiment: Mapping[str, Any], other: Mapping[str, Any], study: Study) -> int | None:
    """Return the epochs of an experiment's training where it differs from another in these alone, or not at all."""

    def rest(one: Mapping[str, Any]) -> Any:
        network = study.networks[one["network"]]
        training = _without(network["training"] or {}, "epochs")
        return _without(one, "network", "methods"), _without(network, "seed", "training"), training

    training = study.networks[experiment["network"]]["training"]
    return training["epochs"] if training and rest(experiment) == rest(other) else None


def _settings(experiment: Mapping[str, Any], study: Study) -> Iterator[tuple[str, Any]]:
    """Yield what an experiment is computed with, as pairs of a dotted key and a value."""
    network = study.networks[experiment["network"]]
    plain_settings = {
        key: value for key, value in experiment.items() if key not in ("claims", "figures", "layers", "methods")
    }
    yield from _flat("", plain_settings)
    yield "methods", list(experiment["methods"])
    recipes = {
        name: dict(_flat("ascent", _without(recipe, "objective"))) for name, recipe in experiment["methods"].items()
    }
    for key in dict.fromkeys(key for recipe in recipes.values() for key in recipe):
        yield from _by_what(key, {name: recipe.get(key) for name, recipe in recipes.items()})
    yield "layers", list(experiment["layers"])
    yield from _by_what("units", experiment["layers"])
    yield from _flat("network", network)
    yield from _flat("dataset", as_mapping(DatasetSettings, study.datasets[network["dataset"]]))


def _by_what(key: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the value that most have (of several, the first), and each that differs from it under a key of its own."""
    most = Counter(map(str, values.values())).most_common(1)[0][0]
    yield key, next(value for value in values.values() if str(value) == most)
    for name, value in values.items():
        if str(value) != most:
            yield f"{key} of {name}", value


def _without(settings: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested settings."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in NOT_REDUCED:
                yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    else:
        yield prefix, value
