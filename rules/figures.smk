# Figures over all layers, and for each layer its images and its response matrix; the page of all units.


rule figures:
    input:
        units="results/{experiment}/units.csv",
        layers="results/{experiment}/layers.csv",
        images=FILES.images,
    output:
        figure("selectivity_rs", "Selectivity and substitution", score="RS"),
        figure("selectivity_rs_z", "Selectivity and substitution", score="RS, standardized"),
        figure("selectivity_rs_q", "Selectivity and substitution", score="RS, over the 99th percentile"),
        figure("selectivity_rs_r", "Selectivity and substitution", score="RS, over each unit's own image"),
        figure("depth", "Selectivity and substitution", score="correlation by depth"),
        figure("substitutes", "Substitutes", figure="a unit and its substitutes"),
        figure("ablation", "Ablation", figure="loss by selectivity and RS"),
        figure("ablation_rs_z", "Ablation", figure="loss by selectivity and RS, standardized"),
        figure("ablation_rs_q", "Ablation", figure="loss by selectivity and RS, over the 99th percentile"),
        figure("ablation_rs_r", "Ablation", figure="loss by selectivity and RS, over each unit's own image"),
        pdf=expand("results/{{experiment}}/figures/{figure}.pdf", figure=OVERVIEWS),
    log:
        "logs/{experiment}/figures.log",
    benchmark:
        "logs/{experiment}/figures.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("figures"),
    shell:
        program("figures") + " --units {input.units:q} --layers {input.layers:q} --images {input.images:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


rule sheets:
    input:
        units="results/{experiment}/units.csv",
        images="results/{experiment}/images/{layer}.{method}.h5",
    output:
        figure("{layer}.{method}.sheet", "Images", layer="{layer}", method="{method}", figure="all units"),
        figure("{layer}.{method}.responses", "Responses", layer="{layer}", method="{method}"),
        pdf=expand("results/{{experiment}}/figures/{{layer}}.{{method}}.{kind}.pdf", kind=["sheet", "responses"]),
    log:
        "logs/{experiment}/sheets/{layer}.{method}.log",
    benchmark:
        "logs/{experiment}/sheets/{layer}.{method}.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("figures"),
        folder=subpath(output[0], parent=True),
        code=code("sheets"),
    shell:
        program("sheets") + " --layer {wildcards.layer:q} --images {input.images:q} --units {input.units:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


# One page with every unit of an experiment. Snakemake's report does not hold it: browsers refuse a page within a page
# that has more than 2 MB.
rule atlas:
    input:
        units="results/{experiment}/units.csv",
        layers="results/{experiment}/layers.csv",
        taps="results/{experiment}/taps.json",
        images=FILES.images,
        activations=FILES.real("results/{experiment}/activations.h5"),
        exemplars=FILES.real("results/{experiment}/exemplars.h5"),
        dataset=FILES.dataset,
        cumulative=FILES.cumulative,
        claims=FILES.claims,
    output:
        "results/{experiment}/atlas.html",
    log:
        "logs/{experiment}/atlas.log",
    benchmark:
        "logs/{experiment}/atlas.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("atlas"),
        code=code("atlas"),
    shell:
        program("atlas") + " --units {input.units:q} --layers {input.layers:q} --taps {input.taps:q}"
        " --images {input.images:q} --activations {input.activations:q} --exemplars {input.exemplars:q}"
        " --dataset {input.dataset:q} --claims {input.claims:q} --cumulative {input.cumulative:q} --settings {params.settings:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"
