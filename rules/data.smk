# Data sets, networks, and the layers of a network.


rule dataset:
    output:
        "data/datasets/{dataset}.h5",
    log:
        "logs/datasets/{dataset}.log",
    benchmark:
        "logs/datasets/{dataset}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: 8
    params:
        settings=SETTINGS.dataset,
        source=CHECKS.source,
        code=code("dataset"),
    shell:
        program("dataset") + " --settings {params.settings:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule checkpoint:
    input:
        dataset=FILES.dataset,
        # Made again, it is the same to the byte, and nothing behind it is old.
        earlier=lambda wildcards: ancient(FILES.earlier(wildcards)),
        files=FILES.user_files,
    output:
        checkpoint="data/checkpoints/{network}.pt",
        record="data/checkpoints/{network}.json",
    log:
        "logs/checkpoints/{network}.log",
    benchmark:
        "logs/checkpoints/{network}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.training_threads
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.network,
        code=code_and_network("checkpoint"),
        python=SETTINGS.user_function,
        # The last checkpoint of a training is done with what the earlier ones have kept.
        scratch=lambda wildcards: f".resume/checkpoints/{FILES.last(wildcards)}",
        keep=lambda wildcards: ["--keep"] * (wildcards.network != FILES.last(wildcards)),
        device=STUDY.device,
        network_entry=SETTINGS.network_entry,
    shell:
        program("checkpoint") + " --dataset {input.dataset:q} --python {params.python:q} --files {input.files:q}"
        " --settings {params.settings:q} --network-entry {params.network_entry:q}"
        " --device {params.device:q} --scratch {params.scratch:q} {params.keep:q} --code {params.code:q}"
        " --output {output.checkpoint:q} --record {output.record:q} --log {log:q}"


# Looked up on the untrained network, and first of all: a layer that does not exist shall not be found out after hours
# of training. A network with given weights is there at once, and knows its classes.
rule taps:
    input:
        dataset=FILES.dataset_for_layers,
        checkpoint=FILES.pretrained_checkpoint,
        files=FILES.user_files,
    output:
        "results/{experiment}/taps.json",
    log:
        "logs/{experiment}/taps.log",
    benchmark:
        "logs/{experiment}/taps.tsv"
    priority: 100
    conda:
        "../envs/unitscope.yaml"
    params:
        network=SETTINGS.untrained,
        network_entry=SETTINGS.network_entry,
        layers=SETTINGS.layers,
        where=SETTINGS.where_layers_are_named,
        code=code_and_network("taps"),
        python=SETTINGS.user_function,
    shell:
        program("taps") + " --dataset {input.dataset:q} --checkpoint {input.checkpoint:q} --python {params.python:q}"
        " --network {params.network:q} --network-entry {params.network_entry:q} --layers {params.layers:q} --where {params.where:q} --output {output:q}"
        " --code {params.code:q} --log {log:q}"
