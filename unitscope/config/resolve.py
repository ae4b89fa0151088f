"""A study as the user wrote it, made complete: checked against the models, defaults filled in, references followed.

Functions on plain dictionaries. What a study is used for, and where its files lie, is left to the caller.
"""

import copy
import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unitscope.config.config_files import check_values
from unitscope.config.config_files import merged as merged
from unitscope.config.config_files import read as read
from unitscope.config.messages import mistake
from unitscope.config.models import Experiment, Steps, StudyConfig, completed
from unitscope.config.registry import ANALYSES
from unitscope.data.dataset_settings import DatasetSettings
from unitscope.errors import UserError, nearest
from unitscope.interventions.ablation_settings import AblationSettings
from unitscope.maximization.images_settings import ImagesSettings
from unitscope.maximization.recipe import OBJECTIVES, Recipe, computed_from_real_images
from unitscope.networks.network_settings import BUILT_IN, NetworkSettings
from unitscope.settings import Units, adapter

CLAIM_METHODS = {
    **dict.fromkeys(("C1", "C2", "C4", "C5"), ("am", "iam")),
    "C3": ("am",),
    **dict.fromkeys(("C6", "C7", "C8", "C9", "C10", "C11", "C12", "C13", "C14", "C15", "C17"), ("iam",)),
}
"""Methods whose scores a claim of the paper is about; the tests are in `unitscope.paper.paper_claims`."""

TRAININGS_CLAIMS = ("C9", "C19")
"""Claims about all trainings of a network."""

COMPARING_CLAIMS = ("C9", "C16", "C19")
"""Claims about several experiments: all trainings of a network, or another network."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""What can stand in a path and in a command, as the schema says too."""

LayersOf = Callable[[Mapping[str, Any], DatasetSettings | None], Sequence[str]]

STEPS = tuple(key for key in Steps.model_fields if key != "ascent")
"""Keys of an experiment that `defaults` may set for all."""


@dataclass(frozen=True)
class Study:
    """A complete study: nothing is left to be defaulted or looked up.

    Attributes:
        device: "auto", "cpu", "cuda" or "mps".
        datasets: Settings of each data set.
        networks: Settings of each network; an entry with several seeds or epochs has become several networks.
        experiments: Settings of each experiment, with `layers` a mapping from layer to target units and `methods` a
            mapping from method to recipe, and `claims` one from claim to layers and compared experiments.
        reproduction: Settings of the page that compares all experiments with the paper, or None.
        entries: The config's entry that each experiment comes from; several trainings of a network share one.
        network_entries: The config's entry that each network comes from.
    """

    device: str
    datasets: dict[str, DatasetSettings]
    networks: dict[str, dict[str, Any]]
    experiments: dict[str, dict[str, Any]]
    reproduction: dict[str, Any] | None
    entries: dict[str, str]
    network_entries: dict[str, str]

    def analyses(self, experiment: str) -> list[str]:
        """Return the analyses of an experiment: those that it names, where its network has real images."""
        settings = self.experiments[experiment]
        return settings["analyses"] if self.networks[settings["network"]]["dataset"] else []

    def claiming_analyses(self, experiment: str) -> list[str]:
        """Return the analyses of an experiment that make a claim."""
        return [name for name in self.analyses(experiment) if ANALYSES[name].claim]

    def has_claims(self, experiment: str) -> bool:
        """Return whether an experiment has a table of claims: the paper's, or those of its analyses."""
        return bool(self.experiments[experiment]["claims"] or self.claiming_analyses(experiment))


def networks_of_training(study: Study, network: str) -> list[str]:
    """Return the networks that are checkpoints of one training with this one, itself among them, by their epochs."""

    def shared(name: str) -> dict[str, Any]:
        settings = study.networks[name]
        return {**settings, "training": {**(settings["training"] or {}), "stop_after": None}}

    if study.networks[network]["training"] is None:
        return [network]
    same = [name for name in study.networks if shared(name) == shared(network)]
    return sorted(same, key=lambda name: trained_epochs(study.networks[name]))


