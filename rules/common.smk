# What the rules share: the study that the config describes, and small helpers that look things up in it.

import json
import os
import platform
import re
import shlex
import shutil
import sys
from functools import cache
from itertools import product
from pathlib import Path

from snakemake.logging import logger

ROOT = Path(workflow.basedir)
# The library beside this file, whatever is installed elsewhere: here for these helpers, there for the scripts.
sys.path.insert(0, str(ROOT))
os.environ.update(
    PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")])),
    # Threads that spin while they wait slow a busy machine down (measured: 74 s against 25 s for a training).
    OMP_WAIT_POLICY="PASSIVE",
    # Memory that is given back after every operation has to be cleared when it is fetched again (measured: ascents
    # take 1.2 times as long).
    MALLOC_MMAP_THRESHOLD_=str(2**30),
    MALLOC_TRIM_THRESHOLD_=str(2**30),
    # That of a notebook draws in the notebook, if its package is there at all.
    MPLBACKEND="agg",
)

from unitscope.config.config_files import read_all, with_arguments, with_numbers
from unitscope.config.registry import (
    ANALYSES,
    OVERVIEWS,
    evidence,
    iam_methods,
    layer_figures,
    maximizing_methods,
    of_parts,
    overviews,
)
from unitscope.config.resolve import one_training, over_epochs, recipe_of, with_batch
from unitscope.data.dataset_settings import DatasetSettings
from unitscope.data.image_files import IMAGE_SUFFIXES
from unitscope.data.label_table import label_files
from unitscope.data.sampling import select_units
from unitscope.errors import UserError
from unitscope.maximization.recipe import OBJECTIVES, STARTS
from unitscope.runtime.console import processors
from unitscope.settings import as_mapping
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.contents import Contents
from unitscope.storage.records import canonical_json, read_json
from unitscope.workflow.collisions import refuse_collisions
from unitscope.workflow.ledger import SOURCES, not_here, source_or_recorded
from unitscope.workflow.provenance import code_digest, own_code_digest, script_named
from unitscope.workflow.snakemake_internals.flow_hooks import Hooks
from unitscope.workflow.snakemake_internals.installation import config_arguments, install, is_to_be_recorded
from unitscope.workflow.snakemake_internals.refusals import Error
from unitscope.workflow.snakemake_internals.rule_files import files_of
from unitscope.workflow.study import check_layers, complete, load_study, refuse_missing_files

# The rules write to data/, logs/ and results/ of the folder that they run in.
if not Path("scripts/data/dataset.py").is_file():
    raise Error(f"The flow runs in the folder of the project. Give the command there, or with --directory {ROOT}.")
for place in ("data", "logs", "results"):
    if Path(place).is_symlink() and not Path(place).exists():
        raise Error(
            f"{place} is a link to {os.readlink(place)}, which is not there. Mount the disk that it lies on, or remove "
            "the link."
        )

try:
    # To Snakemake a config may be code, and the last of two equal keys counts: read before Snakemake does.
    READING = read_all([Path(file) for file in workflow.configfiles or ["config.yaml"]])
except UserError as error:
    raise Error(str(error)) from None

# Snakemake would merge this file with one given by --configfile, and run the default study as well.
if not workflow.configfiles:

    configfile: "config.yaml"


CONFIG = ", ".join(map(str, workflow.configfiles))
try:
    # In place: this is what all rules see as the config.
    config.update(with_arguments(with_numbers(config, READING), config_arguments(workflow)))
    STUDY = complete(config, CONFIG, ROOT, paths=[Path(file) for file in workflow.configfiles])
    refuse_missing_files(STUDY)
except UserError as error:
    raise Error(str(error)) from None

# --cores may promise more processors than this process has; jobs times threads shall not exceed those that there are.
if workflow.local_exec and workflow.global_resources["_cores"].value is not None:
    workflow.register_resource("_cores", min(workflow.cores, processors()))

