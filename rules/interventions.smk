# What is lost without a unit, or without several; which scores move when units are given other scales; and whether
# scores find copies that are planted.

# --- one unit ---------------------------------------------------------------------------------------------------------


rule ablation:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        moments="results/{experiment}/moments/mean.csv",
        files=FILES.user_files,
    output:
        table="results/{experiment}/ablation/{layer}.csv",
        damage="results/{experiment}/ablation/{layer}.h5",
    log:
        "logs/{experiment}/ablation/{layer}.log",
    benchmark:
        "logs/{experiment}/ablation/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("ablation")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.ablation,
        code=code_and_network("ablation"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("ablation")
        + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --moments {input.moments:q} --layer {wildcards.layer:q} --settings {params.settings:q}"
        " --device {params.device:q} --output {output.table:q} --damage {output.damage:q}"
        " --code {params.code:q} --log {log:q}"


# --- several units: a unit and its substitutes, or ever more units of a layer -----------------------------------------


rule joint:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        activations="results/{experiment}/activations.h5",
        images="results/{experiment}/images/{layer}.{method}.h5",
        substitution="results/{experiment}/substitution/{layer}.{method}.csv",
        files=FILES.user_files,
    output:
        "results/{experiment}/joint/{layer}.{method}.csv",
    log:
        "logs/{experiment}/joint/{layer}.{method}.log",
    benchmark:
        "logs/{experiment}/joint/{layer}.{method}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("joint")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.joint,
        code=code_and_network("joint"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("joint") + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --activations {input.activations:q} --images {input.images:q} --substitution {input.substitution:q}"
        " --layer {wildcards.layer:q} --method {wildcards.method:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule joint_summary:
    input:
        FILES.across_iam("results/{experiment}/joint/{layer}.{method}.csv"),
    output:
        report(
            "results/{experiment}/joint.csv",
            caption="captions/joint_summary.rst",
            category="Tables",
            labels={"experiment": "{experiment}", "table": "joint"},
        ),
    log:
        "logs/{experiment}/joint_summary.log",
    benchmark:
        "logs/{experiment}/joint_summary.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.bootstrap,
        code=code("joint_summary"),
    shell:
        program("joint_summary")
        + " --joint {input:q} --settings {params.settings:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule joint_figure:
    input:
        joint=FILES.across_iam("results/{experiment}/joint/{layer}.{method}.csv"),
    output:
        figure("joint", "Ablation", figure="units with their substitutes"),
        pdf="results/{experiment}/figures/joint.pdf",
    log:
        "logs/{experiment}/joint_figure.log",
    benchmark:
        "logs/{experiment}/joint_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("joint_figure"),
    shell:
        program("joint_figure") + " --tables {input.joint:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


rule replacement:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        activations="results/{experiment}/activations.h5",
        images="results/{experiment}/images/{layer}.{method}.h5",
        substitution="results/{experiment}/substitution/{layer}.{method}.csv",
        files=FILES.user_files,
    output:
        "results/{experiment}/replacement/{layer}.{method}.csv",
    log:
        "logs/{experiment}/replacement/{layer}.{method}.log",
    benchmark:
        "logs/{experiment}/replacement/{layer}.{method}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("replacement")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.replacement,
        code=code_and_network("replacement"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("replacement")
        + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --activations {input.activations:q} --images {input.images:q} --substitution {input.substitution:q}"
        " --layer {wildcards.layer:q} --method {wildcards.method:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule replacement_summary:
    input:
        FILES.across_iam("results/{experiment}/replacement/{layer}.{method}.csv"),
    output:
        report(
            "results/{experiment}/replacement.csv",
            caption="captions/replacement_summary.rst",
            category="Tables",
            labels={"experiment": "{experiment}", "table": "replacement"},
        ),
    log:
        "logs/{experiment}/replacement_summary.log",
    benchmark:
        "logs/{experiment}/replacement_summary.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("statistics"),
        code=code("replacement_summary"),
    shell:
        program("replacement_summary")
        + " --tables {input:q} --settings {params.settings:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule replacement_figure:
    input:
        FILES.across_iam("results/{experiment}/replacement/{layer}.{method}.csv"),
    output:
        figure("replacement", "Ablation", figure="units replaced by predictions"),
        pdf="results/{experiment}/figures/replacement.pdf",
    log:
        "logs/{experiment}/replacement_figure.log",
    benchmark:
        "logs/{experiment}/replacement_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("replacement_figure"),
    shell:
        program("replacement_figure") + " --tables {input:q} --settings {params.settings:q}"
        " --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


rule cumulative:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        moments=FILES.means_to_clamp_to,
        selectivity="results/{experiment}/selectivity.csv",
        substitution=FILES.across_methods("results/{experiment}/substitution/{layer}.{method}.csv"),
        files=FILES.user_files,
    output:
        curves="results/{experiment}/cumulative/{layer}.csv",
        areas="results/{experiment}/cumulative_areas/{layer}.csv",
    log:
        "logs/{experiment}/cumulative/{layer}.log",
    benchmark:
        "logs/{experiment}/cumulative/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("cumulative")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.cumulative,
        code=code_and_network("cumulative"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("cumulative") + " --checkpoint {input.checkpoint:q} --python {params.python:q}"
        " --dataset {input.dataset:q} --moments {input.moments:q} --selectivity {input.selectivity:q}"
        " --substitution {input.substitution:q}"
        " --layers {wildcards.layer:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output.curves:q} --areas {output.areas:q} --code {params.code:q} --log {log:q}"


# Scores are not comparable between layers: all layers lose the same fraction of their units, each by its own ranks.
rule cumulative_together:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        moments=FILES.means_to_clamp_to,
        selectivity="results/{experiment}/selectivity.csv",
        substitution=FILES.across("results/{experiment}/substitution/{layer}.{method}.csv"),
        files=FILES.user_files,
    output:
        curves="results/{experiment}/cumulative_of_all.csv",
        areas="results/{experiment}/cumulative_areas_of_all.csv",
    log:
        "logs/{experiment}/cumulative_together.log",
    benchmark:
        "logs/{experiment}/cumulative_together.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("cumulative")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.cumulative,
        layers=SETTINGS.layers,
        code=code_and_network("cumulative"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("cumulative") + " --checkpoint {input.checkpoint:q} --python {params.python:q}"
        " --dataset {input.dataset:q} --moments {input.moments:q} --selectivity {input.selectivity:q}"
        " --substitution {input.substitution:q}"
        " --layers {params.layers:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output.curves:q} --areas {output.areas:q} --code {params.code:q} --log {log:q}"


rule cumulative_areas:
    input:
        FILES.cumulative_files("cumulative_areas"),
    output:
        table("cumulative_areas"),
    log:
        "logs/{experiment}/cumulative_areas.log",
    benchmark:
        "logs/{experiment}/cumulative_areas.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("cumulative_areas"),
    shell:
        program("cumulative_areas") + " --tables {input:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule cumulative_figure:
    input:
        curves=FILES.cumulative_files("cumulative"),
    output:
        figure("cumulative", "Ablation", figure="more and more units"),
        pdf="results/{experiment}/figures/cumulative.pdf",
    log:
        "logs/{experiment}/cumulative_figure.log",
    benchmark:
        "logs/{experiment}/cumulative_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("cumulative_figure"),
    shell:
        program("cumulative_figure") + " --tables {input.curves:q} --settings {params.settings:q}"
        " --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


# --- what each unit of a layer contributes ----------------------------------------------------------------------------


rule gradients:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        files=FILES.user_files,
    output:
        "results/{experiment}/gradients/{layer}.csv",
    log:
        "logs/{experiment}/gradients/{layer}.log",
    benchmark:
        "logs/{experiment}/gradients/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("gradients")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.gradients,
        code=code_and_network("gradients"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("gradients")
        + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --layer {wildcards.layer:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule shapley:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        files=FILES.user_files,
    output:
        "results/{experiment}/shapley/{layer}.csv",
    log:
        "logs/{experiment}/shapley/{layer}.log",
    benchmark:
        "logs/{experiment}/shapley/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("shapley")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.shapley,
        code=code_and_network("shapley"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("shapley")
        + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --layer {wildcards.layer:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule shapley_figure:
    input:
        shapley=FILES.across("results/{experiment}/shapley/{layer}.csv"),
        units="results/{experiment}/units.csv",
    output:
        figure("shapley", "Ablation", figure="Shapley values"),
        pdf="results/{experiment}/figures/shapley.pdf",
    log:
        "logs/{experiment}/shapley_figure.log",
    benchmark:
        "logs/{experiment}/shapley_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("shapley_figure"),
    shell:
        program("shapley_figure") + " --shapley {input.shapley:q} --units {input.units:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


# --- other scales, and the same function ------------------------------------------------------------------------------


rule scale:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        activations="results/{experiment}/activations.h5",
        images=FILES.across_methods("results/{experiment}/images/{layer}.{method}.h5"),
        files=FILES.user_files,
    output:
        "results/{experiment}/scale/{layer}.csv",
    log:
        "logs/{experiment}/scale/{layer}.log",
    benchmark:
        "logs/{experiment}/scale/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("scale")
    resources:
        gpu=GPU,
    params:
        recipes=SETTINGS.section("methods"),
        settings=SETTINGS.scale,
        code=code_and_network("scale"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("scale") + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --activations {input.activations:q} --images {input.images:q} --layer {wildcards.layer:q}"
        " --recipes {params.recipes:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule scale_figure:
    input:
        FILES.across("results/{experiment}/scale/{layer}.csv"),
    output:
        figure("scale", "Scale", figure="which scores depend on scales"),
        pdf="results/{experiment}/figures/scale.pdf",
    log:
        "logs/{experiment}/scale_figure.log",
    benchmark:
        "logs/{experiment}/scale_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("scale_figure"),
    shell:
        program("scale_figure") + " --tables {input:q} --settings {params.settings:q}"
        " --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


# --- planted copies ---------------------------------------------------------------------------------------------------


rule planted:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        activations="results/{experiment}/activations.h5",
        images=FILES.of_first_iam("results/{experiment}/images/{layer}.{method}.h5"),
        files=FILES.user_files,
    output:
        "results/{experiment}/planted/{layer}.csv",
    log:
        "logs/{experiment}/planted/{layer}.log",
    benchmark:
        "logs/{experiment}/planted/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("planted")
    resources:
        gpu=GPU,
    params:
        method=SETTINGS.first_iam,
        recipe=SETTINGS.first_iam_recipe,
        settings=SETTINGS.planted,
        code=code_and_network("planted"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("planted")
        + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --activations {input.activations:q} --images {input.images:q} --layer {wildcards.layer:q}"
        " --method {params.method:q} --recipe {params.recipe:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule planted_summary:
    input:
        FILES.across("results/{experiment}/planted/{layer}.csv"),
    output:
        planted=report(
            "results/{experiment}/planted.csv",
            caption="captions/planted_summary.rst",
            category="Tables",
            labels={"experiment": "{experiment}", "table": "planted"},
        ),
        advantage=table("planted_advantage"),
    log:
        "logs/{experiment}/planted_summary.log",
    benchmark:
        "logs/{experiment}/planted_summary.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.bootstrap,
        code=code("planted_summary"),
    shell:
        program("planted_summary") + " --planted {input:q} --settings {params.settings:q} --output {output.planted:q}"
        " --advantage {output.advantage:q} --code {params.code:q} --log {log:q}"


rule planted_figure:
    input:
        tables=FILES.across("results/{experiment}/planted/{layer}.csv"),
        planted="results/{experiment}/planted.csv",
        advantage="results/{experiment}/planted_advantage.csv",
    output:
        figure("planted", "Planted copies", figure="which scores find them, and whether they replace"),
        pdf="results/{experiment}/figures/planted.pdf",
    log:
        "logs/{experiment}/planted_figure.log",
    benchmark:
        "logs/{experiment}/planted_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("planted_figure"),
    shell:
        program("planted_figure") + " --tables {input.tables:q} --summary {input.planted:q}"
        " --advantage {input.advantage:q} --settings {params.settings:q} --output-dir {params.folder:q}"
        " --code {params.code:q} --log {log:q}"