def trained_epochs(network: Mapping[str, Any]) -> int:
    """Return how many epochs a network is trained for."""
    training = network["training"]
    return int(training["epochs"] if training["stop_after"] is None else training["stop_after"])


def recipe_of(study: Study, experiment: str) -> str:
    """Return the name that an experiment shares with those of its recipe's other seeds, and with no other epoch."""
    training = study.networks[study.experiments[experiment]["network"]]["training"]
    epoch = None if training is None else training["stop_after"]
    return study.entries[experiment] + ("" if epoch is None else f"-epoch{epoch}")


def over_epochs(study: Study) -> dict[str, list[str]]:
    """Return the experiments of each entry whose network lists several epochs, by the entry's name."""
    groups: dict[str, list[str]] = {}
    epochs: dict[str, set[int]] = {}
    for name, entry in study.entries.items():
        training = study.networks[study.experiments[name]["network"]]["training"]
        if training is not None and training["stop_after"] is not None:
            groups.setdefault(entry, []).append(name)
            epochs.setdefault(entry, set()).add(training["stop_after"])
    return {entry: names for entry, names in groups.items() if len(epochs[entry]) > 1}


def resolve(config: Mapping[str, Any], name: str, layers_of: LayersOf | None = None) -> Study:
    """Check a config and return the study that it describes.

    Args:
        config: As read from YAML.
        name: Name of the config's file, for messages.
        layers_of: Gives the layers that a network has, from its settings and its data set's; asked only for
            experiments whose layers are `auto` or patterns. None where such experiments need not be understood.

    Raises:
        UserError: An unknown key, a value that is not allowed, or a reference to something that is not there.
    """
    check_values(config, name)
    completed_config = _completed(StudyConfig, config, config, name)
    defaults = config.get("defaults", {})
    members = {
        entry: _networks(entry, merged({"training": defaults.get("training", {})}, settings), name)
        for entry, settings in config["networks"].items()
    }
    datasets = {
        entry: adapter(DatasetSettings).validate_python(value) for entry, value in completed_config["datasets"].items()
    }
    networks: dict[str, dict[str, Any]] = {}
    for entry, group in members.items():
        _add(networks, group, name, f"networks.{entry}")
    for network, settings in networks.items():
        if settings["dataset"] is not None:
            _refuse_unknown(name, f"networks.{network}.dataset", settings["dataset"], datasets, "data sets")
    experiments: dict[str, dict[str, Any]] = {}
    entries: dict[str, list[str]] = {}
    for experiment, settings in config["experiments"].items():
        where = f"experiments.{experiment}.network"
        _refuse_unknown(name, where, settings["network"], [*members, *networks], "networks")
        for network in members.get(settings["network"], [settings["network"]]):
            suffix = network.removeprefix(settings["network"])
            complete = _experiment(settings | {"network": network}, defaults, f"{name}: experiments.{experiment}")
            if any(_is_pattern(layer) for layer in complete["layers"]) and layers_of is not None:
                layer_names = layers_of(networks[network], datasets.get(networks[network]["dataset"]))
                complete["layers"] = _matched(
                    complete["layers"], layer_names, f"{name}: experiments.{experiment}.layers"
                )
            for section, usual in (("images", ImagesSettings().batch), ("ablation", AblationSettings().batch)):
                where = f"{name}: experiments.{experiment}.{section}.batch"
                if layers_of is not None:
                    complete[section]["batch"] = _batches(complete[section]["batch"], complete["layers"], usual, where)
            _check_methods(complete, networks[network], f"{name}: experiments.{experiment}")
            _check_analyses(complete, f"{name}: experiments.{experiment}")
            _add(experiments, {experiment + suffix: complete}, name, f"experiments.{experiment}")
            entries.setdefault(experiment, []).append(experiment + suffix)
    for entry, trainings in entries.items():
        for experiment in trainings:
            settings = experiments[experiment]
            settings["claims"] = _claims(experiment, entry, entries, experiments, networks, name)
            settings["reliability"]["untrained"] = _untrained(
                settings, experiment.removeprefix(entry), experiment, experiments, f"{name}: experiments.{entry}"
            )
    beginning = (completed_config["reproduction"] or {}).get("sensitivity")
    if beginning and not any(experiment.startswith(beginning) for experiment in experiments):
        raise UserError(
            f"{name}: reproduction.sensitivity is {beginning!r}, but no experiment's name begins so. There are: "
            f"{', '.join(experiments)}."
        )
    entry_of = {experiment: entry for entry, group in entries.items() for experiment in group}
    entry_of_network = {network: entry for entry, group in members.items() for network in group}
    study = Study(
        completed_config["device"],
        datasets,
        networks,
        experiments,
        completed_config["reproduction"],
        entry_of,
        entry_of_network,
    )
    for entry in over_epochs(study):
        # Where the checkpoints are compared: results/{entry}.training.
        _add(dict(experiments), {f"{entry}.training": {}}, name, f"experiments.{entry}")
    return study


