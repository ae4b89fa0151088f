"""What the jobs of a study are told: settings as JSON text, by their wildcards."""

from collections.abc import Callable
from typing import Any

from unitscope.config.registry import ANALYSES, iam_methods, maximizing_methods
from unitscope.config.resolve import Study, over_epochs, with_batch
from unitscope.data.dataset_settings import DatasetSettings
from unitscope.settings import as_mapping
from unitscope.storage.records import canonical_json
from unitscope.workflow.jobs.job_files import network_of


def as_text(**values: Any) -> str:
    """Return settings in the form in which they reach a program."""
    return canonical_json(values)


class JobSettings:
    """The settings of the jobs of a study.

    Args:
        study: The study.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def _experiment(self, wildcards: Any) -> dict[str, Any]:
        return self._study.experiments[wildcards.experiment]

    def section(self, name: str) -> Callable[[Any], str]:
        """Return a function that gives a section of a job's experiment."""
        return lambda wildcards: canonical_json(self._experiment(wildcards)[name])

    def with_resamples(self, name: str) -> Callable[[Any], str]:
        """Return the same with the number of resamples of bootstraps."""
        return lambda wildcards: as_text(
            **self._experiment(wildcards)[name], resamples=self._experiment(wildcards)["statistics"]["resamples"]
        )

    def threads(self, section: str) -> Callable[[Any], int]:
        """Return a function that gives the threads of a job by a section of its experiment."""
        return lambda wildcards: self._experiment(wildcards)[section]["threads"]

    def training_threads(self, wildcards: Any) -> int:
        """Return the threads of a training; a network with given weights has none of its own."""
        return (self._network(wildcards)["training"] or {}).get("threads", 8)

    def _network(self, wildcards: Any) -> dict[str, Any]:
        return network_of(self._study, wildcards)

    def dataset(self, wildcards: Any) -> str:
        """Return the settings of a job's data set."""
        return canonical_json(as_mapping(DatasetSettings, self._study.datasets[wildcards.dataset]))

    def network(self, wildcards: Any) -> str:
        """Return the settings of a job's network."""
        return canonical_json(self._network(wildcards))

    def network_name(self, wildcards: Any) -> str:
        """Return the name of an experiment's network."""
        return self._experiment(wildcards)["network"]

    def network_entry(self, wildcards: Any) -> str:
        """Return the config's entry of a job's network, for messages."""
        return self._study.network_entries[wildcards.get("network") or self._experiment(wildcards)["network"]]

    def untrained(self, wildcards: Any) -> str:
        """Return the settings of a network that decide about its layers."""
        network = self._network(wildcards)
        return canonical_json({key: value for key, value in network.items() if key not in ("training", "seed")})

    def user_function(self, wildcards: Any) -> str:
        """Return the function of the user's that makes a job's network; an empty text where it is no such network."""
        network = self._network(wildcards)
        return network["model"] if network["source"] == "python" else ""

    def layers(self, wildcards: Any) -> list[str]:
        """Return the layers of a job's experiment."""
        return list(self._experiment(wildcards)["layers"])

    def where_layers_are_named(self, wildcards: Any) -> str:
        """Return the key of the config that names the layers of a job's experiment, for messages."""
        return f"experiments.{self._study.entries[wildcards.experiment]}.layers"

    def recipe(self, wildcards: Any) -> str:
        """Return the method of a job."""
        return canonical_json(self._experiment(wildcards)["methods"][wildcards.method])

    def activations(self, wildcards: Any) -> str:
        """Return the settings of the activations, with the readout."""
        experiment = self._experiment(wildcards)
        return as_text(readout=experiment["readout"], **experiment["activations"])

    def images(self, wildcards: Any) -> str:
        """Return the settings by which images are made."""
        experiment = self._experiment(wildcards)
        images = with_batch(experiment["images"], wildcards.layer)
        image_settings = {key: value for key, value in images.items() if key not in ("substitutes", "block")}
        units = experiment["layers"][wildcards.layer]
        return as_text(units=units, seeds=experiment["seeds"], readout=experiment["readout"], **image_settings)

    def block(self, wildcards: Any) -> list[Any]:
        """Return the words that name a block of a layer's units."""
        return ["--block", wildcards.block, self._experiment(wildcards)["images"]["block"]]

    def ablation(self, wildcards: Any) -> str:
        """Return the settings of an ablation, with the units that are clamped in place of what they are called."""
        experiment = self._experiment(wildcards)
        every = experiment["ablation"]["units"] == "all"
        settings = with_batch(experiment["ablation"], wildcards.layer)
        return as_text(**{**settings, "units": "all" if every else experiment["layers"][wildcards.layer]})

    def scale(self, wildcards: Any) -> str:
        """Return the settings of a layer's rescaling, and by which settings its images are answered and made."""
        experiment = self._experiment(wildcards)
        batch = with_batch(experiment["images"], wildcards.layer)["batch"]
        return as_text(
            **experiment["scale"], start_seed=experiment["seeds"][0], readout=experiment["readout"], batch=batch
        )

    def planted(self, wildcards: Any) -> str:
        """Return the settings of a layer's planted copies, and those by which images are generated and computed."""
        chosen = self._experiment(wildcards)
        images, ablation = (with_batch(chosen[name], wildcards.layer) for name in ("images", "ablation"))
        how = {"start_seed": chosen["seeds"][0], "readout": chosen["readout"]}
        return as_text(**chosen["planted"], **how, batch=images["batch"], test_batch=ablation["batch"])

    def first_iam(self, wildcards: Any) -> str:
        """Return the first method of IAM of a job's experiment; an empty text where it has none."""
        return next(iter(iam_methods(self._experiment(wildcards))), "")

    def first_iam_recipe(self, wildcards: Any) -> str:
        """Return the recipe of that method."""
        name = self.first_iam(wildcards)
        return canonical_json(self._experiment(wildcards)["methods"][name] if name else {})

    def joint(self, wildcards: Any) -> str:
        """Return the settings of a joint ablation: its own, and the images of the ablation."""
        experiment = self._experiment(wildcards)
        ablation = with_batch(experiment["ablation"], wildcards.layer)
        return as_text(**experiment["joint"], **{key: ablation[key] for key in ("images", "batch")})

    def replacement(self, wildcards: Any) -> str:
        """Return the settings of a replacement: its own, the readout, and the images of the ablation."""
        experiment = self._experiment(wildcards)
        ablation = with_batch(experiment["ablation"], wildcards.layer)
        images = {key: ablation[key] for key in ("images", "batch")}
        return as_text(**experiment["replacement"], readout=experiment["readout"], **images)

    def bootstrap(self, wildcards: Any) -> str:
        """Return the settings of the bootstraps of a summary: of joint ablations, or of planted copies."""
        statistics = self._experiment(wildcards)["statistics"]
        return as_text(resamples=statistics["resamples"], seed=statistics["seed"])

    def gradients(self, wildcards: Any) -> str:
        """Return the settings of a layer's gradients: its own, and the images of the ablation."""
        chosen = self._experiment(wildcards)
        ablation = with_batch(chosen["ablation"], wildcards.layer)
        return as_text(**chosen["gradients"], **{key: ablation[key] for key in ("images", "batch")})

    def shapley(self, wildcards: Any) -> str:
        """Return the settings of a layer's Shapley values, with the ablation's images at a time."""
        chosen = self._experiment(wildcards)
        return as_text(**chosen["shapley"], batch=with_batch(chosen["ablation"], wildcards.layer)["batch"])

    def with_ablation_images(self, name: str) -> Callable[[Any], str]:
        """Return a function that gives a section, the resamples of bootstraps and the images of the ablation."""
        return lambda wildcards: as_text(
            **{"resamples": self._experiment(wildcards)["statistics"]["resamples"]} | self._experiment(wildcards)[name],
            images=self._experiment(wildcards)["ablation"]["images"],
        )

    def cumulative(self, wildcards: Any) -> str:
        """Return the settings of a cumulative ablation, with the ablation's images where it has none of its own."""
        experiment = self._experiment(wildcards)
        ablation = with_batch(experiment["ablation"], wildcards.get("layer"))
        settings = {key: value for key, value in experiment["cumulative"].items() if key != "together"}
        return as_text(**{**settings, "images": settings["images"] or ablation["images"]}, batch=ablation["batch"])

    # --- claims and training time ------------------------------------------------------------------------------------

    def verdict_methods(self, wildcards: Any) -> str:
        """Return the methods that the claims of each analysis of an experiment are asked of."""
        experiment, names = self._experiment(wildcards), self._study.claiming_analyses(wildcards.experiment)
        return canonical_json({name: ANALYSES[name].methods(experiment) for name in names})

    def _first_of_entry(self, wildcards: Any) -> dict[str, Any]:
        return self._study.experiments[over_epochs(self._study)[wildcards.entry][0]]

    def figures_over_epochs(self, wildcards: Any) -> str:
        """Return the style of the figures of an entry whose network lists epochs."""
        return canonical_json(self._first_of_entry(wildcards)["figures"])

    def methods_over_epochs(self, wildcards: Any) -> str:
        """Return the methods that maximize of an entry whose network lists epochs."""
        return canonical_json(maximizing_methods(self._first_of_entry(wildcards)))