# Where there is no GPU, a job must not ask for one: --resources gpu=1 would let one job run at a time. What this machine
# has says nothing of a cluster's; there --resources gpu=0 takes the wish back. Only an executor for one has --jobs.
APPLE = sys.platform == "darwin" and platform.machine() == "arm64"
MAY_HAVE_GPU = (
    any(map(shutil.which, ("nvidia-smi", "rocm-smi"))) or APPLE or workflow.global_resources["_nodes"].value is not None
)
GPU = int(STUDY.device in ("cuda", "mps") or (STUDY.device == "auto" and MAY_HAVE_GPU))


def alternatives(names):
    """Return a regular expression that matches these names and no others; layers and methods may hold dots."""
    return "|".join(sorted(map(re.escape, names))) or "(?!)"


# Those whose layers are shared by several jobs.
IN_BLOCKS = [name for name, chosen in STUDY.experiments.items() if chosen["images"]["block"]]

# The checkpoints of one training that belong together.
OVER_EPOCHS = over_epochs(STUDY)


wildcard_constraints:
    readout="mean|max|center",
    entry=alternatives(OVER_EPOCHS),
    dataset=alternatives(STUDY.datasets),
    network=alternatives(STUDY.networks),
    experiment=alternatives(STUDY.experiments),
    layer=alternatives({layer for experiment in STUDY.experiments.values() for layer in experiment["layers"]}),
    method=alternatives({method for experiment in STUDY.experiments.values() for method in experiment["methods"]}),


def program(name):
    """Return the words of a command that call a program of scripts/, with its path from the folder that the flow runs in.

    A key of the ledger contains the name alone, so that a program may be moved.
    """
    return f"python {shlex.quote(os.path.relpath(script_named(name, ROOT)))}".replace("{", "{{").replace("}", "}}")


@cache
def code(script):
    """Return a digest of a rule's script and of what it imports: Snakemake sees no edits of imported modules.

    Of one moment for all jobs of a run: a job that finds other code when it begins says so, and records nothing.
    """
    return code_digest(script_named(script, ROOT), ROOT)


def own(wildcards):
    """Return the function of the user's that makes a job's network; an empty text where it is no such network."""
    return network(wildcards)["model"] if network(wildcards)["source"] == "python" else ""


def own_files(wildcards):
    """Return the files that the user's own function reads."""
    return network(wildcards)["files"]


def code_and_network(script):
    """Return a function that gives the digest of a rule's code and of the user's own code that makes its network."""
    return lambda wildcards: code(script) + (own_code(own(wildcards)) if own(wildcards) else "")


@cache
def own_code(function):
    """Return a digest of the user's function that makes a network, and of what it imports; of one moment, too."""
    return own_code_digest(function, ROOT)


def experiment(wildcards):
    """Return the settings of the experiment that a job belongs to."""
    return STUDY.experiments[wildcards.experiment]


def network(wildcards):
    """Return the settings of the network that a job belongs to."""
    return STUDY.networks[getattr(wildcards, "network", None) or experiment(wildcards)["network"]]


def read_raw_data(name):
    """Return the digest of the files that a data set is read from, or was, and whether they are here."""
    chosen = STUDY.datasets[name]
    if not hasattr(chosen, "path"):
        return "", True
    suffixes = IMAGE_SUFFIXES if chosen.source == "image_folder" else ()
    try:
        artifact, labels = f"data/datasets/{name}.h5", label_files(chosen)
        return source_or_recorded(Path(chosen.path), artifact, Contents(SOURCES), suffixes, labels)
    except UserError as error:
        raise Error(f"datasets.{name}.path: {error}") from None


@cache
def raw_data(name):
    """Return the same, as it was when the run began."""
    digest, here = read_raw_data(name)
    if digest and not here and workflow.is_main_process:
        logger.info(not_here(name, STUDY.datasets[name].path))
    return digest, here


def source(wildcards):
    """Return a digest of the content of the files that a data set is read from."""
    return raw_data(wildcards.dataset)[0]


