# What the paper did not ask: each analysis has its rules here, and says in ANALYSES what it writes for an experiment.


def nothing(name):
    """Return no files: an analysis that only adds to what is there."""
    return []


def graph_files(name):
    """Return the substitution graphs of an experiment, what is measured of them, and their figure."""
    chosen = STUDY.experiments[name]
    graphs = expand("graph/{layer}.{method}.graphml", layer=list(chosen["layers"]), method=graph_methods(chosen))
    return [f"results/{name}/{file}" for file in [*graphs, "graphs.csv", "figures/graph.png"]]


def inhibition_files(name):
    """Return the tables of inhibition of an experiment, and their figure."""
    return [f"results/{name}/{file}" for file in ["inhibition.csv", "inhibition_layers.csv", "figures/inhibition.png"]]


ANALYSES = {
    **dict.fromkeys(["scale", "importance", "joint", "cumulative", "reliability", "natural"], nothing),
    "graph": graph_files,
    "inhibition": inhibition_files,
}


# --- the substitution graph -------------------------------------------------------------------------------------------


rule graph:
    input:
        images="results/{experiment}/images/{layer}.{method}.h5",
        activations="results/{experiment}/activations.h5",
        units="results/{experiment}/units.csv",
    output:
        measures="results/{experiment}/graph/{layer}.{method}.csv",
        degrees="results/{experiment}/graph/{layer}.{method}.degrees.csv",
        graphml="results/{experiment}/graph/{layer}.{method}.graphml",
    log:
        "logs/{experiment}/graph/{layer}.{method}.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["graph"]),
        code=code("graph"),
    shell:
        "python scripts/graph.py --images {input.images:q} --activations {input.activations:q} --units {input.units:q}"
        " --settings {params.settings:q} --measures {output.measures:q} --degrees {output.degrees:q}"
        " --graphml {output.graphml:q} --log {log:q}"


def of_graphs(ending):
    """Return a function that gives a file of each substitution graph of an experiment."""
    return lambda wildcards: expand(
        "results/{experiment}/graph/{layer}.{method}.{ending}",
        experiment=wildcards.experiment,
        layer=list(experiment(wildcards)["layers"]),
        method=graph_methods(experiment(wildcards)),
        ending=ending,
    )


rule graphs:
    input:
        measures=of_graphs("csv"),
        degrees=of_graphs("degrees.csv"),
        graphml=of_graphs("graphml"),
        units="results/{experiment}/units.csv",
    output:
        table=table("graphs"),
        figure=figure("graph", "Substitutes", figure="the substitution graph"),
        pdf="results/{experiment}/figures/graph.pdf",
    log:
        "logs/{experiment}/graphs.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        code=code("graphs"),
    shell:
        "python scripts/graphs.py --measures {input.measures:q} --degrees {input.degrees:q} --graphml {input.graphml:q}"
        " --units {input.units:q} --settings {params.settings:q} --output {output.table:q} --figure {output.figure:q}"
        " --log {log:q}"


# --- inhibition -------------------------------------------------------------------------------------------------------


rule inhibition:
    input:
        images=lambda wildcards: across(wildcards, "results/{experiment}/images/{layer}.{method}.h5"),
        units="results/{experiment}/units.csv",
        taps="results/{experiment}/taps.json",
    output:
        table=table("inhibition"),
        layers=table("inhibition_layers"),
        figure=figure("inhibition", "Inhibition"),
        pdf="results/{experiment}/figures/inhibition.pdf",
    log:
        "logs/{experiment}/inhibition.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["statistics"]),
        style=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        code=code("inhibition"),
    shell:
        "python scripts/inhibition.py --images {input.images:q} --units {input.units:q} --taps {input.taps:q}"
        " --settings {params.settings:q} --style {params.style:q} --output {output.table:q} --layers {output.layers:q}"
        " --figure {output.figure:q} --log {log:q}"