# --- checking --------------------------------------------------------------------------------------------------------


def _completed(section: Any, value: Any, config: Any, name: str) -> Any:
    """Return a value of a section with its defaults.

    Raises:
        ConfigError: It does not fit the section.
    """
    try:
        return completed(section, value)
    except ValidationError as error:
        raise mistake(error, config, name) from None
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _refuse_unknown(name: str, where: str, value: str, allowed: Iterable[str], kind: str) -> None:
    allowed = list(dict.fromkeys(allowed))
    if value not in allowed:
        raise UserError(
            f"{name}: {where} is {value!r}, which is not among the {kind}.{nearest(value, allowed)} "
            f"There are: {', '.join(allowed) or 'none'}."
        )


def _add(members: dict[str, dict[str, Any]], additions: Mapping[str, dict[str, Any]], name: str, where: str) -> None:
    """Add the members that an entry stands for; two entries may not stand for members of the same name."""
    for member, settings in additions.items():
        if member in members:
            raise UserError(
                f"{name}: {where} stands for {member!r}, a name that another entry has already. Rename one."
            )
        members[member] = settings


def _check_methods(experiment: Mapping[str, Any], network: Mapping[str, Any], where: str) -> None:
    for method, recipe in experiment["methods"].items():
        if method.startswith(("z_", "q_")):
            raise UserError(
                f"{where}.methods names {method!r}, but the columns rs_{method} and those of the method {method[2:]!r} "
                "could not be told apart. Choose a name that does not begin with z_ or q_."
            )
        if method == "natural":
            raise UserError(
                f"{where}.methods names 'natural', but the column rs_natural is that of RS on natural images. Choose "
                "another name."
            )
        if network["dataset"] is None and computed_from_real_images(recipe["objective"], recipe["start"]):
            raise UserError(
                f"{where}.methods: {method!r} needs real images (objective {recipe['objective']}, start "
                f"{recipe['start']}), but its network names no dataset. Name one, or choose another method."
            )


def _check_analyses(experiment: Mapping[str, Any], where: str) -> None:
    for name in experiment["analyses"]:
        if ANALYSES[name].needs_method and not ANALYSES[name].methods(experiment):
            raise UserError(
                f"{where}.analyses names {name}, which is made of a method with the objective iam, but the "
                f"experiment's methods are {', '.join(experiment['methods'])}. Add iam to them, or take {name} out."
            )


def by_name(name: str) -> tuple[list[str | int], str]:
    """Return the key by which names are sorted: numbers in them by value, so that conv2 precedes conv10.

    Methods, layers and claims are sorted, so that no result depends on their order in a config.
    """
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


# --- completing ------------------------------------------------------------------------------------------------------


