"""What a run would do, before it does: jobs by rule, hours by a calibration on this machine, bytes of artifacts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unitscope.config.registry import iam_methods
from unitscope.config.resolve import Study, networks_of_training, trained_epochs, with_batch
from unitscope.data.dataset_settings import ImageFolderSettings
from unitscope.data.outlines import Outline, cropped, dataset_bytes, outline
from unitscope.errors import UserError
from unitscope.probing.layer_names import refuse_unknown_layers
from unitscope.runtime import console, devices
from unitscope.storage.records import canonical_json
from unitscope.workflow.leftovers import stdout_of
from unitscope.workflow.planning import Calibration, seconds_of_start
from unitscope.workflow.study import load_study

UNKNOWN = "counted"
"""The checkpoint of Snakemake's behind which it learns of further jobs."""


def promised(text: str) -> tuple[str, tuple[int, int, int]]:
    """Return the name of a data set and its numbers of training images, test images and classes.

    Args:
        text: `NAME=TRAIN,TEST,CLASSES`.

    Raises:
        UserError: It has another form.
    """
    name, _, numbers = text.partition("=")
    try:
        train, test, classes = (int(number) for number in numbers.split(","))
    except ValueError:
        form = "NAME=TRAIN,TEST,CLASSES, such as mine=1000,100,10"
        raise UserError(f"--images: {text!r} does not have the form {form}.") from None
    return name, (train, test, classes)


@dataclass
class Cost:
    """What the jobs of a rule take.

    Attributes:
        seconds: Of a processor.
        bytes: Of the artifacts that stay.
        scratch: Bytes beside one job's artifact until it ends, the most of any job.
        jobs: How many of the jobs Snakemake learns of later.
    """

    seconds: float = 0.0
    bytes: int = 0
    scratch: int = 0
    jobs: int = 0


def plan(root: Path, configs: Sequence[Path], budget: float, promised: Mapping[str, tuple[int, int, int]]) -> str:
    """Return what a run of a study would do: jobs by rule, hours by a calibration on this machine, bytes of artifacts.

    Args:
        root: The project's folder.
        configs: The config, and others that are laid over it.
        budget: Seconds that the calibration may take, about.
        promised: Numbers of training images, test images and classes of data sets that are not here.

    Raises:
        UserError: The config describes no study, or a data set is not there.
    """
    study = load_study(root, *configs)
    jobs, pending = to_be_done(configs)
    if not jobs:
        return f"Nothing to be done for {' '.join(map(str, configs))}: everything is there and up to date."
    costs = estimate(study, pending, budget, outlines(study, promised))
    return table(with_unknown(jobs, costs), costs)


def to_be_done(configs: Sequence[Path]) -> tuple[dict[str, int], set[str]]:
    """Return the number of jobs of each rule, in the order of the flow, and the files that are to be made."""
    study = ["snakemake", "--configfile", *map(str, configs)]
    # A summary is also given of what a run would refuse.
    stats = stdout_of(*study, "-n", "--quiet", "rules")
    header, *rows = stdout_of(*study, "--summary").splitlines()
    names = header.split("\t")
    files = [dict(zip(names, row.split("\t"), strict=False)) for row in rows]
    jobs = {
        rule: int(count)
        for rule, count in re.findall(r"^(\w+) +(\d+)$", stats.partition("Job stats:")[2], re.MULTILINE)
    }
    for rule in ("all", "total"):
        jobs.pop(rule, None)
    return jobs, {file["output_file"] for file in files if file["plan"] != "no update"}


def outlines(study: Study, images: Mapping[str, tuple[int, int, int]]) -> dict[str, Outline]:
    """Return the outlines of data sets that are not here."""
    image_outlines = {}
    for name, (train, test, classes) in images.items():
        settings = study.datasets.get(name)
        if settings is None:
            raise UserError(f"--images names {name!r}; the data sets of the config are: {', '.join(study.datasets)}.")
        if not isinstance(settings, ImageFolderSettings) or not settings.crop:
            raise UserError(f"datasets.{name} has no crop, so that the size of its images is not known without them.")
        image_outlines[name] = Outline(train, test, cropped(settings), classes)
    return image_outlines


