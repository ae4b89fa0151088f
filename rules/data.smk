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
        settings=lambda wildcards: canonical_json(as_mapping(DatasetSettings, STUDY.datasets[wildcards.dataset])),
        source=source,
        code=code("dataset"),
    shell:
        program("dataset") + " --settings {params.settings:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule checkpoint:
    input:
        dataset=dataset,
        earlier=earlier,
        files=own_files,
    output:
        checkpoint="data/checkpoints/{network}.pt",
        record="data/checkpoints/{network}.json",
    log:
        "logs/checkpoints/{network}.log",
    benchmark:
        "logs/checkpoints/{network}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: lambda wildcards: (network(wildcards)["training"] or {}).get("threads", 8)
    resources:
        gpu=GPU,
    params:
        settings=lambda wildcards: canonical_json(network(wildcards)),
        code=code_and_network("checkpoint"),
        python=own,
        # The last checkpoint of a training is done with what the earlier ones have kept.
        scratch=lambda wildcards: f".resume/checkpoints/{one_training(STUDY, wildcards.network)[-1]}",
        keep=lambda wildcards: ["--keep"] * (wildcards.network != one_training(STUDY, wildcards.network)[-1]),
        device=STUDY.device,
        network_entry=network_entry,
    shell:
        program("checkpoint") + " --dataset {input.dataset:q} --python {params.python:q} --files {input.files:q}"
        " --settings {params.settings:q} --network-entry {params.network_entry:q}"
        " --device {params.device:q} --scratch {params.scratch:q} {params.keep:q} --code {params.code:q}"
        " --output {output.checkpoint:q} --record {output.record:q} --log {log:q}"


# Looked up on the untrained network, and first of all: a layer that does not exist shall not be found out after hours
# of training. A network with given weights is there at once, and knows its classes.
rule taps:
    input:
        dataset=lambda wildcards: [] if network(wildcards)["weights"] else dataset(wildcards),
        checkpoint=lambda wildcards: checkpoint(wildcards) if network(wildcards)["weights"] else [],
        files=own_files,
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
        network=lambda wildcards: canonical_json(
            {key: value for key, value in network(wildcards).items() if key not in ("training", "seed")}
        ),
        network_entry=network_entry,
        layers=lambda wildcards: list(experiment(wildcards)["layers"]),
        where=lambda wildcards: f"experiments.{STUDY.entries[wildcards.experiment]}.layers",
        code=code_and_network("taps"),
        python=own,
    shell:
        program("taps") + " --dataset {input.dataset:q} --checkpoint {input.checkpoint:q} --python {params.python:q}"
        " --network {params.network:q} --network-entry {params.network_entry:q} --layers {params.layers:q} --where {params.where:q} --output {output:q}"
        " --code {params.code:q} --log {log:q}"
