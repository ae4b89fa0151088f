# The images that are made for units, and the scores by the responses to them.


# How images are made, whichever units they are of.
MAKING = {
    "recipe": SETTINGS.recipe,
    "settings": SETTINGS.images,
    "code": code_and_network("images"),
    "python": SETTINGS.user_function,
    "device": STUDY.device,
}


rule images:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset_to_start_from,
        moments=FILES.moments_to_standardize,
        files=FILES.user_files,
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
    threads: SETTINGS.threads("images")
    resources:
        gpu=GPU,
    params:
        **MAKING,
        scratch=".resume/{experiment}/images/{layer}.{method}",
        part=[],
    shell:
        program("images") + " --checkpoint {input.checkpoint:q} --python {params.python:q} --files {input.files:q}"
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
        part=SETTINGS.block,


rule images_joined:
    input:
        lambda wildcards: FILES.blocks(wildcards, checkpoints.counted.get(experiment=wildcards.experiment).output[0]),
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
        program("images_joined") + " --blocks {input:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule substitution:
    input:
        images="results/{experiment}/images/{layer}.{method}.h5",
        activations=FILES.real("results/{experiment}/activations.h5"),
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
        program("substitution") + " --images {input.images:q} --activations {input.activations:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


# A second pass, where not all units are targets: the images of those that could stand in for a target.
use rule images as substitute_images with:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset_to_start_from,
        moments=FILES.moments_to_standardize,
        substitution="results/{experiment}/substitution/{layer}.{method}.csv",
        files=FILES.user_files,
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
