# What the paper did not ask; what each analysis is, says unitscope/config/registry.py.

# --- RS on natural images ---------------------------------------------------------------------------------------------


rule natural:
    input:
        activations="results/{experiment}/activations.h5",
    output:
        "results/{experiment}/natural.csv",
    log:
        "logs/{experiment}/natural.log",
    benchmark:
        "logs/{experiment}/natural.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("natural"),
    shell:
        program("natural")
        + " --activations {input.activations:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule natural_figures:
    input:
        units="results/{experiment}/units.csv",
        layers="results/{experiment}/layers.csv",
    output:
        figure("natural", "Natural images", score="RS"),
        figure("natural_z", "Natural images", score="RS, standardized"),
        figure("natural_q", "Natural images", score="RS, over the 99th percentile"),
        pdf=expand("results/{{experiment}}/figures/{figure}.pdf", figure=ANALYSES["natural"].figures({})),
    log:
        "logs/{experiment}/natural_figures.log",
    benchmark:
        "logs/{experiment}/natural_figures.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("natural_figures"),
    shell:
        program("natural_figures") + " --units {input.units:q} --layers {input.layers:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


# --- what foretells the cost of an ablation ---------------------------------------------------------------------------


rule predictors:
    input:
        checkpoint=FILES.checkpoint,
        activations="results/{experiment}/activations.h5",
        files=FILES.user_files,
    output:
        "results/{experiment}/predictors.csv",
    log:
        "logs/{experiment}/predictors.log",
    benchmark:
        "logs/{experiment}/predictors.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code_and_network("predictors"),
        python=SETTINGS.user_function,
    shell:
        program("predictors") + " --checkpoint {input.checkpoint:q} --python {params.python:q}"
        " --activations {input.activations:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule importance:
    input:
        units="results/{experiment}/units.csv",
        predictors="results/{experiment}/predictors.csv",
        gradients=FILES.across("results/{experiment}/gradients/{layer}.csv"),
        shapley=FILES.shapley,
        activations="results/{experiment}/activations.h5",
        taps="results/{experiment}/taps.json",
    output:
        importance=table("importance"),
        partial=table("partial"),
        partial_loss=table("partial_loss"),
    log:
        "logs/{experiment}/importance.log",
    benchmark:
        "logs/{experiment}/importance.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.with_ablation_images("importance"),
        code=code("importance"),
    shell:
        program("importance") + " --units {input.units:q} --predictors {input.predictors:q} --taps {input.taps:q}"
        " --gradients {input.gradients:q} --shapley {input.shapley:q} --activations {input.activations:q}"
        " --settings {params.settings:q} --output {output.importance:q} --partial {output.partial:q}"
        " --partial-loss {output.partial_loss:q} --code {params.code:q} --log {log:q}"


rule importance_figures:
    input:
        importance="results/{experiment}/importance.csv",
    output:
        figure("importance", "Importance", figure="what foretells the cost of an ablation"),
        pdf="results/{experiment}/figures/importance.pdf",
    log:
        "logs/{experiment}/importance_figures.log",
    benchmark:
        "logs/{experiment}/importance_figures.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("importance_figures"),
    shell:
        program("importance_figures") + " --importance {input.importance:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


# --- reliability and nulls --------------------------------------------------------------------------------------------


rule reliability:
    input:
        units="results/{experiment}/units.csv",
        taps="results/{experiment}/taps.json",
        activations="results/{experiment}/activations.h5",
        images=FILES.across("results/{experiment}/images/{layer}.{method}.h5"),
        untrained=FILES.untrained,
    output:
        reliability=table("reliability"),
        nulls=table("nulls"),
    log:
        "logs/{experiment}/reliability.log",
    benchmark:
        "logs/{experiment}/reliability.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.with_resamples("reliability"),
        code=code("reliability"),
    shell:
        program("reliability") + " --units {input.units:q} --taps {input.taps:q} --activations {input.activations:q}"
        " --images {input.images:q} --untrained {input.untrained:q} --settings {params.settings:q}"
        " --output {output.reliability:q} --nulls {output.nulls:q} --code {params.code:q} --log {log:q}"


rule nulls_figures:
    input:
        nulls="results/{experiment}/nulls.csv",
    output:
        figure("nulls", "Reliability", figure="RS and selectivity where there is nothing to be found"),
        pdf="results/{experiment}/figures/nulls.pdf",
    log:
        "logs/{experiment}/nulls_figures.log",
    benchmark:
        "logs/{experiment}/nulls_figures.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("nulls_figures"),
    shell:
        program("nulls_figures") + " --nulls {input.nulls:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


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
        settings=SETTINGS.section("graph"),
        code=code("graph"),
    shell:
        program("graph") + " --images {input.images:q} --activations {input.activations:q} --units {input.units:q}"
        " --settings {params.settings:q} --measures {output.measures:q} --degrees {output.degrees:q}"
        " --graphml {output.graphml:q} --code {params.code:q} --log {log:q}"


rule graphs:
    input:
        measures=FILES.across_iam("results/{experiment}/graph/{layer}.{method}.csv"),
        degrees=FILES.across_iam("results/{experiment}/graph/{layer}.{method}.degrees.csv"),
        graphml=FILES.across_iam("results/{experiment}/graph/{layer}.{method}.graphml"),
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
        settings=SETTINGS.section("figures"),
        code=code("graphs"),
    shell:
        program("graphs") + " --measures {input.measures:q} --degrees {input.degrees:q} --graphml {input.graphml:q}"
        " --units {input.units:q} --settings {params.settings:q} --output {output.table:q} --figure {output.figure:q}"
        " --code {params.code:q} --log {log:q}"


# --- inhibition -------------------------------------------------------------------------------------------------------


rule inhibition:
    input:
        images=FILES.across("results/{experiment}/images/{layer}.{method}.h5"),
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
        settings=SETTINGS.section("statistics"),
        code=code("inhibition"),
    shell:
        program("inhibition") + " --images {input.images:q} --units {input.units:q} --taps {input.taps:q}"
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
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("inhibition_figure"),
    shell:
        program("inhibition_figure")
        + " --units {input.units:q} --inhibition {input.table:q} --layers {input.layers:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


# --- distances by responses -------------------------------------------------------------------------------------------


rule responses:
    input:
        images="results/{experiment}/images/{layer}.{method}.h5",
    output:
        "results/{experiment}/responses/{layer}.{method}.csv",
    log:
        "logs/{experiment}/responses/{layer}.{method}.log",
    benchmark:
        "logs/{experiment}/responses/{layer}.{method}.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("responses"),
    shell:
        program("responses") + " --images {input.images:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule responses_figure:
    input:
        FILES.across_maximizing("results/{experiment}/responses/{layer}.{method}.csv"),
    output:
        figure("dendrogram", "Responses", figure="dendrograms of the units"),
        pdf="results/{experiment}/figures/dendrogram.pdf",
    log:
        "logs/{experiment}/responses_figure.log",
    benchmark:
        "logs/{experiment}/responses_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("responses_figure"),
    shell:
        program("responses_figure") + " --tables {input:q} --settings {params.settings:q}"
        " --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"
