# What jobs are told: functions that return settings, by a job's wildcards.


def settings(**values):
    """Return settings as JSON text, the form in which they reach a script."""
    return canonical_json(values)


def with_resamples(section):
    """Return a function that gives a section of a job's experiment and how often its bootstraps resample, as JSON."""
    return lambda wildcards: settings(
        **experiment(wildcards)[section], resamples=experiment(wildcards)["statistics"]["resamples"]
    )


def network_entry(wildcards):
    """Return the config's entry of a job's network, for messages."""
    name = wildcards.get("network") or experiment(wildcards)["network"]
    return STUDY.network_entries[name]


def recipe(wildcards):
    """Return the method of a job."""
    return experiment(wildcards)["methods"][wildcards.method]


def making(wildcards):
    """Return the settings by which images are made."""
    chosen = experiment(wildcards)
    images = with_batch(chosen["images"], wildcards.layer)
    cut = {key: value for key, value in images.items() if key not in ("substitutes", "block")}
    units = chosen["layers"][wildcards.layer]
    return settings(units=units, seeds=chosen["seeds"], readout=chosen["readout"], **cut)


def ablated(wildcards):
    """Return the settings of an ablation, with the units that are clamped in place of what they are called."""
    chosen = experiment(wildcards)
    every = chosen["ablation"]["units"] == "all"
    own = with_batch(chosen["ablation"], wildcards.layer)
    return settings(**{**own, "units": "all" if every else chosen["layers"][wildcards.layer]})


def rescaling(wildcards):
    """Return the settings of a layer's rescaling, and by which settings its images are answered and made."""
    chosen = experiment(wildcards)
    batch = with_batch(chosen["images"], wildcards.layer)["batch"]
    return settings(**chosen["scale"], start_seed=chosen["seeds"][0], readout=chosen["readout"], batch=batch)


def jointly_removed(wildcards):
    """Return the settings of a joint ablation: its own, and the images of the ablation."""
    ablation = with_batch(experiment(wildcards)["ablation"], wildcards.layer)
    return settings(**experiment(wildcards)["joint"], **{key: ablation[key] for key in ("images", "batch")})


def removed(wildcards):
    """Return the settings of a cumulative ablation, with the ablation's images where it has none of its own."""
    ablation = with_batch(experiment(wildcards)["ablation"], wildcards.get("layer"))
    own = {key: value for key, value in experiment(wildcards)["cumulative"].items() if key != "together"}
    return settings(**{**own, "images": own["images"] or ablation["images"]}, batch=ablation["batch"])
