# The activations of real images, and the scores that follow from them alone.


rule activations:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        taps="results/{experiment}/taps.json",
        files=FILES.user_files,
    output:
        "results/{experiment}/activations.h5",
    log:
        "logs/{experiment}/activations.log",
    benchmark:
        "logs/{experiment}/activations.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("activations")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.activations,
        code=code_and_network("activations"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("activations")
        + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --taps {input.taps:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


# Of all layers of the network: a further one in the experiment must not ablate all others again.
rule moments:
    input:
        checkpoint=FILES.checkpoint,
        dataset=FILES.dataset,
        files=FILES.user_files,
    output:
        "results/{experiment}/moments/{readout}.csv",
    log:
        "logs/{experiment}/moments/{readout}.log",
    benchmark:
        "logs/{experiment}/moments/{readout}.tsv"
    conda:
        "../envs/unitscope.yaml"
    threads: SETTINGS.threads("activations")
    resources:
        gpu=GPU,
    params:
        settings=SETTINGS.section("activations"),
        code=code_and_network("moments"),
        python=SETTINGS.user_function,
        device=STUDY.device,
    shell:
        program("moments")
        + " --checkpoint {input.checkpoint:q} --python {params.python:q} --dataset {input.dataset:q}"
        " --readout {wildcards.readout:q} --settings {params.settings:q} --device {params.device:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule selectivity:
    input:
        activations="results/{experiment}/activations.h5",
    output:
        selectivity="results/{experiment}/selectivity.csv",
        sparseness="results/{experiment}/sparseness.csv",
    log:
        "logs/{experiment}/selectivity.log",
    benchmark:
        "logs/{experiment}/selectivity.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.section("selectivity"),
        code=code("selectivity"),
    shell:
        program("selectivity") + " --activations {input.activations:q} --settings {params.settings:q}"
        " --output {output.selectivity:q} --sparseness {output.sparseness:q} --code {params.code:q} --log {log:q}"


rule exemplars:
    input:
        activations="results/{experiment}/activations.h5",
        dataset=FILES.dataset,
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
        program("exemplars") + " --activations {input.activations:q} --dataset {input.dataset:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"
