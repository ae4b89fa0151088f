# What the paper did not ask: each analysis has its rules here, and says in ANALYSES what it writes for an experiment.


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