def _networks(entry: str, settings: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Return the networks that one entry stands for: one for each seed and each epoch that it lists."""
    network = completed(NetworkSettings, settings)
    where = f"{name}: networks.{entry}"
    seeds, epochs = network.pop("seeds", None), network.pop("epochs", None)
    if network["dataset"] is None and network["input"] is None:
        raise UserError(f"{where} names neither a dataset nor an input. Give one: input is [channels, height, width].")
    if network["dataset"] is not None and network["input"] is not None:
        raise UserError(f"{where} has an input beside a dataset, which has a shape of its own. Leave one of them out.")
    if network["source"] == "exported":
        if not (network["weights"] or {}).get("file"):
            raise UserError(f"{where} is exported, so it needs weights: {{file: network.pt2, sha256: ...}}.")
        network["model"] = network["model"] or Path(network["weights"]["file"]).name
    elif not network["model"]:
        raise UserError(f"{where} lacks the key 'model': the name of its architecture.")
    if network["source"] == "python" and not re.fullmatch(
        r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", network["model"]
    ):
        raise UserError(f"{where}.model is {network['model']!r}; a python source is named package.module:function.")
    if network["files"] and network["source"] != "python":
        raise UserError(
            f"{where}.files are read by a function of yours, but the source is {network['source']!r}. Set source: "
            "python, or leave files out."
        )
    for source in ("torchvision", "timm"):
        if source in (network["weights"] or {}) and network["source"] != source:
            raise UserError(
                f"{where}.weights are {source}'s, but its source is {network['source']!r}. Set source: {source}."
            )
    if network["source"] == "built_in" and network["model"] not in BUILT_IN:
        raise UserError(
            f"{where}.model is {network['model']!r}, which is not built in.{nearest(network['model'], BUILT_IN)} "
            f"Allowed are {', '.join(BUILT_IN)}. For a model of torchvision or timm, set source: torchvision or "
            "source: timm."
        )
    if (network["weights"] or {}).get("file") and network["normalization"] is None:
        raise UserError(
            f"{where} has weights from a file, which does not tell the normalization that they were trained with. Give "
            "normalization: {mean: [...], std: [...]}, of pixels in 0 to 1."
        )
    # Weights whose pixels go to 255 are given mean / 255; a mean of theirs has let whole studies run at chance.
    if above := [value for value in (network["normalization"] or {"mean": []})["mean"] if not -1 <= value <= 1]:
        raise UserError(
            f"{where}.normalization.mean holds {above[0]}, but pixels are from 0 to 1 here. Where the weights were "
            "trained on pixels from 0 to 255, divide mean and std by 255."
        )
    if network["head"] is not None and network["weights"] is None:
        raise UserError(f"{where} has a head, which is fitted on given features, but no weights. Give it weights.")
    if network["weights"] is not None or network["dataset"] is None:
        if seeds or epochs:
            raise UserError(f"{where} lists seeds or epochs, but is not trained here: it has weights, or no dataset.")
        network["training"] = None
    elif epochs and max(epochs) > network["training"]["epochs"]:
        raise UserError(f"{where}.epochs lists {max(epochs)}, but training.epochs is {network['training']['epochs']}.")
    if network["weights"] is None and network["dataset"] is None:
        raise UserError(f"{where} has neither weights nor a dataset to be trained on. Give one of them.")
    members = {}
    for seed in seeds or [None]:
        for epoch in epochs or [None]:
            member = copy.deepcopy(network)
            suffix = ""
            if seed is not None:
                member["seed"], suffix = seed, f"-seed{seed}"
            if member["training"] is not None:
                member["training"]["stop_after"] = epoch
            if epoch is not None:
                suffix += f"-epoch{epoch}"
            members[entry + suffix] = member
    return members


def _experiment(settings: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    shared = {key: value for key, value in defaults.items() if key in STEPS}
    experiment = completed(Experiment, merged(shared, settings))
    layers = ["*"] if settings["layers"] == "auto" else settings["layers"]
    layers = layers if isinstance(layers, Mapping) else {layer: {} for layer in layers}
    experiment["layers"] = {
        layer: completed(Units, layer_settings.get("units", experiment["units"]))
        for layer, layer_settings in layers.items()
    }
    if not any(map(_is_pattern, layers)):
        # Of two patterns that match a layer the later one counts: their order stays.
        experiment["layers"] = {layer: experiment["layers"][layer] for layer in sorted(layers, key=by_name)}
    methods = experiment["methods"]
    methods = methods if isinstance(methods, Mapping) else {method: {} for method in methods}
    method_settings = settings.get("methods", {})
    experiment["methods"] = {
        method: _recipe(
            method,
            [
                defaults.get("ascent", {}),
                defaults.get("methods", {}).get(method, {}),
                settings.get("ascent", {}),
                method_settings.get(method, {}) if isinstance(method_settings, Mapping) else {},
            ],
            where,
        )
        for method in sorted(methods, key=by_name)
    }
    experiment["analyses"] = sorted(experiment["analyses"])
    experiment["claims"] = {claim: experiment["claims"][claim] for claim in sorted(experiment["claims"], key=by_name)}
    del experiment["units"], experiment["ascent"]
    return experiment


def _is_pattern(layer: str) -> bool:
    return bool(set("*?[") & set(layer))


def _matched(patterns: Mapping[str, Any], layer_names: Sequence[str], where: str) -> dict[str, Any]:
    """Return the layers that names and patterns stand for, in the network's order; the last that matches one counts."""
    matched: dict[str, Any] = {layer: units for layer, units in patterns.items() if not _is_pattern(layer)}
    for pattern, units in patterns.items():
        if _is_pattern(pattern):
            matches = fnmatch.filter(layer_names, pattern)
            if not matches:
                raise UserError(f"{where}: no layer matches {pattern!r}. The layers are: {', '.join(layer_names)}.")
            matched |= {layer: units for layer in matches if layer not in patterns}
    odd = [layer for layer in matched if not NAME.fullmatch(layer)]
    if odd:
        raise UserError(
            f"{where}: the layer {odd[0]!r} cannot stand in the name of a file; allowed are letters, digits, '.', '_' "
            "and '-'. Rename the module, or name other layers."
        )
    order = {layer: index for index, layer in enumerate(layer_names)}
    return dict(sorted(matched.items(), key=lambda item: (order.get(item[0], len(order)), by_name(item[0]))))


def _batches(batch: Any, layers: Iterable[str], usual: Any, where: str) -> Any:
    """Return how many images are computed at once: a number for all layers, or one for each."""
    if not isinstance(batch, Mapping):
        return batch
    batch_sizes: dict[str, int] = {}
    for pattern, count in sorted(batch.items(), key=lambda item: not _is_pattern(item[0])):
        matches = fnmatch.filter(layers, pattern) if _is_pattern(pattern) else [pattern] if pattern in layers else []
        if not matches:
            raise UserError(f"{where}: no layer is {pattern!r}. The experiment's layers are: {', '.join(layers)}.")
        batch_sizes |= dict.fromkeys(matches, count)
    return {layer: batch_sizes.get(layer, usual) for layer in layers}


def with_batch(section: Mapping[str, Any], layer: str | None = None) -> dict[str, Any]:
    """Return a section of an experiment with how many images are computed at once as one number.

    Args:
        section: `images` or `ablation`.
        layer: The layer that is computed; None where all are at once, which the least of them allows.
    """
    batch = section["batch"]
    if isinstance(batch, Mapping):
        batch = min(batch.values()) if layer is None else batch[layer]
    return {**section, "batch": batch}


def _claims(
    name: str,
    entry: str,
    entries: Mapping[str, list[str]],
    experiments: Mapping[str, Mapping[str, Any]],
    networks: Mapping[str, Mapping[str, Any]],
    config: str,
) -> dict[str, dict[str, list[str]]]:
    """Return the claims of an experiment, each with its layers and the experiments it compares, by their own names."""
    where, claims = f"{config}: experiments.{entry}", {}
    for claim, claim_settings in experiments[name]["claims"].items():
        layers = claim_settings.get("layers", list(experiments[name]["layers"]))
        for layer in layers:
            _refuse_unknown(
                where, f"claims.{claim}.layers", layer, experiments[name]["layers"], "layers of the experiment"
            )
        if "experiments" in claim_settings and claim not in COMPARING_CLAIMS:
            raise UserError(
                f"{where}.claims: {claim} is about one experiment; only {', '.join(COMPARING_CLAIMS)} compare several."
            )
        # What is said of trainings is asked of the own network's, unless others are named.
        compared = claim_settings.get("experiments", [entry] if claim in TRAININGS_CLAIMS else [])
        for compared_name in compared:
            _refuse_unknown(
                where, f"claims.{claim}.experiments", compared_name, [*entries, *experiments], "experiments"
            )
        network = networks[experiments[name]["network"]]
        members = [
            member
            for compared_name in compared
            for member in _with_same_epochs(entries.get(compared_name, [compared_name]), network, experiments, networks)
        ]
        if claim == "C16" and set(members) <= set(entries[entry]):
            raise UserError(
                f"{where}.claims: C16 compares the test accuracy with that of another network. Name its experiment: "
                "C16: {experiments: [NAME]}."
            )
        for member in dict.fromkeys([name, *members]):
            _check_claim_inputs(claim, layers, member, experiments[member], networks, where)
        claims[claim] = {"layers": layers, "experiments": list(dict.fromkeys(members))}
    return claims


def _with_same_epochs(
    group: list[str],
    reference: Mapping[str, Any],
    experiments: Mapping[str, Mapping[str, Any]],
    networks: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Return those of a group's experiments that are after as many epochs as a network, or else after the most.

    Checkpoints of one training are no sample of trainings.
    """
    epochs = {
        name: trained_epochs(network) if (network := networks[experiments[name]["network"]])["training"] else 0
        for name in group
    }
    target_epochs = trained_epochs(reference) if reference["training"] else 0
    target_epochs = target_epochs if target_epochs in epochs.values() else max(epochs.values())
    return [name for name in group if epochs[name] == target_epochs]


def _check_claim_inputs(
    claim: str,
    layers: Sequence[str],
    name: str,
    experiment: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, Any]],
    where: str,
) -> None:
    """Refuse a claim about an experiment that lacks the images, methods or layers that it is about."""
    if networks[experiment["network"]]["dataset"] is None:
        raise UserError(f"{where}.claims: {claim} needs real images, but the network of {name} names no dataset.")
    if missing := [method for method in CLAIM_METHODS.get(claim, ()) if method not in experiment["methods"]]:
        raise UserError(
            f"{where}.claims: {claim} is about the method {missing[0]!r}, which is not among the methods of {name}. "
            "Add it there."
        )
    # Accuracies have no layers.
    if missing := [layer for layer in layers if layer not in experiment["layers"] and claim != "C16"]:
        raise UserError(
            f"{where}.claims: {claim} compares the layer {missing[0]!r}, which is not among the layers of {name}. "
            f"Add it there, or name the layers that both have: {claim}: {{layers: [...]}}."
        )


def _untrained(
    settings: Mapping[str, Any], suffix: str, experiment: str, experiments: Iterable[str], where: str
) -> str | None:
    """Return the experiment that stands for the untrained network; of several trainings the one of the same seed."""
    untrained: str | None = settings["reliability"]["untrained"]
    if untrained is None:
        return None
    experiments = list(experiments)
    untrained = untrained + suffix if untrained + suffix in experiments else untrained
    _refuse_unknown(where, "reliability.untrained", untrained, experiments, "experiments")
    if untrained == experiment:
        raise UserError(
            f"{where}.reliability.untrained names the experiment itself. Name one on a network with training: "
            "{epochs: 0}."
        )
    return untrained


def _recipe(method: str, settings: Iterable[Mapping[str, Any]], where: str) -> dict[str, Any]:
    recipe: dict[str, Any] = {"objective": method} if method in OBJECTIVES else {}
    for layer in settings:
        recipe = merged(recipe, layer)
    if "objective" not in recipe:
        raise UserError(
            f"{where}.methods: {method!r} has no objective.{nearest(method, OBJECTIVES)} Give it one under "
            f"defaults.methods.{method}.objective, or use one of the methods {', '.join(OBJECTIVES)}."
        )
    if recipe.get("minimize") and recipe.get("settled"):
        raise UserError(
            f"{where}.methods: {method!r} minimizes, and its settled is {recipe['settled']}: an early end is told by "
            "who is ahead on the way up. Give the method settled: 0."
        )
    complete: dict[str, Any] = completed(Recipe, recipe)
    return complete
