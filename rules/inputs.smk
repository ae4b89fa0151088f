# What jobs read: functions that return files, by a job's wildcards.


def checkpoint(wildcards):
    """Return the checkpoint that an experiment works on."""
    return f"data/checkpoints/{experiment(wildcards)['network']}.pt"


def earlier(wildcards):
    """Return the checkpoint of the same training from which a later one's training goes on."""
    names = one_training(STUDY, wildcards.network)
    before = names[: names.index(wildcards.network)][-1:]
    # Made again, it is the same to the byte, and nothing behind it is old.
    return [ancient(f"data/checkpoints/{name}.pt") for name in before]


def dataset(wildcards):
    """Return the data set that a network is trained and tested on; a network may have none."""
    name = network(wildcards)["dataset"]
    return f"data/datasets/{name}.h5" if name else []


def real_images(wildcards, artifact):
    """Return an artifact that is made from real images, where the network has any."""
    return artifact.format(**wildcards) if dataset(wildcards) else []


def across(wildcards, pattern, layers=None, methods=None):
    """Return a file for each layer of an experiment, and for each of its methods where the pattern names one."""
    chosen = experiment(wildcards)
    layers, methods = layers or list(chosen["layers"]), methods or list(chosen["methods"])
    return expand(pattern, experiment=wildcards.experiment, layer=layers, method=methods)


def starting_images(wildcards):
    """Return the data set that the ascents of a job start from, where they do."""
    return dataset(wildcards) if "real_images" in STARTS[recipe(wildcards)["start"]].flags else []


def scales(wildcards):
    """Return the moments by which the method of a job standardizes activations, where it does."""
    standardized = "standardized" in OBJECTIVES[recipe(wildcards)["objective"]].flags
    return f"results/{wildcards.experiment}/moments/{experiment(wildcards)['readout']}.csv" if standardized else []


def blocks(wildcards):
    """Return the images of a layer's blocks of units; how many there are is known once the layer is."""
    taps = Path(checkpoints.counted.get(experiment=wildcards.experiment).output[0])
    units = {tap["layer"]: tap["units"] for tap in read_json(taps)}[wildcards.layer]
    wanted = experiment(wildcards)["layers"][wildcards.layer]
    number = -(-len(select_units(wanted, units)) // experiment(wildcards)["images"]["block"])
    pattern = "results/{experiment}/blocks/{layer}.{method}.{block}.h5"
    return expand(pattern, **wildcards, block=range(number))


def pictures(name, layers, methods):
    """Return an experiment's images: those of its targets, then those of substitutes that are no targets."""
    chosen = STUDY.experiments[name]
    partly = [layer for layer in layers if chosen["images"]["substitutes"] and chosen["layers"][layer] != "all"]
    folder = f"results/{name}/images"
    return expand(f"{folder}/{{layer}}.{{method}}.h5", layer=layers, method=methods) + expand(
        f"{folder}/{{layer}}.{{method}}.substitutes.h5", layer=partly, method=methods
    )


def all_pictures(wildcards):
    """Return all images of an experiment."""
    chosen = experiment(wildcards)
    return pictures(wildcards.experiment, list(chosen["layers"]), list(chosen["methods"]))


def means_to_clamp_to(wildcards):
    """Return the means that units are clamped to as they are removed, where they are."""
    asked = "mean" in experiment(wildcards)["cumulative"]["clamps"]
    return f"results/{wildcards.experiment}/moments/mean.csv" if asked else []


def of_layer(wildcards):
    """Return the scores by RS of a layer, by each method."""
    return across(wildcards, "results/{experiment}/substitution/{layer}.{method}.csv", layers=[wildcards.layer])


def interactions(wildcards):
    """Return the interactions of all layers and methods of IAM of an experiment."""
    pattern = "results/{experiment}/joint/{layer}.{method}.csv"
    return across(wildcards, pattern, methods=iam_methods(experiment(wildcards)))


def parts(kind):
    """Return a function that gives the files of one kind of cumulative ablation."""
    return lambda wildcards: [
        f"results/{wildcards.experiment}/{file}" for file in of_parts(kind)(experiment(wildcards))
    ]


def of_graphs(ending):
    """Return a function that gives a file of each substitution graph of an experiment."""
    return lambda wildcards: across(
        wildcards,
        f"results/{{experiment}}/graph/{{layer}}.{{method}}.{ending}",
        methods=iam_methods(experiment(wildcards)),
    )


def of_compared(wildcards, pattern):
    """Return a file of an experiment and of each other that its claims compare it with, its own first."""
    others = [name for claim in experiment(wildcards)["claims"].values() for name in claim["experiments"]]
    files = []
    for name in dict.fromkeys([wildcards.experiment, *others]):
        trained = STUDY.experiments[name]["network"]
        files.append(pattern.format(experiment=name, network=trained, dataset=STUDY.networks[trained]["dataset"]))
    return files


# Names of the tables that the claims of analyses read.
EVIDENCE = [name for analysis in ANALYSES.values() for name in analysis.evidence]


def evidence_of(wildcards):
    """Return these tables of an experiment, by name."""
    asked = evidence(experiment(wildcards), analyses_of(wildcards.experiment))
    return {name: [f"results/{wildcards.experiment}/{file}" for file in files] for name, files in asked.items()}


def of_checkpoints(pattern):
    """Return a function that gives a file of each experiment of an entry, or of its network."""
    return lambda wildcards: [
        pattern.format(experiment=name, network=STUDY.experiments[name]["network"])
        for name in OVER_EPOCHS[wildcards.entry]
    ]
