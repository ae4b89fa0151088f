# What each unit answers to, what could stand in for it, and what is lost without it.


rule activations:
    input:
        checkpoint=checkpoint,
        dataset=dataset,
        taps="results/{experiment}/taps.json",
        files=own_files,
    output:
        "results/{experiment}/activations.h5",
    log:
        "logs/{experiment}/activations.log",
    benchmark:
        "logs/{experiment}/activations.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: experiment(wildcards)["activations"]["threads"]
    resources:
        gpu=GPU,
    params:
        settings=lambda wildcards: settings(
            readout=experiment(wildcards)["readout"], **experiment(wildcards)["activations"]
        ),
        code=code_and_network("activations"),
        python=own,
        device=STUDY.device,
    shell:
        "python scripts/activations.py --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --taps {input.taps:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


# Of all layers of the network: a further one in the experiment must not ablate all others again.
rule moments:
    input:
        checkpoint=checkpoint,
        dataset=dataset,
        files=own_files,
    output:
        "results/{experiment}/moments/{readout}.csv",
    log:
        "logs/{experiment}/moments/{readout}.log",
    benchmark:
        "logs/{experiment}/moments/{readout}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: experiment(wildcards)["activations"]["threads"]
    resources:
        gpu=GPU,
    params:
        settings=lambda wildcards: settings(**experiment(wildcards)["activations"]),
        code=code_and_network("moments"),
        python=own,
        device=STUDY.device,
    shell:
        "python scripts/moments.py --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --readout {wildcards.readout:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule selectivity:
    input:
        activations="results/{experiment}/activations.h5",
    output:
        "results/{experiment}/selectivity.csv",
    log:
        "logs/{experiment}/selectivity.log",
    benchmark:
        "logs/{experiment}/selectivity.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["selectivity"]),
        code=code("selectivity"),
    shell:
        "python scripts/selectivity.py --activations {input.activations:q} --settings {params.settings:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule exemplars:
    input:
        activations="results/{experiment}/activations.h5",
        dataset=dataset,
    output:
        "results/{experiment}/exemplars.h5",
    log:
        "logs/{experiment}/exemplars.log",
    benchmark:
        "logs/{experiment}/exemplars.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("exemplars"),
    shell:
        "python scripts/exemplars.py --activations {input.activations:q} --dataset {input.dataset:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


# How images are made, whichever units they are of.
MAKING = {
    "recipe": lambda wildcards: canonical_json(recipe(wildcards)),
    "settings": making,
    "code": code_and_network("images"),
    "python": own,
    "device": STUDY.device,
}


rule images:
    input:
        checkpoint=checkpoint,
        dataset=lambda wildcards: dataset(wildcards) if recipe(wildcards)["start"] == "mean" else [],
        moments=scales,
        files=own_files,
    output:
        "results/{experiment}/images/{layer}.{method}.h5",
    log:
        "logs/{experiment}/images/{layer}.{method}.log",
    benchmark:
        "logs/{experiment}/images/{layer}.{method}.tsv"
    wildcard_constraints:
        experiment=alternatives(set(STUDY.experiments) - set(IN_BLOCKS)),
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: experiment(wildcards)["images"]["threads"]
    resources:
        gpu=GPU,
    params:
        **MAKING,
        scratch=".resume/{experiment}/images/{layer}.{method}",
        part=[],
    shell:
        "python scripts/images.py --checkpoint {input.checkpoint:q} --python {params.python:q} --files {input.files:q}"
        " --dataset {input.dataset:q}"
        " --moments {input.moments:q} --layer {wildcards.layer:q} --method {wildcards.method:q} --recipe {params.recipe:q}"
        " --settings {params.settings:q} --device {params.device:q} --scratch {params.scratch:q} --code {params.code:q}"
        " {params.part:q} --output {output:q} --log {log:q}"


# The same, shared by several jobs. How many there are is known once a layer's units are counted.
checkpoint counted:
    input:
        "results/{experiment}/taps.json",
    output:
        "results/{experiment}/blocks.json",
    log:
        "logs/{experiment}/counted.log",
    localrule: True
    conda:
        "../envs/unitscope.yaml"
    shell:
        "cp {input:q} {output:q} 2> {log:q}"


use rule images as images_block with:
    output:
        temp("results/{experiment}/blocks/{layer}.{method}.{block}.h5"),
    log:
        "logs/{experiment}/images/{layer}.{method}.{block}.log",
    benchmark:
        "logs/{experiment}/images/{layer}.{method}.{block}.tsv"
    wildcard_constraints:
        experiment=alternatives(IN_BLOCKS),
        block=r"\d+",
    params:
        **MAKING,
        scratch=".resume/{experiment}/images/{layer}.{method}.{block}",
        part=lambda wildcards: ["--block", wildcards.block, experiment(wildcards)["images"]["block"]],


rule images_joined:
    input:
        blocks,
    output:
        "results/{experiment}/images/{layer}.{method}.h5",
    log:
        "logs/{experiment}/images/{layer}.{method}.joined.log",
    benchmark:
        "logs/{experiment}/images/{layer}.{method}.joined.tsv"
    wildcard_constraints:
        experiment=alternatives(IN_BLOCKS),
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("images_joined"),
    shell:
        "python scripts/images_joined.py --blocks {input:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule substitution:
    input:
        images="results/{experiment}/images/{layer}.{method}.h5",
        activations=lambda wildcards: real_images(wildcards, "results/{experiment}/activations.h5"),
    output:
        "results/{experiment}/substitution/{layer}.{method}.csv",
    log:
        "logs/{experiment}/substitution/{layer}.{method}.log",
    benchmark:
        "logs/{experiment}/substitution/{layer}.{method}.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("substitution"),
    shell:
        "python scripts/substitution.py --images {input.images:q} --activations {input.activations:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


# A second pass, where not all units are targets: the images of those that could stand in for a target.
use rule images as substitute_images with:
    input:
        checkpoint=checkpoint,
        dataset=lambda wildcards: dataset(wildcards) if recipe(wildcards)["start"] == "mean" else [],
        moments=scales,
        substitution="results/{experiment}/substitution/{layer}.{method}.csv",
        files=own_files,
    output:
        "results/{experiment}/images/{layer}.{method}.substitutes.h5",
    log:
        "logs/{experiment}/images/{layer}.{method}.substitutes.log",
    benchmark:
        "logs/{experiment}/images/{layer}.{method}.substitutes.tsv"
    wildcard_constraints:
        experiment=alternatives(STUDY.experiments),
    params:
        **MAKING,
        scratch=".resume/{experiment}/images/{layer}.{method}.substitutes",
        part=lambda wildcards, input: ["--substitutes", input.substitution],


rule ablation:
    input:
        checkpoint=checkpoint,
        dataset=dataset,
        moments="results/{experiment}/moments/mean.csv",
        files=own_files,
    output:
        "results/{experiment}/ablation/{layer}.csv",
    log:
        "logs/{experiment}/ablation/{layer}.log",
    benchmark:
        "logs/{experiment}/ablation/{layer}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: experiment(wildcards)["ablation"]["threads"]
    resources:
        gpu=GPU,
    params:
        settings=ablated,
        code=code_and_network("ablation"),
        python=own,
        device=STUDY.device,
    shell:
        "python scripts/ablation.py --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --moments {input.moments:q} --layer {wildcards.layer:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"
