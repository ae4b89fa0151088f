# What the paper did not ask: each analysis has its rules here, and says in ANALYSES what it writes for an experiment.


def nothing(name):
    """Return no files: an analysis that only adds to what is there."""
    return []


def joint(name):
    """Return what joint ablation writes: interactions by layer and independent method, their summary, a figure."""
    if not independent(STUDY.experiments[name]):
        return []
    return [f"results/{name}/joint.csv", f"results/{name}/figures/joint.png"]


def cumulative(name):
    """Return what cumulative ablation writes: curves, the areas under them, a figure."""
    return [f"results/{name}/cumulative_areas.csv", f"results/{name}/figures/cumulative.png"]


ANALYSES = {
    **dict.fromkeys(["scale", "importance", "reliability", "natural", "graph", "inhibition"], nothing),
    "joint": joint,
    "cumulative": cumulative,
}


def independent(chosen):
    """Return the methods whose substitutes are removed: those that maximize the activation minus that of others."""
    return [method for method, recipe in chosen["methods"].items() if recipe["objective"] == "iam"]


def interactions(wildcards):
    """Return the interactions of all layers and independent methods of an experiment."""
    chosen = experiment(wildcards)
    pattern = "results/{experiment}/joint/{layer}.{method}.csv"
    layers, methods = list(chosen["layers"]), independent(chosen)
    return expand(pattern, experiment=wildcards.experiment, layer=layers, method=methods)


def joined(wildcards):
    """Return the settings of a joint ablation: its own, and the images of the ablation."""
    chosen = experiment(wildcards)
    own = {key: value for key, value in chosen["joint"].items() if key != "threads"}
    return settings(**own, **{key: chosen["ablation"][key] for key in ("images", "batch")})


def removed(wildcards):
    """Return the settings of a cumulative ablation, with the ablation's images where it has none of its own."""
    chosen = experiment(wildcards)
    own = {key: value for key, value in chosen["cumulative"].items() if key not in ("threads", "together")}
    own["images"] = own["images"] or chosen["ablation"]["images"]
    return settings(**own, batch=chosen["ablation"]["batch"])


def of_layer(wildcards):
    """Return the scores by RS of a layer, by each method."""
    pattern = "results/{experiment}/substitution/{layer}.{method}.csv"
    return expand(
        pattern,
        experiment=wildcards.experiment,
        layer=wildcards.layer,
        method=list(experiment(wildcards)["methods"]),
    )


def of_parts(kind):
    """Return a function that gives the files of one kind of all layers, and of all layers together if there are any."""

    def files(wildcards):
        chosen = experiment(wildcards)
        together = chosen["cumulative"]["together"] and len(chosen["layers"]) > 1
        return across(wildcards, f"results/{{experiment}}/{kind}/{{layer}}.csv") + (
            [f"results/{wildcards.experiment}/{kind}_of_all.csv"] if together else []
        )

    return files


rule joint:
    input:
        checkpoint=checkpoint,
        dataset=dataset,
        activations="results/{experiment}/activations.h5",
        substitution="results/{experiment}/substitution/{layer}.{method}.csv",
    output:
        "results/{experiment}/joint/{layer}.{method}.csv",
    log:
        "logs/{experiment}/joint/{layer}.{method}.log",
    benchmark:
        "logs/{experiment}/joint/{layer}.{method}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: experiment(wildcards)["joint"]["threads"]
    resources:
        gpu=GPU,
    params:
        settings=joined,
        code=code_and_network("joint"),
        python=own,
        device=STUDY.device,
    shell:
        "python scripts/joint.py --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --activations {input.activations:q} --substitution {input.substitution:q} --layer {wildcards.layer:q}"
        " --method {wildcards.method:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --log {log:q}"