def estimate(study: Study, pending: set[str], budget: float, promised: dict[str, Outline]) -> dict[str, Cost]:
    """Return what the jobs of each rule cost, by calibrating every network that has work before it.

    Args:
        study: The study.
        pending: Files that are to be made.
        budget: Seconds that all measurements may take, about.
        promised: Outlines of data sets that are not here.
    """
    device = devices.pick(study.device)
    costs: dict[str, Cost] = {}
    working = {
        name: [
            experiment
            for experiment, settings in study.experiments.items()
            if settings["network"] == name and any(file.startswith(f"results/{experiment}/") for file in pending)
        ]
        for name in study.networks
    }
    busy = [name for name in study.networks if working[name] or f"data/checkpoints/{name}.pt" in pending]
    measurements = sum(2 + sum(3 * len(study.experiments[e]["layers"]) for e in working[name]) for name in busy)
    data = dict(promised)
    calibrations: dict[str, Calibration] = {}
    for name in busy:
        network = study.networks[name]
        source = network["dataset"]
        if source is None:
            data.setdefault(name, Outline(0, 0, network["input"], 1000))
        elif source not in data:
            data[source] = outline(study.datasets[source])
        # Trainings of one recipe take the same time.
        recipe = canonical_json({key: value for key, value in network.items() if key != "seed"})
        if recipe not in calibrations:
            calibrations[recipe] = Calibration(network, data[source or name], device, budget / max(1, measurements))
        calibration = calibrations[recipe]
        if f"data/checkpoints/{name}.pt" in pending:
            seconds = 0.0
            if network["training"]:
                names = networks_of_training(study, name)
                before = [trained_epochs(study.networks[earlier]) for earlier in names[: names.index(name)]]
                epochs = trained_epochs(network) - max(before, default=0)
                seconds = calibration.training(network["training"], epochs)
            add(costs, "checkpoint", seconds, calibration.checkpoint_bytes())
        for experiment in working[name]:
            layers, where = study.experiments[experiment]["layers"], f"experiments.{study.entries[experiment]}.layers"
            reasons = calibration.probe.left_out
            refuse_unknown_layers(layers, calibration.layers, network["model"], where, reasons)
            of_experiment(costs, calibration, experiment, study.experiments[experiment], pending)
    for source, settings in study.datasets.items():
        if source in data and f"data/datasets/{source}.h5" in pending:
            add(costs, "dataset", 0.0, dataset_bytes(settings, data[source]))
    return costs


