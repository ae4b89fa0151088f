# What becomes of units in training: for each entry whose network lists epochs, all its checkpoints side by side.


# Beside the folders of the experiments: it belongs to none of them.
rule training_time:
    input:
        units=FILES.over_epochs("results/{experiment}/units.csv"),
        layers=FILES.over_epochs("results/{experiment}/layers.csv"),
        records=FILES.over_epochs("data/checkpoints/{network}.json"),
    output:
        "results/{entry}.training/training.csv",
    log:
        "logs/{entry}.training.log",
    benchmark:
        "logs/{entry}.training.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("training_time"),
    shell:
        program("training_time") + " --units {input.units:q} --layers {input.layers:q} --records {input.records:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"


rule training_time_figure:
    input:
        "results/{entry}.training/training.csv",
    output:
        report(
            "results/{entry}.training/training_time.png",
            caption="captions/training_time.rst",
            category="Training time",
            labels={"experiment": "{entry}"},
        ),
        pdf="results/{entry}.training/training_time.pdf",
    log:
        "logs/{entry}.training_figure.log",
    benchmark:
        "logs/{entry}.training_figure.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.figures_over_epochs,
        folder=subpath(output[0], parent=True),
        code=code("training_time_figure"),
    shell:
        program("training_time_figure") + " --training {input:q} --settings {params.settings:q}"
        " --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"


# Not in the claims of an experiment: each checkpoint's would then hang on those of all others.
rule training_claims:
    input:
        "results/{entry}.training/training.csv",
    output:
        report(
            "results/{entry}.training/claims.csv",
            caption="captions/claims.rst",
            category="Tables",
            labels={"experiment": "{entry}", "table": "claims"},
        ),
    log:
        "logs/{entry}.training_claims.log",
    benchmark:
        "logs/{entry}.training_claims.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        methods=SETTINGS.methods_over_epochs,
        code=code("training_claims"),
    shell:
        program("training_claims") + " --training {input:q} --methods {params.methods:q} --output {output:q}"
        " --code {params.code:q} --log {log:q}"
