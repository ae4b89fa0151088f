"""Which files the jobs of a study read, by their wildcards."""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from unitscope.config.registry import ANALYSES, cumulative_files, evidence, iam_methods, maximizing_methods
from unitscope.config.resolve import Study, networks_of_training, over_epochs
from unitscope.data.sampling import select_units
from unitscope.maximization.recipe import OBJECTIVES, STARTS
from unitscope.storage.records import read_json

EVIDENCE = [name for analysis in ANALYSES.values() for name in analysis.evidence]
"""Names of the tables that the claims of analyses read."""


class JobFiles:
    """The inputs of the jobs of a study. Where there is none, a method returns an empty list.

    Args:
        study: The study.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._over_epochs = over_epochs(study)

    def _experiment(self, wildcards: Any) -> dict[str, Any]:
        return self._study.experiments[wildcards.experiment]

    def _network(self, wildcards: Any) -> dict[str, Any]:
        return network_of(self._study, wildcards)

    # --- data sets and networks --------------------------------------------------------------------------------------

    def user_files(self, wildcards: Any) -> list[str]:
        """Return the files that the user's own function for a network reads."""
        return self._network(wildcards)["files"]

    def checkpoint(self, wildcards: Any) -> str:
        """Return the checkpoint of an experiment's network."""
        return f"data/checkpoints/{self._experiment(wildcards)['network']}.pt"

    def record(self, wildcards: Any) -> str:
        """Return the record of the training of an experiment's network."""
        return f"data/checkpoints/{self._experiment(wildcards)['network']}.json"

    def pretrained_checkpoint(self, wildcards: Any) -> str | list[str]:
        """Return the checkpoint of a network whose weights are given, so that it is there without a training."""
        return self.checkpoint(wildcards) if self._network(wildcards)["weights"] else []

    def earlier(self, wildcards: Any) -> list[str]:
        """Return the checkpoint of the same training from which a later one's training goes on."""
        names = networks_of_training(self._study, wildcards.network)
        return [f"data/checkpoints/{name}.pt" for name in names[: names.index(wildcards.network)][-1:]]

    def last(self, wildcards: Any) -> str:
        """Return the last checkpoint of a job's training, which is done with what the earlier ones have kept."""
        return networks_of_training(self._study, wildcards.network)[-1]

    def dataset(self, wildcards: Any) -> str | list[str]:
        """Return the data set that a network is trained and tested on; a network may have none."""
        name = self._network(wildcards)["dataset"]
        return f"data/datasets/{name}.h5" if name else []

    def dataset_for_layers(self, wildcards: Any) -> str | list[str]:
        """Return the data set that a network is built for; one with given weights knows its classes by itself."""
        return [] if self._network(wildcards)["weights"] else self.dataset(wildcards)

    def dataset_to_start_from(self, wildcards: Any) -> str | list[str]:
        """Return the data set whose mean image an ascent starts from, where it does."""
        recipe = self._experiment(wildcards)["methods"][wildcards.method]
        return self.dataset(wildcards) if "real_images" in STARTS[recipe["start"]].flags else []

    def real(self, pattern: str) -> Callable[[Any], str | list[str]]:
        """Return a function that gives an artifact which is made from real images, where the network has any."""
        return lambda wildcards: pattern.format(**wildcards) if self.dataset(wildcards) else []

    def moments_to_standardize(self, wildcards: Any) -> str | list[str]:
        """Return the moments by which the method of a job standardizes activations, where it does."""
        experiment = self._experiment(wildcards)
        objective = experiment["methods"][wildcards.method]["objective"]
        standardized = "standardized" in OBJECTIVES[objective].flags
        return f"results/{wildcards.experiment}/moments/{experiment['readout']}.csv" if standardized else []

    def means_to_clamp_to(self, wildcards: Any) -> str | list[str]:
        """Return the means that units are clamped to as they are removed, where they are."""
        is_clamped = "mean" in self._experiment(wildcards)["cumulative"]["clamps"]
        return f"results/{wildcards.experiment}/moments/mean.csv" if is_clamped else []

    # --- layers and methods ------------------------------------------------------------------------------------------

    def across(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return a function that gives a file per layer of an experiment, and per method if the pattern names one."""
        return lambda wildcards: self._across(wildcards, pattern)

    def across_real(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the same for artifacts that are made from real images."""
        return lambda wildcards: self._across(wildcards, pattern) if self.dataset(wildcards) else []

    def across_methods(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return a function that gives a file per method of a job's layer."""
        return lambda wildcards: self._across(wildcards, pattern, layers=[wildcards.layer])

    def across_iam(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return a function that gives a file per layer of an experiment and method of IAM."""
        return lambda wildcards: self._across(wildcards, pattern, methods=iam_methods(self._experiment(wildcards)))

    def of_first_iam(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return a function that gives the file of a job's layer by the first method of IAM of its experiment."""
        return lambda wildcards: self._across(
            wildcards, pattern, layers=[wildcards.layer], methods=iam_methods(self._experiment(wildcards))[:1]
        )

    def across_maximizing(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return a function that gives a file per layer of an experiment and method that maximizes activations."""
        return lambda wildcards: self._across(
            wildcards, pattern, methods=maximizing_methods(self._experiment(wildcards))
        )

    def _across(
        self,
        wildcards: Any,
        pattern: str,
        layers: Iterable[str] | None = None,
        methods: Iterable[str] | None = None,
    ) -> list[str]:
        experiment = self._experiment(wildcards)
        layers = experiment["layers"] if layers is None else layers
        methods = experiment["methods"] if methods is None else methods
        return _paths(pattern, wildcards.experiment, layers, methods)

    def blocks(self, wildcards: Any, taps: str) -> list[str]:
        """Return the images of a layer's blocks of units; how many there are is known once the layer is.

        Args:
            wildcards: Of the job.
            taps: File with the layers of the network.
        """
        experiment = self._experiment(wildcards)
        units = {tap["layer"]: tap["units"] for tap in read_json(Path(taps))}[wildcards.layer]
        number = -(-len(select_units(experiment["layers"][wildcards.layer], units)) // experiment["images"]["block"])
        start = f"results/{wildcards.experiment}/blocks/{wildcards.layer}.{wildcards.method}"
        return [f"{start}.{block}.h5" for block in range(number)]

    def images(self, wildcards: Any) -> list[str]:
        """Return all images of an experiment: those of its targets, then those of substitutes that are no targets."""
        experiment = self._experiment(wildcards)
        return self.images_of(wildcards.experiment, list(experiment["layers"]), list(experiment["methods"]))

    def images_of(self, name: str, layers: Sequence[str], methods: Sequence[str]) -> list[str]:
        """Return the same of some layers and methods."""
        experiment, folder = self._study.experiments[name], "results/{experiment}/images"
        partly = [
            layer for layer in layers if experiment["images"]["substitutes"] and experiment["layers"][layer] != "all"
        ]
        return [
            *_paths(f"{folder}/{{layer}}.{{method}}.h5", name, layers, methods),
            *_paths(f"{folder}/{{layer}}.{{method}}.substitutes.h5", name, partly, methods),
        ]

    # --- tables ------------------------------------------------------------------------------------------------------

    def natural(self, wildcards: Any) -> str | list[str]:
        """Return the scores on natural images, where the experiment has the analysis `natural`."""
        if "natural" not in self._experiment(wildcards)["analyses"]:
            return []
        return self.real("results/{experiment}/natural.csv")(wildcards)

    def shapley(self, wildcards: Any) -> list[str]:
        """Return the Shapley values of an experiment's layers, where it has that analysis."""
        is_run = "shapley" in self._study.analyses(wildcards.experiment)
        return self._across(wildcards, "results/{experiment}/shapley/{layer}.csv") if is_run else []

    def images_of_several_seeds(self, wildcards: Any) -> list[str]:
        """Return the images of an experiment by which RS is compared between noise seeds, where there are several."""
        chosen = self._experiment(wildcards)
        pattern = "results/{experiment}/images/{layer}.{method}.h5"
        return self._across(wildcards, pattern) if len(chosen["seeds"]) > 1 and self.dataset(wildcards) else []

    def claims(self, wildcards: Any) -> str | list[str]:
        """Return the claims of an experiment, where it has any."""
        return f"results/{wildcards.experiment}/claims.csv" if self._study.has_claims(wildcards.experiment) else []

    def untrained(self, wildcards: Any) -> list[str]:
        """Return the units of the untrained network that an experiment names for comparison, if it does."""
        name = self._experiment(wildcards)["reliability"]["untrained"]
        return [f"results/{name}/units.csv"] if name else []

    def cumulative_files(self, kind: str) -> Callable[[Any], list[str]]:
        """Return a function that gives the files of one kind of cumulative ablation."""
        return lambda wildcards: [
            f"results/{wildcards.experiment}/{file}" for file in cumulative_files(kind)(self._experiment(wildcards))
        ]

    def cumulative(self, wildcards: Any) -> list[str]:
        """Return the curves of cumulative ablation, where the experiment has that analysis."""
        is_run = "cumulative" in self._study.analyses(wildcards.experiment)
        return self.cumulative_files("cumulative")(wildcards) if is_run else []

    def evidence(self, wildcards: Any) -> dict[str, list[str]]:
        """Return the tables that the claims of an experiment's analyses read, by name."""
        experiment, folder = self._experiment(wildcards), f"results/{wildcards.experiment}"
        tables = evidence(experiment, self._study.analyses(wildcards.experiment))
        return {name: [f"{folder}/{file}" for file in files] for name, files in tables.items()}

    def compared(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return a function that gives a file per experiment which claims compare with a job's, its own first."""
        return lambda wildcards: self._compared(wildcards, pattern)

    def _compared(self, wildcards: Any, pattern: str) -> list[str]:
        compared_names = [
            name for claim in self._experiment(wildcards)["claims"].values() for name in claim["experiments"]
        ]
        files = []
        for name in dict.fromkeys([wildcards.experiment, *compared_names]):
            network = self._study.experiments[name]["network"]
            dataset = self._study.networks[network]["dataset"]
            files.append(pattern.format(experiment=name, network=network, dataset=dataset))
        return files

    def over_epochs(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return a function that gives a file per checkpoint of an entry whose network lists epochs."""
        return lambda wildcards: [
            pattern.format(experiment=name, network=self._study.experiments[name]["network"])
            for name in self._over_epochs[wildcards.entry]
        ]


def network_of(study: Study, wildcards: Any) -> dict[str, Any]:
    """Return the settings of the network that a job belongs to, by itself or by its experiment."""
    return study.networks[wildcards.get("network") or study.experiments[wildcards.experiment]["network"]]


def _paths(pattern: str, experiment: str, layers: Iterable[str], methods: Iterable[str]) -> list[str]:
    """Return a path per layer, and per method if the pattern names one."""
    methods = methods if "{method}" in pattern else [""]
    return [
        pattern.format(experiment=experiment, layer=layer, method=method) for layer, method in product(layers, methods)
    ]