def of_experiment(
    costs: dict[str, Cost], calibration: Calibration, name: str, settings: dict[str, Any], pending: set[str]
) -> None:
    """Add what the jobs of an experiment cost."""
    if f"results/{name}/activations.h5" in pending:
        size = calibration.activations_bytes(list(settings["layers"]))
        add(costs, "activations", calibration.activations(settings["activations"]), size)
        scratch = calibration.scratch_bytes(list(settings["layers"]))
        costs["activations"].scratch = max(costs["activations"].scratch, scratch)
    for readout in {"mean", settings["readout"]}:
        if f"results/{name}/moments/{readout}.csv" in pending:
            add(costs, "moments", calibration.moments(settings["activations"]), 0)

    def removed(layer: str) -> float:
        clamped = with_batch(settings["ablation"], layer or None)
        return calibration.cumulative(layer, len(settings["methods"]), settings["cumulative"], clamped)

    for layer, selection in settings["layers"].items():
        images = {key: settings[key] for key in ("seeds", "readout")} | with_batch(settings["images"], layer)
        ablation = with_batch(settings["ablation"], layer)
        for method, recipe in settings["methods"].items():
            if f"results/{name}/images/{layer}.{method}.h5" in pending:
                seconds = calibration.ascent(layer, recipe, selection, images)
                size = calibration.images_bytes(layer, recipe, selection, images)
                if block := images["block"]:
                    add(costs, "images_block", seconds, 0, jobs=-(-calibration.targets(layer, selection) // block))
                    add(costs, "images_joined", 0.0, size)
                else:
                    add(costs, "images", seconds, size)
            if f"results/{name}/images/{layer}.{method}.substitutes.h5" in pending:
                most = calibration.substitutes(layer, selection)
                seconds = calibration.ascent(layer, recipe, most, images) if most["sample"] else 0.0
                add(costs, "substitute_images", seconds, calibration.images_bytes(layer, recipe, most, images))
            if f"results/{name}/joint/{layer}.{method}.csv" in pending:
                add(costs, "joint", calibration.joint(layer, selection, settings["joint"], ablation), 0)
            if f"results/{name}/replacement/{layer}.{method}.csv" in pending:
                seconds = calibration.replacement(layer, selection, settings["replacement"], ablation)
                add(costs, "replacement", seconds, 0)
        if f"results/{name}/ablation/{layer}.csv" in pending:
            seconds = calibration.ablation(layer, selection, ablation)
            add(costs, "ablation", seconds, calibration.damage_bytes(layer, selection, ablation))
        if f"results/{name}/gradients/{layer}.csv" in pending:
            add(costs, "gradients", calibration.gradients(layer, settings["gradients"], ablation), 0)
        if f"results/{name}/shapley/{layer}.csv" in pending:
            add(costs, "shapley", calibration.shapley(layer, settings["shapley"], ablation), 0)
        if f"results/{name}/scale/{layer}.csv" in pending:
            seconds = calibration.scale(layer, settings["methods"], selection, settings["scale"], images)
            add(costs, "scale", seconds, 0)
        if f"results/{name}/planted/{layer}.csv" in pending:
            recipe = settings["methods"][iam_methods(settings)[0]]
            seconds = calibration.planted(layer, recipe, settings["planted"], images, ablation["batch"])
            add(costs, "planted", seconds, 0)
        if f"results/{name}/cumulative/{layer}.csv" in pending:
            add(costs, "cumulative", removed(layer), 0)
    if f"results/{name}/cumulative_of_all.csv" in pending:
        add(costs, "cumulative_together", removed(""), 0)
    if f"results/{name}/predictors.csv" in pending:
        add(costs, "predictors", calibration.predictors(list(settings["layers"])), 0)


def add(costs: dict[str, Cost], rule: str, seconds: float, size: int, jobs: int = 0) -> None:
    """Add the cost of one job, or of as many as Snakemake cannot know of yet."""
    cost = costs.setdefault(rule, Cost())
    cost.seconds += seconds
    cost.bytes += size
    cost.jobs += jobs


def with_unknown(jobs: Mapping[str, int], costs: Mapping[str, Cost]) -> dict[str, int]:
    """Return the number of jobs of each rule, with those that Snakemake learns of later, where it does."""
    later = {rule: cost.jobs for rule, cost in costs.items() if rule not in jobs}
    return {
        name: number
        for rule, count in jobs.items()
        for name, number in ({rule: count} | (later if rule == UNKNOWN else {})).items()
    }


def table(jobs: Mapping[str, int], costs: dict[str, Cost]) -> str:
    """Return the plan as text."""
    lines = [f"{'rule':<14}{'jobs':>6}{'hours':>10}{'MB':>10}"]
    for rule, count in jobs.items():
        # What is calibrated loads PyTorch.
        start = seconds_of_start(count, 0) if rule in costs else seconds_of_start(0, count)
        cost = costs.setdefault(rule, Cost())
        cost.seconds += start
        lines.append(f"{rule:<14}{count:>6}{cost.seconds / 3600:>10.3f}{cost.bytes / 1e6:>10.1f}")
    seconds = sum(costs.get(rule, Cost()).seconds for rule in jobs)
    size = sum(costs.get(rule, Cost()).bytes for rule in jobs)
    lines.append(f"{'all':<14}{sum(jobs.values()):>6}{seconds / 3600:>10.3f}{size / 1e6:>10.1f}")
    lines.append(
        f"Hours are of one processor, by a calibration with random weights on this machine, which has "
        f"{console.processors()}: jobs run side by side. Tables, figures and the atlas, some MB, are not in the bytes."
    )
    if scratch := max(costs.get(rule, Cost()).scratch for rule in jobs):
        lines.append(
            f"The activations of all training images lie beside the artifact until they are summarized: a job of "
            f"activations takes up to {scratch / 1e6:.1f} MB more while it runs."
        )
    return "\n".join(lines)
