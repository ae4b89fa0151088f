# Which scores move when units are given other scales, and the function stays.


rule scale:
    input:
        checkpoint=checkpoint,
        dataset=dataset,
        activations="results/{experiment}/activations.h5",
        images=lambda wildcards: [
            f"results/{wildcards.experiment}/images/{wildcards.layer}.{method}.h5"
            for method in experiment(wildcards)["methods"]
        ],
        files=own_files,
    output:
        "results/{experiment}/scale/{layer}.csv",
    log:
        "logs/{experiment}/scale/{layer}.log",
    benchmark:
        "logs/{experiment}/scale/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: experiment(wildcards)["scale"]["threads"]
    resources:
        gpu=GPU,
    params:
        recipes=lambda wildcards: canonical_json(experiment(wildcards)["methods"]),
        settings=rescaling,
        code=code_and_network("scale"),
        python=own,
        device=STUDY.device,
    shell:
        "python scripts/scale.py --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --activations {input.activations:q} --images {input.images:q} --layer {wildcards.layer:q}"
        " --recipes {params.recipes:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule scale_figure:
    input:
        lambda wildcards: across(wildcards, "results/{experiment}/scale/{layer}.csv"),
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
        settings=lambda wildcards: canonical_json(experiment(wildcards)["figures"]),
        folder=subpath(output[0], parent=True),
        code=code("analysis_figures"),
    shell:
        "python scripts/analysis_figures.py --of scale --tables {input:q} --settings {params.settings:q}"
        " --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"
