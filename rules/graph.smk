# Who could stand in for whom, as a graph; and which units an image inhibits.


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
    benchmark:
        "logs/{experiment}/graph/{layer}.{method}.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["graph"]),
        code=code("graph"),
    shell:
        "python scripts/graph.py --images {input.images:q} --activations {input.activations:q} --units {input.units:q}"
        " --settings {params.settings:q} --measures {output.measures:q} --degrees {output.degrees:q}"
        " --graphml {output.graphml:q} --code {params.code:q} --log {log:q}"


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
    benchmark:
        "logs/{experiment}/graphs.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        code=code("graphs"),
    shell:
        "python scripts/graphs.py --measures {input.measures:q} --degrees {input.degrees:q} --graphml {input.graphml:q}"
        " --units {input.units:q} --settings {params.settings:q} --output {output.table:q} --figure {output.figure:q}"
        " --code {params.code:q} --log {log:q}"


# --- inhibition -------------------------------------------------------------------------------------------------------


rule inhibition:
    input:
        images=lambda wildcards: across(wildcards, "results/{experiment}/images/{layer}.{method}.h5"),
        units="results/{experiment}/units.csv",
        taps="results/{experiment}/taps.json",
    output:
        table=table("inhibition"),
        layers=table("inhibition_layers"),
    log:
        "logs/{experiment}/inhibition.log",
    benchmark:
        "logs/{experiment}/inhibition.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["statistics"]),
        code=code("inhibition"),
    shell:
        "python scripts/inhibition.py --images {input.images:q} --units {input.units:q} --taps {input.taps:q}"
        " --settings {params.settings:q} --output {output.table:q} --layers {output.layers:q} --code {params.code:q} --log {log:q}"


# A rule of its own: a verdict stands on the table, and the look of a figure must not ask for it again.
rule inhibition_figure:
    input:
        units="results/{experiment}/units.csv",
        table="results/{experiment}/inhibition.csv",
        layers="results/{experiment}/inhibition_layers.csv",
    output:
        figure("inhibition", "Inhibition"),
        pdf="results/{experiment}/figures/inhibition.pdf",
    log:
        "logs/{experiment}/inhibition_figure.log",
    benchmark:
        "logs/{experiment}/inhibition_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        folder=subpath(output[0], parent=True),
        code=code("analysis_figures"),
    shell:
        "python scripts/analysis_figures.py --of inhibition --tables {input.units:q} {input.table:q} {input.layers:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"