def source_now(job):
    """Return the same, as it is when a job has ended; an empty text for a job that reads no raw data."""
    return read_raw_data(job.wildcards.dataset)[0] if job.rule.name == "dataset" else ""


NOTHING_DELETED = "Correct the path, or mount its disk, and give the same command again. Nothing has been deleted."


def cannot_run(job):
    """Return why a job cannot be executed here: before it takes away what it would write again."""
    if job.rule.name == "dataset":
        name = job.wildcards.dataset
    else:
        # An index holds the paths of images alone; the layers of a network need no image.
        reads = bool(job.input.get("dataset")) and job.rule.name != "taps"
        name = network(job.wildcards)["dataset"] if reads else None
        name = name if name and getattr(STUDY.datasets[name], "store", "") == "index" else None
    if name and not raw_data(name)[1]:
        path = STUDY.datasets[name].path
        return f"datasets.{name}.path: there is nothing at {path}, which {job.output[0]} needs. {NOTHING_DELETED}"
    weights = (network(job.wildcards)["weights"] or {}) if job.rule.name == "checkpoint" else {}
    found = Contents(SOURCES).sha256(weights["file"]) if "file" in weights else ""
    if "file" in weights and found != weights["sha256"]:
        where = f"networks.{job.wildcards.network}.weights"
        return (
            f"{where}.file: there is no file {weights['file']}, which {job.output[0]} needs. {NOTHING_DELETED}"
            if not found
            else f"{where}.sha256 of {weights['file']} is {weights['sha256']}, but the file has {found}. If the file is the "
            "one that you mean, write that into the config. Nothing has been deleted."
        )
    return ""


# Which setting a job's memory grows with, where one does.
BATCHES = {
    "checkpoint": "training",
    **dict.fromkeys(["activations", "moments"], "activations"),
    **dict.fromkeys(["images", "images_block", "substitute_images", "scale"], "images"),
    **dict.fromkeys(["ablation", "joint", "cumulative", "cumulative_together"], "ablation"),
}


def to_lower(job):
    """Return the sentence that names the setting to lower where a job runs out of memory."""
    section, layer = BATCHES.get(job.rule.name), job.wildcards.get("layer")
    if section is None:
        return ""
    if section == "training":
        # A network with given weights has none.
        training = network(job.wildcards)["training"]
        return (
            f"Lower networks.{STUDY.network_entries[job.wildcards.network]}.training.batch ({training['batch']} now)."
            if training
            else ""
        )
    written = experiment(job.wildcards)[section]
    batch, where = with_batch(written, layer)["batch"], f"experiments.{STUDY.entries[job.wildcards.experiment]}"
    if batch == 1:
        return f"Its batch is 1 already: take fewer {'images' if section == 'ablation' else 'units'} in {where}."
    now = f"Lower {where}.{section}.batch ({batch} now)"
    if section == "activations" or layer is None:
        return f"{now}."
    # The other layers keep theirs, and what they have computed.
    others = {"*": batch} if isinstance(written["batch"], int) else {}
    return f"{now}, for this layer alone by {canonical_json(others | {layer: batch // 2})}."


# Params that are no settings of a job: what they hold follows from the code, the raw data, or the rest of the study.
NO_SETTINGS = ("code", "network_entry", "source", "scratch", "keep", "folder", "analyses", "config")


def settings_of(job):
    """Return the settings of a job, by which what it writes is told from what another config writes there."""
    params = {name: value for name, value in job.params._allitems() if name not in NO_SETTINGS}
    found = {
        name: json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value
        for name, value in params.items()
    }
    if "experiment" in job.wildcards.keys():
        # Tables and figures read them all. Which analyses are asked for makes no difference.
        chosen = experiment(job.wildcards)
        found |= {"network": chosen["network"], "layers": list(chosen["layers"]), "methods": list(chosen["methods"])}
    return found


