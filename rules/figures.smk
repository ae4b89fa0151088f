# Figures over all layers, and for each layer its images and its response matrix.


rule figures:
    input:
        units="results/{experiment}/units.csv",
        layers="results/{experiment}/layers.csv",
        images=all_pictures,
    output:
        figure("selectivity_rs", "Selectivity and substitution", score="RS"),
        figure("selectivity_rs_z", "Selectivity and substitution", score="RS, standardized"),
        figure("selectivity_rs_q", "Selectivity and substitution", score="RS, over the 99th percentile"),
        figure("depth", "Selectivity and substitution", score="correlation by depth"),
        figure("substitutes", "Substitutes", figure="a unit and its substitutes"),
        figure("ablation", "Ablation", figure="loss by selectivity and RS"),
        figure("ablation_rs_z", "Ablation", figure="loss by selectivity and RS, standardized"),
        figure("ablation_rs_q", "Ablation", figure="loss by selectivity and RS, over the 99th percentile"),
        pdf=expand("results/{{experiment}}/figures/{figure}.pdf", figure=OVERVIEWS),
    log:
        "logs/{experiment}/figures.log",
    benchmark:
        "logs/{experiment}/figures.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        folder=subpath(output[0], parent=True),
        code=code("figures"),
    shell:
        "python scripts/figures.py --units {input.units:q} --layers {input.layers:q} --images {input.images:q}"
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
        settings=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        folder=subpath(output[0], parent=True),
        code=code("sheets"),
    shell:
        "python scripts/sheets.py --layer {wildcards.layer:q} --images {input.images:q} --units {input.units:q}"
        " --settings {params.settings:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"