rule joint_summary:
    input:
        interactions,
    output:
        report(
            "results/{experiment}/joint.csv",
            caption="captions/joint_summary.rst",
            category="Tables",
            labels={"experiment": "{experiment}", "table": "joint"},
        ),
    log:
        "logs/{experiment}/joint_summary.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: settings(
            resamples=experiment(wildcards)["statistics"]["resamples"],
            seed=experiment(wildcards)["statistics"]["seed"],
        ),
        code=code("joint_summary"),
    shell:
        "python scripts/joint_summary.py --joint {input:q} --settings {params.settings:q} --output {output:q} --log {log:q}"


rule joint_figure:
    input:
        joint=interactions,
    output:
        figure("joint", "Ablation", figure="units with their substitutes"),
        pdf="results/{experiment}/figures/joint.pdf",
    log:
        "logs/{experiment}/joint_figure.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        folder=subpath(output[0], parent=True),
        code=code("sets"),
    shell:
        "python scripts/sets.py --joint {input.joint:q} --settings {params.settings:q} --output-dir {params.folder:q}"
        " --log {log:q}"


rule cumulative:
    input:
        checkpoint=checkpoint,
        dataset=dataset,
        selectivity="results/{experiment}/selectivity.csv",
        substitution=of_layer,
    output:
        curves="results/{experiment}/cumulative/{layer}.csv",
        areas="results/{experiment}/cumulative_areas/{layer}.csv",
    log:
        "logs/{experiment}/cumulative/{layer}.log",
    benchmark:
        "logs/{experiment}/cumulative/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: experiment(wildcards)["cumulative"]["threads"]
    resources:
        gpu=GPU,
    params:
        settings=removed,
        code=code_and_network("cumulative"),
        python=own,
        device=STUDY.device,
    shell:
        "python scripts/cumulative.py --checkpoint {input.checkpoint:q} --python {params.python:q}"
        " --dataset {input.dataset:q} --selectivity {input.selectivity:q} --substitution {input.substitution:q}"
        " --layers {wildcards.layer:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output.curves:q} --areas {output.areas:q} --log {log:q}"


# Scores are not comparable between layers: all layers lose the same fraction of their units, each by its own ranks.
rule cumulative_together:
    input:
        checkpoint=checkpoint,
        dataset=dataset,
        selectivity="results/{experiment}/selectivity.csv",
        substitution=lambda wildcards: across(wildcards, "results/{experiment}/substitution/{layer}.{method}.csv"),
    output:
        curves="results/{experiment}/cumulative_of_all.csv",
        areas="results/{experiment}/cumulative_areas_of_all.csv",
    log:
        "logs/{experiment}/cumulative_together.log",
    benchmark:
        "logs/{experiment}/cumulative_together.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: experiment(wildcards)["cumulative"]["threads"]
    resources:
        gpu=GPU,
    params:
        settings=removed,
        layers=lambda wildcards: list(experiment(wildcards)["layers"]),
        code=code_and_network("cumulative"),
        python=own,
        device=STUDY.device,
    shell:
        "python scripts/cumulative.py --checkpoint {input.checkpoint:q} --python {params.python:q}"
        " --dataset {input.dataset:q} --selectivity {input.selectivity:q} --substitution {input.substitution:q}"
        " --layers {params.layers:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output.curves:q} --areas {output.areas:q} --log {log:q}"


rule cumulative_areas:
    input:
        of_parts("cumulative_areas"),
    output:
        table("cumulative_areas"),
    log:
        "logs/{experiment}/cumulative_areas.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("joined"),
    shell:
        "python scripts/joined.py --tables {input:q} --output {output:q} --log {log:q}"


rule cumulative_figure:
    input:
        curves=of_parts("cumulative"),
    output:
        figure("cumulative", "Ablation", figure="more and more units"),
        pdf="results/{experiment}/figures/cumulative.pdf",
    log:
        "logs/{experiment}/cumulative_figure.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        folder=subpath(output[0], parent=True),
        code=code("sets"),
    shell:
        "python scripts/sets.py --cumulative {input.curves:q} --settings {params.settings:q}"
        " --output-dir {params.folder:q} --log {log:q}"