@cache
def described_by(path):
    """Return the study of another config; None where it is none."""
    try:
        return load_study(ROOT, Path(path))
    except UserError:
        return None


def equal_today(job, path):
    """Return whether another config describes a job's data set, network or experiment as this one does."""
    known = job.wildcards.get("dataset"), job.wildcards.get("network"), job.wildcards.get("experiment")
    other = described_by(path)
    return other is not None and any(known) and described(STUDY, *known) == described(other, *known)


def described(study, dataset, network, experiment):
    """Return what a study says of a data set, a network or an experiment, whichever analyses it asks for."""
    chosen = {key: value for key, value in study.experiments.get(experiment, {}).items() if key != "analyses"}
    network = chosen.get("network", network)
    return study.device, study.datasets.get(dataset), study.networks.get(network), chosen


install(
    Hooks(
        refuse=cannot_run,
        source=source_now,
        lower=to_lower,
        settings=settings_of,
        equal_today=equal_today,
        takeover=config.get("takeover", False),
        checks=["taps"],
    )
)


def figure(name, category, **labels):
    """Return a figure as an output that Snakemake's report shows."""
    return report(
        f"results/{{experiment}}/figures/{name}.png",
        caption=f"captions/{name.rpartition('.')[2]}.rst",
        category=category,
        labels={"experiment": "{experiment}", **labels},
    )


def table(name):
    """Return a table as an output that Snakemake's report shows."""
    return report(
        f"results/{{experiment}}/{name}.csv",
        caption=f"captions/{name}.rst",
        category="Tables",
        labels={"experiment": "{experiment}", "table": name},
    )


def analyses_of(name):
    """Return the analyses of an experiment: those that it names, where its network has real images."""
    chosen = STUDY.experiments[name]
    return chosen["analyses"] if STUDY.networks[chosen["network"]]["dataset"] else []


def verdict_methods(name):
    """Return the methods that the claims of each analysis of an experiment are asked of."""
    claiming = [analysis for analysis in analyses_of(name) if ANALYSES[analysis].claim]
    return {analysis: ANALYSES[analysis].methods(STUDY.experiments[name]) for analysis in claiming}


def answers_claims(name):
    """Return whether an experiment has a table of claims: the paper's, or those of its analyses."""
    return bool(STUDY.experiments[name]["claims"] or verdict_methods(name))


def targets(name):
    """Return the final files of an experiment."""
    chosen = STUDY.experiments[name]
    folder = f"results/{name}"
    files = [
        f"{folder}/units.csv",
        f"{folder}/layers.csv",
        f"{folder}/atlas.html",
        f"{folder}.metrics.json",
        f"{folder}.depth.csv",
    ]
    files += [f"{folder}/claims.csv"] if answers_claims(name) else []
    images = STUDY.networks[chosen["network"]]["dataset"]
    files += [f"{folder}/figures/{figure}.png" for figure in [*layer_figures(chosen), *overviews(chosen, images)]]
    if images:
        files += [f"{folder}/{table}" for analysis in analyses_of(name) for table in ANALYSES[analysis].tables(chosen)]
    return files


def values_of(names):
    """Return the values that wildcards of these names take together."""
    values = [{}]
    for name, known in (("dataset", STUDY.datasets), ("network", STUDY.networks), ("entry", OVER_EPOCHS)):
        values = [{**one, name: value} for one in values for value in known] if name in names else values
    if "experiment" in names:
        values = [
            {**one, "experiment": name, **own}
            for one in values
            for name, chosen in STUDY.experiments.items()
            for own in values_in(chosen, names)
        ]
    return values


def values_in(chosen, names):
    """Return the values that wildcards of these names take together within an experiment."""
    known = {
        "layer": chosen["layers"],
        "method": chosen["methods"],
        "readout": {"mean", chosen["readout"]},
        "block": ["0"],
    }
    known = {name: sorted(values) for name, values in known.items() if name in names}
    return [dict(zip(known, values, strict=True)) for values in product(*known.values())]
